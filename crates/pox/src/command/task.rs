//! The commands of a task's life, each on its own.

use super::{agent, demo, node, reject, relay, review, sign};
use crate::cli::{Approve, Cancel, ChainProof, Command, Offers, Proof, Request, Status, TaskArg};
use crate::context::Context;
use crate::error::{Culprit, Failure, Hint as _};
use crate::home::Overwrite;
use crate::owner::{self, OpenArgs, Owner, Shown, task_id};
use crate::quantity::Seconds;
use crate::task_file::TaskFile;
use pox_chain::{Carried, Contract, Draft, Effect, Patience, Sent, TaskHistory, TaskView};
use pox_core::consent::cancellation;
use pox_core::history::At;
use pox_core::refusal::Phase;
use pox_core::{Address, Call, Event, Party, TaskId, UnixTime};
use pox_node::endorsements::Sources;
use pox_node::owner::{
    CheckedMatch, Disclosure, FoundMatch, KeptTask, Shows, check_match, endorsed, prepare,
};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) fn run(context: &Context, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Request(args) => request(context, &args)?,
        Command::Offers(args) => offers(context, &args)?,
        Command::Approve(args) => approve(context, &args)?,
        Command::Reject(args) => reject::run(context, &args)?,
        Command::Cancel(args) => cancel(context, &args)?,
        Command::Expire(args) => expire(context, &args)?,
        Command::Relay(args) => relay::run(context, &args)?,
        Command::Sign(args) => sign::run(context, &args)?,
        Command::Review(args) => review::run(context, &args)?,
        Command::Status(args) => status(context, &args)?,
        Command::Proof(args) => proof(context, &args)?,
        Command::Withdraw => withdraw(context)?,
        Command::Node(args) => node::run(context, &args)?,
        Command::Agent(args) => return agent::run(context, &args),
        Command::Run(args) => return super::run::run(context, &args),
        Command::Demo(args) => return demo::run(context, &args),
        _ => return Err(Failure::machine("this command is not one of a task")),
    }
    Ok(ExitCode::SUCCESS)
}

/// A transaction, for machines and people.
#[derive(Debug, Serialize)]
pub(super) struct Transaction {
    task: TaskId,
    call: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<pox_core::B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gas: Option<u64>,
    /// Where people see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

impl Transaction {
    pub(super) fn of(owner: &Owner, task: TaskId, call: &'static str, effect: &Effect) -> Self {
        let sent: Option<&Sent> = match effect {
            Effect::Sent(sent) => Some(sent),
            Effect::AlreadyThere => None,
        };
        Self {
            task,
            call,
            transaction: sent.map(|sent| sent.receipt.transaction),
            block: sent.map(|sent| sent.receipt.block.number),
            gas: sent.map(|sent| sent.receipt.gas_used),
            page: sent.and_then(|sent| page_of(owner.contract(), sent.receipt.transaction)),
        }
    }

    pub(super) fn text(&self) -> String {
        match (self.transaction, self.block, self.gas) {
            (Some(hash), Some(block), Some(gas)) => {
                let page = self.page.as_ref().map_or_else(String::new, |page| format!("\n{page}"));
                format!("task {}\n{} {hash} in block {block}, {gas} gas{page}", self.task, self.call)
            }
            _ => format!("task {}\n{}: done before", self.task, self.call),
        }
    }
}

/// A transaction's page in the chain's explorer, if its profile names one.
fn page_of(contract: &Contract, transaction: pox_core::B256) -> Option<String> {
    Some(contract.rpc().profile().explorer.as_ref()?.transaction(transaction))
}

/// Makes a request of a task file, and keeps what the owner needs before anything is sent.
pub(crate) fn prepare_task(context: &Context, path: &Path) -> Result<(TaskId, KeptTask), Failure> {
    let file = TaskFile::read(path)?;
    let contract = context.contract()?;
    let plan = owner::plan(context, &contract, &file)?;
    let home = context.home()?;
    let mut no_randomness = None;
    let mut salt = || {
        let mut word = [0; 32];
        if let Err(error) = getrandom::fill(&mut word) {
            no_randomness = Some(error);
        }
        word.into()
    };
    let from = contract.rpc().head()?.at.number;
    let (owner, _) = file.owner(home.address()?)?;
    let (request, kept) = prepare(&plan, owner, contract.domain(), from, &mut salt)?;
    if let Some(error) = no_randomness {
        return Err(Failure::machine(format!("no randomness: {error}")));
    }
    let task = request.id(contract.domain());
    home.keep(task, &kept)?;
    Ok((task, kept))
}

fn request(context: &Context, args: &Request) -> Result<(), Failure> {
    let own = context.home()?.address()?;
    let (owner, delegate) = TaskFile::read(&args.task)?.owner(own)?;
    if owner != own && args.sign.out.is_none() {
        return Err(Failure::usage(format!("the task's owner is {owner}, and this home's account is {own}")))
            .hint("--sign-only --out FILE writes the request for the owner to sign with `pox sign`");
    }
    let (task, kept) = prepare_task(context, &args.task)?;
    if let Some(path) = &args.handover {
        if delegate.is_none_or(|delegate| delegate == own) {
            return Err(Failure::usage("--handover is for the delegate that the task file names"));
        }
        let text = serde_json::to_vec_pretty(&kept).map_err(Failure::machine)?;
        crate::home::write_file(path, &text, 0o600, Overwrite::Never)
            .map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))?;
    }
    if let Some(path) = &args.sign.out {
        let signature = if owner == own { relay::sign(context, task.0)? } else { pox_core::Bytes::new() };
        let call = Call::RequestFor { record: kept.request()?.to_abi(), signature };
        return relay::write(context, path, task, &call);
    }
    let owner = Owner::open(context, [])?;
    let draft = owner.contract().request(&kept.request()?);
    let sent = send(&owner, &draft, task, |view| view.phase >= Phase::Requested)?;
    let result = Transaction::of(&owner, task, "request", &sent);
    context.output.result(&result, || result.text())?;
    context.output.say(format!("next: `pox approve {task} --wait 10m` once a processor has matched it"));
    Ok(())
}

pub(super) fn send(
    owner: &Owner,
    draft: &Draft,
    task: TaskId,
    is_done: impl Fn(&TaskView) -> bool,
) -> Result<Effect, Failure> {
    let contract = owner.contract();
    let mut done = || Ok(contract.task(task)?.is_some_and(|view| is_done(&view)));
    Ok(owner.outbox().ensure(draft, &Patience::default(), &mut done)?)
}

fn offers(context: &Context, args: &Offers) -> Result<(), Failure> {
    let contract = context.contract()?;
    let mut offers = owner::standing_offers(&contract, context.now())?;
    if let Some(path) = &args.r#for {
        let file = TaskFile::read(path)?;
        let plan = owner::plan(
            context,
            &contract,
            &TaskFile { price: file.price.or(Some(pox_core::Amount::ZERO)), ..file },
        )?;
        offers.retain(|(_, offer)| owner::fits(offer, &plan));
    }
    let list: Vec<_> =
        offers.iter().map(|(id, offer)| serde_json::json!({ "id": id, "offer": offer })).collect();
    context.output.result(&list, || {
        if offers.is_empty() {
            return "no offer stands".into();
        }
        let lines = offers.iter().map(|(id, offer)| {
            let kinds: Vec<_> = offer.kinds.iter().map(|kind| kind.name()).collect();
            let has = &offer.resources;
            format!(
                "{id}\n  processor {}  kinds {}  {} wei/s  bond {}\n  {} cores, {} MiB memory, {} MiB disk, {} s",
                offer.processor,
                kinds.join(" "),
                offer.price_per_second.wei(),
                offer.bond,
                f64::from(has.cpu_millis) / 1000.0,
                has.memory_mib,
                has.disk_mib,
                has.time_limit
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// The match that a task stands in.
struct Match {
    processor: Address,
    enclave: Address,
    evidence: Vec<u8>,
    requested: At,
    at: At,
}

fn current_match(history: &TaskHistory) -> Option<Match> {
    let first = history.steps.first()?;
    // Releases may follow the match; whatever else follows ends it.
    let mut steps = history.steps.iter().rev();
    let last = steps.find(|step| !matches!(step.event, Event::Released { .. }))?;
    match (&last.event, &last.carried) {
        (Event::Matched { processor, enclave, .. }, Carried::Match { evidence, .. }) => Some(Match {
            processor: *processor,
            enclave: *enclave,
            evidence: evidence.to_vec(),
            requested: first.step.at,
            at: last.step.at,
        }),
        _ => None,
    }
}

fn approve(context: &Context, args: &Approve) -> Result<(), Failure> {
    context.trust(&args.trust)?;
    let task = task_id(&args.task)?;
    let kept = owner::kept(context, task)?;
    let owner = Owner::open(context, [&kept])?;
    let owner = owner.with_own_policy(args.own_policy.as_deref())?;
    let phase = wait_for(context, &owner, task, args.wait.as_deref(), |phase| phase != Phase::Requested)?;
    if phase >= Phase::Approved {
        return Err(Failure::usage(format!("task {task} is {}", phase_name(phase))));
    }
    let found = current_match(&owner.contract().history(task)?)
        .ok_or_else(|| Failure::usage(format!("task {task} is not matched yet")))
        .hint("wait for a processor with --wait 10m")?;
    let checked = checked(context, &owner, &kept, &found)?;
    let owns = owner.owns();
    let secret = checked.release(owns.identity, owns.account, owns.access)?;
    let (request, party, enclave) = (kept.request()?, kept.party, found.enclave);
    let alone = request.releases().is_empty();
    if let Some(path) = &args.sign.out {
        let secret = secret.into();
        let call = match alone {
            true => Call::Approve { task, enclave, secret },
            false => Call::Release { record: request.to_abi(), party: party.0, enclave, secret },
        };
        return relay::write(context, path, task, &call);
    }
    let draft = owner.contract().approve(&request, party, enclave, secret.into());
    let sent = send(&owner, &draft, task, |view| relay::is_released(view, party, alone))?;
    let result = Transaction::of(&owner, task, if alone { "approve" } else { "release" }, &sent);
    context.output.result(&result, || result.text())?;
    if party != Party::OWNER {
        context
            .output
            .say(format!("next: `pox status {task} --wait 1h`, then `pox verify {task} --archive …`"));
        return Ok(());
    }
    context.output.say(format!("next: `pox status {task} --wait 1h`, then `pox open {task} --to results`"));
    Ok(())
}

fn checked<'a>(
    context: &Context,
    owner: &Owner,
    kept: &'a KeptTask,
    found: &Match,
) -> Result<CheckedMatch<'a>, Failure> {
    let owns = owner.owns();
    let seen = FoundMatch {
        processor: found.processor,
        enclave: found.enclave,
        evidence: &found.evidence,
        requested: found.requested,
        matched: found.at,
    };
    let endorsements = endorsed(&found.evidence, &Sources::default())?;
    let checked = check_match(kept, &seen, &endorsements, context.now(), owns.anchors, owns.own_policy);
    let checked = checked.map_err(|error| {
        let code = error.reject_reason();
        let failure = Failure::from(error);
        match code {
            Some(code) => failure.with_hint(format!(
                "refuse it with `pox reject … --enclave {} --reason {code}`: no secret was released",
                found.enclave
            )),
            None => failure,
        }
    })?;
    let (kind, measurement) = (checked.evidence().kind, checked.evidence().measurement);
    let warning = if kind.is_simulated() { "; NO HARDWARE PROTECTS THIS ENCLAVE" } else { "" };
    context
        .output
        .say(format!("evidence accepted by the policy: {kind}, measurement {measurement}{warning}"));
    Ok(checked)
}

fn cancel(context: &Context, args: &Cancel) -> Result<(), Failure> {
    let task = task_id(&args.task)?;
    let owner = Owner::open(context, [])?;
    let own = context.home()?.address()?;
    let whose = owner.contract().task(task)?.map_or(own, |view| view.owner);
    if let Some(path) = &args.sign.out {
        let digest = cancellation(owner.contract().domain(), task);
        let signature = if whose == own { relay::sign(context, digest)? } else { pox_core::Bytes::new() };
        return relay::write(context, path, task, &Call::CancelFor { task, signature });
    }
    if whose != own {
        return Err(Failure::usage(format!("the task's owner is {whose}, and this home's account is {own}")))
            .hint("--sign-only --out FILE writes the call for the owner to sign with `pox sign`");
    }
    end(context, &owner, task, "cancel", &owner.contract().cancel(task), Phase::Cancelled)
}

fn expire(context: &Context, args: &TaskArg) -> Result<(), Failure> {
    let task = task_id(&args.task)?;
    let owner = Owner::open(context, [])?;
    let draft = owner.contract().expire(&owner.contract().history(task)?.request);
    end(context, &owner, task, "expire", &draft, Phase::Expired)
}

fn end(
    context: &Context,
    owner: &Owner,
    task: TaskId,
    call: &'static str,
    draft: &Draft,
    to: Phase,
) -> Result<(), Failure> {
    let sent = send(owner, draft, task, |view| view.phase == to)?;
    let result = Transaction::of(owner, task, call, &sent);
    context.output.result(&result, || result.text())?;
    context.output.say("next: `pox withdraw` pays your credit out");
    Ok(())
}

fn withdraw(context: &Context) -> Result<(), Failure> {
    let owner = Owner::open(context, [])?;
    let contract = owner.contract();
    let credit = contract.credit(owner.outbox().address())?;
    if credit.is_zero() {
        return Err(Failure::usage("this account has no credit in the contract"));
    }
    let sent = owner.outbox().send(&contract.withdraw(), &Patience::default())?;
    let receipt = &sent.receipt;
    let result = serde_json::json!({
        "wei": credit.to_string(), "transaction": receipt.transaction, "block": receipt.block.number, "gas": receipt.gas_used,
    });
    context.output.result(&result, || format!("{credit} wei paid out in block {}", receipt.block.number))
}

#[derive(Debug, Serialize)]
struct Standing {
    task: TaskId,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<u64>,
    /// The one that is matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    enclave: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Batch>,
    steps: Vec<StandingStep>,
}

/// A batch that is proven.
#[derive(Debug, Serialize)]
struct Batch {
    members: u16,
    /// As far as the receipt tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<u32>,
}

impl Batch {
    fn of(history: &TaskHistory) -> Option<Self> {
        let members = history.members()?;
        let completed = history.steps.iter().find_map(|step| match &step.event {
            Event::Proven { receipt, .. } => owner::completed(receipt.outcome, receipt.exitCode, members),
            _ => None,
        });
        Some(Self { members: members.count, completed })
    }
}

#[derive(Debug, Serialize)]
struct StandingStep {
    step: &'static str,
    block: u64,
    time: u64,
    transaction: pox_core::B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

/// Sends on what waits, and says what for. A home without an account has sent nothing.
fn tend_outbox(context: &Context) -> Result<(), Failure> {
    if context.home()?.account().is_err() {
        return Ok(());
    }
    for one in context.outbox()?.tend()? {
        context.output.say(format!("outbox: {}", super::chain::described_wait(&one)));
    }
    Ok(())
}

fn status(context: &Context, args: &Status) -> Result<(), Failure> {
    tend_outbox(context)?;
    let Some(text) = &args.task else { return all(context) };
    let task = task_id(text)?;
    if args.wait.is_some() {
        let owner = Owner::open(context, [])?;
        wait_for(context, &owner, task, args.wait.as_deref(), |phase| phase >= Phase::Proven)?;
    }
    let contract = context.contract()?;
    let history = contract.history(task)?;
    let phase = history.view.phase;
    let match_by = (phase == Phase::Requested).then_some(history.request.match_by);
    let standing = Standing {
        task,
        phase: phase_name(phase),
        deadline: match_by.or(history.view.deadline).map(|deadline| deadline.0),
        enclave: history.view.enclave,
        batch: Batch::of(&history),
        steps: history
            .steps
            .iter()
            .map(|step| StandingStep {
                step: step_name(step.step.code),
                block: step.place.block.number,
                time: step.place.time.0,
                transaction: step.place.transaction,
                page: page_of(&contract, step.place.transaction),
            })
            .collect(),
    };
    context.output.result(&standing, || {
        let mut text = format!("task {task}\nphase {}", standing.phase);
        if let Some(deadline) = standing.deadline {
            text = format!("{text}, until {}", crate::page::utc(UnixTime(deadline)));
        }
        if let Some(enclave) = standing.enclave {
            text = format!("{text}\nenclave {enclave}");
        }
        if let Some(Batch { members, completed }) = &standing.batch {
            let completed = completed.map(|count| format!(", {count} of them completed")).unwrap_or_default();
            text = format!("{text}\nbatch of {members} members{completed}");
        }
        for step in &standing.steps {
            let (name, time) = (step.step, crate::page::utc(UnixTime(step.time)));
            text = format!("{text}\n  {name:<8} {time}  block {:<8} {}", step.block, step.transaction);
            if let Some(page) = &step.page {
                text = format!("{text}\n           {page}");
            }
        }
        text
    })
}

fn all(context: &Context) -> Result<(), Failure> {
    let contract = context.contract()?;
    let mut list = Vec::new();
    for task in context.home()?.tasks()? {
        let phase = contract.task(task)?.map_or("not on this chain", |view| phase_name(view.phase));
        list.push((task, phase));
    }
    let rows: Vec<_> =
        list.iter().map(|(task, phase)| serde_json::json!({ "task": task, "phase": phase })).collect();
    context.output.result(&rows, || match list.is_empty() {
        true => "no task was requested from this home".into(),
        false => list.iter().map(|(task, phase)| format!("{task}  {phase}")).collect::<Vec<_>>().join("\n"),
    })
}

fn proof(context: &Context, args: &Proof) -> Result<(), Failure> {
    let task = task_id(&args.task)?;
    let disclosure = match args.disclose.as_slice() {
        [] => Disclosure::All,
        [one] if one == "all" => Disclosure::All,
        [one] if one == "none" => Disclosure::Nothing,
        names => Disclosure::Only(names.to_vec()),
    };
    let shows = match args.chain_proof {
        ChainProof::Auto => Shows::Auto,
        ChainProof::State => Shows::State,
        ChainProof::Receipts => Shows::Receipts,
    };
    let open_args = if args.open_args { OpenArgs::Yes } else { OpenArgs::No };
    let member = args.member.map(|number| (number, open_args));
    let shown = Shown { disclosure: &disclosure, chain: shows, member };
    let proof = owner::collect_showing(context, task, args.archive.as_deref(), &shown)?;
    write_proof(&args.output, &proof.to_bytes())?;
    let size = proof.to_bytes().len();
    let result = serde_json::json!({ "task": task, "proof": args.output, "bytes": size });
    context.output.result(&result, || format!("{} ({size} bytes)", args.output.display()))?;
    context
        .output
        .say(format!("next: `pox verify {}`; anyone can, without account or network", args.output.display()));
    Ok(())
}

/// Writes a proof file whole or not at all.
pub(crate) fn write_proof(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    crate::home::write_file(path, bytes, 0o644, Overwrite::Replace)
        .map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))
}

/// Waits until a task's phase is one that is waited for.
fn wait_for(
    context: &Context,
    owner: &Owner,
    task: TaskId,
    most: Option<&str>,
    arrived: impl Fn(Phase) -> bool,
) -> Result<Phase, Failure> {
    let most = most.map(str::parse::<Seconds>).transpose()?;
    let end = most.map(|most| Instant::now() + Duration::from_secs(most.0));
    let mut said = false;
    loop {
        let phase = owner.contract().task(task)?.map(|view| view.phase);
        let phase = phase.ok_or_else(|| Failure::usage(format!("there is no task {task}")))?;
        if arrived(phase) || end.is_none() {
            return Ok(phase);
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            let error = format!("task {task} is still {}", phase_name(phase));
            return Err(Failure::new(Culprit::Counterparty, error))
                .hint("wait longer, or look at `pox status`");
        }
        if !said {
            context.output.say(format!("task {task} is {}; waiting", phase_name(phase)));
            said = true;
        }
        sleep(POLL);
    }
}

/// The word for a phase.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::None => "unknown",
        Phase::Requested => "requested",
        Phase::Matched => "matched",
        Phase::Approved => "approved",
        Phase::Proven => "proven",
        Phase::Cancelled => "cancelled",
        Phase::Expired => "expired",
    }
}

fn step_name(code: u8) -> &'static str {
    match code {
        1 => "request",
        2 => "match",
        3 => "reject",
        4 => "approve",
        5 => "prove",
        6 => "cancel",
        7 => "expire",
        8 => "release",
        _ => "prove many",
    }
}

/// How often a waiting command looks: faster than any chain makes blocks, slower than any endpoint minds.
const POLL: Duration = Duration::from_millis(500);
