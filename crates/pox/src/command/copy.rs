//! `pox copy`: a sealed dataset at another place, as it is.

use crate::cli::Copy;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::{locate, sealed};
use pox_core::DatasetCommitment;
use pox_store::Location;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Copied {
    commitment: DatasetCommitment,
    location: String,
    bytes: u64,
}

pub(crate) fn run(context: &Context, args: &Copy) -> Result<(), Failure> {
    let place = locate::folder(&args.from, Path::new("."))?;
    let from: Location = place.parse().map_err(Failure::usage)?;
    let mut source = sealed::Source::open(context, &from)?;
    let copied = if sealed::is_node(&args.to) {
        let scratch = tempfile::tempdir().map_err(Failure::machine).hint(sealed::SCRATCH_HINT)?;
        let folder = Location::from_path(scratch.path()).map_err(Failure::machine)?;
        let (commitment, bytes) = source.copy(context, &folder).map_err(|failure| failure.about(&from))?;
        Copied { commitment, bytes, location: sealed::add(context, scratch.path())?.to_string() }
    } else {
        let to: Location = locate::folder(&args.to, Path::new("."))?.parse().map_err(Failure::usage)?;
        let (commitment, bytes) = source.copy(context, &to).map_err(|failure| failure.about(&to))?;
        Copied { commitment, bytes, location: to.to_string() }
    };
    context.output.result(&copied, || {
        format!("commitment  {}\nlocation    {}\n", copied.commitment, copied.location)
    })?;
    context.output.say(format!("copied {} bytes", copied.bytes));
    Ok(())
}
