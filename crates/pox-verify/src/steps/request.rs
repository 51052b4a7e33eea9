//! Step 2: the history is that of this request, on this chain and contract.

use super::parse::Records;
use crate::rejection::RequestMismatch;
use crate::verified::Verified;
use pox_core::TaskId;

/// The code of a request in a history.
pub(crate) const REQUEST: u8 = 1;

/// The task's id: the request's digest, and the first step's payload.
pub(crate) fn check(records: &Verified<Records<'_>>) -> Result<Verified<TaskId>, RequestMismatch> {
    let first = records.proof.steps.first().filter(|step| step.code == REQUEST);
    let stated = first.ok_or(RequestMismatch::NotFirst)?.payload;
    let actual = records.request.id(&records.domain);
    if stated == actual.0 {
        Ok(Verified::by_check(actual))
    } else {
        Err(RequestMismatch::AnotherTask { actual, stated })
    }
}
