//! Each kind's own verifier, and its own words for what is wrong, put into those that all kinds share.

use super::hardware::Basis;
use super::launch::Launch;
use super::{EvidenceRejection, Fault, VendorRejection, dcap, nitro, snp};
use dcap::{BadLaunch, DcapRejection};
use nitro::{CertificateFault, CrlFault, NitroRejection};
use pox_core::evidence::EvidenceKind;
use snp::SnpRejection;

/// What was found out of endorsements already, while several evidences are judged by them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    snp: snp::Chains,
    nitro: nitro::Held,
}

/// Asks the verifier of the kind; the simulated kinds have none here.
pub(super) fn appraise(
    kind: EvidenceKind,
    quote: &[u8],
    basis: &Basis<'_>,
    known: &Known,
) -> Result<Launch, EvidenceRejection> {
    let Basis { endorsements, roots, at, made } = *basis;
    Ok(match kind {
        EvidenceKind::Sgx | EvidenceKind::Tdx => dcap::appraise(kind, quote, endorsements, roots, at)?,
        EvidenceKind::Snp => snp::appraise_beside(quote, endorsements, roots, at, &known.snp)?,
        EvidenceKind::Nitro => nitro::appraise_beside(quote, endorsements, roots, made, &known.nitro)?,
        EvidenceKind::Simulated | EvidenceKind::VmSim => {
            return Err(EvidenceRejection::UnsupportedKind(kind));
        }
    })
}

fn refused(fault: Fault, rejection: &impl ToString) -> EvidenceRejection {
    VendorRejection { fault, message: rejection.to_string() }.into()
}

impl From<DcapRejection> for EvidenceRejection {
    fn from(rejection: DcapRejection) -> Self {
        let fault = match &rejection {
            DcapRejection::MissingEndorsement | DcapRejection::MissingPckChain => {
                return Self::Unendorsed(rejection.to_string());
            }
            DcapRejection::ForeignEndorsement(kind) => return Self::Endorsement(*kind),
            DcapRejection::Quote(_)
            | DcapRejection::TooManyEndorsements(_)
            | DcapRejection::Collateral(_)
            | DcapRejection::Malformed(_)
            | DcapRejection::UnknownTable { .. } => Fault::Malformed,
            DcapRejection::Launch(BadLaunch::Debug) => Fault::Debug,
            DcapRejection::Launch(BadLaunch::Migratable) => Fault::Migration,
            DcapRejection::Launch(BadLaunch::ServiceTd) => Fault::ServiceTd,
            DcapRejection::Launch(BadLaunch::SeptVeEnabled | BadLaunch::ReservedAttributes(_)) => {
                Fault::Attributes
            }
            DcapRejection::Untrusted(_) => Fault::Untrusted,
            DcapRejection::Signature(_) | DcapRejection::AttestationKey | DcapRejection::Refused(_) => {
                Fault::Forged
            }
            DcapRejection::Revoked(_) => Fault::Revoked,
            DcapRejection::NotYet(_) => Fault::NotYetValid,
            DcapRejection::Expired(_) => Fault::Expired,
            DcapRejection::OutsideWindow { at, endorsed } if *at < endorsed.from => Fault::NotYetValid,
            DcapRejection::OutsideWindow { .. } => Fault::Expired,
            DcapRejection::OtherPlatform { .. } | DcapRejection::OtherPce => Fault::WrongPlatform,
            DcapRejection::OtherTee(_) | DcapRejection::QuotingEnclave | DcapRejection::TdxModule => {
                Fault::WrongPart
            }
            DcapRejection::NoTcbLevel(_) => Fault::TcbUnknown,
            DcapRejection::TcbRevoked(_) => Fault::TcbRevoked,
        };
        refused(fault, &rejection)
    }
}

impl From<SnpRejection> for EvidenceRejection {
    fn from(rejection: SnpRejection) -> Self {
        let fault = match &rejection {
            SnpRejection::Missing(_) => return Self::Unendorsed(rejection.to_string()),
            SnpRejection::Endorsement(kind) => return Self::Endorsement(*kind),
            SnpRejection::Report(_) | SnpRejection::Repeated(_) | SnpRejection::Malformed { .. } => {
                Fault::Malformed
            }
            SnpRejection::Root | SnpRejection::Issuer(_) => Fault::Untrusted,
            SnpRejection::Signature(_) | SnpRejection::ReportSignature => Fault::Forged,
            SnpRejection::NotYetValid { .. } => Fault::NotYetValid,
            SnpRejection::Expired { .. } => Fault::Expired,
            SnpRejection::Revoked(_) => Fault::Revoked,
            SnpRejection::SigningKey { .. }
            | SnpRejection::ProductLine { .. }
            | SnpRejection::ChipId
            | SnpRejection::Tcb { .. } => Fault::WrongPlatform,
            SnpRejection::Debug => Fault::Debug,
            SnpRejection::Migration => Fault::Migration,
            SnpRejection::Vmpl(_) => Fault::Vmpl,
            SnpRejection::TcbOrder { .. }
            | SnpRejection::FirmwareOrder { .. }
            | SnpRejection::PolicyNotKept(_) => Fault::Attributes,
        };
        refused(fault, &rejection)
    }
}

impl From<NitroRejection> for EvidenceRejection {
    fn from(rejection: NitroRejection) -> Self {
        let fault = match &rejection {
            NitroRejection::Endorsement(kind) => return Self::Endorsement(*kind),
            NitroRejection::Time { .. } => Fault::WrongTime,
            NitroRejection::Debug(_) => Fault::Debug,
            NitroRejection::Revoked(_) => Fault::Revoked,
            NitroRejection::Signature
            | NitroRejection::Certificate { fault: CertificateFault::Signature, .. }
            | NitroRejection::Crl { fault: CrlFault::Signature, .. } => Fault::Forged,
            NitroRejection::Certificate { fault: CertificateFault::NotYetValid(_), .. } => Fault::NotYetValid,
            NitroRejection::Certificate { fault: CertificateFault::Expired(_), .. } => Fault::Expired,
            NitroRejection::Certificate { fault: CertificateFault::Malformed, .. } => Fault::Malformed,
            NitroRejection::Certificate { .. } | NitroRejection::PinnedRoot(_) | NitroRejection::Root => {
                Fault::Untrusted
            }
            _ => Fault::Malformed,
        };
        refused(fault, &rejection)
    }
}
