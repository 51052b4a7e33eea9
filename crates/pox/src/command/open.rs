//! `pox open`: what is in a sealed dataset, or came out of a task.

use super::{crypt4gh, part};
use crate::cli::Open;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::quantity::entries;
use crate::{locate, owner, sealed};
use pox_core::{DatasetCommitment, TaskId};
use pox_seal::dataset::Kind;
use pox_store::Location;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

#[derive(Serialize)]
struct Opened {
    commitment: DatasetCommitment,
    to: String,
    kind: &'static str,
    entries: u64,
    bytes: u64,
}

pub(crate) fn run(context: &Context, args: &Open) -> Result<ExitCode, Failure> {
    pox_seal::forbid_dumps().map_err(Failure::machine)?;
    if !part::is_standard_output(&args.to) && args.to.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!("{} exists already", args.to.display())))
            .hint("nothing is overwritten: name another place with --to");
    }
    if crypt4gh::is_file(Path::new(&args.source)) {
        return crypt4gh::open(context, args).map(|()| ExitCode::SUCCESS);
    }
    if !args.identity.is_empty() {
        return Err(Failure::usage("--identity is for Crypt4GH files"))
            .hint("datasets and results open with this home's identity: see --home");
    }
    match args.source.parse::<TaskId>() {
        Ok(_) if args.commitment.is_some() => Err(Failure::usage("--commitment is for datasets"))
            .hint("a task's results are always checked against its receipt"),
        Ok(_) if !args.file.is_empty() || part::is_standard_output(&args.to) => {
            Err(Failure::usage("a task's results are opened whole, into a folder"))
                .hint("name the folder or URL of the sealed results instead of the task")
        }
        Ok(task) => {
            owner::open_results(context, task, &args.to, args.member).map(|()| ExitCode::SUCCESS)
        }
        Err(_) if args.member.is_some() => Err(Failure::usage("--member is for tasks"))
            .hint("a member's sealed results are a dataset of their own, in the folder of its number: `pox open RESULTS/N`"),
        Err(_) => {
            let (location, commitment) = dataset(context, &args.source, args.commitment.as_deref())?;
            match part::is_standard_output(&args.to) || !args.file.is_empty() {
                true => part::run(context, args, &location, commitment),
                false => whole(context, args, &location, commitment).map(|()| ExitCode::SUCCESS),
            }
        }
    }
}

fn whole(
    context: &Context,
    args: &Open,
    location: &Location,
    commitment: DatasetCommitment,
) -> Result<(), Failure> {
    let found = sealed::open(context, location, commitment, &args.to)?;
    let opened = Opened {
        commitment,
        to: args.to.display().to_string(),
        kind: match found.kind {
            Kind::File => "file",
            Kind::Tree => "tree",
        },
        entries: found.entries,
        bytes: found.bytes,
    };
    context.output.result(&opened, || {
        format!("opened {}, {} bytes, into {}", entries(opened.entries), opened.bytes, opened.to)
    })
}

/// Where a dataset is, and the commitment that it must have: the one that was named, or else what it says itself.
pub(crate) fn dataset(
    context: &Context,
    place: &str,
    named: Option<&str>,
) -> Result<(Location, DatasetCommitment), Failure> {
    let place = locate::folder(place, Path::new("."))?;
    let location: Location = place.parse().map_err(Failure::usage)?;
    if let Some(text) = named {
        return Ok((location, commitment(text)?));
    }
    let found =
        sealed::Source::open(context, &location)?.commitment().map_err(|failure| failure.about(&location))?;
    context
        .output
        .say(format!("the dataset's commitment is {found}, compared with nothing: see --commitment"));
    Ok((location, found))
}

/// With or without 0x: `sha256sum B3SUMS` prints it without.
pub(crate) fn commitment(text: &str) -> Result<DatasetCommitment, Failure> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    format!("0x{digits}")
        .parse()
        .map_err(|error| Failure::usage(error).about(format!("{text:?}")))
        .hint("`pox seal` prints it, and `sha256sum B3SUMS` too")
}
