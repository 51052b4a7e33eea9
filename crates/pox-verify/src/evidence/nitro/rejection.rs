//! What can be wrong with a Nitro attestation document.

use super::super::launch::Window;
use pox_core::UnixTime;

/// An attestation document does not show what is said of it.
///
/// Certificates are counted from the root: 0 is the pinned root, the last one signs the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NitroRejection {
    /// Larger than any answer of the device that makes documents.
    #[error("{actual} bytes, an attestation document has at most {most}")]
    TooLarge {
        /// Bytes given.
        actual: usize,
        /// The bound.
        most: usize,
    },
    /// Not CBOR of this form, or cut short.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The same envelope has another, shorter encoding, or bytes follow it.
    #[error("the COSE envelope is not in canonical form")]
    NotCanonical,
    /// A header in the envelope that AWS does not write.
    #[error("the COSE envelope has a header that documents don't have")]
    Header,
    /// The envelope says that it can't be understood without knowing extensions.
    #[error("the COSE envelope has critical headers, and none are known")]
    CriticalHeader,
    /// Not signed with ECDSA over P-384 with SHA-384.
    #[error("signed with COSE algorithm {0:?}, documents are with -35")]
    Algorithm(Option<i64>),
    /// A field of the document is missing, twice there, unknown or out of its bounds.
    #[error("field {field:?} of the document {fault}")]
    Field {
        /// Its name; empty if it is unknown.
        field: &'static str,
        /// What is wrong with it.
        fault: FieldFault,
    },
    /// Registers are hashed with something else than SHA-384.
    #[error("the registers are not SHA-384 digests")]
    Digest,
    /// Made outside the window in which it had to be made.
    #[error("made at {made}, not from {} until {}", window.from.0, window.until.0)]
    Time {
        /// When it was made, milliseconds since 1970.
        made: u64,
        /// When it had to be.
        window: Window,
    },
    /// Our own doing: what stands for the pinned root is no certificate that could be one.
    #[error("the pinned root can't be used: {0}")]
    PinnedRoot(CertificateFault),
    /// The first certificate after the root is not issued by the pinned root.
    #[error("the chain does not lead to the pinned root")]
    Root,
    /// A certificate of the chain does not hold.
    #[error("certificate {position} of the chain {fault}")]
    Certificate {
        /// Which one.
        position: usize,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// The document is not signed by the certificate that it carries.
    #[error("the document is not signed by the key of its certificate")]
    Signature,
    /// More revocation lists than a chain can need.
    #[error("{actual} revocation lists, at most {most} are allowed")]
    TooManyCrls {
        /// How many there are.
        actual: usize,
        /// The bound.
        most: usize,
    },
    /// A revocation list does not hold.
    #[error("the revocation list of certificate {position} {fault}")]
    Crl {
        /// The certificate that issues it.
        position: usize,
        /// What is wrong with it.
        fault: CrlFault,
    },
    /// A revocation list that is not DER of one, or not signed with ECDSA and SHA-384.
    #[error("a revocation list is malformed")]
    MalformedCrl,
    /// A certificate of the chain is revoked.
    #[error("certificate {0} of the chain is revoked")]
    Revoked(usize),
    /// An endorsement of a kind that a Nitro document has no use for.
    #[error("an endorsement of kind {0} has no meaning here")]
    Endorsement(u16),
    /// The enclave runs in debug mode: the host can read its console, and its registers are zero.
    #[error("PCR{0} is all zero: the enclave runs in debug mode")]
    Debug(u8),
    /// The user data is not 64 bytes of report data.
    #[error("the user data has {0:?} bytes, report data has 64")]
    ReportData(Option<usize>),
}

/// What is wrong with a field of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It stands there twice.
    #[error("stands there twice")]
    Repeated,
    /// No document has it.
    #[error("is unknown")]
    Unknown,
    /// Too short, too long, too many, or a number that has no meaning.
    #[error("is out of its bounds")]
    Bounds,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// Not DER of a certificate of version 3.
    #[error("is malformed")]
    Malformed,
    /// Its key is not on P-384.
    #[error("has a key that is not on P-384")]
    Key,
    /// Not signed with ECDSA and SHA-384, or it says two different things of it.
    #[error("is not signed with ECDSA and SHA-384")]
    Algorithm,
    /// It has a critical extension that is not known here.
    #[error("has a critical extension that is not known")]
    CriticalExtension,
    /// It names another issuer than the certificate before it.
    #[error("is issued by another name than that of the certificate before it")]
    Issuer,
    /// The certificate before it did not sign it.
    #[error("is not signed by the certificate before it")]
    Signature,
    /// It issues another without being an authority that may.
    #[error("is no authority that may issue certificates")]
    NotAuthority,
    /// More authorities follow it than it allows.
    #[error("allows fewer authorities below it")]
    PathLength,
    /// It signs documents without being allowed to, or is an authority.
    #[error("may not sign documents")]
    NotSigner,
    /// It begins later than the document was made.
    #[error("is not valid before {}", .0.0)]
    NotYetValid(UnixTime),
    /// It ended before the document was made.
    #[error("is not valid after {}", .0.0)]
    Expired(UnixTime),
}

/// What is wrong with a revocation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CrlFault {
    /// The certificate that it names as its issuer may not sign revocation lists.
    #[error("is of an issuer that may not sign any")]
    NotIssuer,
    /// The certificate that it names as its issuer did not sign it.
    #[error("is not signed by that certificate")]
    Signature,
    /// It covers a part of the certificates only, or has a critical extension that is not known.
    #[error("is not a complete list, or has a critical extension that is not known")]
    Partial,
    /// It does not say until when it holds, or ends before it begins.
    #[error("does not say until when it holds")]
    Window,
    /// There is no time at which it and the others hold.
    #[error("and the others never hold at one time")]
    Disjoint,
}
