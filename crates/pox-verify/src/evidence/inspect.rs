//! Quotes, reports and documents by themselves, for people who look at one.

use super::hardware::{self, Basis, Hardware};
use super::launch::{Launch, Register, Window};
use super::roots::VendorRoots;
use super::{EvidenceRejection, dcap, nitro, snp, vendors};
use pox_core::UnixTime;
use pox_core::endorsement::Endorsement;
use pox_core::evidence::{Evidence, EvidenceKind, Purpose, sha256};

/// What a quote says of itself. **Nothing here is verified**: anyone can write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// Which TEE it is said to be from.
    pub kind: EvidenceKind,
    /// Its form, for people: `TDX quote, version 4`.
    pub form: String,
    /// The measurement registers, in the spec's order.
    pub registers: Vec<Register>,
    /// When it was made, by its own clock, where its kind says that.
    pub made: Option<UnixTime>,
    /// What the enclave had signed: the 64 bytes, or in a Nitro document the user data, if there is any.
    pub report_data: Option<Vec<u8>>,
}

/// The kind whose form bytes begin with, by their first fields alone; `None` if they are none that this version knows.
pub fn recognise(bytes: &[u8]) -> Option<EvidenceKind> {
    let word = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    match (word(0)?, word(2)?) {
        // Intel: version, key type 2 (ECDSA P-256), TEE type.
        (3..=5, 2) => match (word(4)?, word(6)?) {
            (0, 0) => Some(EvidenceKind::Sgx),
            (0x81, 0) => Some(EvidenceKind::Tdx),
            _ => None,
        },
        // AMD: a report has one length.
        (2..=5, 0) if bytes.len() == snp::REPORT_BYTES => Some(EvidenceKind::Snp),
        // COSE_Sign1: an array of four, tagged 18 or bare.
        _ => matches!(bytes, [0xd2, 0x84, ..] | [0x84, ..]).then_some(EvidenceKind::Nitro),
    }
}

/// Reads what a quote says of itself.
///
/// # Errors
/// It is not of its kind's form. The simulated kinds have no quote of a vendor's.
pub fn stated(kind: EvidenceKind, quote: &[u8]) -> Result<Stated, EvidenceRejection> {
    Ok(match kind {
        EvidenceKind::Sgx | EvidenceKind::Tdx => dcap::stated(kind, quote)?,
        EvidenceKind::Snp => snp::stated(quote)?,
        EvidenceKind::Nitro => nitro::stated(quote)?,
        EvidenceKind::Simulated | EvidenceKind::VmSim => {
            return Err(EvidenceRejection::UnsupportedKind(kind));
        }
    })
}

/// Judges a whole evidence by itself: that its quote vouches for a launch, for the claims beside it and the recipient that they
/// name, and that the launch was made for no other task.
///
/// Says nothing about whether the claims are those that anybody needs.
///
/// # Errors
/// Nothing endorses the quote, or it does not hold; the simulated kinds have no vendor.
pub fn judge(
    evidence: &Evidence,
    endorsements: &[Endorsement],
    roots: &VendorRoots,
    at: UnixTime,
    made: Window,
) -> Result<Hardware, EvidenceRejection> {
    let hardware = hardware::judge(evidence, &Basis { endorsements, roots, at, made })?;
    let claims = &evidence.claims;
    let is_named = match claims.purpose {
        Purpose::Key => sha256(&evidence.recipient) == claims.recipient,
        Purpose::Result => evidence.recipient.is_empty(),
    };
    if is_named { Ok(hardware) } else { Err(EvidenceRejection::Recipient) }
}

/// Asks the verifier of a kind what launch a quote vouches for, whatever it is bound to.
///
/// `at` is when the endorsements must be in force, `made` when the quote can have been made, for kinds that state it.
///
/// # Errors
/// Nothing endorses the quote, or it does not hold.
pub fn appraise(
    kind: EvidenceKind,
    quote: &[u8],
    endorsements: &[Endorsement],
    roots: &VendorRoots,
    at: UnixTime,
    made: Window,
) -> Result<Launch, EvidenceRejection> {
    let basis = Basis { endorsements, roots, at, made };
    let launch = vendors::appraise(kind, quote, &basis, &vendors::Known::default())?;
    hardware::in_force(kind, launch, at)
}
