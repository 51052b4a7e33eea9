//! A sealed dataset where it lies.

use super::{Found, Listing, opened_len, recipients, recipients_text};
use crate::cli::Inspect;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::{locate, sealed};
use pox_core::DatasetCommitment;
use pox_seal::age::{Locked, MAX_HEADER, NONCE};
use pox_seal::dataset::{
    self, B3Sums, Contents, KeyCommitments, Kind, Limits, MAX_TEXT, ObjectName, ObjectSource, Sha256Sums,
    file_keys,
};
use pox_store::Location;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;

#[derive(Serialize)]
pub(super) struct SealedDataset {
    location: String,
    /// What its `B3SUMS` comes to; compared with nothing.
    commitment: DatasetCommitment,
    format: &'static str,
    objects: Vec<Object>,
    /// The root over the entries, if `ROOT` has one.
    root: Option<String>,
    /// What this home's key shows; the manifest is then what the commitment says.
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<Listing>,
    /// Why it shows nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<String>,
}

#[derive(Serialize)]
struct Object {
    name: String,
    /// As the storage states it; none if it has no such file.
    bytes: Option<u64>,
    blake3: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_commitment: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    recipients: BTreeMap<String, usize>,
    /// Bytes that it opens to.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_bytes: Option<u64>,
}

pub(super) fn inspect(context: &Context, args: &Inspect) -> Result<Found, Failure> {
    if let Some(unfinished) = unfinished(Path::new(&args.place)) {
        return Ok(unfinished);
    }
    let location: Location = locate::folder(&args.place, Path::new("."))?.parse().map_err(Failure::usage)?;
    let mut source = sealed::Source::open(context, &location)?;
    let index = text(&mut source, "B3SUMS")
        .ok_or_else(|| Failure::usage(format!("{location} has no B3SUMS that can be read")))
        .hint("is it a sealed dataset? a file in it can be looked at by itself")?;
    let sums = B3Sums::parse(&index)
        .map_err(|error| Failure::usage(error).about("B3SUMS"))
        .hint("is that a sealed dataset?")?;
    let keys = text(&mut source, "KEYS").and_then(|text| KeyCommitments::parse(&text).ok());
    let sha256 = text(&mut source, "SHA256SUMS").and_then(|text| Sha256Sums::parse(&text).ok());
    let root = text(&mut source, "ROOT").and_then(|text| String::from_utf8(text).ok());
    let root = root.map(|text| text.trim_end().to_owned());
    let root = root.filter(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let mut objects = Vec::new();
    for name in sums.names() {
        let key_commitment = keys.as_ref().and_then(|keys| keys.commitment(name));
        let bytes = source.size(name).ok();
        let head = key_commitment.and_then(|_| head(&mut source, name));
        let payload = |start: u64| bytes.and_then(|bytes| bytes.checked_sub(start));
        objects.push(Object {
            name: name.as_str().to_owned(),
            bytes,
            blake3: sums.digest(name).map(|digest| digest.to_string()).unwrap_or_default(),
            sha256: sha256.as_ref().and_then(|sums| sums.digest(name)).map(hex::encode),
            key_commitment: key_commitment.map(|commitment| commitment.to_string()),
            recipients: head.as_ref().map(|head| recipients(head.header())).unwrap_or_default(),
            opened_bytes: head.and_then(|head| opened_len(payload(head.chunk_offset(0))?)),
        });
    }
    let commitment = dataset::DatasetCommitment::of(&index);
    // Crypt4GH files are named where they lie: there is no list of what is in them.
    let is_crypt4gh = dataset::is_crypt4gh(&sums);
    let (contents, closed) = match is_crypt4gh {
        true => (None, None),
        false => match contents(context, &mut source, &commitment, args)? {
            Ok(listing) => (Some(listing), None),
            Err(reason) => (None, Some(reason)),
        },
    };
    Ok(Found::SealedDataset(SealedDataset {
        location: location.to_string(),
        commitment: sealed::to_core(commitment),
        format: if is_crypt4gh { "crypt4gh-1.0" } else { "age-v1" },
        objects,
        root,
        contents,
        closed,
    }))
}

/// What this home's key shows, or why it shows nothing.
fn contents(
    context: &Context,
    source: &mut sealed::Source,
    commitment: &dataset::DatasetCommitment,
    args: &Inspect,
) -> Result<Result<Listing, String>, Failure> {
    let Some(identity) = context.identity_if_any()? else {
        return Ok(Err("this home has no key".to_owned()));
    };
    let limit = args.list.then_some(args.limit);
    let read = |source: &mut sealed::Source| {
        let keys = file_keys(source, &[identity])?;
        let mut contents = Contents::read(source, commitment, &keys, Limits::NONE)?;
        let kind = if contents.kind() == Kind::Tree { "tree" } else { "file" };
        let (entries, bytes) = (contents.trailer().entries, contents.trailer().bytes);
        let mut listing = Listing { kind, entries, bytes, ..Listing::default() };
        if limit.is_some() {
            contents.walk(|entry| {
                listing.add(entry, limit);
                ControlFlow::Continue(())
            })?;
        }
        Ok::<_, dataset::OpenError>(listing)
    };
    Ok(read(source).map_err(|error| error.to_string()))
}

fn text(source: &mut sealed::Source, name: &str) -> Option<Vec<u8>> {
    let name = ObjectName::new(name).ok()?;
    let mut text = Vec::new();
    source.open(&name, 0).ok()?.take(MAX_TEXT as u64 + 1).read_to_end(&mut text).ok()?;
    (text.len() <= MAX_TEXT).then_some(text)
}

/// An object's header, if it is an age file.
fn head(source: &mut sealed::Source, name: &ObjectName) -> Option<Locked<std::io::Cursor<Vec<u8>>>> {
    let most = (MAX_HEADER + NONCE) as u64;
    [8 * 1024, most].into_iter().find_map(|most| {
        let mut head = Vec::new();
        source.range(name, 0..most).ok()?.take(most).read_to_end(&mut head).ok()?;
        Locked::read(std::io::Cursor::new(head)).ok()
    })
}

/// What an interrupted sealing left.
fn unfinished(folder: &Path) -> Option<Found> {
    let name = folder.file_name()?.to_str()?;
    if !name.ends_with(".pox-partial") || folder.join("B3SUMS").exists() {
        return None;
    }
    let entries = fs::read_dir(folder).ok()?;
    let sizes = entries.filter_map(|entry| entry.ok()?.metadata().ok()).filter(|meta| meta.is_file());
    Some(Found::Unfinished { bytes: sizes.map(|meta| meta.len()).sum() })
}

impl SealedDataset {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "a sealed dataset, of {} files\nlocation    {}\ncommitment  {} (compared with nothing: `pox verify-data` does)\n",
            self.format, self.location, self.commitment
        );
        for object in &self.objects {
            let size = object.bytes.map_or("MISSING".to_owned(), |bytes| format!("{bytes} bytes"));
            text.push_str(&format!("object      {}, {size}, BLAKE3 {}\n", object.name, object.blake3));
            if let Some(sha256) = &object.sha256 {
                text.push_str(&format!("            SHA-256 {sha256}\n"));
            }
            if !object.recipients.is_empty() {
                let opened = object.opened_bytes.map(|bytes| format!("; opens to {bytes} bytes"));
                let recipients = recipients_text(&object.recipients);
                text.push_str(&format!(
                    "            recipients: {recipients}{}\n",
                    opened.unwrap_or_default()
                ));
            }
        }
        if let Some(root) = &self.root {
            text.push_str(&format!("root        {root} (over the entries, salted)\n"));
        }
        match (&self.contents, &self.closed) {
            (Some(listing), _) => text.push_str(&listing.text()),
            (None, Some(reason)) => text.push_str(&format!("content     not shown: {reason}\n")),
            (None, None) => {}
        }
        text
    }
}
