//! AWS Nitro Enclaves: attestation documents (spec §8.9).
//!
//! A document is a COSE_Sign1 envelope over a CBOR map with the registers, signed by a key whose certificate lives three hours,
//! under three authorities that live days, under a root that lives thirty years. It is judged at its own time, and that time
//! has to lie in the caller's window.

mod certificate;
mod chain;
mod crl;
mod document;
mod ecdsa;
mod rejection;

pub(super) use ecdsa::Held;
pub use rejection::{CertificateFault, CrlFault, FieldFault, NitroRejection};

use super::inspect::Stated;
use super::launch::{Launch, PlatformId, Register, Tcb, TcbStatus, Window};
use super::roots::VendorRoots;
use chain::Chain;
use document::{Document, Envelope};
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Endorsement;
use std::collections::{BTreeMap, BTreeSet};

/// Says what launch an attestation document vouches for.
///
/// Establishes that the pinned root vouches for the document, that every certificate on the way was valid when the document
/// was made, that none is on a given revocation list, that the document was made inside the window, and that the enclave is
/// not in debug mode. The revocation lists are optional, as AWS has it; when they hold is in [`Launch::endorsed`] for the
/// caller to compare with its own times, and a list of an issuer outside this chain says nothing about it.
///
/// Does not say that the registers are those of a good image, nor that the report data is that of any claims.
///
/// # Errors
/// The first thing that does not hold.
///
/// # Sources
/// AWS `aws-nitro-enclaves-nsm-api`, `docs/attestation_process.md`; RFC 9052 §4.4; RFC 5280 §6.
pub fn appraise(
    quote: &[u8],
    endorsements: &[Endorsement],
    roots: &VendorRoots,
    window: Window,
) -> Result<Launch, NitroRejection> {
    appraise_beside(quote, endorsements, roots, window, &Held::default())
}

/// The same, without looking twice at signatures that are known to hold.
pub(super) fn appraise_beside(
    quote: &[u8],
    endorsements: &[Endorsement],
    roots: &VendorRoots,
    window: Window,
    held: &Held,
) -> Result<Launch, NitroRejection> {
    let envelope = Envelope::parse(quote)?;
    let document = Document::parse(envelope.payload)?;
    let made = UnixTime(document.timestamp / 1000);
    if !window.contains(made) {
        return Err(NitroRejection::Time { made: document.timestamp, window });
    }
    let chain = Chain::parse(&document, &roots.aws)?;
    if !held.signed(&chain.signer().key, envelope.digest(), &envelope.signature) {
        return Err(NitroRejection::Signature);
    }
    chain.check(made, held)?;
    let endorsed = crl::check(&chain, endorsements, held)?;
    launch(&document, endorsed)
}

fn launch(document: &Document<'_>, endorsed: Option<Window>) -> Result<Launch, NitroRejection> {
    for index in MEASURED {
        let register = document.pcr(index).ok_or(FieldFault::Missing.of("pcrs"))?;
        if register == &[0; 48] {
            return Err(NitroRejection::Debug(index));
        }
    }
    let report_data = document.user_data.and_then(|data| data.try_into().ok());
    Ok(Launch {
        kind: EvidenceKind::Nitro,
        registers: registers(document),
        report_data: report_data.ok_or(NitroRejection::ReportData(document.user_data.map(<[u8]>::len)))?,
        tcb: Tcb {
            status: TcbStatus::UpToDate,
            advisories: BTreeSet::new(),
            level: "AWS runs the platform and publishes no security levels".to_owned(),
            evaluation: None,
            parts: BTreeMap::new(),
        },
        platform: Some(PlatformId { name: "module-id", bytes: document.module_id.as_bytes().to_vec() }),
        launch_data: document.pcr(LAUNCH_DATA).map(|value| value.to_vec()),
        traits: BTreeSet::new(),
        endorsed,
    })
}

fn registers(document: &Document<'_>) -> Vec<Register> {
    let register = |(index, value): (&u8, &&[u8; 48])| Register {
        name: NAMES[usize::from(*index)],
        value: value.to_vec(),
        measured: MEASURED.contains(index),
    };
    document.pcrs.iter().map(register).collect()
}

/// Reads what a document says of itself; nothing of it is verified.
pub(super) fn stated(quote: &[u8]) -> Result<Stated, NitroRejection> {
    let envelope = Envelope::parse(quote)?;
    let document = Document::parse(envelope.payload)?;
    Ok(Stated {
        kind: EvidenceKind::Nitro,
        form: format!("Nitro document of module {}", document.module_id),
        registers: registers(&document),
        made: Some(UnixTime(document.timestamp / 1000)),
        report_data: document.user_data.map(<[u8]>::to_vec),
    })
}

/// Image, kernel with its boot ramdisk, and the ramdisks with the application.
const MEASURED: [u8; 3] = [0, 1, 2];
/// The first register that is the enclave's own to extend and lock; a document holds locked registers only.
const LAUNCH_DATA: u8 = 16;
/// Registers by their index.
const NAMES: [&str; 32] = [
    "PCR0", "PCR1", "PCR2", "PCR3", "PCR4", "PCR5", "PCR6", "PCR7", "PCR8", "PCR9", "PCR10", "PCR11",
    "PCR12", "PCR13", "PCR14", "PCR15", "PCR16", "PCR17", "PCR18", "PCR19", "PCR20", "PCR21", "PCR22",
    "PCR23", "PCR24", "PCR25", "PCR26", "PCR27", "PCR28", "PCR29", "PCR30", "PCR31",
];
