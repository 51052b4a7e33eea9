//! Step 6: the receipt is this task's and this enclave's, is the one that was proven, and the enclave signed it.

use super::approve::Approved;
use super::lifecycle::Steps;
use super::parse::Records;
use crate::rejection::{ReceiptMismatch, ReceiptSignature, Rejection};
use crate::verified::Verified;
use pox_core::history::Payload;
use pox_core::members::Members;
use pox_core::receipt::{archive_hash, archived_batch};
use pox_core::signature::Signature;
use pox_core::{ReceiptId, TaskId};

/// The receipt's id, once it is known to be the enclave's.
pub(crate) struct Signed {
    pub(crate) id: ReceiptId,
}

/// Checks what the receipt is for, what was proven, and who signed.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    task: &Verified<TaskId>,
    steps: &Verified<Steps>,
    approved: &Verified<Approved>,
) -> Result<Verified<Signed>, Rejection> {
    let (receipt, proven) = (&records.receipt, &records.proof.proven);
    if receipt.task != **task {
        return Err(ReceiptMismatch::Task { stated: receipt.task, actual: **task }.into());
    }
    if receipt.enclave != approved.enclave {
        return Err(ReceiptMismatch::Enclave { stated: receipt.enclave, matched: approved.enclave }.into());
    }
    let (domain, archive) = (&records.domain, archive_hash(&proven.archive));
    let payload = match proven.members {
        None => Payload::Prove(receipt.archived(domain, archive)),
        Some(Members { root, count }) => {
            Payload::ProveMany(archived_batch(domain, receipt.id(domain), archive, root, count))
        }
    };
    let digest = payload.word();
    if payload.code() != steps.proven.code {
        return Err(ReceiptMismatch::Payload.into());
    }
    if digest != steps.proven.payload {
        return Err(ReceiptMismatch::Payload.into());
    }
    let signature = Signature::parse(&proven.signature).map_err(ReceiptSignature::from)?;
    let signer = signature.signer(digest).map_err(ReceiptSignature::from)?;
    if signer != approved.enclave {
        return Err(ReceiptSignature::Signer { signer, enclave: approved.enclave }.into());
    }
    Ok(Verified::by_check(Signed { id: receipt.id(&records.domain) }))
}
