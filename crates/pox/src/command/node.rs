//! `pox node`: a processor at work.

use super::devnet::stop_signal;
use crate::cli::{GuestTee, Node, NodeArchive, NodeCommand, NodeMachine};
use crate::context::Context;
use crate::embedded;
use crate::error::{Failure, Hint as _};
use crate::home::{Overwrite, write_file};
use crate::output::Output;
use crate::page;
use crate::quantity::{Bytes, Seconds, tasks};
use crate::task_file::cpu_millis;
use pox_chain::Patience;
use pox_core::channel::Stage;
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Outcome;
use pox_core::role::processor::{Ending, Policy};
use pox_core::tree::{list_path, list_root};
use pox_core::{Address, Amount, B256, Kinds, ListRoot, Offer, Resources, Salt, TaskId, UnixTime};
use pox_guest::image::GuestImage;
use pox_node::doctor::{Emulator, Tee, examine};
use pox_node::endorsements::Sources;
use pox_node::host::Storage;
use pox_node::service::{Equipment, Note, Service};
use pox_node::{Guest, GuestHost, Journal, Platform, Program, Runtime};
use pox_store::Access;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

pub(crate) fn run(context: &Context, args: &Node) -> Result<(), Failure> {
    match &args.command {
        Some(NodeCommand::Doctor) => return doctor(context),
        Some(NodeCommand::Archive(args)) => return archive(context, args),
        None => {}
    }
    let stop = stop_signal()?;
    let mut ended = 0u64;
    let output = context.output;
    serve(context, args, &stop, &mut |task, note| {
        if matches!(note, Note::Done(_)) {
            ended += 1;
        }
        tell(&output, task, &note);
        args.stop_after.is_none_or(|most| ended < most)
    })?;
    context.output.result(&serde_json::json!({ "ended": ended }), || format!("{} ended", tasks(ended)))
}

/// Looks at this machine, and changes nothing on it.
fn doctor(context: &Context) -> Result<(), Failure> {
    let diagnosis = examine(Path::new("/"), Emulator::find().as_ref());
    context.output.result(&diagnosis, || page::diagnosis(&diagnosis))
}

/// Gives an owner what only this node has, if it is gone from beside the results.
fn archive(context: &Context, args: &NodeArchive) -> Result<(), Failure> {
    let task = crate::owner::task_id(&args.task)?;
    let path = journal_path(context)?;
    if !path.exists() {
        return Err(Failure::usage("no node has served from this home")).hint("name its home with --home");
    }
    let journal = Journal::open(&path).map_err(Failure::from).hint("stop the node for a moment")?;
    let archive = journal.archive(task)?;
    let archive = archive.ok_or_else(|| Failure::usage(format!("this node has proven no task {task}")))?;
    let to = args.to.join("ARCHIVE");
    let failed = |error| Failure::machine(format!("cannot write {}: {error}", to.display()));
    std::fs::create_dir_all(&args.to).map_err(failed)?;
    write_file(&to, &archive, 0o644, Overwrite::Never).map_err(failed)?;
    let result = serde_json::json!({ "task": task, "archive": to, "bytes": archive.len() });
    context.output.result(&result, || to.display().to_string())
}

fn journal_path(context: &Context) -> Result<PathBuf, Failure> {
    Ok(context.home()?.path("node").join("journal.redb"))
}

/// Serves until a signal comes, or `watch` says that it is enough.
pub(crate) fn serve(
    context: &Context,
    args: &Node,
    stop: &Receiver<()>,
    watch: &mut dyn FnMut(Option<TaskId>, Note) -> bool,
) -> Result<(), Failure> {
    let enough = Cell::new(false);
    let mut told = |task: Option<TaskId>, note: Note| enough.set(!watch(task, note) || enough.get());
    let mut service = start(context, args, &mut told)?;
    loop {
        service.step(&mut told)?;
        service.wait(POLL, &mut told)?;
        match stop.try_recv() {
            Err(TryRecvError::Empty) if !enough.get() => {}
            _ => return Ok(()),
        }
    }
}

fn start(
    context: &Context,
    args: &Node,
    watch: &mut dyn FnMut(Option<TaskId>, Note),
) -> Result<Service, Failure> {
    let folder = context.home()?.path("node");
    let spool = folder.join("spool");
    std::fs::create_dir_all(&spool)
        .map_err(|error| Failure::machine(format!("{}: {error}", spool.display())))?;
    // What this machine can't do is said before anything is asked of a chain.
    let runtime = runtime(args, &folder)?;
    let outbox = context.outbox()?;
    let account = outbox.address();
    let journal = Journal::open(&journal_path(context)?)
        .map_err(Failure::from)
        .hint("one node at a time uses a home")?;
    let kind = runtime.kind();
    let offer = offer(context, args, account, kind)?;
    // Twice what the offer has room for: nothing larger can be opened, or come out.
    let room = u64::from(offer.resources.disk_mib) << 21;
    let mut access = context.global.ask_ipfs(access(args)?);
    access.max_object = room.max(MAX_IMAGE_ARCHIVE);
    let storage = Storage { access, spool, max_upload: room };
    let contract = context.contract()?;
    let endorser = Arc::new(Sources::default());
    let patience = Patience::for_a_turn();
    let equipment = Equipment { contract, outbox, runtime, storage, endorser, journal, patience };
    let policy = policy(account, args.tasks, kind, lists(&args.list, account)?);
    Ok(Service::start(equipment, policy, offer, watch)?)
}

/// The runtime in the home that was asked for.
fn runtime(args: &Node, folder: &Path) -> Result<Runtime, Failure> {
    let failed = |error| Failure::machine(format!("cannot install the runtime: {error}"));
    let Some(guest) = &args.machine.guest else {
        return Ok(Runtime::Process(Program::install(embedded::RUNTIME, folder).map_err(failed)?));
    };
    let emulator = match &args.machine.qemu {
        Some(program) => program.clone(),
        None => {
            pox_node::emulator().map_err(Failure::machine).hint("in Debian the package is qemu-system-x86")?
        }
    };
    let platform = platform(&args.machine, &emulator)?;
    let image =
        GuestImage::open(guest).map_err(Failure::usage).hint("`pox guest build` makes such a folder")?;
    let room_mib = args.machine.guest_room.parse::<Bytes>()?.to_mib()?;
    let guest = Guest::install(&image, folder, GuestHost { emulator, platform, room_mib })
        .map_err(|error| Failure::machine(format!("cannot install the guest: {error}")))?;
    Ok(Runtime::Vm(guest))
}

/// What guests run on, as it was asked for and never anything else.
fn platform(args: &NodeMachine, emulator: &Path) -> Result<Platform, Failure> {
    let kind = match args.tee {
        GuestTee::Tdx => EvidenceKind::Tdx,
        GuestTee::Snp => EvidenceKind::Snp,
        GuestTee::VmSim => return Ok(Platform::Emulated),
    };
    let emulator = Emulator::ask(emulator)
        .map_err(|error| Failure::machine(format!("{}: {error}", emulator.display())))?;
    if let Some(check) = examine(Path::new("/"), Some(&emulator)).tee(kind).and_then(Tee::missing) {
        let error =
            format!("this machine can't launch guests of kind {kind}: {}: {}", check.what, check.seen);
        let next = check.next.unwrap_or_default();
        return Err(Failure::machine(error))
            .hint(format!("{next}; `pox node doctor` says all that is missing"));
    }
    let firmware = args
        .firmware
        .clone()
        .ok_or_else(|| Failure::usage(format!("guests of kind {kind} need firmware, which the TEE measures")))
        .hint("name it with --firmware; docs/guest.md says which")?;
    Ok(match args.tee {
        GuestTee::Tdx => Platform::Tdx { firmware, quote_service_port: args.tdx_quote_port },
        _ => Platform::Snp { firmware, cpu: args.snp_cpu.clone(), encryption_bit: args.snp_encryption_bit },
    })
}

fn offer(context: &Context, args: &Node, processor: Address, kind: EvidenceKind) -> Result<Offer, Failure> {
    let amount = |wei| {
        Amount::from_wei(wei)
            .ok_or_else(|| Failure::usage(format!("{wei} wei is more than a record can hold")))
    };
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(Failure::machine)?;
    Ok(Offer {
        processor,
        kinds: kind.bit(),
        resources: Resources {
            cpu_millis: cpu_millis(args.cpus)
                .ok_or_else(|| Failure::usage("--cpus must be between 0.01 and 65536"))?,
            memory_mib: args.memory.parse::<Bytes>()?.to_mib()?,
            disk_mib: args.disk.parse::<Bytes>()?.to_mib()?,
            time_limit: args.time.parse::<Seconds>()?.to_u32()?,
        },
        price_per_second: amount(args.price)?,
        bond: amount(args.bond)?,
        valid_until: UnixTime(context.now().0.saturating_add(args.valid.parse::<Seconds>()?.0)),
        salt: Salt::from(salt),
    })
}

fn access(args: &Node) -> Result<Access, Failure> {
    let mut access = Access::default();
    for folder in &args.allow_dir {
        access = access.allow_root(folder);
    }
    for host in &args.allow_host {
        access =
            access.allow_host(host.parse().map_err(|error| Failure::usage(error).about("--allow-host"))?);
    }
    Ok(access)
}

/// The lists of these files that the account is on, with its path in each.
fn lists(files: &[PathBuf], account: Address) -> Result<BTreeMap<ListRoot, Vec<B256>>, Failure> {
    let mut lists = BTreeMap::new();
    for path in files {
        let text = crate::locate::read_bounded(path, MAX_LIST_BYTES)?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let accounts = lines.map(crate::context::address).collect::<Result<BTreeSet<_>, _>>();
        let accounts = accounts.map_err(|failure| failure.about(path.display()))?;
        let entry = list_root(&accounts).zip(list_path(&accounts, account));
        let (root, path) = entry
            .ok_or_else(|| Failure::usage(format!("{} does not name {account}", path.display())))
            .hint("a list has one account per line; this processor's is shown by `pox key show`")?;
        lists.insert(root, path);
    }
    Ok(lists)
}

/// Tens of thousands of accounts.
const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;

fn policy(
    account: Address,
    slots: usize,
    kind: EvidenceKind,
    lists: BTreeMap<ListRoot, Vec<B256>>,
) -> Policy {
    Policy {
        lists,
        account,
        slots,
        confirmations: 1,
        again_after: 15,
        // Emulated machines take their time, and large ones on hardware.
        boot_time: if kind == EvidenceKind::Simulated { 30 } else { 180 },
        overhead: 60,
        // Long enough that another processor's match is usually seen first, short enough for a person who waits.
        max_delay: 3,
        grace: 600,
        launches: 3,
    }
}

/// One line about what happens.
pub(crate) fn tell(output: &Output, task: Option<TaskId>, note: &Note) {
    let about = task.map_or_else(String::new, |task| format!("{} ", short(task)));
    let text = match note {
        Note::Offering { offer, kinds, renewed: true } => format!("offering {offer}: {}", enclaves(*kinds)),
        Note::Offering { offer, kinds, .. } => {
            format!("the offer still stands: {offer}; {}", enclaves(*kinds))
        }
        Note::Sent { call, hash, block, gas } => format!("{call:<9}{hash} in block {block}, {gas} gas"),
        Note::Booting(kind) => format!("booting an enclave of kind {kind}"),
        Note::Ready(enclave) => format!("enclave {enclave} has its keys"),
        Note::Stage(stage) => stage_name(*stage).into(),
        Note::Done(ending) => format!("done: {}", ending_name(*ending)),
        Note::Waiting(text) => format!("outbox: {text}"),
        Note::Trouble(text) => format!("trouble: {text}"),
    };
    output.say(format!("{about}{text}"));
}

fn enclaves(kinds: Kinds) -> String {
    let names: Vec<_> = kinds.iter().map(EvidenceKind::name).collect();
    let warning = if kinds.iter().any(EvidenceKind::is_simulated) {
        "SIMULATED enclaves, no hardware protects them"
    } else {
        "enclaves that hardware protects"
    };
    format!("{warning} ({})", names.join(", "))
}

fn short(task: TaskId) -> String {
    task.to_string().chars().take(10).collect()
}

pub(crate) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Image => "the enclave fetches and checks the image",
        Stage::Inputs => "the enclave fetches, checks and opens the inputs",
        Stage::Running => "the task runs in its sandbox",
        Stage::Results => "the enclave seals and delivers the results",
    }
}

fn ending_name(ending: Ending) -> String {
    match ending {
        Ending::Proven(outcome) => Outcome::try_from(outcome)
            .map_or_else(|error| error.to_string(), |outcome| format!("proven, outcome {outcome}")),
        Ending::Rejected => "the owner rejected the evidence; the bond is back".into(),
        Ending::Unanswered => "the owner did not answer; the bond is back".into(),
        Ending::BondLost => "not proven in time; the bond is lost".into(),
        Ending::NotOurs => "not ours".into(),
        Ending::NoEnclave => "no enclave would launch".into(),
    }
}

/// The host unpacks an image archive that an owner names into a temporary file, whatever the task's disk.
const MAX_IMAGE_ARCHIVE: u64 = 16 << 30;
const POLL: Duration = Duration::from_millis(300);
