//! From a pinned root to the key that signs reports.

use super::certificate::{Authority, Certificate, malformed};
use super::product::{ProductLine, TcbVersion};
use super::rejection::{Link, SnpRejection};
use super::report::{Report, SIGNED_BYTES, SigningKey};
use super::revocation::RevocationList;
use crate::evidence::launch::Window;
use crate::evidence::roots::VendorRoots;
use p384::ecdsa::signature::Verifier;
use p384::ecdsa::{Signature, VerifyingKey};
use pox_core::UnixTime;
use pox_core::receipt::Endorsement;
use std::cell::RefCell;

/// A key that signs reports, for which a pinned root vouched at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    line: ProductLine,
    signer: SigningKey,
    key: VerifyingKey,
    tcb: TcbVersion,
    hardware_id: Option<Vec<u8>>,
    revocation_checked: bool,
    window: Window,
}

impl Chain {
    /// Verifies endorsements: that a pinned ARK vouches for the ASK or ASVK, this for the VCEK or VLEK, that all are valid at this
    /// time, and that no list given revokes any.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        endorsements: &[Endorsement],
        roots: &VendorRoots,
        at: UnixTime,
    ) -> Result<Self, SnpRejection> {
        let given = Given::sort(endorsements)?;
        let vek = Certificate::parse(Link::Vek, given.vek)?;
        let ask = Certificate::parse(Link::Ask, given.ask)?;
        let (ark, root) = find_root(&ask, roots)?;
        vek.check_issued_by(&ask.authority()?)?;
        let lists = given.lists.iter().map(|list| RevocationList::verify(list, &root));
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        let line = ProductLine::of_root(ark.subject_name()?)
            .ok_or_else(|| malformed(Link::Ark, "it is of no product line that is known"))?;
        let signer = check_names(line, &ask, &vek)?;
        let certificates = [(Link::Ark, &ark), (Link::Ask, &ask), (Link::Vek, &vek)];
        let window = check_times(&certificates, &lists, at)?;
        check_revocation(&certificates, &lists)?;
        let hardware_id = vek.extensions.hardware_id(line)?;
        if hardware_id.is_some() != (signer == SigningKey::Vcek) {
            return Err(malformed(Link::Vek, "a VCEK has a hardware id, and a VLEK has none"));
        }
        Ok(Self {
            line,
            signer,
            key: vek.report_key()?,
            tcb: vek.extensions.tcb(line)?,
            hardware_id: hardware_id.map(<[u8]>::to_vec),
            revocation_checked: !lists.is_empty(),
            window,
        })
    }

    /// The product line of its root.
    pub fn line(&self) -> ProductLine {
        self.line
    }

    /// When all of it is valid.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Whether a list of the root's was given.
    pub fn revocation_checked(&self) -> bool {
        self.revocation_checked
    }

    /// Checks that a report is to be signed by such a key, on a processor of this line.
    pub(super) fn check_signer(&self, report: &Report) -> Result<(), SnpRejection> {
        if report.signing_key != self.signer {
            return Err(SnpRejection::SigningKey { selected: report.signing_key, certified: self.signer });
        }
        match report.cpu {
            Some((family, model)) if ProductLine::of_cpu(family, model) != Some(self.line) => {
                Err(SnpRejection::ProductLine { line: self.line, family, model })
            }
            _ => Ok(()),
        }
    }

    /// Checks the signature over the bytes of a report.
    pub(super) fn check_signature(&self, quote: &[u8], report: &Report) -> Result<(), SnpRejection> {
        let signed = quote.get(..SIGNED_BYTES).ok_or(SnpRejection::ReportSignature)?;
        Signature::from_slice(&report.signature)
            .and_then(|signature| self.key.verify(signed, &signature))
            .map_err(|_| SnpRejection::ReportSignature)
    }

    /// Checks that the key is of the chip that the report names, if it names one.
    pub(super) fn check_chip(&self, report: &Report) -> Result<(), SnpRejection> {
        let Some(id) = &self.hardware_id else {
            return Ok(());
        };
        let (named, rest) = report.chip_id.split_at(id.len());
        let same = named == id && rest.iter().all(|byte| *byte == 0);
        if same || report.chip_id == [0; 64] { Ok(()) } else { Err(SnpRejection::ChipId) }
    }

    /// Checks that the key is of the TCB version that the report has.
    pub(super) fn check_tcb(&self, reported: TcbVersion) -> Result<(), SnpRejection> {
        let mut parts = reported.parts().zip(self.tcb.parts());
        match parts.find(|((_, reported), (_, certified))| reported != certified) {
            Some(((part, reported), (_, certified))) => Err(SnpRejection::Tcb { part, reported, certified }),
            None => Ok(()),
        }
    }
}

/// Chains that were verified, each with all that this depends on: the two evidences of a proof have the same endorsements, whose
/// three signatures of 4,096 bits take most of the time.
#[derive(Debug, Default)]
pub(in crate::evidence) struct Chains(RefCell<Vec<Known>>);

#[derive(Debug)]
struct Known {
    endorsements: Vec<Endorsement>,
    roots: VendorRoots,
    at: UnixTime,
    chain: Chain,
}

impl Chains {
    /// As [`Chain::verify`]; what is refused is not remembered.
    pub(super) fn verify(
        &self,
        endorsements: &[Endorsement],
        roots: &VendorRoots,
        at: UnixTime,
    ) -> Result<Chain, SnpRejection> {
        let mut known = self.0.borrow_mut();
        let same =
            |known: &&Known| known.at == at && known.roots == *roots && known.endorsements == endorsements;
        if let Some(known) = known.iter().find(same) {
            return Ok(known.chain.clone());
        }
        let chain = Chain::verify(endorsements, roots, at)?;
        let endorsements = endorsements.to_vec();
        known.push(Known { endorsements, roots: roots.clone(), at, chain: chain.clone() });
        Ok(chain)
    }
}

/// Endorsements by their kind (spec §8.5).
struct Given<'a> {
    vek: &'a [u8],
    ask: &'a [u8],
    lists: Vec<&'a [u8]>,
}

impl<'a> Given<'a> {
    fn sort(endorsements: &'a [Endorsement]) -> Result<Self, SnpRejection> {
        let (mut vek, mut ask, mut lists) = (None, None, Vec::new());
        for endorsement in endorsements {
            let content = endorsement.content.as_slice();
            let (link, repeated) = match endorsement.kind {
                VEK_KIND => (Link::Vek, vek.replace(content).is_some()),
                ASK_KIND => (Link::Ask, ask.replace(content).is_some()),
                CRL_KIND => {
                    lists.push(content);
                    (Link::Crl, lists.len() > MAX_LISTS)
                }
                other => return Err(SnpRejection::Endorsement(other)),
            };
            if repeated {
                return Err(SnpRejection::Repeated(link));
            }
        }
        let vek = vek.ok_or(SnpRejection::Missing(Link::Vek))?;
        let ask = ask.ok_or(SnpRejection::Missing(Link::Ask))?;
        Ok(Self { vek, ask, lists })
    }
}

/// The pinned root that issued the intermediate.
fn find_root<'a>(
    ask: &Certificate<'_>,
    roots: &'a VendorRoots,
) -> Result<(Certificate<'a>, Authority), SnpRejection> {
    let mut rejection = SnpRejection::Root;
    for root in &roots.amd {
        let certificate = Certificate::parse(Link::Ark, root)?;
        let authority = certificate.authority()?;
        if !ask.names_issuer(&authority) {
            continue;
        }
        match ask.check_issued_by(&authority) {
            Ok(()) => return Ok((certificate, authority)),
            Err(error) => rejection = error,
        }
    }
    Err(rejection)
}

/// Checks that chips' keys come from the ASK of the line and operators' from its ASVK, and tells which it is.
fn check_names(
    line: ProductLine,
    ask: &Certificate<'_>,
    vek: &Certificate<'_>,
) -> Result<SigningKey, SnpRejection> {
    let (signer, prefix) = match vek.subject_name()? {
        "SEV-VCEK" => (SigningKey::Vcek, "SEV-"),
        "SEV-VLEK" => (SigningKey::Vlek, "SEV-VLEK-"),
        _ => return Err(malformed(Link::Vek, "it is of neither a VCEK nor a VLEK")),
    };
    if ask.subject_name()?.strip_prefix(prefix) != Some(line.name()) {
        return Err(SnpRejection::Issuer(Link::Vek));
    }
    Ok(signer)
}

/// Checks that all are valid at a time, and tells when all are.
fn check_times(
    certificates: &[(Link, &Certificate<'_>)],
    lists: &[RevocationList],
    at: UnixTime,
) -> Result<Window, SnpRejection> {
    let certificates = certificates.iter().map(|(link, certificate)| (*link, certificate.window()));
    let windows = certificates.chain(lists.iter().map(|list| (Link::Crl, list.window)));
    let mut common = Window { from: UnixTime(0), until: UnixTime(u64::MAX) };
    for (link, window) in windows {
        if at < window.from {
            return Err(SnpRejection::NotYetValid { link, from: window.from });
        }
        if at > window.until {
            return Err(SnpRejection::Expired { link, until: window.until });
        }
        common = common.and(window).unwrap_or(Window { from: at, until: at });
    }
    Ok(common)
}

/// Checks that no list has any of the certificates. All VCEKs have the serial number zero, which names none of them.
fn check_revocation(
    certificates: &[(Link, &Certificate<'_>)],
    lists: &[RevocationList],
) -> Result<(), SnpRejection> {
    for (link, certificate) in certificates {
        let serial = certificate.serial();
        let named = serial.iter().any(|byte| *byte != 0);
        if named && lists.iter().any(|list| list.has(serial)) {
            return Err(SnpRejection::Revoked(*link));
        }
    }
    Ok(())
}

/// VCEK or VLEK, DER.
const VEK_KIND: u16 = 2;

/// ASK or ASVK, DER.
const ASK_KIND: u16 = 3;

/// Revocation list of the ARK, DER.
const CRL_KIND: u16 = 4;

/// AMD publishes one for chips' keys and one for operators', and an archive may hold them at two times.
const MAX_LISTS: usize = 4;
