//! What each of the two evidences must claim (spec §11, steps 8 and 9).

use crate::rejection::ClaimMismatch;
use alloy_primitives::{Address, B256};
use pox_core::evidence::{Claims, Evidence, Purpose, RECIPIENT_BYTES, sha256};
use pox_core::{ReceiptId, TaskId};

/// What both evidences must be made for.
pub(crate) struct Bound {
    /// The task.
    pub(crate) task: TaskId,
    /// The processor that matched.
    pub(crate) processor: Address,
    /// The enclave that the match names.
    pub(crate) enclave: Address,
}

/// Checks what a key evidence claims: this task, processor and enclave, the recipient beside it, a block that is not later.
pub(crate) fn check_key(evidence: &Evidence, bound: &Bound, latest_block: u64) -> Result<(), ClaimMismatch> {
    let claims = &evidence.claims;
    common(claims, Purpose::Key, bound, latest_block)?;
    if evidence.recipient.len() != RECIPIENT_BYTES {
        return Err(ClaimMismatch::RecipientLength(evidence.recipient.len()));
    }
    if sha256(&evidence.recipient) != claims.recipient {
        return Err(ClaimMismatch::Recipient);
    }
    if !claims.previous.is_zero() {
        return Err(ClaimMismatch::Previous);
    }
    if claims.receipt.is_zero() { Ok(()) } else { Err(ClaimMismatch::Receipt) }
}

/// What a result evidence must be chained to.
pub(crate) struct Chained {
    /// The key evidence's recipient.
    pub(crate) recipient: B256,
    /// SHA-256 of the key evidence.
    pub(crate) previous: B256,
    /// The receipt.
    pub(crate) receipt: ReceiptId,
}

/// Checks what a result evidence claims: this task, processor, enclave and receipt, and the key evidence before it.
pub(crate) fn check_result(
    evidence: &Evidence,
    bound: &Bound,
    latest_block: u64,
    chained: &Chained,
) -> Result<(), ClaimMismatch> {
    let claims = &evidence.claims;
    common(claims, Purpose::Result, bound, latest_block)?;
    if !evidence.recipient.is_empty() {
        return Err(ClaimMismatch::RecipientLength(evidence.recipient.len()));
    }
    if claims.recipient != chained.recipient {
        return Err(ClaimMismatch::Recipient);
    }
    if claims.previous != chained.previous {
        return Err(ClaimMismatch::Previous);
    }
    if claims.receipt == chained.receipt { Ok(()) } else { Err(ClaimMismatch::Receipt) }
}

fn common(claims: &Claims, purpose: Purpose, bound: &Bound, latest_block: u64) -> Result<(), ClaimMismatch> {
    if claims.purpose != purpose {
        return Err(ClaimMismatch::Purpose(claims.purpose));
    }
    if claims.task != bound.task {
        return Err(ClaimMismatch::Task { stated: claims.task, actual: bound.task });
    }
    if claims.processor != bound.processor {
        return Err(ClaimMismatch::Processor { stated: claims.processor, matched: bound.processor });
    }
    if claims.enclave != bound.enclave {
        return Err(ClaimMismatch::Enclave { stated: claims.enclave, matched: bound.enclave });
    }
    if claims.block_number > latest_block {
        return Err(ClaimMismatch::Block { claimed: claims.block_number, latest: latest_block });
    }
    Ok(())
}
