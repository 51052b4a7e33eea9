//! Why a time stamp is not believed.

use pox_core::UnixTime;

/// A part of an authority's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// The answer around the token.
    Answer,
    /// The signed message.
    Message,
    /// What is stated.
    Statement,
    /// The signer's entry.
    Signer,
    /// A certificate.
    Certificate,
}

/// A time stamp does not show when the proof existed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "rejection")]
pub enum TsaRejection {
    /// Larger than any.
    #[error("a time stamp has at most 65536 bytes")]
    TooLarge,
    /// Bytes that are not what they should be.
    #[error("the {link}: {fault}")]
    Malformed {
        /// Of which part.
        link: Link,
        /// What is wrong.
        fault: &'static str,
    },
    /// The authority has declined.
    #[error("the authority declined: status {status}")]
    NotGranted {
        /// `PKIStatus`.
        status: u8,
    },
    /// It is about another file.
    #[error("the time stamp is about another file")]
    OtherFile,
    /// The answer is to another question.
    #[error("the time stamp answers another query")]
    OtherNonce,
    /// An algorithm that is broken, or not known here.
    #[error("an algorithm that is not accepted: {oid}")]
    Algorithm {
        /// Which.
        oid: String,
    },
    /// What the signer signed names another content.
    #[error("the signature is over another content")]
    Content,
    /// The signer's certificate is not there.
    #[error("the signer's certificate is not in it")]
    NoCertificate,
    /// The certificate is not the one that the signer names in what it signs.
    #[error("the certificate is not the one that the signer names")]
    OtherCertificate,
    /// The certificate is not for time stamping alone.
    #[error("the signer's certificate is not one for time stamping alone")]
    Purpose,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// No way from the signer to a trusted root.
    #[error("no trusted certificate vouches for the signer")]
    Untrusted,
    /// A certificate was not in force.
    #[error("a certificate of the chain is not in force at {at}")]
    NotInForce {
        /// When.
        at: UnixTimeText,
    },
}

/// A time, shown as seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct UnixTimeText(pub UnixTime);

impl std::fmt::Display for UnixTimeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} s", self.0.0)
    }
}

pub(super) fn malformed(link: Link, fault: &'static str) -> TsaRejection {
    TsaRejection::Malformed { link, fault }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Answer => "answer",
            Self::Message => "signed message",
            Self::Statement => "statement",
            Self::Signer => "signer's entry",
            Self::Certificate => "certificate",
        })
    }
}
