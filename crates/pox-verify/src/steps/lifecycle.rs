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
const RELEASE: u8 = 8;
const PROVE_MANY: u8 = 9;

/// The steps that led to the receipt.
pub(crate) struct Steps {
    pub(crate) requested: At,
    pub(crate) matched: Step,
    /// The owner's approval, or one release by each party; the last one approved the task.
    pub(crate) released: Vec<Step>,
    pub(crate) proven: Step,
}

/// What has happened so far, and so what may follow.
#[derive(Clone)]
enum Phase {
    None,
    Requested(At),
    Matched(At, Step, Vec<Step>),
    Approved(At, Step, Vec<Step>, At),
    Proven(At, Step, Vec<Step>, Step),
}

impl Steps {
    /// When the last party released its secret: the task can't have begun before.
    pub(crate) fn approved_at(&self) -> At {
        self.released.last().map_or(self.matched.at, |step| step.at)
    }
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
        Phase::Proven(requested, matched, released, proven) => {
            Ok(Verified::by_check(Steps { requested, matched, released, proven }))
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
    let after = |at: At, seconds: u32| at.time.0.saturating_add(u64::from(seconds));
    let parties = request.parties().count();
    let alone = request.releases().is_empty();
    let match_by = request.match_by.0;
    match (phase, step.code) {
        (Phase::None, REQUEST) => {
            in_time(match_by)?;
            if match_by > after(step.at, MAX_DEADLINE_SECONDS) {
                return Err(LifecycleBreach::DeadlineTooFar);
            }
            Ok(Phase::Requested(step.at))
        }
        (Phase::Requested(requested), MATCH) => {
            in_time(match_by)?;
            Ok(Phase::Matched(requested, *step, Vec::new()))
        }
        (Phase::Matched(requested, matched, _), REJECT) => {
            in_time(after(matched.at, request.approve_within))?;
            if !is_refusal(step.payload, request) {
                return Err(LifecycleBreach::Reason { position });
            }
            Ok(Phase::Requested(requested))
        }
        (Phase::Matched(requested, matched, _), APPROVE) if alone => {
            in_time(after(matched.at, request.approve_within))?;
            Ok(Phase::Approved(requested, matched, vec![*step], step.at))
        }
        (Phase::Matched(requested, matched, mut released), RELEASE) if !alone => {
            in_time(after(matched.at, request.approve_within))?;
            released.push(*step);
            Ok(if released.len() == parties {
                Phase::Approved(requested, matched, released, step.at)
            } else {
                Phase::Matched(requested, matched, released)
            })
        }
        (Phase::Approved(requested, matched, released, approved), PROVE | PROVE_MANY) => {
            in_time(after(approved, request.prove_within))?;
            Ok(Phase::Proven(requested, matched, released, *step))
        }
        (_, code) => Err(LifecycleBreach::Order { position, code }),
    }
}

/// The word of a refusal is the account of a party, and a byte with the reason.
fn is_refusal(payload: B256, request: &Request) -> bool {
    let account = &payload[11..31];
    payload[..11].iter().all(|byte| *byte == 0)
        && request.parties().any(|(_, party)| party.as_slice() == account)
}
