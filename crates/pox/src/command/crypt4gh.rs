//! Crypt4GH files: sealing, opening, re-keying, and making existing ones a dataset.

use super::part;
use super::seal::{Sealed, cannot_make, recipients};
use crate::cli::{Adopt, Open, Rekey, Seal};
use crate::context::Context;
use crate::crypt4gh_keys::{identities, readers};
use crate::error::{Failure, Hint as _};
use crate::progress::ByteProgress;
use pox_seal::crypt4gh::{Crypt4ghError, Header, rekey_file};
use pox_seal::dataset::{
    Adoption, DirectorySink, FolderSink, ObjectSink, SealError, SealedDataset, open_lone_file, seal_files,
};
use pox_seal::{OsRandom, Recipient};
use serde::Serialize;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Whether a path is a Crypt4GH file of this machine, whatever its name.
pub(super) fn is_file(path: &Path) -> bool {
    let mut start = [0; 8];
    let is_read = path.is_file() && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok();
    is_read && start == *b"crypt4gh"
}

pub(super) fn seal_into(
    context: &Context,
    args: &Seal,
    recipients: &[Recipient],
    folder: &Path,
    total: u64,
) -> Result<SealedDataset, Failure> {
    let readers = readers(context, &args.recipient_c4gh)?;
    let inputs: Vec<&Path> = args.paths.iter().map(PathBuf::as_path).collect();
    let progress = ByteProgress::start(&context.output, "sealing", total);
    DirectorySink::create(folder)
        .map_err(SealError::Sink)
        .and_then(|mut sink| {
            let mut at = |bytes| progress.at(bytes);
            seal_files(&inputs, &readers, recipients, &mut sink, &mut OsRandom, &mut at)
        })
        .map_err(|error| cannot_make(folder, error))
}

#[derive(Serialize)]
struct Opened {
    to: String,
    kind: &'static str,
    bytes: u64,
    blake3: String,
}

pub(super) fn open(context: &Context, args: &Open) -> Result<(), Failure> {
    let path = Path::new(&args.source);
    if part::is_standard_output(&args.to) || !args.file.is_empty() {
        return Err(Failure::usage("a Crypt4GH file is opened whole, into a new file"))
            .hint("name it with --to, and leave out --file");
    }
    if args.commitment.is_some() {
        return Err(Failure::usage("--commitment is for datasets"))
            .hint("`pox adopt` makes a dataset of Crypt4GH files");
    }
    let identities = identities(context, &args.identity)?;
    let total = path.metadata().map_or(0, |file| file.len());
    let progress = ByteProgress::start(&context.output, "opening", total);
    let checked = open_lone_file(path, &identities, &args.to, &mut |bytes| progress.at(bytes));
    let checked = checked.map_err(|error| Failure::from(error).about(path.display()))?;
    let opened = Opened {
        to: args.to.display().to_string(),
        kind: "crypt4gh",
        bytes: checked.content_len,
        blake3: checked.digest.to_string(),
    };
    context.output.result(&opened, || format!("opened {} bytes into {}", opened.bytes, opened.to))?;
    context.output.say(format!(
        "every byte that came out is authentic, but Crypt4GH does not show whether segments were removed, repeated or moved: compare the \
         sealed file's BLAKE3 digest, {}, with one that you trust; `pox adopt` makes a commitment",
        opened.blake3
    ));
    Ok(())
}

pub(super) fn adopt(context: &Context, args: &Adopt) -> Result<(), Failure> {
    pox_seal::forbid_dumps().map_err(Failure::machine)?;
    let mut files = Vec::new();
    for path in &args.paths {
        match path.is_dir() {
            true => files.extend(files_in(path)?),
            false => files.push(path.clone()),
        }
    }
    let (folder, mut sink): (&Path, Box<dyn ObjectSink>) = match (&args.to, args.paths.as_slice()) {
        (Some(to), _) => (to, Box::new(DirectorySink::create(to).map_err(|error| no_folder(to, error))?)),
        (None, [one]) if one.is_dir() => {
            (one, Box::new(FolderSink::new(one).map_err(|error| no_folder(one, error))?))
        }
        (None, _) => {
            return Err(Failure::usage("only one folder can become a dataset where it is"))
                .hint("name a new folder for the dataset with --to");
        }
    };
    let identities = identities(context, &args.identity)?;
    let recipients = recipients(context, &args.recipient)?;
    let adoption = Adoption { files: &files, identities: &identities, recipients: &recipients };
    let total = files.iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum();
    let progress = ByteProgress::start(&context.output, "checking", total);
    let made =
        pox_seal::dataset::adopt(&adoption, &mut *sink, &mut OsRandom, &mut |bytes| progress.at(bytes));
    let made = made.map_err(|error| match error {
        SealError::Sink(error) if error.kind() == io::ErrorKind::AlreadyExists => no_folder(folder, error),
        SealError::Nothing => Failure::usage("there is no file that ends in .c4gh"),
        error => error.into(),
    })?;
    drop(progress);
    let location = std::path::absolute(folder).map_err(Failure::machine)?;
    let location = pox_store::Location::from_path(&location).map_err(Failure::usage)?;
    let result = Sealed::new(&made, location.to_string(), &recipients);
    context.output.result(&result, || result.text())?;
    context
        .output
        .say("the files are as they were; the commitment shows every change from now on, and none of before");
    context
        .output
        .say(format!("next: name it in a task file, as in `inputs: {{data: {}}}`", folder.display()));
    Ok(())
}

/// The Crypt4GH files of a folder, by name.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error| Failure::usage(format!("cannot read {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.extension() == Some(OsStr::new("c4gh")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn no_folder(folder: &Path, error: io::Error) -> Failure {
    Failure::usage(format!("cannot make a dataset of {}: {error}", folder.display()))
        .with_hint("nothing is overwritten: is it a dataset already? otherwise name a new folder with --to")
}

#[derive(Serialize)]
struct Rekeyed {
    to: String,
    bytes: u64,
    readers: Vec<String>,
}

pub(super) fn rekey(context: &Context, args: &Rekey) -> Result<(), Failure> {
    pox_seal::forbid_dumps().map_err(Failure::machine)?;
    let (readers, identities) =
        (readers(context, &args.recipient_c4gh)?, identities(context, &args.identity)?);
    let failed = |error: Crypt4ghError| Failure::from(error).about(args.path.display());
    let from = File::open(&args.path).map_err(|error| failed(Crypt4ghError::Io(error)))?;
    let header = Header::read(&mut BufReader::new(&from)).map_err(failed)?;
    let content = header.unlock(&identities).map_err(failed)?;

    let folder = args.to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = |error| Failure::usage(format!("cannot write {}: {error}", args.to.display()));
    let to = tempfile::Builder::new()
        .prefix(".pox-")
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(cannot)?;
    let bytes = rekey_file(&from, to.as_file(), &content, &readers, &mut OsRandom).map_err(failed)?;
    to.as_file().sync_all().map_err(cannot)?;
    to.persist_noclobber(&args.to).map_err(|error| cannot(error.error))?;
    let rekeyed = Rekeyed {
        to: args.to.display().to_string(),
        bytes,
        readers: readers.iter().map(|reader| hex::encode(reader.as_bytes())).collect(),
    };
    context.output.result(&rekeyed, || {
        format!("wrote {} for {} readers, {} bytes", rekeyed.to, rekeyed.readers.len(), rekeyed.bytes)
    })?;
    context.output.say("the body is as it was; whoever could open the old file still can open that one");
    Ok(())
}
