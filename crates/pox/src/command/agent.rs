//! `pox agent`: tends all of this home's open tasks, by policy, while the owner is away.

use super::chain::described_wait;
use super::devnet::stop_signal;
use crate::cli::Agent;
use crate::context::Context;
use crate::error::Failure;
use crate::owner::{self, Owner, TerminalDesk};
use pox_chain::{Outbox, WaitsFor};
use pox_core::TaskId;
use pox_node::owner::{KeptTask, Tended};
use std::collections::BTreeSet;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

pub(crate) fn run(context: &Context, args: &Agent) -> Result<(), Failure> {
    context.trust(&args.trust)?;
    let stop = stop_signal()?;
    let mut ended = BTreeSet::<TaskId>::new();
    context.output.say("tending this home's open tasks; Ctrl-C stops, and nothing is lost by it");
    loop {
        let open = open_tasks(context, &mut ended)?;
        if open.is_empty() && args.until_idle {
            break;
        }
        if let Some(round) = tend_round(context, args, &open, &mut ended, &stop)? {
            match round {
                Round::Stopped => break,
                Round::NewTask => {}
            }
        }
    }
    let tasks: Vec<_> = ended.iter().collect();
    context.output.result(&serde_json::json!({ "ended": tasks }), || format!("{} tasks ended", tasks.len()))
}

enum Round {
    /// A signal came.
    Stopped,
    /// This home's tasks have changed.
    NewTask,
}

fn open_tasks(context: &Context, ended: &mut BTreeSet<TaskId>) -> Result<Vec<KeptTask>, Failure> {
    let (home, contract) = (context.home()?, context.contract()?);
    let mut open = Vec::new();
    for task in home.tasks()? {
        if ended.contains(&task) {
            continue;
        }
        let Some(kept) = home.kept(task)?.filter(|kept| kept.domain == *contract.domain()) else { continue };
        if home.entry(task)?.is_some_and(|entry| entry.ending().is_some()) {
            continue;
        }
        open.push(kept);
    }
    Ok(open)
}

/// Tends these tasks until one of them ends, another one appears, or a signal comes.
fn tend_round(
    context: &Context,
    args: &Agent,
    open: &[KeptTask],
    ended: &mut BTreeSet<TaskId>,
    stop: &std::sync::mpsc::Receiver<()>,
) -> Result<Option<Round>, Failure> {
    let owner = Owner::open(context, open)?.with_own_policy(args.own_policy.as_deref())?;
    let owns = owner.owns();
    let mut desk = TerminalDesk::new(context, None);
    let mut tended = Vec::new();
    for kept in open {
        let entry = context.home()?.entry(kept.task()?)?;
        tended.push(Tended::new(&owns, kept.clone(), entry, owner::patience(None))?);
    }
    let known = context.home()?.tasks()?.len();
    let mut outbox_at: Option<Instant> = None;
    loop {
        if outbox_at.is_none_or(|at| at.elapsed() >= OUTBOX_EVERY) {
            outbox_at = Some(Instant::now());
            tend_outbox(owner.outbox(), &mut desk);
        }
        for task in &mut tended {
            match task.step(&mut desk) {
                Ok(Some(_)) => {
                    ended.insert(task.task());
                    return Ok(None);
                }
                Ok(None) => {}
                // One task that can't go on must not keep the others from it.
                Err(error) => desk.trouble(format!("{}: {error}", task.task())),
            }
        }
        match stop.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(Some(Round::Stopped)),
        }
        if context.home()?.tasks()?.len() != known || (tended.is_empty() && open.is_empty()) {
            return Ok(Some(Round::NewTask));
        }
    }
}

/// Sends on what waits, and says what for, finality apart, which is the usual course of things.
fn tend_outbox(outbox: &Outbox, desk: &mut TerminalDesk<'_>) {
    match outbox.tend() {
        Ok(waiting) => {
            let stuck = waiting.iter().filter(|one| !matches!(one.waits_for, WaitsFor::Finality { .. }));
            let stuck: Vec<_> = stuck.map(described_wait).collect();
            if !stuck.is_empty() {
                desk.trouble(stuck.join("; "));
            }
        }
        Err(error) => desk.trouble(error.to_string()),
    }
}

const POLL: Duration = Duration::from_secs(1);
const OUTBOX_EVERY: Duration = Duration::from_secs(10);
