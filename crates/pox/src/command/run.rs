//! `pox run`: a whole task, from its file to opened results and a verified proof.

use super::task::{prepare_task, write_proof};
use super::verify::{Ask, judge};
use crate::cli::Run;
use crate::context::Context;
use crate::error::{Culprit, Failure, Hint as _};
use crate::owner::{self, Owner, TerminalDesk};
use crate::page;
use crate::task_file::TaskFile;
use pox_core::receipt::Outcome;
use pox_core::role::owner::{Collected, Ending};
use pox_core::{MemberReceipts, TaskId};
use pox_node::owner::{AgentError, KeptTask, Tended, read_list};
use pox_verify::{Grade, Verdict};
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

pub(crate) fn run(context: &Context, args: &Run) -> Result<ExitCode, Failure> {
    if args.to.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!("{} exists already", args.to.display())))
            .hint("nothing is overwritten: name a new folder with --to");
    }
    context.trust(&args.trust)?;
    let own = context.home()?.address()?;
    if TaskFile::read(&args.task)?.owner(own)? != (own, None) {
        return Err(Failure::usage("a task of another owner, or with a delegate, takes more than this home"))
            .hint("`pox request` posts or writes it, `pox approve` or `pox agent` approves it in the delegate's home");
    }
    let (task, kept) = prepare_task(context, &args.task)?;
    let is_batch = kept.runs()?.is_some();
    context.output.say(format!("task     {task}"));
    let ending = tend(context, kept, args.confirmations, &args.to)?;
    let outcome = match ending {
        Ending::Proven { results: Collected::Missing, .. } => {
            return Err(Failure::new(Culprit::Storage, "the results could not be fetched in time"))
                .hint(format!("`pox open {task} --to …` tries again"));
        }
        Ending::Proven { outcome, .. } => outcome,
        Ending::Cancelled | Ending::NeverPosted => return Err(Failure::usage("the request was taken back")),
        Ending::Expired(phase) => {
            let phase = super::task::phase_name(phase);
            return Err(Failure::new(
                Culprit::Counterparty,
                format!("the task expired while it was {phase}"),
            ))
            .hint("the price is credited to you: `pox withdraw` pays it out");
        }
    };
    let verdict = prove(context, task, &args.proof)?;
    let members = if is_batch { opened_members(context, task, &args.to)? } else { None };
    let mut result = serde_json::json!({
        "task": task, "outcome": Outcome::try_from(outcome).ok(), "results": args.to, "proof": args.proof, "verdict": verdict,
    });
    if let Some(list) = &members {
        result["members"] = serde_json::to_value(owner::member_rows(list)).unwrap_or_default();
    }
    context.output.result(&result, || {
        let page = page::verdict(&verdict);
        let table =
            members.as_ref().map(|list| format!("\n\n{}", owner::member_table(list))).unwrap_or_default();
        format!("{page}{table}\n\nresults in {}, proof in {}", args.to.display(), args.proof.display())
    })?;
    // What the task itself came to is the command's result.
    Ok(if outcome == Outcome::Completed.code() && verdict.grade > Grade::Inconsistent {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The list of a batch's members among its opened results, if they are there: a batch that came to nothing has none.
fn opened_members(context: &Context, task: TaskId, to: &Path) -> Result<Option<MemberReceipts>, Failure> {
    match context.contract()?.history(task)?.members() {
        Some(members) if to.exists() => Ok(Some(read_list(to, &members)?)),
        _ => Ok(None),
    }
}

/// Drives a task to its end; trouble in passing is waited out.
pub(crate) fn tend(
    context: &Context,
    kept: KeptTask,
    confirmations: Option<u64>,
    to: &Path,
) -> Result<Ending, Failure> {
    let owner = Owner::open(context, [&kept])?;
    let owns = owner.owns();
    let task = kept.task()?;
    let entry = context.home()?.entry(task)?;
    let mut desk = TerminalDesk::new(context, Some(to.to_owned()));
    let mut tended = Tended::new(&owns, kept, entry, owner::patience(confirmations))?;
    loop {
        match tended.step(&mut desk) {
            Ok(Some(ending)) => return Ok(ending),
            Ok(None) => {}
            Err(AgentError::Chain(error)) if owner::is_passing(&error) => desk.trouble(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        sleep(POLL);
    }
}

/// Collects, writes and verifies a proof; asks the chain for its block too, where that is final already.
pub(crate) fn prove(context: &Context, task: TaskId, path: &Path) -> Result<Verdict, Failure> {
    let bytes = owner::collect_proof(context, task, None)?.to_bytes();
    write_proof(path, &bytes)?;
    judge(context, &bytes, Grade::Hardware, Ask::Chain).or_else(|failure| {
        context
            .output
            .say(format!("verified offline only: {failure}; `pox verify --live` asks the chain later"));
        judge(context, &bytes, Grade::Hardware, Ask::Nobody)
    })
}

const POLL: Duration = Duration::from_millis(200);
