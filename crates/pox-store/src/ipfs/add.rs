//! Adding objects to a node, as one folder.

use std::fs;
use std::io::{self, Read};

use http::Method;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::{Cid, IpfsError, below};
use crate::net::{Net, block_on};
use crate::upload::{self, Upload};
use crate::{Access, Error, Location, Name, Result, Store};

/// Adds files to the node of the policy, pins them, and gives the address of the folder that holds them.
///
/// What the node says their address is isn't believed: everything is read back through it, checked block by block, and
/// compared.
///
/// # Errors
/// No node is named that takes data, it fails, or what it stored is something else.
pub fn add(objects: &[(Name, fs::File)], access: &Access) -> Result<Location> {
    let api = access.ipfs.api.clone().ok_or(IpfsError::NoApi)?;
    let net = Net::new(&access.for_ipfs())?;
    let mut url = below(&api, &["api", "v0", "add"]);
    url.query_pairs_mut()
        .append_pair("wrap-with-directory", "true")
        .append_pair("cid-version", "1")
        .append_pair("raw-leaves", "true")
        .append_pair("chunker", CHUNKER)
        .append_pair("pin", "true")
        .append_pair("progress", "false");

    let mut pieces: Vec<Box<dyn Read + '_>> = Vec::new();
    let mut len = 0;
    for (name, file) in objects {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let size = file.metadata().map_err(Error::Source)?.len();
        len += head.len() as u64 + size + 2;
        let start: Box<dyn Read> = Box::new(io::Cursor::new(head));
        let file = file.try_clone().map_err(Error::Source)?;
        rewind(&file)?;
        pieces.extend([start, Box::new(file.take(size)), Box::new(&b"\r\n"[..])]);
    }
    let end = format!("--{BOUNDARY}--\r\n");
    len += end.len() as u64;
    pieces.push(Box::new(io::Cursor::new(end)));
    let body = pieces
        .into_iter()
        .fold(Box::new(io::empty()) as Box<dyn Read>, |all, next| Box::new(all.chain(next)));

    let form = format!("multipart/form-data; boundary={BOUNDARY}");
    let form = form.parse().map_err(|_| Error::Protocol("odd media type"))?;
    let upload = Upload { method: Method::POST, url, headers: &[(CONTENT_TYPE, form)] };
    let mut body = body;
    let response =
        upload::send(&net, &upload, &mut body, len).map_err(|stopped| stopped.into_error("the data"))?;
    let answer = block_on(net.small_body(response, MAX_ANSWER));
    let answer = answer.map_err(|fault| Error::from_fault(fault, "the data"))?;
    let location = Location::of_content(root(&answer)?, "");
    check(&location, objects, access)?;
    Ok(location)
}

/// Reads everything back.
fn check(location: &Location, objects: &[(Name, fs::File)], access: &Access) -> Result<()> {
    let store = Store::open(location, access)?;
    for (name, file) in objects {
        let len = file.metadata().map_err(Error::Source)?.len();
        rewind(file)?;
        let mut file = file;
        if !store.holds(name, &mut file, len)? {
            return Err(Error::Corrupt("the node stored something else"));
        }
    }
    Ok(())
}

/// One line for each thing added; the folder has no name.
#[derive(Deserialize)]
struct Added {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Hash")]
    hash: String,
}

fn root(answer: &[u8]) -> Result<Cid> {
    let odd = || Error::Protocol("it doesn't say what it added");
    let lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let added = lines.map(serde_json::from_slice::<Added>).collect::<std::result::Result<Vec<_>, _>>();
    let folder = added.map_err(|_| odd())?.into_iter().rfind(|added| added.name.is_empty());
    folder.ok_or_else(odd)?.hash.parse().map_err(|_| odd())
}

fn rewind(file: &fs::File) -> Result<()> {
    let mut file = file;
    io::Seek::rewind(&mut file).map_err(Error::Source)
}

/// Between files; what it can't be told from is age's and text, which no line of dashes like this begins.
const BOUNDARY: &str = "------------------------pox-5d1f0a7c9be24f6e8d3b";
/// Blocks of 1 MiB: every node takes them, and few are needed.
const CHUNKER: &str = "size-1048576";
/// A line for each object.
const MAX_ANSWER: usize = 1 << 20;
