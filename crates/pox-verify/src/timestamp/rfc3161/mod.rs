//! RFC 3161: a time-stamping authority's signed statement that a hash existed.

mod certificate;
mod chain;
mod query;
mod rejection;
mod signature;
mod signed;
mod token;

pub use chain::Roots;
pub use query::{Nonce, query};
pub use rejection::{Link, TsaRejection};

use super::{FileHash, TimeAnchor, Witness};
use crate::verified::Verified;
use pox_core::UnixTime;
use signed::SignedToken;
use token::Statement;

/// Most bytes of an answer; those of authorities with their chains have some thousands.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Checks an authority's answer, or the bare token in it, against the file that it is to be about, under roots that the auditor
/// trusts, at a time at which the auditor knows that the answer was there.
///
/// What is established: a key that one of the roots vouches for, for time stamping alone, stated that the file's hash existed
/// at a time, and all its certificates were in force both then and at `at`. Whether one was revoked is not established.
///
/// # Errors
/// The first check that fails.
pub fn verify(
    answer: &[u8],
    file: FileHash,
    roots: &Roots,
    at: UnixTime,
) -> Result<Verified<TimeAnchor>, TsaRejection> {
    let token = signed::token_of(answer)?;
    let signed = SignedToken::parse(token)?;
    let statement = Statement::parse(signed.content)?;
    if statement.imprint != file.0.0 {
        return Err(TsaRejection::OtherFile);
    }
    let signer = signed.check()?;
    let trusted = chain::check(signer, &signed.certificates, roots, &[statement.stated, at])?;
    Ok(Verified::by_check(TimeAnchor {
        not_after: statement.not_after(),
        witness: Witness::Authority {
            name: signer.subject(),
            root: trusted.root,
            stated: statement.stated,
            serial: hex::encode(statement.serial),
            policy: statement.policy.to_string(),
            in_force_until: trusted.until,
        },
    }))
}

/// Checks that an answer is to this very question: granted, about the file, and with the nonce that was sent. Nothing of it is
/// believed for that.
///
/// # Errors
/// It is not.
pub fn answers(answer: &[u8], file: FileHash, nonce: &Nonce) -> Result<(), TsaRejection> {
    let token = signed::token_of(answer)?;
    let signed = SignedToken::parse(token)?;
    let statement = Statement::parse(signed.content)?;
    if statement.imprint != file.0.0 {
        return Err(TsaRejection::OtherFile);
    }
    if statement.nonce == Some(nonce.0.as_slice()) { Ok(()) } else { Err(TsaRejection::OtherNonce) }
}
