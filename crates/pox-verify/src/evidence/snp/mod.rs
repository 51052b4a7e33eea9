//! AMD SEV-SNP: from a report and its endorsements to what was launched (spec §8.8).
//!
//! [`Chain::verify`] leads from a pinned ARK to the key that signs reports; [`Chain::appraise`] judges a report by it. One chain
//! serves any number of reports. Nothing is looked at in a report before its signature holds, but what tells whose it must be.
//!
//! Certificates, lists and reports are verified over the bytes that came, never over an encoding made again, and have one form
//! each: whatever is reserved is zero, and no byte can be changed without a rejection.
//!
//! Never says whether the measurement is of any good program, whether the platform's versions suffice or whether its product
//! line is to be trusted: that is the policy's.

mod certificate;
mod chain;
mod extensions;
mod product;
mod rejection;
mod report;
mod revocation;

pub use chain::Chain;
pub(super) use chain::Chains;
pub use product::{ProductLine, TcbVersion};
pub use rejection::{BadReport, Link, PolicyTerm, SnpRejection};
pub use report::{
    FirmwareVersion, GuestPolicy, PlatformInfo, REPORT_BYTES, Report, ReportVersion, SigningKey,
};

use super::inspect::Stated;
use super::launch::{Launch, PlatformId, PlatformTrait, Register, Tcb, TcbStatus};
use super::roots::VendorRoots;
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Endorsement;
use std::collections::BTreeSet;

/// Verifies a report with its endorsements: that a pinned ARK vouches, at this time, for a guest with these properties.
///
/// The endorsements are one VCEK or VLEK, the ASK or ASVK that issued it, and revocation lists of the ARK. Without a list the
/// launch has [`PlatformTrait::RevocationUnchecked`].
///
/// # Errors
/// The first check that fails. [`SnpRejection::Missing`] alone says nothing against the report.
pub fn appraise(
    quote: &[u8],
    endorsements: &[Endorsement],
    roots: &VendorRoots,
    at: UnixTime,
) -> Result<Launch, SnpRejection> {
    appraise_beside(quote, endorsements, roots, at, &Chains::default())
}

/// The same, by a chain that was verified before of exactly the same things, if there is one.
pub(super) fn appraise_beside(
    quote: &[u8],
    endorsements: &[Endorsement],
    roots: &VendorRoots,
    at: UnixTime,
    chains: &Chains,
) -> Result<Launch, SnpRejection> {
    let report = Report::parse(quote)?;
    chains.verify(endorsements, roots, at)?.appraise_parsed(quote, &report)
}

/// Reads what a report says of itself; nothing of it is verified.
pub(super) fn stated(quote: &[u8]) -> Result<Stated, SnpRejection> {
    let report = Report::parse(quote)?;
    let version = u32::from_le_bytes(quote.first_chunk().copied().unwrap_or_default());
    Ok(Stated {
        kind: EvidenceKind::Snp,
        form: format!("SEV-SNP report, version {version}"),
        registers: registers(&report),
        made: None,
        report_data: Some(report.report_data.to_vec()),
    })
}

impl Chain {
    /// Judges a report by this chain.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn appraise(&self, quote: &[u8]) -> Result<Launch, SnpRejection> {
        self.appraise_parsed(quote, &Report::parse(quote)?)
    }

    fn appraise_parsed(&self, quote: &[u8], report: &Report) -> Result<Launch, SnpRejection> {
        self.check_signer(report)?;
        self.check_signature(quote, report)?;
        self.check_chip(report)?;
        let line = self.line();
        let reported =
            TcbVersion::parse(line, report.reported_tcb).ok_or(BadReport::Reserved("REPORTED_TCB"))?;
        self.check_tcb(reported)?;
        let launched = check_versions(line, report, reported)?;
        check_policy(report)?;
        Ok(self.launch(report, reported.lowest(launched)))
    }

    fn launch(&self, report: &Report, tcb: TcbVersion) -> Launch {
        let masked = report.chip_id == [0; 64];
        // An operator's key is no one chip's: no certificate ties it to the chip that a report names.
        let told = !masked && report.signing_key == SigningKey::Vcek;
        Launch {
            kind: EvidenceKind::Snp,
            registers: registers(report),
            report_data: report.report_data,
            tcb: Tcb {
                status: TcbStatus::UpToDate,
                advisories: BTreeSet::new(),
                level: tcb.to_string(),
                evaluation: None,
                parts: tcb.parts().map(|(name, version)| (name, u32::from(version))).collect(),
            },
            platform: told.then(|| PlatformId { name: "chip-id", bytes: report.chip_id.to_vec() }),
            launch_data: Some(report.host_data.to_vec()),
            traits: self.traits(report, masked),
            endorsed: Some(self.window()),
        }
    }

    fn traits(&self, report: &Report, masked: bool) -> BTreeSet<PlatformTrait> {
        let line = match self.line() {
            ProductLine::Milan => PlatformTrait::Milan,
            ProductLine::Genoa => PlatformTrait::Genoa,
            ProductLine::Turin => PlatformTrait::Turin,
        };
        let conditional = [
            (report.platform.smt(), PlatformTrait::Smt),
            (report.platform.alias_checked(), PlatformTrait::AliasChecked),
            (report.platform.ciphertext_hidden(), PlatformTrait::CiphertextHidden),
            (report.signing_key == SigningKey::Vlek, PlatformTrait::OperatorKey),
            (masked, PlatformTrait::MaskedChipId),
            (!self.revocation_checked(), PlatformTrait::RevocationUnchecked),
        ];
        conditional.into_iter().filter_map(|(holds, name)| holds.then_some(name)).chain([line]).collect()
    }
}

/// Checks that the firmware's versions are in the order that it keeps, and returns the version at the launch.
///
/// The version at the launch may be any: firmware is replaced under guests that run, and may be taken back to what is committed.
fn check_versions(
    line: ProductLine,
    report: &Report,
    reported: TcbVersion,
) -> Result<TcbVersion, SnpRejection> {
    let parse = |name, bytes| TcbVersion::parse(line, bytes).ok_or(BadReport::Reserved(name));
    let committed = parse("COMMITTED_TCB", report.committed_tcb)?;
    let current = parse("CURRENT_TCB", report.current_tcb)?;
    let launched = parse("LAUNCH_TCB", report.launch_tcb)?;
    if !reported.is_at_most(committed) {
        return Err(SnpRejection::TcbOrder { lower: "reported", upper: "committed" });
    }
    if !committed.is_at_most(current) {
        return Err(SnpRejection::TcbOrder { lower: "committed", upper: "current" });
    }
    if report.committed > report.current {
        return Err(SnpRejection::FirmwareOrder { committed: report.committed, current: report.current });
    }
    Ok(launched)
}

/// Checks what no policy of ours can allow, and that the platform keeps the guest's own.
fn check_policy(report: &Report) -> Result<(), SnpRejection> {
    let policy = report.policy;
    if policy.debug() {
        return Err(SnpRejection::Debug);
    }
    if policy.migration() {
        return Err(SnpRejection::Migration);
    }
    if report.vmpl != 0 {
        return Err(SnpRejection::Vmpl(report.vmpl));
    }
    let broken = [
        (!policy.smt() && report.platform.smt(), PolicyTerm::Smt),
        (policy.ciphertext_hiding() && !report.platform.ciphertext_hidden(), PolicyTerm::CiphertextHiding),
        (policy.abi() > (report.current.major, report.current.minor), PolicyTerm::Abi),
    ];
    match broken.into_iter().find(|(broken, _)| *broken) {
        Some((_, term)) => Err(SnpRejection::PolicyNotKept(term)),
        None => Ok(()),
    }
}

/// The registers of spec §8.8, in its order. What firmware may change under a guest is none of them.
fn registers(report: &Report) -> Vec<Register> {
    let register = |name, value: &[u8], measured| Register { name, value: value.to_vec(), measured };
    let mut registers = vec![
        register("MEASUREMENT", &report.measurement, true),
        register("HOST_DATA", &report.host_data, false),
        register("ID_KEY_DIGEST", &report.id_key_digest, false),
        register("AUTHOR_KEY_DIGEST", &report.author_key_digest, false),
        register("FAMILY_ID", &report.family_id, false),
        register("IMAGE_ID", &report.image_id, false),
        register("GUEST_SVN", &report.guest_svn.to_be_bytes(), false),
        register("POLICY", &report.policy.0.to_be_bytes(), false),
        register("REPORT_ID", &report.report_id, false),
    ];
    if let Some(vector) = report.launch_mit_vector {
        registers.push(register("LAUNCH_MIT_VECTOR", &vector.to_be_bytes(), false));
    }
    registers
}
