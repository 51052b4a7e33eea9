//! `pox inspect`: what a file or sealed dataset is, for who found one.
//!
//! What is public needs no key. Nothing here verifies anything beyond saying whether what is shown was authenticated.

mod crypt4gh;
mod dataset;
mod file;

use super::part::shown;
use crate::cli::Inspect;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::quantity::entries;
use pox_seal::age::{Header, SEALED_CHUNK, Stanza, TAG};
use pox_seal::dataset::Entry;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What was found.
#[derive(Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum Found {
    SealedDataset(dataset::SealedDataset),
    /// A sealing or opening that isn't at its end.
    Unfinished {
        bytes: u64,
    },
    AgeFile(file::AgeFile),
    #[serde(rename = "crypt4gh-file")]
    Crypt4ghFile(crypt4gh::Crypt4ghFile),
    Manifest(Listing),
    Proof(file::Proof),
    Disclosure(file::Disclosed),
    Journal(file::Journal),
    TaskFile(file::TaskFile),
    Text(file::Text),
    Unknown {
        bytes: u64,
        /// Its first bytes.
        first: String,
    },
}

/// What a dataset holds.
#[derive(Serialize, Default)]
struct Listing {
    kind: &'static str,
    entries: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listed: Vec<Listed>,
    /// How many entries the list leaves out, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
}

#[derive(Serialize)]
struct Listed {
    path: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Inspect) -> Result<(), Failure> {
    pox_seal::forbid_dumps().map_err(Failure::machine)?;
    let path = Path::new(&args.place);
    let found = match path.symlink_metadata() {
        _ if args.place.contains("://") => dataset::inspect(context, args)?,
        Ok(_) if path.is_dir() => dataset::inspect(context, args)?,
        Ok(_) => file::inspect(context, args, path)?,
        Err(error) => {
            return Err(Failure::usage(format!("cannot read {}: {error}", args.place)))
                .hint("name a file, or the folder or URL of a sealed dataset");
        }
    };
    context.output.result(&found, || found.text())
}

impl Found {
    fn text(&self) -> String {
        match self {
            Self::SealedDataset(dataset) => dataset.text(),
            Self::Unfinished { bytes } => format!(
                "a sealing that isn't at its end, {bytes} bytes so far; the same `pox seal` again goes on with it"
            ),
            Self::AgeFile(file) => file.text(),
            Self::Crypt4ghFile(file) => file.text(),
            Self::Manifest(listing) => {
                format!("an opened manifest; whoever has it in clear may have made it\n{}", listing.text())
            }
            Self::Proof(proof) => proof.text(),
            Self::Disclosure(disclosure) => disclosure.text(),
            Self::Journal(journal) => journal.text(),
            Self::TaskFile(task) => task.text(),
            Self::Text(text) => text.text(),
            Self::Unknown { bytes, first } => {
                format!("nothing that this program knows: {bytes} bytes, beginning with {first}")
            }
        }
    }
}

impl Listing {
    /// Notes an entry, and lists it if there is room.
    fn add(&mut self, entry: &Entry, limit: Option<usize>) {
        let Some(limit) = limit else { return };
        let left_out = self.left_out.get_or_insert(0);
        if self.listed.len() < limit {
            self.listed.push(Listed::of(entry));
        } else {
            *left_out += 1;
        }
    }

    fn text(&self) -> String {
        let mut text =
            format!("content     {}, {}, {} bytes\n", self.kind, entries(self.entries), self.bytes);
        for Listed { path, kind, bytes, blake3 } in &self.listed {
            let bytes = bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
            let digest = blake3.as_deref().unwrap_or_default();
            text.push_str(format!("{kind:<6} {bytes:>14}  {path}  {digest}").trim_end());
            text.push('\n');
        }
        if let Some(more @ 1..) = self.left_out {
            text.push_str(&format!("… and {more} more: raise --limit\n"));
        }
        text
    }
}

impl Listed {
    fn of(entry: &Entry) -> Self {
        let path = shown(entry.path().as_bytes());
        match entry {
            Entry::File { size, digest, .. } => {
                Self { path, kind: "file", bytes: Some(*size), blake3: Some(digest.to_string()) }
            }
            Entry::Folder { .. } => Self { path, kind: "folder", bytes: None, blake3: None },
            Entry::Link { .. } => Self { path, kind: "link", bytes: None, blake3: None },
        }
    }
}

/// How many recipients of each kind a header has. It doesn't say who they are.
fn recipients(header: &Header) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    header.stanzas().iter().for_each(|stanza| *kinds.entry(kind(stanza)).or_default() += 1);
    kinds
}

fn kind(stanza: &Stanza) -> String {
    match stanza.tag() {
        "X25519" | "mlkem768x25519" | "scrypt" => stanza.tag().to_owned(),
        other => shown(other.as_bytes()),
    }
}

fn recipients_text(kinds: &BTreeMap<String, usize>) -> String {
    let words = kinds.iter().map(|(kind, count)| match kind.as_str() {
        "X25519" => format!("{count} of kind X25519 (not safe from quantum computers)"),
        "mlkem768x25519" => format!("{count} of kind mlkem768x25519 (post-quantum hybrid)"),
        "scrypt" => "a passphrase".to_owned(),
        other => format!("{count} of kind {other}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Plaintext bytes of a payload with so many bytes; none if no payload is that long.
fn opened_len(payload: u64) -> Option<u64> {
    let chunks = payload.div_ceil(SEALED_CHUNK as u64);
    payload
        .checked_sub(chunks.max(1) * TAG as u64)
        .filter(|_| payload % SEALED_CHUNK as u64 != TAG as u64 || chunks == 1)
}
