//! `pox seal`: a file or folder becomes a sealed dataset.

use crate::cli::Seal;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::progress::ByteProgress;
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
struct Sealed {
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
    let result = Sealed {
        commitment: sealed::to_core(made.commitment),
        location: location.to_string(),
        entries: made.entries,
        bytes: made.bytes,
        objects: objects(&made),
        recipients: recipients.iter().map(ToString::to_string).collect(),
    };
    context.output.result(&result, || text(&result))?;
    if recipients.iter().any(|recipient| recipient.kind() == IdentityKind::X25519) {
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
    if is_stream(args)? {
        return seal_input(context, args, recipients, folder);
    }
    let inputs: Vec<&Path> = args.paths.iter().map(PathBuf::as_path).collect();
    // A folder's size would cost a walk of its own; a missing path fails below, by name.
    let size = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
    let total = inputs.iter().map(|path| size(path)).sum::<Option<u64>>().unwrap_or(0);
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
    made.map_err(|error| failure(error, folder))
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
    let mut sink = DirectorySink::create(folder).map_err(|error| failure(SealError::Sink(error), folder))?;
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
    made.map_err(|error| failure(error, folder))
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

fn failure(error: SealError, folder: &Path) -> Failure {
    match error {
        SealError::Sink(error)
            if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) =>
        {
            Failure::usage(format!("cannot make {}: {error}", folder.display()))
                .with_hint("--to names a new folder, in one that is there and can be written to")
        }
        SealError::Sink(error) if error.kind() == io::ErrorKind::StorageFull => {
            Failure::machine(format!("cannot write {}: {error}", folder.display()))
                .with_hint("make room and run the same command again: it goes on where it was")
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
    sealed::check_free(&store, location)?;
    let scratch = scratch()?;
    let folder = scratch.path().join("dataset");
    let made = seal_into(context, args, recipients, &folder)?;
    if let Err(failure) = sealed::upload(context, &made, &folder, &store) {
        // Sealed anew it would be other bytes, of which nothing that was stored could be used.
        let kept = scratch.keep().join("dataset");
        let failure = failure.about(location);
        return Err(failure.with_next(format!(
            "the sealed dataset is in {}; go on with `pox copy {} {location}`",
            kept.display(),
            kept.display()
        )));
    }
    Ok(made)
}

fn seal_and_add(
    context: &Context,
    args: &Seal,
    recipients: &[Recipient],
) -> Result<(SealedDataset, Location), Failure> {
    let scratch = scratch()?;
    let folder = scratch.path().join("dataset");
    let made = seal_into(context, args, recipients, &folder)?;
    let location = sealed::add(context, &folder)?;
    Ok((made, location))
}

fn scratch() -> Result<tempfile::TempDir, Failure> {
    tempfile::tempdir()
        .map_err(|error| Failure::machine(format!("cannot make a temporary folder: {error}")))
        .hint(sealed::SCRATCH_HINT)
}

fn recipients(context: &Context, further: &[String]) -> Result<Vec<Recipient>, Failure> {
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

fn text(sealed: &Sealed) -> String {
    let mut text = format!(
        "commitment  {}\nlocation    {}\ncontent     {} entries, {} bytes\n",
        sealed.commitment, sealed.location, sealed.entries, sealed.bytes
    );
    for object in &sealed.objects {
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

/// How much work an interruption may cost. Each note waits for the disk.
const EVERY: Duration = Duration::from_secs(5);
