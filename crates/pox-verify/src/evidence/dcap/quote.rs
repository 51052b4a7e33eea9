//! The outer form of a quote, walked before anything is allocated (spec §8.7.1; Intel's `sgx_quote_3.h` to `sgx_quote_5.h`).

use dcap_qvl::INTEL_QE_VENDOR_ID;
use dcap_qvl::quote::{EnclaveReport, Quote, Report, TDReport10};
use pox_core::evidence::{EvidenceKind, MAX_QUOTE_BYTES};

const TEE_SGX: u32 = 0;
const TEE_TDX: u32 = 0x81;
const ECDSA_P256: u16 = 2;
const SGX_REPORT: usize = 384;
const TD_REPORT_10: usize = 584;
const TD_REPORT_15: usize = 648;
const TD_REPORT_15_EX: usize = 885;
/// Body types of version 5, with the length that each must state.
const TD_BODIES: [(u16, usize); 3] = [(2, TD_REPORT_10), (3, TD_REPORT_15), (4, TD_REPORT_15_EX)];
/// Bytes of the data that the quoting enclave hashes with its attestation key.
const QE_AUTH_DATA: usize = 32;
/// Certification data: the PPID encrypted with RSA-2048 or RSA-3072, whose chain has to come beside the quote.
const ENCRYPTED_PPID: [u16; 2] = [2, 3];
/// Certification data: the PCK chain, PEM.
const PCK_CHAIN: u16 = 5;
/// Certification data of versions 4 and 5: the quoting enclave's report, with certification data of its own.
const QE_REPORT: u16 = 6;

/// Bytes are no quote of their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadQuote {
    /// More bytes than any evidence carries.
    #[error("{0} bytes, at most {MAX_QUOTE_BYTES} are allowed")]
    TooLarge(usize),
    /// It ends before the named part does.
    #[error("it ends within its {0}")]
    CutShort(&'static str),
    /// A part states another length than it has.
    #[error("its {part} states {stated} bytes where {actual} belong")]
    Length {
        /// Which part.
        part: &'static str,
        /// What it states.
        stated: usize,
        /// What there is.
        actual: usize,
    },
    /// A version that the kind does not have.
    #[error("version {version} for TEE type {tee:#x}, which evidence of kind {kind} does not have")]
    Version {
        /// The version stated.
        version: u16,
        /// The TEE type stated.
        tee: u32,
        /// The kind of the evidence.
        kind: EvidenceKind,
    },
    /// An attestation key of another algorithm than ECDSA P-256.
    #[error("its attestation key has algorithm {0}, not ECDSA P-256")]
    KeyType(u16),
    /// Made by another vendor's quoting enclave.
    #[error("its quoting enclave is not Intel's")]
    Vendor,
    /// A body that this version does not know.
    #[error("its body has the unknown type {0}")]
    Body(u16),
    /// Certification data that this version can't use.
    #[error("its certification data has type {0}, which is of no use here")]
    Certification(u16),
    /// dcap-qvl reads it otherwise.
    #[error("it can't be decoded")]
    Undecodable,
}

/// Reads a quote of one kind, every length in it checked against the bytes that are there. What follows the quote's end is
/// padding, which nothing signs and nobody reads.
pub(super) fn parse(kind: EvidenceKind, bytes: &[u8]) -> Result<Quote, BadQuote> {
    if bytes.len() > MAX_QUOTE_BYTES {
        return Err(BadQuote::TooLarge(bytes.len()));
    }
    let mut rest = Rest(bytes);
    let version = header(kind, &mut rest)?;
    body(version, &mut rest)?;
    let stated = rest.u32("signature data's length")?;
    let mut signed = Rest(rest.take(stated, "signature data")?);
    signed.take(64 + 64, "signature and attestation key")?;
    match version {
        3 => qe_report(&mut signed)?,
        _ => {
            let outer = signed.u16("certification data")?;
            if outer != QE_REPORT {
                return Err(BadQuote::Certification(outer));
            }
            let stated = signed.u32("certification data's length")?;
            signed.ends_after(stated, "certification data")?;
            qe_report(&mut signed)?;
        }
    }
    Quote::parse(bytes).map_err(|_| BadQuote::Undecodable)
}

fn header(kind: EvidenceKind, rest: &mut Rest<'_>) -> Result<u16, BadQuote> {
    const PART: &str = "header";
    let version = rest.u16(PART)?;
    let key_type = rest.u16(PART)?;
    let tee = rest.u32(PART)? as u32;
    match (kind, version, tee) {
        (EvidenceKind::Sgx, 3, TEE_SGX) | (EvidenceKind::Tdx, 4 | 5, TEE_TDX) => {}
        _ => return Err(BadQuote::Version { version, tee, kind }),
    }
    if key_type != ECDSA_P256 {
        return Err(BadQuote::KeyType(key_type));
    }
    rest.take(4, PART)?;
    if rest.take(16, PART)? != INTEL_QE_VENDOR_ID {
        return Err(BadQuote::Vendor);
    }
    rest.take(20, PART)?;
    Ok(version)
}

fn body(version: u16, rest: &mut Rest<'_>) -> Result<(), BadQuote> {
    const PART: &str = "body";
    let length = match version {
        3 => SGX_REPORT,
        4 => TD_REPORT_10,
        _ => {
            let code = rest.u16(PART)?;
            let stated = rest.u32(PART)?;
            let (_, actual) =
                TD_BODIES.into_iter().find(|(known, _)| *known == code).ok_or(BadQuote::Body(code))?;
            if stated != actual {
                return Err(BadQuote::Length { part: PART, stated, actual });
            }
            actual
        }
    };
    rest.take(length, PART).map(|_| ())
}

/// The quoting enclave's report, its signature and what certifies the key of that; nothing may follow.
fn qe_report(rest: &mut Rest<'_>) -> Result<(), BadQuote> {
    rest.take(SGX_REPORT + 64, "quoting enclave's report")?;
    let stated = rest.u16("authentication data")?.into();
    if stated != QE_AUTH_DATA {
        return Err(BadQuote::Length { part: "authentication data", stated, actual: QE_AUTH_DATA });
    }
    rest.take(QE_AUTH_DATA, "authentication data")?;
    let inner = rest.u16("certification data")?;
    if inner != PCK_CHAIN && !ENCRYPTED_PPID.contains(&inner) {
        return Err(BadQuote::Certification(inner));
    }
    let stated = rest.u32("certification data's length")?;
    rest.ends_after(stated, "PCK certificates")
}

/// The PCK chain in the quote, PEM; `None` if it only names its platform.
pub(super) fn carried_chain(quote: &Quote) -> Option<&[u8]> {
    quote.raw_cert_chain().ok()
}

/// What is left of the bytes.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize, part: &'static str) -> Result<&'a [u8], BadQuote> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(BadQuote::CutShort(part))?;
        self.0 = rest;
        Ok(front)
    }

    fn u16(&mut self, part: &'static str) -> Result<u16, BadQuote> {
        let bytes = self.take(2, part)?;
        Ok(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u16::from(*byte)))
    }

    fn u32(&mut self, part: &'static str) -> Result<usize, BadQuote> {
        let bytes = self.take(4, part)?;
        Ok(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn ends_after(&self, stated: usize, part: &'static str) -> Result<(), BadQuote> {
        let actual = self.0.len();
        if stated == actual { Ok(()) } else { Err(BadQuote::Length { part, stated, actual }) }
    }
}

/// The attributes and bindings of a launch that no policy can allow (spec §8.7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLaunch {
    /// The host can read its memory.
    #[error("the enclave or TD can be debugged, so its host sees and changes everything in it")]
    Debug,
    /// The TD can be moved to another machine by another TD.
    #[error("the TD can be migrated, so another TD sees its memory")]
    Migratable,
    /// Another TD has a say in this one.
    #[error("the TD is bound to a service TD")]
    ServiceTd,
    /// The host can take private pages away unseen.
    #[error("SEPT_VE_DISABLE is not set, so the host can exchange the TD's pages")]
    SeptVeEnabled,
    /// Attributes whose meaning is not known.
    #[error("attribute bits {0:#x} are reserved")]
    ReservedAttributes(u64),
}

/// SGX attribute bits that an enclave may have: INIT, DEBUG, MODE64BIT, PROVISION_KEY, EINITTOKEN_KEY, CET, KSS, AEX_NOTIFY.
const SGX_ATTRIBUTES: u64 = 0b0000_0100_1111_0111;
const SGX_DEBUG: u64 = 1 << 1;
pub(super) const SGX_KSS: u64 = 1 << 7;
/// TUD, "TD under debug": debugging, and profiling by the host.
const TD_UNDER_DEBUG: u64 = 0xff;
const TD_ICSSD: u64 = 1 << 16;
const TD_SERVICE_EXT: u64 = 1 << 17;
const TD_LASS: u64 = 1 << 27;
const TD_SEPT_VE_DISABLE: u64 = 1 << 28;
const TD_MIGRATABLE: u64 = 1 << 29;
/// Supervisor protection keys and Key Locker, the guest's own means.
const TD_PKS_AND_KL: u64 = 0b11 << 30;
/// TDX Connect provisioning agent, and performance counters of the guest's own.
const TD_TPA_AND_PERFMON: u64 = 0b11 << 62;
/// All that may stand beside [`TD_SEPT_VE_DISABLE`]; recorded, not judged.
const TD_RECORDED: u64 = TD_ICSSD | TD_LASS | TD_PKS_AND_KL | TD_TPA_AND_PERFMON;

/// Refuses launches that protect nothing, or not from everybody.
pub(super) fn check_launch(report: &Report) -> Result<(), BadLaunch> {
    match report {
        Report::SgxEnclave(report) => check_enclave(report),
        Report::TD10(report) => check_td(report),
        Report::TD15(report) => {
            check_td(&report.base)?;
            no_service_td(&[&report.mr_service_td])
        }
        Report::TD15Ex(report) => {
            check_td(&report.base.base)?;
            no_service_td(&[
                &report.base.mr_service_td,
                &report.init_service_td_hash,
                &report.init_service_td_attributes,
                &report.cur_service_td_hash,
                &report.cur_service_td_attributes,
            ])
        }
    }
}

/// The first half of an enclave's attributes, the flags; the second is XFRM.
pub(super) fn enclave_flags(report: &EnclaveReport) -> u64 {
    report.attributes.iter().take(8).rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn check_enclave(report: &EnclaveReport) -> Result<(), BadLaunch> {
    let flags = enclave_flags(report);
    if flags & SGX_DEBUG != 0 {
        return Err(BadLaunch::Debug);
    }
    match flags & !SGX_ATTRIBUTES {
        0 => Ok(()),
        reserved => Err(BadLaunch::ReservedAttributes(reserved)),
    }
}

fn check_td(report: &TDReport10) -> Result<(), BadLaunch> {
    let flags = u64::from_le_bytes(report.td_attributes);
    if flags & TD_UNDER_DEBUG != 0 {
        return Err(BadLaunch::Debug);
    }
    if flags & TD_MIGRATABLE != 0 {
        return Err(BadLaunch::Migratable);
    }
    if flags & TD_SERVICE_EXT != 0 {
        return Err(BadLaunch::ServiceTd);
    }
    if flags & TD_SEPT_VE_DISABLE == 0 {
        return Err(BadLaunch::SeptVeEnabled);
    }
    match flags & !(TD_SEPT_VE_DISABLE | TD_RECORDED) {
        0 => Ok(()),
        reserved => Err(BadLaunch::ReservedAttributes(reserved)),
    }
}

fn no_service_td(fields: &[&[u8]]) -> Result<(), BadLaunch> {
    if fields.iter().all(|field| field.iter().all(|byte| *byte == 0)) {
        Ok(())
    } else {
        Err(BadLaunch::ServiceTd)
    }
}
