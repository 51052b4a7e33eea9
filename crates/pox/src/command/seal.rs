//! `pox seal`: a file or folder becomes a sealed dataset.

use super::crypt4gh;
use crate::cli::{Format, Seal};
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::progress::ByteProgress;
use crate::quantity::entries;
use crate::unfinished::Unfinished;
use crate::{locate, sealed};
use pox_core::DatasetCommitment;
use pox_seal::dataset::{
    Begun, Digests, DirectorySink, EntryPath, Meta, SealError, SealedDataset, Sealing, seal_resumable,
    seal_stream,
};
use pox_seal::engine::Team;
use pox_seal::{IdentityKind, OsRandom, Recipient};
use pox_store::{Location, Store};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

#[derive(Serialize)]
pub(super) struct Sealed {
    commitment: DatasetCommitment,
    location: String,
    entries: u64,
    /// Bytes before sealing.
    bytes: u64,
    objects: Vec<Object>,
    recipients: Vec<String>,
}

#[derive(Serialize)]
struct Object {
    name: String,
    blake3: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    key_commitment: String,
    bytes: u64,
}

pub(crate) fn run(context: &Context, args: &Seal) -> Result<(), Failure> {
    pox_seal::forbid_dumps().map_err(Failure::machine)?;
    if args.format == Format::Age && !args.recipient_c4gh.is_empty() {
        return Err(Failure::usage("--recipient-c4gh is for Crypt4GH files"))
            .hint("add --format crypt4gh, or name age recipients with --recipient");
    }
    let recipients = recipients(context, &args.recipient)?;
    let (made, location) = if sealed::is_node(&args.to) {
        seal_and_add(context, args, &recipients)?
    } else {
        let to = locate::folder(&args.to, Path::new("."))?;
        let location: Location = to.parse().map_err(Failure::usage)?;
        let made = match location.directory() {
            Some(folder) => seal_into(context, args, &recipients, folder)?,
            None => seal_and_store(context, args, &recipients, &location)?,
        };
        (made, location)
    };
    let result = Sealed::new(&made, location.to_string(), &recipients);
    context.output.result(&result, || result.text())?;
    if args.format == Format::Crypt4gh {
        context.output.say(
            "Crypt4GH uses X25519 alone: who keeps a copy can open it when quantum computers break that",
        );
    } else if recipients.iter().any(|recipient| recipient.kind() == IdentityKind::X25519) {
        context.output.say(
            "a recipient uses X25519 alone: who keeps a copy can open it when quantum computers break that",
        );
    }
    context.output.say(format!(
        "next: name it in a task file, as in `inputs: {{data: {}}}`",
        shown_place(args, &result.location)
    ));
    Ok(())
}

/// As it was typed, unless only we know it.
fn shown_place<'a>(args: &'a Seal, location: &'a str) -> &'a str {
    if sealed::is_node(&args.to) { location } else { &args.to }
}

fn seal_into(
    context: &Context,
    args: &Seal,
    recipients: &[Recipient],
    folder: &Path,
) -> Result<SealedDataset, Failure> {
    let is_stream = is_stream(args)?;
    if args.format == Format::Crypt4gh && (is_stream || args.sha256) {
        return Err(Failure::usage("Crypt4GH is for files, and is listed by BLAKE3 only"))
            .hint("leave out --sha256, and write what is piped in to a file first; or leave out --format");
    }
    if is_stream {
        return seal_input(context, args, recipients, folder);
    }
    let inputs: Vec<&Path> = args.paths.iter().map(PathBuf::as_path).collect();
    // A folder's size would cost a walk of its own; a missing path fails below, by name.
    let size = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
    let total = inputs.iter().map(|path| size(path)).sum::<Option<u64>>().unwrap_or(0);
    if args.format == Format::Crypt4gh {
        return crypt4gh::seal_into(context, args, recipients, folder, total);
    }
    let identities = [context.home()?.identity()?];
    let sealing = Sealing {
        inputs: &inputs,
        recipients,
        identities: &identities,
        directory: folder,
        digests: digests(args),
        every: EVERY,
        team: Team::of_machine(),
    };
    let progress = ByteProgress::start(&context.output, "sealing", total);
    let mut begun = |begun: Begun| match begun {
        Begun::Anew => {}
        Begun::Resumed { bytes } => {
            progress.starts_at(bytes);
            context.output.say(format!("going on where sealing was interrupted, behind {bytes} bytes"));
        }
        Begun::Restarted => context.output.say(
            "an earlier sealing was interrupted and can't be gone on with: beginning anew, with new keys",
        ),
    };
    let made = seal_resumable(&sealing, &mut OsRandom, &mut begun, &mut |bytes| progress.at(bytes));
    made.map_err(|error| match error {
        SealError::Sink(error) if error.kind() == io::ErrorKind::StorageFull => {
            Failure::machine(format!("cannot write {}: {error}", folder.display()))
                .with_hint("make room and run the same command again: it goes on where it was")
        }
        error => cannot_make(folder, error),
    })
}

/// Seals what comes through standard input; that can't be gone on with, since it can't be read again.
fn seal_input(
    context: &Context,
    args: &Seal,
    recipients: &[Recipient],
    folder: &Path,
) -> Result<SealedDataset, Failure> {
    let name = args.name.clone().unwrap_or_default();
    let path = EntryPath::new(name.into_bytes())
        .map_err(|error| Failure::usage(error).about("--name"))
        .hint("--name is what the file is called in the dataset, such as data.tar")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::machine)?;
    let meta = Meta { mode: 0o644, seconds: now.as_secs() as i64, nanoseconds: 0 };
    let mut sink =
        DirectorySink::create(folder).map_err(|error| cannot_make(folder, SealError::Sink(error)))?;
    let progress = ByteProgress::start(&context.output, "sealing", 0);
    let made = seal_stream(
        &mut io::stdin().lock(),
        (path, meta),
        recipients,
        digests(args),
        &mut sink,
        &mut OsRandom,
        &mut |bytes| progress.at(bytes),
    );
    made.map_err(|error| cannot_make(folder, error))
}

/// Whether standard input is to be sealed.
fn is_stream(args: &Seal) -> Result<bool, Failure> {
    let is_named = args.paths.iter().any(|path| path.as_os_str() == "-");
    match (is_named, args.paths.len(), &args.name) {
        (true, 1, Some(_)) if io::stdin().is_terminal() => {
            Err(Failure::usage("standard input is a terminal")).hint("`-` seals what is piped in")
        }
        (true, 1, Some(_)) => Ok(true),
        (true, 1, None) => Err(Failure::usage("what comes through standard input has no name"))
            .hint("--name is what the file is called in the dataset, such as data.tar"),
        (true, ..) => Err(Failure::usage("standard input can't be sealed together with files"))
            .hint("write ./- for a file of that name"),
        (false, _, Some(_)) => {
            Err(Failure::usage("--name is for standard input")).hint("files keep their names")
        }
        (false, _, None) => Ok(false),
    }
}

fn digests(args: &Seal) -> Digests {
    if args.sha256 { Digests::Sha256Beside } else { Digests::Blake3 }
}

/// Names the folder if the failure is about it.
pub(super) fn cannot_make(folder: &Path, error: SealError) -> Failure {
    match error {
        SealError::Sink(error)
            if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) =>
        {
            Failure::usage(format!("cannot make {}: {error}", folder.display()))
                .with_hint("--to names a new folder, in one that is there and can be written to")
        }
        error => error.into(),
    }
}

fn seal_and_store(
    context: &Context,
    args: &Seal,
    recipients: &[Recipient],
    location: &Location,
) -> Result<SealedDataset, Failure> {
    let store = Store::open(location, &context.access([&*location.to_string()]))
        .map_err(|error| Failure::from(error).about(location))?;
    let (mut unfinished, found) = unfinished(context, args, recipients, &location.to_string())?;
    match &found {
        Some(made)
            if sealed::is_stored(&store, &unfinished.dataset())
                .map_err(|failure| failure.about(location))? =>
        {
            let made = made.clone();
            unfinished.finish();
            return Ok(made);
        }
        _ => sealed::check_free(&store, location).inspect_err(|_| unfinished.leave())?,
    }
    let made = seal_unfinished(context, args, recipients, &mut unfinished, found)?;
    if let Err(failure) = sealed::upload(context, &made, &mut unfinished, &store) {
        return Err(failure.about(location).with_next(next(args, &unfinished, &location.to_string())));
    }
    unfinished.finish();
    Ok(made)
}

fn seal_and_add(
    context: &Context,
    args: &Seal,
    recipients: &[Recipient],
) -> Result<(SealedDataset, Location), Failure> {
    let (mut unfinished, found) = unfinished(context, args, recipients, "ipfs:")?;
    let made = seal_unfinished(context, args, recipients, &mut unfinished, found)?;
    let location = sealed::add(context, &unfinished.dataset())
        .map_err(|failure| failure.with_next(next(args, &unfinished, "ipfs:")))?;
    unfinished.finish();
    Ok((made, location))
}

/// How to go on with a dataset that was sealed and not stored.
fn next(args: &Seal, unfinished: &Unfinished, to: &str) -> String {
    let waits = unfinished.dataset().display().to_string();
    match args.name {
        Some(_) => format!("the sealed dataset is in {waits}; go on with `pox copy {waits} {to}`"),
        None => format!(
            "the sealed dataset waits in {waits}; run the same command again, and it goes on from there"
        ),
    }
}

/// The place where a dataset waits until it is stored, and what is whole there.
fn unfinished(
    context: &Context,
    args: &Seal,
    recipients: &[Recipient],
    to: &str,
) -> Result<(Unfinished, Option<SealedDataset>), Failure> {
    let mut form = format!("{:?} {:?} {:?}", args.format, args.recipient_c4gh, args.sha256);
    let mut inputs: Vec<&Path> = args.paths.iter().map(PathBuf::as_path).collect();
    if is_stream(args)? {
        // It can't be read again: no other process goes on with it.
        let mut once = [0; 16];
        getrandom::fill(&mut once).map_err(Failure::machine)?;
        form = hex::encode(once);
        inputs.clear();
    }
    let mut unfinished = Unfinished::open(&inputs, recipients, to, &form)?;
    let found = unfinished.sealed()?;
    if found.is_some() {
        context.output.say("this was sealed before, and storing it was interrupted: going on with that");
    }
    Ok((unfinished, found))
}

fn seal_unfinished(
    context: &Context,
    args: &Seal,
    recipients: &[Recipient],
    unfinished: &mut Unfinished,
    found: Option<SealedDataset>,
) -> Result<SealedDataset, Failure> {
    if let Some(made) = found {
        return Ok(made);
    }
    let made = seal_into(context, args, recipients, &unfinished.dataset());
    match made {
        Ok(made) => unfinished.note_sealed(&made).map(|()| made),
        Err(failure) => {
            unfinished.leave();
            Err(failure)
        }
    }
}

pub(super) fn recipients(context: &Context, further: &[String]) -> Result<Vec<Recipient>, Failure> {
    let mut recipients = vec![context.home()?.recipient()?];
    for text in further {
        let recipient: Recipient = text
            .parse()
            .map_err(|error| Failure::usage(error).about(format!("recipient {text:?}")))
            .hint("`pox key show` prints one, `age-keygen -y` too")?;
        if !recipients.contains(&recipient) {
            recipients.push(recipient);
        }
    }
    Ok(recipients)
}

fn objects(made: &SealedDataset) -> Vec<Object> {
    made.objects
        .iter()
        .map(|object| Object {
            name: object.name.as_str().to_owned(),
            blake3: object.digest.to_string(),
            sha256: object.sha256.map(hex::encode),
            key_commitment: object.key_commitment.to_string(),
            bytes: object.len,
        })
        .collect()
}

impl Sealed {
    pub(super) fn new(made: &SealedDataset, location: String, recipients: &[Recipient]) -> Self {
        Self {
            commitment: sealed::to_core(made.commitment),
            location,
            entries: made.entries,
            bytes: made.bytes,
            objects: objects(made),
            recipients: recipients.iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "commitment  {}\nlocation    {}\ncontent     {}, {} bytes\n",
            self.commitment,
            self.location,
            entries(self.entries),
            self.bytes
        );
        for object in &self.objects {
            text.push_str(&format!(
                "object      {}, {} bytes, BLAKE3 {}\n",
                object.name, object.bytes, object.blake3
            ));
            if let Some(sha256) = &object.sha256 {
                text.push_str(&format!("            SHA-256 {sha256}\n"));
            }
        }
        text
    }
}

/// How much work an interruption may cost. Each note waits for the disk.
const EVERY: Duration = Duration::from_secs(5);
