//! A file of content-addressed storage, read in the order of its bytes.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::{Car, Cid, IpfsError, Node, Source};
use crate::net::{Body, Fault};
use crate::reader::{Opened, Remote, Version};

/// A file whose first block was checked.
pub(crate) struct File {
    source: Source,
    cid: Cid,
    size: u64,
}

impl File {
    pub(super) fn new(source: Source, cid: Cid, size: u64) -> Self {
        Self { source, cid, size }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

impl Remote for File {
    fn open(&self, offset: u64, end: Option<u64>, _: &Version) -> std::result::Result<Opened, Fault> {
        let end = end.unwrap_or(self.size).min(self.size);
        let start = offset.min(end);
        let first = Piece { cid: self.cid.clone(), at: 0, size: self.size, depth: 0, fetch: None };
        let walk =
            Walk { source: self.source.clone(), start, end, pieces: vec![first], archive: Archive::Unasked };
        let body = futures_util::stream::unfold(Some(walk), |walk| async move {
            let mut walk = walk?;
            match walk.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(walk))),
                Ok(None) => None,
                Err(fault) => Some((Err(fault), None)),
            }
        });
        Ok(Opened { start, size: self.size, version: Version::default(), body: body.boxed() })
    }
}

/// Goes through the blocks of a file.
struct Walk {
    source: Source,
    start: u64,
    end: u64,
    /// What is still to come, last first.
    pieces: Vec<Piece>,
    archive: Archive,
}

/// A part of a file, and the block that begins it.
struct Piece {
    cid: Cid,
    /// Where it begins in the file.
    at: u64,
    size: u64,
    depth: usize,
    fetch: Option<Fetch>,
}

/// A block on its way; given up when dropped.
struct Fetch(JoinHandle<std::result::Result<Bytes, Fault>>);

/// The gateway's archive of the file, as long as it has the blocks in the right order.
enum Archive {
    Unasked,
    Open(Car, Pin<Box<Body>>),
    None,
}

impl Walk {
    /// The next bytes of the range; nothing at its end.
    async fn next(&mut self) -> std::result::Result<Option<Bytes>, Fault> {
        while let Some(piece) = self.pieces.pop() {
            if piece.at + piece.size <= self.start || piece.at >= self.end {
                continue;
            }
            let Piece { cid, at, size, depth, .. } = piece;
            let block = match piece.fetch {
                Some(fetch) => fetch.result().await?,
                None => self.block(&cid).await?,
            };
            let node = Node::decode(&cid, &block).map_err(Fault::Ipfs)?;
            let wrong = |reason| Fault::Ipfs(IpfsError::Node(cid.to_string(), reason));
            let Node::File { data, children, size: found } = node else {
                return Err(wrong("it is a folder inside a file"));
            };
            if found != size {
                return Err(wrong("it has another size than the file says"));
            }
            if depth >= MAX_DEPTH && !children.is_empty() {
                return Err(wrong("it is too deep in the file"));
            }
            let mut end = at + size;
            for (cid, size) in children.into_iter().rev() {
                // Never below the beginning: the sizes add up to that of the whole, as was checked.
                end -= size;
                // What adds no bytes is not gone through: it could be as many blocks as there are ways through its links.
                if size > 0 {
                    self.pieces.push(Piece { cid, at: end, size, depth: depth + 1, fetch: None });
                }
            }
            self.fetch_ahead();
            let own = block.slice(data);
            let from = self.start.saturating_sub(at).min(own.len() as u64);
            let to = (self.end - at).min(own.len() as u64);
            if from < to {
                // Both fit, being at most the length of a block.
                return Ok(Some(own.slice(from as usize..to as usize)));
            }
        }
        Ok(None)
    }

    /// The block that comes next: out of the archive while that has it, else by itself.
    async fn block(&mut self, cid: &Cid) -> std::result::Result<Bytes, Fault> {
        if let Some(content) = cid.inline() {
            return Ok(Bytes::copy_from_slice(content));
        }
        if matches!(self.archive, Archive::Unasked) {
            let body = self.source.archive(cid, self.start, self.end).await;
            self.archive = body.map_or(Archive::None, |body| Archive::Open(Car::default(), Box::pin(body)));
        }
        if let Some(block) = self.archived(cid).await {
            return Ok(block);
        }
        self.archive = Archive::None;
        self.source.block(cid).await
    }

    async fn archived(&mut self, cid: &Cid) -> Option<Bytes> {
        let Archive::Open(car, body) = &mut self.archive else { return None };
        loop {
            if let Some(section) = car.section().ok()? {
                let is_it = section.cid == *cid && cid.names(&section.block);
                return is_it.then_some(section.block);
            }
            car.push(&body.next().await?.ok()?);
        }
    }

    /// Without an archive, several blocks are asked for at a time.
    fn fetch_ahead(&mut self) {
        if !matches!(self.archive, Archive::None) {
            return;
        }
        let (start, end) = (self.start, self.end);
        let wanted = |piece: &&mut Piece| piece.at < end && piece.at + piece.size > start;
        for piece in self.pieces.iter_mut().rev().filter(wanted).take(AHEAD) {
            if piece.fetch.is_none() {
                let (source, cid) = (self.source.clone(), piece.cid.clone());
                piece.fetch = Some(Fetch(tokio::spawn(async move { source.block(&cid).await })));
            }
        }
    }
}

impl Fetch {
    async fn result(mut self) -> std::result::Result<Bytes, Fault> {
        (&mut self.0).await.unwrap_or_else(|_| Err(Fault::Broken("a block was given up".into())))
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Far more levels than a file of 1 TiB has with the usual 174 children a node; bounds what is kept of those above.
const MAX_DEPTH: usize = 16;
/// Blocks on their way at a time.
const AHEAD: usize = 8;
