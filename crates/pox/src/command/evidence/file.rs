//! What a file of evidence holds: a proof's, a whole one of PoX, or a vendor's quote as it is or in hexadecimal digits.

use crate::error::{Failure, Hint as _};
use crate::locate::read_bounded;
use pox_core::endorsement::Endorsement;
use pox_core::evidence::{Claims, Evidence, EvidenceKind};
use pox_core::proof::{MAX_PROOF_BYTES, Proof};
use pox_core::receipt::Archive;
use pox_core::{CodecError, UnixTime};
use pox_verify::evidence::inspect::recognise;
use pox_verify::evidence::launch::{LaunchBinding, Window};
use pox_verify::evidence::roots::VendorRoots;
use pox_verify::evidence::{EvidenceRejection, Hardware, inspect};
use std::path::Path;

/// A quote, with what was beside it.
pub(super) struct Found {
    pub(super) content: Content,
    /// The quote over the result, where a proof has both.
    pub(super) result: Option<Vec<u8>>,
    /// What a proof archives.
    pub(super) endorsements: Vec<Endorsement>,
}

pub(super) enum Content {
    /// With the claims that it must be over.
    Evidence(Box<Evidence>),
    /// A vendor's, by itself.
    Quote(EvidenceKind, Vec<u8>),
}

impl Content {
    pub(super) fn kind(&self) -> EvidenceKind {
        match self {
            Self::Evidence(evidence) => evidence.kind,
            Self::Quote(kind, _) => *kind,
        }
    }

    pub(super) fn quote(&self) -> &[u8] {
        match self {
            Self::Evidence(evidence) => &evidence.quote,
            Self::Quote(_, quote) => quote,
        }
    }

    pub(super) fn claims(&self) -> Option<&Claims> {
        match self {
            Self::Evidence(evidence) => Some(&evidence.claims),
            Self::Quote(..) => None,
        }
    }

    /// What hardware vouches for: of a whole evidence the claims, too, and that it was launched for no other task.
    pub(super) fn judged(
        &self,
        endorsements: &[Endorsement],
        roots: &VendorRoots,
        at: UnixTime,
    ) -> Result<Hardware, EvidenceRejection> {
        // A document by itself may be of any time.
        let made = Window { from: UnixTime(0), until: UnixTime(u64::MAX) };
        match self {
            Self::Evidence(evidence) => inspect::judge(evidence, endorsements, roots, at, made),
            Self::Quote(kind, quote) => Ok(Hardware {
                launch: inspect::appraise(*kind, quote, endorsements, roots, at, made)?,
                binding: LaunchBinding::Unbound,
                roots: roots.standing_for(*kind),
            }),
        }
    }
}

/// Reads a file of any of these forms.
pub(super) fn read(file: &Path) -> Result<Found, Failure> {
    const FORMS: &str =
        "expected an SGX or TDX quote, an SEV-SNP report, a Nitro document, an evidence of PoX or a proof";
    let bytes = read_bounded(file, MAX_PROOF_BYTES)?;
    if let Ok(proof) = Proof::parse(&bytes) {
        return in_proof(&proof)
            .map_err(|error| Failure::usage(error).about(file.display()))
            .hint("it is no whole proof: fetch it again with `pox proof`");
    }
    let bytes = unhex(&bytes).unwrap_or(bytes);
    let alone = |content| Found { content, result: None, endorsements: Vec::new() };
    if let Ok(evidence) = Evidence::parse(&bytes) {
        return Ok(alone(Content::Evidence(Box::new(evidence))));
    }
    let kind = recognise(&bytes)
        .ok_or_else(|| Failure::usage(format!("{} is no evidence that this program knows", file.display())))
        .hint(FORMS)?;
    Ok(alone(Content::Quote(kind, bytes)))
}

/// The evidence of a proof, which nobody has verified yet.
fn in_proof(proof: &Proof) -> Result<Found, CodecError> {
    let key = Evidence::parse(&proof.matched.evidence)?;
    let Archive { evidence, endorsements, .. } = Archive::parse(&proof.proven.archive)?;
    Ok(Found { content: Content::Evidence(Box::new(key)), result: Some(evidence.quote), endorsements })
}

fn unhex(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok().filter(|bytes| !bytes.is_empty())
}
