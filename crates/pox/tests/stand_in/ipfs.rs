//! A node of IPFS, as far as adding and reading blocks go: files of raw leaves of 1 MiB, one level of them, in one folder.

use super::serve;
use pox_store::ipfs::Cid;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A node that counts what it gives.
pub struct Node {
    /// For `--ipfs-api`.
    pub url: String,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    blocks: HashMap<String, Vec<u8>>,
    /// Identifiers of the leaves of files.
    leaves: Vec<String>,
    given: Vec<String>,
}

impl Node {
    pub fn start() -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let inside = Arc::clone(&kept);
        let url = serve(move |method, path, body| {
            let mut kept = inside.lock().unwrap();
            match (method, path.split_once('?')) {
                ("POST", Some(("/api/v0/add", _))) => (200, kept.add(body)),
                ("POST", Some(("/api/v0/block/get", query))) => {
                    let cid = query.strip_prefix("arg=").unwrap().to_owned();
                    let block = kept.blocks.get(&cid).cloned();
                    kept.given.push(cid);
                    block.map_or((404, Vec::new()), |block| (200, block))
                }
                _ => (404, Vec::new()),
            }
        });
        Self { url, kept }
    }

    /// How many leaves were given since this was asked last.
    pub fn leaves_given(&self) -> usize {
        let mut kept = self.kept.lock().unwrap();
        let given = std::mem::take(&mut kept.given);
        given.iter().filter(|cid| kept.leaves.contains(cid)).count()
    }
}

impl Kept {
    /// Takes a form with files, and says what each became, and the folder of all.
    fn add(&mut self, form: &[u8]) -> Vec<u8> {
        let line = form.windows(2).position(|two| two == b"\r\n").unwrap();
        let (boundary, mut rest) = (&form[..line], &form[line + 2..]);
        let end = [b"\r\n", boundary].concat();
        let (mut said, mut entries) = (String::new(), Vec::new());
        while let Some(head) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = std::str::from_utf8(&rest[..head]).unwrap();
            let name = text.split("filename=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            rest = &rest[head + 4..];
            let len = rest.windows(end.len()).position(|found| found == end).unwrap();
            let (cid, size) = self.file(&rest[..len]);
            said += &format!("{{\"Name\":\"{name}\",\"Hash\":\"{}\"}}\n", text_of(&cid));
            entries.push((name, cid, size));
            rest = &rest[len + end.len() + 2..];
        }
        entries.sort();
        let folder = self.node(&entries, &[8, 1]);
        said += &format!("{{\"Name\":\"\",\"Hash\":\"{}\"}}\n", text_of(&folder));
        said.into_bytes()
    }

    fn file(&mut self, content: &[u8]) -> (Vec<u8>, u64) {
        let (mut parts, mut unixfs) = (Vec::new(), vec![8, 2, 0x18]);
        unixfs.extend(varint(content.len() as u64));
        for leaf in content.chunks(1 << 20) {
            let cid = self.keep(0x55, leaf.to_vec());
            self.leaves.push(text_of(&cid));
            unixfs.push(0x20);
            unixfs.extend(varint(leaf.len() as u64));
            parts.push((String::new(), cid, leaf.len() as u64));
        }
        (self.node(&parts, &unixfs), content.len() as u64)
    }

    fn node(&mut self, links: &[(String, Vec<u8>, u64)], unixfs: &[u8]) -> Vec<u8> {
        let link = |(name, cid, size): &(String, Vec<u8>, u64)| {
            let size = [&[0x18][..], &varint(*size)].concat();
            field(2, &[field(1, cid), field(2, name.as_bytes()), size].concat())
        };
        let block = [links.iter().flat_map(link).collect(), field(1, unixfs)].concat();
        self.keep(0x70, block)
    }

    fn keep(&mut self, codec: u8, block: Vec<u8>) -> Vec<u8> {
        let cid = [&[1, codec, 0x12, 32][..], &Sha256::digest(&block)].concat();
        self.blocks.insert(text_of(&cid), block);
        cid
    }
}

fn text_of(cid: &[u8]) -> String {
    Cid::read(cid).unwrap().0.to_string()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
