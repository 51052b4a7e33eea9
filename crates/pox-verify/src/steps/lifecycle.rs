//! Step 3: the steps are some that the contract would have let happen, each in time (spec §4).

use super::parse::Records;
use super::request::REQUEST;
use crate::rejection::LifecycleBreach;
use crate::verified::Verified;
use alloy_primitives::B256;
use pox_core::history::{At, Step};
use pox_core::record::MAX_DEADLINE_SECONDS;
use pox_core::{Request, TaskId};

const MATCH: u8 = 2;
const REJECT: u8 = 3;
const APPROVE: u8 = 4;
const PROVE: u8 = 5;

/// The steps that led to the receipt.
pub(crate) struct Steps {
    pub(crate) requested: At,
    pub(crate) matched: Step,
    pub(crate) approved: Step,
    pub(crate) proven: Step,
}

/// What has happened so far, and so what may follow.
#[derive(Clone, Copy)]
enum Phase {
    None,
    Requested(At),
    Matched(At, Step),
    Approved(At, Step, Step),
    Proven(At, Step, Step, Step),
}

/// Walks the whole history; a task with any other end than a receipt has no proof.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    _task: &Verified<TaskId>,
) -> Result<Verified<Steps>, LifecycleBreach> {
    let mut phase = Phase::None;
    let mut before: Option<At> = None;
    for (position, step) in records.proof.steps.iter().enumerate() {
        if before.is_some_and(|before| !follows(before, step.at)) {
            return Err(LifecycleBreach::Backwards { position });
        }
        phase = advance(phase, position, step, &records.request)?;
        before = Some(step.at);
    }
    match phase {
        Phase::Proven(requested, matched, approved, proven) => {
            Ok(Verified::by_check(Steps { requested, matched, approved, proven }))
        }
        _ => Err(LifecycleBreach::Unfinished),
    }
}

/// One block has one time, and later blocks are not earlier.
fn follows(before: At, after: At) -> bool {
    if before.number == after.number {
        before.time == after.time
    } else {
        before.number < after.number && before.time <= after.time
    }
}

fn advance(phase: Phase, position: usize, step: &Step, request: &Request) -> Result<Phase, LifecycleBreach> {
    let time = step.at.time.0;
    let in_time = |deadline: u64| {
        if time <= deadline { Ok(()) } else { Err(LifecycleBreach::Late { position, time, deadline }) }
    };
    let after = |step: &Step, seconds: u32| step.at.time.0.saturating_add(u64::from(seconds));
    let match_by = request.match_by.0;
    match (phase, step.code) {
        (Phase::None, REQUEST) => {
            in_time(match_by)?;
            if match_by > after(step, MAX_DEADLINE_SECONDS) {
                return Err(LifecycleBreach::DeadlineTooFar);
            }
            Ok(Phase::Requested(step.at))
        }
        (Phase::Requested(requested), MATCH) => {
            in_time(match_by)?;
            Ok(Phase::Matched(requested, *step))
        }
        (Phase::Matched(requested, matched), REJECT) => {
            in_time(after(&matched, request.approve_within))?;
            if !is_reason(step.payload) {
                return Err(LifecycleBreach::Reason { position });
            }
            Ok(Phase::Requested(requested))
        }
        (Phase::Matched(requested, matched), APPROVE) => {
            in_time(after(&matched, request.approve_within))?;
            Ok(Phase::Approved(requested, matched, *step))
        }
        (Phase::Approved(requested, matched, approved), PROVE) => {
            in_time(after(&approved, request.prove_within))?;
            Ok(Phase::Proven(requested, matched, approved, *step))
        }
        (_, code) => Err(LifecycleBreach::Order { position, code }),
    }
}

/// The contract takes a reason as one byte, so its word has no others.
fn is_reason(payload: B256) -> bool {
    payload[..31].iter().all(|byte| *byte == 0)
}
