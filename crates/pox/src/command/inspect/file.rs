//! A single file, told by its first bytes.

use super::{Found, Listing, crypt4gh, opened_len, recipients, recipients_text};
use crate::cli::Inspect;
use crate::context::Context;
use crate::error::Failure;
use crate::locate;
use crate::task_file;
use pox_core::proof::{MAGIC as PROOF, MAX_PROOF_BYTES};
use pox_core::{Address, DatasetCommitment, TaskId};
use pox_seal::age::{AgeError, Header, Locked, MAX_ARMORED, dearmor};
use pox_seal::dataset::{B3Sums, KeyCommitments, Kind, MAX_TEXT, read_manifest};
use pox_verify::disclosure::{Disclosure, MAGIC as DISCLOSURE, MAX_BYTES};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

#[derive(Serialize)]
pub(super) struct AgeFile {
    bytes: u64,
    armored: bool,
    recipients: BTreeMap<String, usize>,
    /// Bytes that it opens to, by its length.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_bytes: Option<u64>,
    /// Whether this home's key opens it; unknown without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<bool>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    malformed: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Proof {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    malformed: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Disclosed {
    bytes: u64,
    /// The dataset that the files belong to; compared with nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    commitment: Option<DatasetCommitment>,
    files: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    malformed: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Journal {
    bytes: u64,
    recipients: BTreeMap<String, usize>,
}

#[derive(Serialize)]
pub(super) struct TaskFile {
    image: String,
    inputs: Vec<String>,
    results: String,
}

/// A public text of a dataset.
#[derive(Serialize)]
pub(super) struct Text {
    lines: usize,
    names: Vec<String>,
}

/// What files begin with. A format that is added gets a row here, a variant of [`Found`], and nothing else.
const FORMATS: &[(&[u8], Inspector)] = &[
    (b"age-encryption.org/", age),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", armored),
    (b"crypt4gh", crypt4gh::inspect),
    (PROOF, proof),
    (DISCLOSURE, disclosure),
];

type Inspector = fn(&Context, &Inspect, &mut BufReader<File>, u64) -> Result<Found, Failure>;

pub(super) fn inspect(context: &Context, args: &Inspect, path: &Path) -> Result<Found, Failure> {
    let cannot = |error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    let bytes = file.metadata().map_err(cannot)?.len();
    let mut reader = BufReader::with_capacity(FIRST, file);
    let first = reader.fill_buf().map_err(cannot)?.to_vec();
    if let Some((_, inspector)) = FORMATS.iter().find(|(magic, _)| first.starts_with(magic)) {
        return inspector(context, args, &mut reader, bytes);
    }
    if is_manifest(&first) {
        return manifest(args, &mut reader);
    }
    if let Some(header) = journal_header(&first) {
        return Ok(Found::Journal(Journal { bytes, recipients: recipients(&header) }));
    }
    if bytes <= MAX_TEXT as u64
        && let Some(text) = public_text(path)?
    {
        return Ok(Found::Text(text));
    }
    if let Ok(task) = task_file::TaskFile::read(path) {
        let (inputs, results) = (task.inputs.keys().cloned().collect(), task.results.clone());
        return Ok(Found::TaskFile(TaskFile { image: task.image.clone(), inputs, results }));
    }
    Ok(Found::Unknown { bytes, first: first[..first.len().min(16)].escape_ascii().to_string() })
}

fn age(context: &Context, _: &Inspect, reader: &mut BufReader<File>, bytes: u64) -> Result<Found, Failure> {
    age_file(context, reader, bytes, bytes, false)
}

fn armored(
    context: &Context,
    _: &Inspect,
    reader: &mut BufReader<File>,
    bytes: u64,
) -> Result<Found, Failure> {
    let mut text = Vec::new();
    reader.take(MAX_ARMORED as u64 + 1).read_to_end(&mut text).map_err(Failure::usage)?;
    match dearmor(&text) {
        Ok(inner) => age_file(context, &mut &inner[..], bytes, inner.len() as u64, true),
        Err(error) => Ok(AgeFile::malformed(bytes, true, error.to_string())),
    }
}

fn age_file(
    context: &Context,
    reader: &mut dyn BufRead,
    bytes: u64,
    inner: u64,
    armored: bool,
) -> Result<Found, Failure> {
    let locked = match Locked::read(reader) {
        Ok(locked) => locked,
        Err(error) => return Ok(AgeFile::malformed(bytes, armored, error.to_string())),
    };
    let ours = match context.identity_if_any()? {
        None => None,
        Some(identity) => match locked.file_key(&[identity]) {
            Ok(_) => Some(true),
            Err(AgeError::NoMatch) => Some(false),
            Err(error) => return Ok(AgeFile::malformed(bytes, armored, error.to_string())),
        },
    };
    let opened_bytes = inner.checked_sub(locked.chunk_offset(0)).and_then(opened_len);
    let malformed = opened_bytes.is_none().then(|| "no payload has this length: it was cut".to_owned());
    let recipients = recipients(locked.header());
    Ok(Found::AgeFile(AgeFile { bytes, armored, recipients, opened_bytes, ours, malformed }))
}

fn proof(_: &Context, _: &Inspect, reader: &mut BufReader<File>, bytes: u64) -> Result<Found, Failure> {
    let mut file = Vec::new();
    reader.take(MAX_PROOF_BYTES as u64 + 1).read_to_end(&mut file).map_err(Failure::usage)?;
    let mut found = Proof { bytes, task: None, chain_id: None, contract: None, malformed: None };
    match pox_core::proof::Proof::parse(&file) {
        Err(error) => found.malformed = Some(error.to_string()),
        Ok(proof) => {
            found.chain_id = Some(proof.domain.chain_id);
            found.contract = Some(proof.domain.contract);
            found.task = proof.request_record().ok().map(|request| TaskId(proof.domain.digest(&request)));
        }
    }
    Ok(Found::Proof(found))
}

fn disclosure(_: &Context, _: &Inspect, reader: &mut BufReader<File>, bytes: u64) -> Result<Found, Failure> {
    let mut file = Vec::new();
    reader.take(MAX_BYTES as u64 + 1).read_to_end(&mut file).map_err(Failure::usage)?;
    let mut found = Disclosed { bytes, commitment: None, files: Vec::new(), malformed: None };
    match Disclosure::parse(&file).and_then(|disclosure| disclosure.verify()) {
        Err(error) => found.malformed = Some(error.to_string()),
        Ok(shown) => {
            found.commitment = Some(shown.commitment);
            found.files = shown.files.iter().map(|file| file.shown_path()).collect();
        }
    }
    Ok(Found::Disclosure(found))
}

fn manifest(args: &Inspect, reader: &mut BufReader<File>) -> Result<Found, Failure> {
    let mut listing = Listing::default();
    let limit = args.list.then_some(args.limit);
    let (kind, trailer) = read_manifest(reader, |entry| listing.add(entry, limit))?;
    listing.kind = if kind == Kind::Tree { "tree" } else { "file" };
    (listing.entries, listing.bytes) = (trailer.entries, trailer.bytes);
    Ok(Found::Manifest(listing))
}

/// The first item of a manifest is its header: 17 bytes that name it.
fn is_manifest(first: &[u8]) -> bool {
    first.get(1..).is_some_and(|rest| rest.starts_with(b"\x84\x10\x6cpox-manifest"))
}

/// The header of the age file that a journal begins with.
fn journal_header(first: &[u8]) -> Option<Header> {
    let rest = first.strip_prefix(&[0])?.get(4..)?;
    Some(Header::read(&mut &rest[..]).ok()?.0)
}

fn public_text(path: &Path) -> Result<Option<Text>, Failure> {
    let bytes = locate::read_bounded(path, MAX_TEXT)?;
    let names = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>();
    let mut found = None;
    if let Ok(sums) = B3Sums::parse(&bytes) {
        found = Some(names(&mut sums.names().map(|name| name.as_str().to_owned())));
    } else if let Ok(keys) = KeyCommitments::parse(&bytes) {
        found = Some(names(&mut keys.names().map(|name| name.as_str().to_owned())));
    }
    let found = found.filter(|names| !names.is_empty());
    Ok(found.map(|names| Text { lines: names.len(), names }))
}

impl AgeFile {
    fn malformed(bytes: u64, armored: bool, why: String) -> Found {
        let recipients = BTreeMap::new();
        Found::AgeFile(Self {
            bytes,
            armored,
            recipients,
            opened_bytes: None,
            ours: None,
            malformed: Some(why),
        })
    }

    pub(super) fn text(&self) -> String {
        let form = if self.armored { "an age file as text" } else { "an age v1 file" };
        let mut text = format!("{form}, {} bytes\n", self.bytes);
        if !self.recipients.is_empty() {
            text.push_str(&format!("recipients  {}\n", recipients_text(&self.recipients)));
        }
        if let Some(opened) = self.opened_bytes {
            text.push_str(&format!("opens to    {opened} bytes\n"));
        }
        if let Some(ours) = self.ours {
            let word = if ours { "yes" } else { "no" };
            text.push_str(&format!("for us      {word}: whether this home's key opens it\n"));
        }
        if let Some(why) = &self.malformed {
            text.push_str(&format!("MALFORMED   {why}\n"));
        }
        text
    }
}

impl Proof {
    pub(super) fn text(&self) -> String {
        let mut text = format!("a proof file, {} bytes\n", self.bytes);
        if let (Some(task), Some(chain), Some(contract)) = (self.task, self.chain_id, self.contract) {
            text.push_str(&format!("task        {task}\nchain       {chain}, contract {contract}\n"));
        }
        match &self.malformed {
            Some(why) => text.push_str(&format!("MALFORMED   {why}\n")),
            None => text.push_str("nothing of it is verified here: `pox verify` does\n"),
        }
        text
    }
}

impl Disclosed {
    pub(super) fn text(&self) -> String {
        let mut text = format!("a disclosure, {} bytes\n", self.bytes);
        if let Some(commitment) = self.commitment {
            text.push_str(&format!(
                "of dataset  {commitment} (compared with nothing: `pox verify-disclosure` does)\n"
            ));
        }
        self.files.iter().for_each(|file| text.push_str(&format!("file        {file}\n")));
        if let Some(why) = &self.malformed {
            text.push_str(&format!("MALFORMED   {why}\n"));
        }
        text
    }
}

impl Journal {
    pub(super) fn text(&self) -> String {
        format!(
            "the journal of an interrupted sealing, {} bytes, sealed\nrecipients  {}\n",
            self.bytes,
            recipients_text(&self.recipients)
        )
    }
}

impl TaskFile {
    pub(super) fn text(&self) -> String {
        format!(
            "a task file\nimage       {}\ninputs      {}\nresults     {}\n",
            self.image,
            self.inputs.join(", "),
            self.results
        )
    }
}

impl Text {
    pub(super) fn text(&self) -> String {
        format!("digests, as B3SUMS, SHA256SUMS and KEYS have them, of {}\n", self.names.join(", "))
    }
}

/// Enough for a journal's header.
const FIRST: usize = 64 * 1024;
