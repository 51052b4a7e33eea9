//! `pox disclose`: some files of a sealed dataset, shown to belong to it.

use super::part::{Wanted, contents};
use crate::cli::Disclose;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::home::{Overwrite, write_file};
use pox_core::B256;
use pox_seal::dataset::{DisclosedEntry, MAX_DISCLOSED, PathStep};
use pox_verify::disclosure::{Disclosure, Entry, Shown, Side, Step};
use serde::Serialize;

#[derive(Serialize)]
struct Disclosed {
    to: String,
    bytes: usize,
    #[serde(flatten)]
    shown: Shown,
}

pub(crate) fn run(context: &Context, args: &Disclose) -> Result<(), Failure> {
    pox_seal::forbid_dumps().map_err(Failure::machine)?;
    let (location, commitment) = super::open::dataset(context, &args.dataset, args.commitment.as_deref())?;
    let (_, mut contents) = contents(context, &location, commitment)?;
    let mut wanted = Wanted::new(&args.file);
    contents.walk(|entry| wanted.note(entry))?;
    wanted.check()?;
    let entries = contents
        .disclose(|path| wanted.has(path))?
        .ok_or_else(|| Failure::usage(format!("more than {MAX_DISCLOSED} files")))
        .hint("make several disclosures: each holds a part")?;
    let entries = entries.into_iter().map(encoded).collect();
    let disclosure = Disclosure { index: contents.b3sums().into_bytes(), entries };
    let shown = disclosure.verify().map_err(Failure::machine)?;
    let bytes = disclosure.to_bytes();
    write_file(&args.to, &bytes, 0o644, Overwrite::Never)
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", args.to.display())))
        .hint("nothing is overwritten: name a new file with --to")?;
    let disclosed = Disclosed { to: args.to.display().to_string(), bytes: bytes.len(), shown };
    context.output.result(&disclosed, || {
        let mut text = format!("disclosure  {}, {} bytes\n", disclosed.to, disclosed.bytes);
        text.push_str(&format!("of dataset  {}\n", disclosed.shown.commitment));
        for file in &disclosed.shown.files {
            text.push_str(&format!("file        {}, {} bytes\n", file.shown_path(), file.size));
        }
        text
    })?;
    context.output.say(format!(
        "it shows path, size, digest, time and permissions of these files, and about where they stand among the others\nnext: hand it over, with the content (`pox open {} --file … --to …`) if that is to be seen; `pox verify-disclosure` checks it",
        args.dataset
    ));
    Ok(())
}

/// As the disclosure has it.
fn encoded(disclosed: DisclosedEntry) -> Entry {
    let step = |step| match step {
        PathStep::Left(hash) => Step { side: Side::Left, hash: B256::from(hash) },
        PathStep::Right(hash) => Step { side: Side::Right, hash: B256::from(hash) },
    };
    Entry { entry: disclosed.entry, path: disclosed.path.into_iter().map(step).collect() }
}
