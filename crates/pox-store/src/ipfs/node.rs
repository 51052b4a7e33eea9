//! Nodes of files and folders: dag-pb with UnixFS inside, or raw bytes.

use super::cid::{Codec, varint};
use super::{Cid, IpfsError};

/// What a block says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file, or a piece of one: first its own bytes, then those of its children.
    File {
        /// Where its own bytes are in the block.
        data: std::ops::Range<usize>,
        /// What follows them, with the length of each.
        children: Vec<(Cid, u64)>,
        /// Length of it all.
        size: u64,
    },
    /// A folder.
    Folder(Vec<Link>),
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// What it names.
    pub cid: Cid,
}

impl Node {
    /// Reads a block that was checked against its identifier.
    ///
    /// # Errors
    /// It is no file and no folder, or contradicts itself.
    pub fn decode(cid: &Cid, block: &[u8]) -> Result<Self, IpfsError> {
        match cid.codec() {
            Codec::Raw => Ok(Self::File { data: 0..block.len(), children: vec![], size: block.len() as u64 }),
            Codec::DagPb => decode(block).map_err(|reason| IpfsError::Node(cid.to_string(), reason)),
        }
    }
}

fn decode(block: &[u8]) -> Result<Node, &'static str> {
    let (mut links, mut content) = (Vec::new(), None);
    for field in Fields(block) {
        match field? {
            (1, Value::Bytes(bytes)) if content.is_none() => content = Some(bytes),
            (2, Value::Bytes(bytes)) => links.push(link(bytes)?),
            _ => return Err("it isn't a node"),
        }
    }
    let (mut kind, mut own, mut size, mut sizes) = (None, &block[..0], None, Vec::new());
    for field in Fields(content.ok_or("it has no content")?) {
        match field? {
            (1, Value::Number(number)) => kind = Some(number),
            (2, Value::Bytes(bytes)) => own = bytes,
            (3, Value::Number(number)) => size = Some(number),
            (4, Value::Number(number)) => sizes.push(number),
            (4, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    sizes.push(varint(&mut packed).ok_or("its sizes are malformed")?);
                }
            }
            // Fan-out, mode and time.
            (5..=8, _) => {}
            _ => return Err("its content isn't that of a file or folder"),
        }
    }
    match kind {
        Some(FOLDER) => Ok(Node::Folder(links)),
        Some(RAW | FILE) if links.len() == sizes.len() => {
            let total = sizes.iter().try_fold(own.len() as u64, |sum, size| sum.checked_add(*size));
            let total = total.ok_or("its sizes are too large")?;
            if size.is_some_and(|size| size != total) {
                return Err("its size isn't that of its parts");
            }
            // Inside the block, since it is a part of it.
            let start = own.as_ptr() as usize - block.as_ptr() as usize;
            let data = if own.is_empty() { 0..0 } else { start..start + own.len() };
            let children = links.into_iter().map(|link| link.cid).zip(sizes).collect();
            Ok(Node::File { data, children, size: total })
        }
        Some(RAW | FILE) => Err("it has other sizes than parts"),
        Some(SHARD) => Err("it is a folder in many pieces"),
        _ => Err("it is neither a file nor a folder"),
    }
}

fn link(bytes: &[u8]) -> Result<Link, &'static str> {
    let (mut cid, mut name) = (None, String::new());
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => match Cid::read(bytes) {
                Ok((found, used)) if used == bytes.len() => cid = Some(found),
                _ => return Err("it links to what can't be checked"),
            },
            (2, Value::Bytes(bytes)) => {
                name = String::from_utf8(bytes.into()).map_err(|_| "a name isn't text")?;
            }
            // The size of everything below, which nothing checks.
            (3, Value::Number(_)) => {}
            _ => return Err("a link is malformed"),
        }
    }
    Ok(Link { name, cid: cid.ok_or("a link leads nowhere")? })
}

/// Fields of a protocol buffer.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Option<(u64, Value<'a>)> {
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut self.0)?),
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(len)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or("it is malformed"))
    }
}

const RAW: u64 = 0;
const FOLDER: u64 = 1;
const FILE: u64 = 2;
const SHARD: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(content: &[u8]) -> Vec<u8> {
        let digest = <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(content));
        [&[1, 0x55, 0x12, 32][..], &digest].concat()
    }

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat()
    }

    #[test]
    fn files_and_folders_are_read() {
        let link = field(2, &field(1, &raw(b"abc")));
        let content = [&[8, 2, 0x18, 3, 0x20, 3][..]].concat();
        let file = [link.clone(), field(1, &content)].concat();
        let Node::File { children, size, data } = decode(&file).unwrap() else { panic!("no file") };
        assert_eq!((children.len(), children[0].1, size, data), (1, 3, 3, 0..0));
        let named = field(2, &[field(1, &raw(b"abc")), field(2, b"x")].concat());
        let folder = [named, field(1, &[8, 1])].concat();
        assert!(matches!(decode(&folder).unwrap(), Node::Folder(links) if links[0].name == "x"));
        let own = field(1, &[&[8, 2][..], &field(2, b"hello"), &[0x18, 5]].concat());
        let Node::File { data, .. } = decode(&own).unwrap() else { panic!("no file") };
        assert_eq!(&own[data], b"hello");
    }

    #[test]
    fn contradictions_are_refused() {
        let link = field(2, &field(1, &raw(b"abc")));
        for content in [
            &[8, 2, 0x18, 4, 0x20, 3][..], // another size than that of its parts
            &[8, 2, 0x18, 3],              // a part without a size
            &[8, 2, 0x20, 3, 0x20, 0],     // a size without a part
            &[8, 5],                       // in many pieces
            &[8, 4],                       // a link of a file system
            &[],                           // nothing
            &[0x0b],                       // malformed
        ] {
            assert!(decode(&[link.clone(), field(1, content)].concat()).is_err(), "{content:?}");
        }
        let huge = [&[8, 2, 0x22, 20][..], &[0xff; 9], &[1], &[0xff; 9], &[1]].concat();
        assert!(decode(&[link.clone(), link.clone(), field(1, &huge)].concat()).is_err());
        assert!(decode(&link).is_err());
        assert!(decode(&[0x0a]).is_err());
    }
}
