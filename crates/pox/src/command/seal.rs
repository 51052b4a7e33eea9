//! `pox seal`: a file or folder becomes a sealed dataset.

use super::crypt4gh;
use crate::cli::{Format, Seal};
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::progress::ByteProgress;
use crate::unfinished::Unfinished;
use crate::{locate, sealed};
use pox_core::DatasetCommitment;
use pox_seal::dataset::{Begun, SealError, SealedDataset, Sealing, seal_resumable};
use pox_seal::engine::Team;
use pox_seal::{IdentityKind, OsRandom, Recipient};
use pox_store::{Location, Store};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
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
        let failure = failure.about(location);
        let waits = unfinished.dataset();
        return Err(failure.with_next(format!(
            "the sealed dataset waits in {}; run the same command again, and it goes on from there",
            waits.display()
        )));
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
    let location = sealed::add(context, &unfinished.dataset())?;
    unfinished.finish();
    Ok((made, location))
}

/// The place where a dataset waits until it is stored, and what is whole there.
fn unfinished(
    context: &Context,
    args: &Seal,
    recipients: &[Recipient],
    to: &str,
) -> Result<(Unfinished, Option<SealedDataset>), Failure> {
    let inputs: Vec<&Path> = args.paths.iter().map(PathBuf::as_path).collect();
    let form = format!("{:?} {:?}", args.format, args.recipient_c4gh);
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
            "commitment  {}\nlocation    {}\ncontent     {} entries, {} bytes\n",
            self.commitment, self.location, self.entries, self.bytes
        );
        for object in &self.objects {
            text.push_str(&format!(
                "object      {}, {} bytes, BLAKE3 {}\n",
                object.name, object.bytes, object.blake3
            ));
        }
        text
    }
}

/// How much work an interruption may cost. Each note waits for the disk.
const EVERY: Duration = Duration::from_secs(5);
