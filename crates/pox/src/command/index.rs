//! `pox index`, `pox tasks`, `pox priority` and `pox history`: who ran what, when, and who was first.

use super::verify::{Ask, judge};
use crate::cli;
use crate::context::{Context, address};
use crate::error::{Culprit, Failure, Hint as _};
use crate::owner::{collect_proof, is_passing};
use crate::page::utc;
use crate::progress::BlockProgress;
use pox_core::receipt::Outcome;
use pox_core::{DatasetCommitment, ImageDigest, Phase, ResultsCommitment, TaskId, UnixTime};
use pox_index::{
    Answer, Filter, Index, IndexError, Indexer, InputUse, Passwords, Position, Priority, Progress, Status,
    StepDetail, StepRow, Target, TaskRow, Uses,
};
use serde::Serialize;
use std::env::VarError;
use std::fmt::{Display, Write as _};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Instant;

/// Most blocks that are read for one question where there is no index.
const MAX_DIRECT_BLOCKS: u64 = 200_000;

pub(crate) fn run(context: &Context, args: &cli::Index) -> Result<(), Failure> {
    let target = target(&args.database)?
        .ok_or_else(|| Failure::usage("no database is named"))
        .hint("name one with --db index.db, --db postgres://USER@HOST/NAME, or POX_DB")?;
    let follows = args.follow && !args.once;
    let contract = context.contract()?;
    let mut index = Index::follow(&target, *contract.domain(), contract.since())?;
    let begun = Instant::now();
    let progress = BlockProgress::start(&context.output, "reading");
    let mut seen = 0;
    loop {
        let mut indexer = Indexer::new(&contract, &mut index).with_ranges(args.ranges.into());
        let looked = indexer.catch_up(&mut |step| {
            seen += step.added;
            progress.at(step.block, step.head, seen, begun.elapsed());
        });
        match looked {
            Ok(step) if !follows => {
                if step.progress == Progress::SourceLags {
                    let behind = format!("the endpoint is at block {}, behind the index", step.head);
                    return Err(Failure::new(Culprit::Chain, behind)).hint("repeat the command later");
                }
                break;
            }
            Ok(step) => {
                if step.added + step.taken_back > 0 {
                    let back = match step.taken_back {
                        0 => String::new(),
                        events => format!(", {events} events taken back by a reorganisation"),
                    };
                    context.output.say(format!("block {}: {seen} events since the start{back}", step.block));
                }
            }
            Err(IndexError::Chain(error)) if follows && is_passing(&error) => {
                context.output.say(format!("{error}; trying again"));
            }
            Err(error) => return Err(error.into()),
        }
        sleep(contract.rpc().poll_interval());
    }
    drop(progress);
    let status = index.status()?;
    let seconds = begun.elapsed().as_secs_f64();
    let (totals, added) = (index.totals()?, seen);
    let result = serde_json::json!({ "index": status, "totals": totals, "added": added, "seconds": seconds });
    context.output.result(&result, || {
        let newest = newest(&status);
        let rate = if seconds > 0.0 { added as f64 / seconds } else { 0.0 };
        let mut text = format!(
            "{} tasks, {} events, up to {newest}\n{added} events added in {seconds:.1} s ({rate:.0} a second)",
            totals.tasks, totals.events
        );
        if totals.flagged > 0 {
            let _ = write!(text, "\n{} tasks are flagged: {FLAGGED}", totals.flagged);
        }
        text
    })?;
    context.output.say(
        "next: `pox tasks`, `pox priority IMAGE` or `pox history --input COMMITMENT`, with the same --db",
    );
    Ok(())
}

pub(crate) fn tasks(context: &Context, args: &cli::Tasks) -> Result<(), Failure> {
    let filter = Filter {
        owner: args.owner.as_deref().map(address).transpose()?,
        processor: args.processor.as_deref().map(address).transpose()?,
        image: args.image.as_deref().map(image).transpose()?,
        input: args.input.as_deref().map(commitment).transpose()?,
        result: args.result.as_deref().map(commitment).transpose()?.map(|found| ResultsCommitment(found.0)),
        since: args.since.as_deref().map(time).transpose()?,
        until: args.until.as_deref().map(time).transpose()?,
        phase: args.phase.map(Phase::from),
        after: args.after.as_deref().map(position).transpose()?,
    };
    let mut index = open(context, &args.database)?;
    let answer = index.tasks(&filter, args.limit)?;
    context.output.result(&answer, || {
        let mut text = String::new();
        for task in &answer.content.tasks {
            let _ = writeln!(text, "{}", line(task));
        }
        if answer.content.tasks.is_empty() {
            text.push_str("no such task\n");
        }
        if let Some(next) = answer.content.next {
            let _ = writeln!(text, "there are more: repeat with --after {next}");
        }
        let _ = write!(text, "as of {}", newest(&answer.index));
        text
    })
}

pub(crate) fn priority(context: &Context, args: &cli::Priority) -> Result<(), Failure> {
    let (image, input) = (image(&args.image)?, args.input.as_deref().map(commitment).transpose()?);
    let mut index = open(context, &args.database)?;
    let Answer { index: status, content: found } = index.priority(image, input)?;
    let written = match (&args.proof, &found.first_proven) {
        (Some(path), Some(first)) => Some(write_proof(context, path, first.task, args.archive.as_deref())?),
        (Some(_), None) => {
            return Err(Failure::usage("no such task is proven, so there is no proof to write"));
        }
        (None, _) => None,
    };
    let answer = Answer {
        index: status,
        content: First { image, input, rule: RULE, caveat: CAVEAT, found, proof: written },
    };
    context.output.result(&answer, || first_text(&answer))?;
    if let (None, Some(first)) = (&answer.content.proof, &answer.content.found.first_proven) {
        context.output.say(format!(
            "next: `pox proof {} --archive DIR|URL` collects its proof, and `pox verify` says what it shows",
            first.task
        ));
    }
    Ok(())
}

pub(crate) fn history(context: &Context, args: &cli::History) -> Result<(), Failure> {
    let after = args.after.as_deref().map(position).transpose()?;
    let mut index = open(context, &args.database)?;
    let Answer { index: status, content: uses } = match (&args.input, &args.task) {
        (Some(input), _) => index.uses(commitment(input)?, after, args.limit)?,
        (None, task) => {
            let id = crate::owner::task_id(task.as_deref().unwrap_or_default())?;
            let Answer { index, content } = index.task(id)?;
            let found = content.ok_or_else(|| Failure::usage(format!("the index has no task {id}")));
            let found = found.hint("bring it forward with `pox index`; is it of the same contract?")?;
            Answer { index, content: Uses { tasks: vec![found], next: None } }
        }
    };
    if args.check {
        check(context, &status, &uses.tasks)?;
    }
    let answer = Answer { index: status, content: Histories { checked: args.check, uses } };
    context.output.result(&answer, || history_text(&answer))
}

#[derive(Serialize)]
struct First {
    image: ImageDigest,
    input: Option<DatasetCommitment>,
    rule: &'static str,
    caveat: &'static str,
    #[serde(flatten)]
    found: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Written>,
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    bytes: usize,
    grade: pox_verify::Grade,
}

#[derive(Serialize)]
struct Histories {
    /// Whether the contract has committed to exactly these steps.
    checked: bool,
    #[serde(flatten)]
    uses: Uses,
}

/// The index that a command asks: the one that is named, or one that is made of the chain for this question.
fn open(context: &Context, database: &cli::Database) -> Result<Index, Failure> {
    if let Some(target) = target(database)? {
        return Ok(Index::open(&target)?);
    }
    let contract = context.contract()?;
    let blocks = contract.rpc().head()?.at.number.saturating_sub(contract.since());
    if blocks > MAX_DIRECT_BLOCKS {
        let error = format!("{blocks} blocks are too many to read for one question");
        return Err(Failure::usage(error))
            .hint("make an index with `pox index --db FILE`, and name it with --db");
    }
    let mut index = Index::follow(&Target::Memory, *contract.domain(), contract.since())?;
    Indexer::new(&contract, &mut index).catch_up(&mut |_| ())?;
    Ok(index)
}

fn target(database: &cli::Database) -> Result<Option<Target>, Failure> {
    let bad = |error: pox_index::BadTarget| {
        Failure::usage(error)
            .with_hint("write postgres://USER@HOST/NAME, and put the password into PGPASSWORD or .pgpass")
    };
    let target = match &database.db {
        Some(text) => text.parse::<Target>().and_then(Target::without_password).map_err(bad)?,
        // Only who may look into this process sees its environment.
        None => match std::env::var("POX_DB") {
            Ok(text) => text.parse::<Target>().map_err(bad)?,
            Err(VarError::NotPresent) => return Ok(None),
            Err(VarError::NotUnicode(_)) => return Err(Failure::usage("POX_DB is not text")),
        },
    };
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
    let passwords = Passwords {
        password: std::env::var("PGPASSWORD").ok(),
        file: std::env::var_os("PGPASSFILE").map(PathBuf::from).or(home),
    };
    Ok(Some(target.with_passwords(&passwords)))
}

/// Compares the index with what the contract itself has committed to, at the index's newest block.
fn check(context: &Context, status: &Status, tasks: &[InputUse]) -> Result<(), Failure> {
    let contract = context.contract()?;
    if contract.domain().contract != status.contract || contract.domain().chain_id != status.chain_id {
        return Err(Failure::usage("the index is of another contract than the chain that is to be asked"))
            .hint("name its chain with --chain and its contract with --contract");
    }
    let at = status.as_of;
    for InputUse { task, .. } in tasks {
        let view = contract.task_at(task.task, at)?;
        if view.is_none_or(|view| view.history != task.history || view.phase != task.phase) {
            let error =
                format!("the contract has committed to other steps of task {} than the index has", task.task);
            return Err(Failure::new(Culprit::Chain, error))
                .hint("an endpoint kept events back, or lied: make the index anew through another one");
        }
    }
    Ok(())
}

fn write_proof(
    context: &Context,
    path: &std::path::Path,
    task: TaskId,
    archive: Option<&str>,
) -> Result<Written, Failure> {
    let bytes = collect_proof(context, task, archive)?.to_bytes();
    let verdict = judge(context, &bytes, pox_verify::Grade::Asserted, Ask::Nobody)?;
    super::task::write_proof(path, &bytes)?;
    Ok(Written { file: path.to_owned(), bytes: bytes.len(), grade: verdict.grade })
}

fn first_text(answer: &Answer<First>) -> String {
    let First { found, proof, .. } = &answer.content;
    let mut text = match &found.first_proven {
        Some(first) => format!("first proven run\n{}", details(first)),
        None => "no such task is proven\n".to_owned(),
    };
    let is_same = |other: &Option<TaskRow>| {
        other.as_ref().map(|task| task.task) == found.first_proven.as_ref().map(|task| task.task)
    };
    match &found.first_completed {
        Some(task) if !is_same(&found.first_completed) => {
            let _ = write!(text, "\nfirst run that completed\n{}", details(task));
        }
        None if found.first_proven.is_some() => text.push_str("\nno run of it has completed\n"),
        _ => {}
    }
    match &found.first_requested {
        Some(task) if !is_same(&found.first_requested) => {
            let _ = write!(text, "\nrequested first\n{}", details(task));
        }
        Some(_) => text.push_str("\nit was also requested first\n"),
        None => {}
    }
    let _ = write!(
        text,
        "\n{} tasks, {} of them proven; as of {}\n{RULE}\n{CAVEAT}",
        found.tasks,
        found.proven,
        newest(&answer.index)
    );
    if found.flagged > 0 {
        let _ = write!(text, "\n{} further tasks can have been first: {FLAGGED}", found.flagged);
    }
    if let Some(proof) = proof {
        let _ =
            write!(text, "\nproof: {} ({} bytes), grade {}", proof.file.display(), proof.bytes, proof.grade);
    }
    text
}

fn history_text(answer: &Answer<Histories>) -> String {
    let Histories { checked, uses: Uses { tasks, next } } = &answer.content;
    let mut text = String::new();
    for InputUse { task, history } in tasks {
        let _ = write!(text, "{}", details(task));
        for step in history {
            let _ = writeln!(text, "    {}", step_line(step));
        }
    }
    if tasks.is_empty() {
        text.push_str("no task uses it\n");
    }
    if let Some(next) = next {
        let _ = writeln!(text, "there are more: repeat with --after {next}");
    }
    if *checked {
        text.push_str("the contract has committed to exactly these steps\n");
    }
    let _ = write!(text, "as of {}", newest(&answer.index));
    text
}

fn line(task: &TaskRow) -> String {
    let (when, phase) = (utc(task.requested_at), name(task.phase));
    let flag = task.fault.as_ref().map(|fault| format!("  CONTRADICTION: {fault}")).unwrap_or_default();
    let outcome = task.outcome.map(|code| format!("  {}", outcome(code))).unwrap_or_default();
    let outcome =
        task.members.map_or_else(|| outcome.clone(), |members| format!("{outcome}, batch of {members}"));
    format!("{}  {phase:<9}  {when}  owner {}{outcome}{flag}", task.task, shown(task.owner))
}

fn details(task: &TaskRow) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &dyn Display| {
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    row("task", &task.task);
    row("phase", &name(task.phase));
    if let Some(fault) = &task.fault {
        row("flagged", fault);
    }
    if let Some(code) = task.outcome {
        row("outcome", &outcome(code));
    }
    if let Some(image) = task.image {
        row("image", &format!("sha256:{}", hex::encode(image.as_bytes())));
    }
    for input in &task.inputs {
        row("input", input);
    }
    if let Some(results) = task.results {
        row("results", &results);
    }
    if let Some(members) = task.members {
        row("batch of", &format!("{members} members"));
    }
    row("owner", &shown(task.owner));
    row("processor", &shown(task.processor));
    row("requested", &format!("{}, at {}", utc(task.requested_at), task.requested));
    if let (Some(time), Some(place)) = (task.proven_at, task.proven) {
        row("proven", &format!("{}, at {place}", utc(time)));
    }
    text
}

fn step_line(step: &StepRow) -> String {
    let detail = match &step.detail {
        StepDetail::Requested { owner, .. } => format!("requested by {owner}"),
        StepDetail::Matched { processor, enclave, .. } => {
            format!("matched by {processor}, enclave {enclave}")
        }
        StepDetail::Rejected { account, enclave, reason, .. } => {
            format!("enclave {enclave} rejected by {account}, reason {reason}")
        }
        StepDetail::Released { account, enclave, .. } => {
            format!("released by {account} to enclave {enclave}")
        }
        StepDetail::Approved { enclave, .. } => format!("approved for enclave {enclave}"),
        StepDetail::Proven { outcome: code, .. } => format!("proven: {}", outcome(*code)),
        StepDetail::Cancelled => "cancelled".to_owned(),
        StepDetail::Expired { from } => format!("expired from {}", name(*from)),
    };
    format!("{}  {} at {}, transaction {}", step.step, detail, utc(step.time), step.transaction)
}

fn newest(status: &Status) -> String {
    match (status.as_of, status.time) {
        (Some(block), Some(time)) => format!("block {} ({})", block.number, utc(time)),
        _ => "no block".to_owned(),
    }
}

fn name(phase: Phase) -> &'static str {
    super::task::phase_name(phase)
}

fn outcome(code: u8) -> String {
    Outcome::try_from(code).map_or_else(|_| format!("outcome {code}"), |outcome| outcome.to_string())
}

fn shown(account: Option<pox_core::Address>) -> String {
    account.map_or_else(|| "none".to_owned(), |account| account.to_string())
}

/// A digest as images are written, or as every other one is.
fn image(text: &str) -> Result<ImageDigest, Failure> {
    let digits = text.strip_prefix("sha256:").map(|digits| format!("0x{digits}"));
    digits
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| Failure::usage(format!("{text:?} is no image digest")))
        .hint("write sha256: and 64 hexadecimal digits")
}

fn commitment(text: &str) -> Result<DatasetCommitment, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(error).about(format!("{text:?}")))
        .hint("`sha256sum B3SUMS` in the sealed dataset prints it, without the 0x")
}

fn position(text: &str) -> Result<Position, Failure> {
    text.parse().map_err(|error| Failure::usage(error).about(format!("{text:?}")))
}

fn time(text: &str) -> Result<UnixTime, Failure> {
    crate::quantity::time(text)
}

impl From<cli::Phase> for Phase {
    fn from(phase: cli::Phase) -> Self {
        match phase {
            cli::Phase::Requested => Self::Requested,
            cli::Phase::Matched => Self::Matched,
            cli::Phase::Approved => Self::Approved,
            cli::Phase::Proven => Self::Proven,
            cli::Phase::Cancelled => Self::Cancelled,
            cli::Phase::Expired => Self::Expired,
        }
    }
}

/// What "first" means.
const RULE: &str = "first: the task whose receipt stands first in the chain, by block and log index";
/// What a flag means.
const FLAGGED: &str = "their events contradict each other, so an endpoint kept some back, or lied";
/// What the index can't know.
const CAVEAT: &str =
    "the index repeats what its endpoint told; whether hardware protected the run, only its proof shows";
