//! Aura: whether the authority of its step sealed a block.

use super::header::{Header, Seal};
use crate::anchors::StepRule;
use alloy_primitives::{Address, U256};
use pox_core::signature::{BadSignature, Signature};

/// A block is not sealed as Aura demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSeal {
    /// Another engine's seal.
    #[error("its seal is not Aura's")]
    Engine,
    /// The step is neither that of the time nor beside it.
    #[error("its step is {stated}, and its time is in step {actual}")]
    Step {
        /// In the seal.
        stated: u64,
        /// By its time.
        actual: u64,
    },
    /// The author is not the authority of the step.
    #[error("its author is {author}, which is not the authority of its step")]
    Author {
        /// In the header.
        author: Address,
    },
    /// The signature is not one.
    #[error("its seal: {0}")]
    Signature(#[from] BadSignature),
    /// Somebody else signed.
    #[error("its seal is signed by {signer}, not by its author {author}")]
    Signer {
        /// Who signed.
        signer: Address,
        /// In the header.
        author: Address,
    },
    /// Its step is not later than its parent's, or its difficulty not what these steps give.
    #[error("its step and difficulty do not follow from those of the block before it")]
    Difficulty,
}

/// Checks one header's seal by itself.
///
/// The step is not under the signature. It may be one off that of the block's time: sealers take the two from clocks of their own,
/// and public chains have such blocks. Whose turn it is binds it all the same, unless there is one authority.
pub(crate) fn check(header: &Header, validators: &[Address], steps: StepRule) -> Result<(), BadSeal> {
    let slack = u64::from(validators.len() > 1);
    let Seal::Aura { step, signature } = &header.seal else { return Err(BadSeal::Engine) };
    let actual = steps.step(header.time.0);
    if step.abs_diff(actual) > slack {
        return Err(BadSeal::Step { stated: *step, actual });
    }
    let author = header.author;
    let turn = step.checked_rem(validators.len() as u64).and_then(|turn| usize::try_from(turn).ok());
    if turn.and_then(|turn| validators.get(turn)) != Some(&author) {
        return Err(BadSeal::Author { author });
    }
    let signer = signature_of(signature)?.signer(header.bare_hash)?;
    if signer == author { Ok(()) } else { Err(BadSeal::Signer { signer, author }) }
}

/// Checks that a header's step and difficulty follow from its parent's.
pub(crate) fn check_succession(parent: &Header, child: &Header) -> Result<(), BadSeal> {
    let (Seal::Aura { step: before, .. }, Seal::Aura { step: after, .. }) = (&parent.seal, &child.seal)
    else {
        return Err(BadSeal::Engine);
    };
    let difficulty = U256::from(u128::MAX) + U256::from(*before) - U256::from(*after);
    if after > before && child.difficulty == difficulty { Ok(()) } else { Err(BadSeal::Difficulty) }
}

/// Aura's recovery id is 0 or 1, and otherwise the one form of spec §2: sealers make no other, and two forms of one seal
/// would be two hashes of one block.
fn signature_of(bytes: &[u8; 65]) -> Result<Signature, BadSignature> {
    let mut wire = *bytes;
    wire[64] = wire[64].checked_add(27).ok_or(BadSignature)?;
    Signature::parse(&wire)
}
