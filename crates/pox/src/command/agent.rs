//! `pox agent`: tends all of this home's open tasks, by policy, while the owner is away.

use super::chain::described_wait;
use super::devnet::stop_signal;
use crate::cli::Agent;
use crate::context::Context;
use crate::error::Failure;
use crate::home::Home;
use crate::owner::{self, Owner, TerminalDesk};
use crate::quantity::tasks;
use pox_chain::{Outbox, WaitsFor};
use pox_core::role::owner::Entry;
use pox_core::{Domain, TaskId};
use pox_node::owner::{KeptTask, Tended};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

pub(crate) fn run(context: &Context, args: &Agent) -> Result<ExitCode, Failure> {
    context.trust(&args.trust)?;
    let stop = stop_signal()?;
    let mut tasks = Tasks::default();
    context.output.say("tending this home's open tasks; Ctrl-C stops, and nothing is lost by it");
    loop {
        let open = tasks.open(context)?;
        if open.is_empty() && args.until_idle {
            break;
        }
        match tend_round(context, args, open, &mut tasks.ended, &stop)? {
            Round::Stopped => break,
            Round::Changed => {}
        }
    }
    tasks.report(context)
}

/// What has become of this home's tasks so far.
#[derive(Debug, Default)]
struct Tasks {
    ended: BTreeSet<TaskId>,
    /// Those that are left alone, because what was kept of them can't be read.
    damaged: BTreeMap<TaskId, String>,
}

/// A task that is not at its end.
struct Open {
    kept: KeptTask,
    entry: Option<Entry>,
}

enum Round {
    /// A signal came.
    Stopped,
    /// A task has ended, or this home has others than before.
    Changed,
}

impl Tasks {
    /// The tasks to tend: one whose files are damaged does not keep the others from it.
    fn open(&mut self, context: &Context) -> Result<Vec<Open>, Failure> {
        let (home, domain) = (context.home()?, *context.contract()?.domain());
        let (mut open, mut damaged) = (Vec::new(), BTreeMap::new());
        for task in home.tasks()? {
            if self.ended.contains(&task) {
                continue;
            }
            match look(home, &domain, task) {
                Ok(found) => open.extend(found),
                Err(failure) => {
                    if !self.damaged.contains_key(&task) {
                        context.output.say(format!("left alone: {failure}"));
                    }
                    damaged.insert(task, failure.error);
                }
            }
        }
        self.damaged = damaged;
        Ok(open)
    }

    fn report(&self, context: &Context) -> Result<ExitCode, Failure> {
        let Self { ended, damaged } = self;
        let listed: Vec<_> =
            damaged.iter().map(|(task, error)| json!({ "task": task, "error": error })).collect();
        let result = json!({ "ended": ended, "damaged": listed });
        context.output.result(&result, || format!("{} ended", tasks(ended.len() as u64)))?;
        if damaged.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let errors: Vec<_> = damaged.values().map(String::as_str).collect();
        let failure = Failure::usage(format!(
            "{} of this home left alone: {}",
            tasks(damaged.len() as u64),
            errors.join("; ")
        ))
        .with_hint("restore these files from a copy, or move them out of the home");
        context.output.complain(&failure);
        Ok(ExitCode::from(2))
    }
}

/// What is kept of a task of this contract, if it has not ended.
fn look(home: &Home, domain: &Domain, task: TaskId) -> Result<Option<Open>, Failure> {
    let Some(kept) = home.kept(task)?.filter(|kept| kept.domain == *domain) else { return Ok(None) };
    let entry = home.entry(task)?;
    if entry.as_ref().is_some_and(|entry| entry.ending().is_some()) {
        return Ok(None);
    }
    let id = kept.check().and_then(|()| kept.task()).map_err(|error| home.damaged(task, error))?;
    match id == task {
        true => Ok(Some(Open { kept, entry })),
        false => Err(home.damaged(task, format_args!("it is of task {id}"))),
    }
}

/// Tends these tasks until one of them ends, another one appears, or a signal comes.
fn tend_round(
    context: &Context,
    args: &Agent,
    open: Vec<Open>,
    ended: &mut BTreeSet<TaskId>,
    stop: &Receiver<()>,
) -> Result<Round, Failure> {
    let owner = Owner::open(context, open.iter().map(|open| &open.kept))?;
    let owner = owner.with_own_policy(args.own_policy.as_deref())?;
    let owns = owner.owns();
    let mut desk = TerminalDesk::new(context, None);
    let tended =
        open.into_iter().map(|Open { kept, entry }| Tended::new(&owns, kept, entry, owner::patience(None)));
    let mut tended = tended.collect::<Result<Vec<_>, _>>()?;
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
                    return Ok(Round::Changed);
                }
                Ok(None) => {}
                // One task that can't go on must not keep the others from it.
                Err(error) => desk.trouble(format!("{}: {error}", task.task())),
            }
        }
        match stop.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(Round::Stopped),
        }
        if tended.is_empty() || context.home()?.tasks()?.len() != known {
            return Ok(Round::Changed);
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
