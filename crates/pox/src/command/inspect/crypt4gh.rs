//! A Crypt4GH file.

use super::Found;
use crate::cli::Inspect;
use crate::context::Context;
use crate::error::Failure;
use pox_seal::crypt4gh::{Header, Identity};
use serde::Serialize;
use std::fs::File;
use std::io::BufReader;

#[derive(Serialize, Default)]
pub(super) struct Crypt4ghFile {
    bytes: u64,
    header_bytes: u64,
    /// One for each data key and edit list, for each reader.
    packets: usize,
    /// Whether this home's key opens it; unknown without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_keys: Option<usize>,
    /// Lengths in the edit list, if there is one for us.
    #[serde(skip_serializing_if = "Option::is_none")]
    edits: Option<usize>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    malformed: Option<String>,
}

pub(super) fn inspect(
    context: &Context,
    _: &Inspect,
    reader: &mut BufReader<File>,
    bytes: u64,
) -> Result<Found, Failure> {
    let mut found = Crypt4ghFile { bytes, ..Crypt4ghFile::default() };
    let identities: Vec<_> = context.identity_if_any()?.iter().filter_map(Identity::of).collect();
    match Header::read(reader) {
        Err(error) => found.malformed = Some(error.to_string()),
        Ok(header) => {
            let described = header.describe(&identities);
            (found.header_bytes, found.packets) = (described.bytes, described.packets);
            found.ours = (!identities.is_empty()).then_some(described.opened.is_some());
            found.data_keys = described.opened.map(|told| told.data_keys);
            found.edits = described.opened.and_then(|told| told.edits);
        }
    }
    Ok(Found::Crypt4ghFile(found))
}

impl Crypt4ghFile {
    pub(super) fn text(&self) -> String {
        let mut text = format!("a Crypt4GH file, {} bytes\n", self.bytes);
        if let Some(why) = &self.malformed {
            return text + &format!("MALFORMED   {why}\n");
        }
        text.push_str(&format!("header      {} bytes, {} packets\n", self.header_bytes, self.packets));
        if let Some(ours) = self.ours {
            let word = if ours { "yes" } else { "no" };
            text.push_str(&format!("for us      {word}: whether this home's key opens it\n"));
        }
        if let Some(keys) = self.data_keys {
            text.push_str(&format!("data keys   {keys}\n"));
        }
        if let Some(edits) = self.edits {
            text.push_str(&format!("edit list   {edits} lengths: only parts of the content are shown\n"));
        }
        text + "its form does not show whether segments were removed or moved: `pox adopt` makes a commitment\n"
    }
}
