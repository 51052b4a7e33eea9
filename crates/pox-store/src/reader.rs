use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::net::{Body, Fault, Net, block_on};
use crate::{Access, Error, Result};

/// Reads one object, or a range of it. Yields exactly the bytes asked for, or an error: never a silent short read.
///
/// Errors pass as [`io::Error`]; [`Error::from_read`] recovers them.
pub struct ObjectReader(Inner);

enum Inner {
    File { file: File, left: u64, name: String },
    Remote(Box<Resuming>),
}

/// Something that can be read from any offset, as often as needed.
pub(crate) trait Remote: Send + Sync {
    /// Asks for the bytes from `offset` up to the object's end, or `end` if given.
    fn open(&self, offset: u64, end: Option<u64>, version: &Version) -> std::result::Result<Opened, Fault>;
}

/// An answer to [`Remote::open`].
pub(crate) struct Opened {
    /// Where the body starts: at the offset asked for, or before it if the server ignores ranges.
    pub(crate) start: u64,
    /// Size of the whole object in bytes, as this answer has it.
    pub(crate) size: u64,
    pub(crate) version: Version,
    pub(crate) body: Body,
}

/// What tells one version of an object from another, as far as a server says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) etag: Option<String>,
    pub(crate) modified: Option<String>,
}

/// Reads on where a connection broke.
struct Resuming {
    remote: Arc<dyn Remote>,
    name: String,
    policy: Policy,
    position: u64,
    end: u64,
    size: u64,
    version: Version,
    body: Option<Body>,
    /// Bytes of the body that precede the position.
    skip: u64,
    piece: Bytes,
    attempts: u32,
    since_refund: u64,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Policy {
    attempts: u32,
    total: Duration,
}

impl ObjectReader {
    pub(crate) fn file(file: File, left: u64, name: &str) -> Self {
        Self(Inner::File { file, left, name: name.into() })
    }

    /// Opens a remote object; `range` is checked against the size that the server states.
    pub(crate) fn remote(
        remote: Arc<dyn Remote>,
        name: &str,
        start: u64,
        end: Option<u64>,
        access: &Access,
    ) -> Result<Self> {
        let policy = Policy { attempts: access.attempts.max(1), total: access.timeouts.total };
        let version = Version::default();
        let opened = retry(policy.attempts, || remote.open(start, end, &version))
            .map_err(|fault| Error::from_fault(fault, name))?;
        let size = opened.size;
        if size > access.max_object {
            return Err(Error::TooBig { name: name.into(), size, limit: access.max_object });
        }
        let end = end.unwrap_or(size);
        if end > size || start > end {
            return Err(Error::OutOfRange { name: name.into(), end: end.max(start), size });
        }
        let resuming = Resuming {
            remote,
            name: name.into(),
            policy,
            position: start,
            end,
            size,
            version: opened.version,
            body: Some(opened.body),
            skip: start.saturating_sub(opened.start),
            piece: Bytes::new(),
            attempts: policy.attempts,
            since_refund: 0,
            deadline: Instant::now() + policy.total,
        };
        Ok(Self(Inner::Remote(Box::new(resuming))))
    }

    /// Returns the size of the whole object in bytes, as the storage states it.
    pub fn object_size(&self) -> Option<u64> {
        match &self.0 {
            Inner::File { file, .. } => file.metadata().ok().map(|meta| meta.len()),
            Inner::Remote(remote) => Some(remote.size),
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::File { file, left, name } => {
                let len = buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let n = file.read(&mut buf[..len])?;
                if n == 0 && len != 0 {
                    return Err(Error::Changed(std::mem::take(name)).into_read());
                }
                *left -= n as u64;
                Ok(n)
            }
            Inner::Remote(remote) => remote.read(buf).map_err(Error::into_read),
        }
    }
}

impl Resuming {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() || (self.position == self.end && self.piece.is_empty()) {
            return Ok(0);
        }
        while self.piece.is_empty() {
            self.next_piece()?;
        }
        let len = buf.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buf[..len]);
        Ok(len)
    }

    /// Waits for bytes; leaves an empty piece if it had to reconnect.
    fn next_piece(&mut self) -> Result<()> {
        if Instant::now() > self.deadline {
            return Err(Error::TimedOut(self.policy.total));
        }
        let Some(body) = &mut self.body else { return self.reconnect() };
        match block_on(body.next()) {
            Some(Ok(piece)) => self.take(piece),
            Some(Err(fault)) => self.pause(fault),
            None => self.pause(Fault::Broken("the body ends early".into())),
        }
    }

    fn take(&mut self, mut piece: Bytes) -> Result<()> {
        let skipped = self.skip.min(piece.len() as u64);
        self.skip -= skipped;
        // At most the piece's length.
        piece.advance(skipped as usize);
        let len = piece.len() as u64;
        if len > self.end - self.position {
            if self.end == self.size {
                return Err(Error::Protocol("it sends more than it announced"));
            }
            // A server that ignores ranges sends the rest of the object too.
            piece.truncate((self.end - self.position) as usize);
        }
        self.position += piece.len() as u64;
        self.since_refund += piece.len() as u64;
        if self.since_refund >= REFUND {
            self.since_refund = 0;
            self.attempts = (self.attempts + 1).min(self.policy.attempts);
        }
        self.piece = piece;
        Ok(())
    }

    fn pause(&mut self, fault: Fault) -> Result<()> {
        self.body = None;
        self.attempts = self.attempts.saturating_sub(1);
        if self.attempts == 0 || !fault.is_transient() {
            return Err(Error::from_fault(fault, &self.name));
        }
        std::thread::sleep(fault.pause(self.policy.attempts - self.attempts));
        Ok(())
    }

    fn reconnect(&mut self) -> Result<()> {
        let end = (self.end != self.size).then_some(self.end);
        let opened = match self.remote.open(self.position, end, &self.version) {
            Ok(opened) => opened,
            Err(fault) => return self.pause(fault),
        };
        if opened.size != self.size || !self.version.allows(&opened.version) {
            return Err(Error::Changed(self.name.clone()));
        }
        self.skip = self.position.saturating_sub(opened.start);
        self.body = Some(opened.body);
        Ok(())
    }
}

impl Version {
    /// A tag that promises the same bytes; weak ones don't, and may not be sent with `If-Match`.
    pub(crate) fn strong(&self) -> Option<&str> {
        self.etag.as_deref().filter(|tag| !tag.starts_with("W/"))
    }

    /// False if a later answer is about another version. What either leaves out isn't compared.
    fn allows(&self, later: &Self) -> bool {
        let agree = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        agree(&self.etag, &later.etag) && agree(&self.modified, &later.modified)
    }
}

impl Opened {
    /// Takes a successful answer to a request from `offset` on.
    pub(crate) fn from_answer(
        net: &Net,
        response: reqwest::Response,
        offset: u64,
    ) -> std::result::Result<Self, Fault> {
        let text = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let (start, size) = if response.status() == StatusCode::PARTIAL_CONTENT {
            text(CONTENT_RANGE).and_then(content_range).ok_or(Fault::Protocol("it sends no usable range"))?
        } else {
            let length = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
            let whole = length.map(|length| (0, length));
            stated_range(&response)
                .or(whole)
                .ok_or(Fault::Protocol("it doesn't say how long the object is"))?
        };
        if start > offset {
            return Err(Fault::Protocol("it sends another range than asked for"));
        }
        let version =
            Version { etag: text(ETAG).map(str::to_owned), modified: text(LAST_MODIFIED).map(str::to_owned) };
        Ok(Self { start, size, version, body: net.body(response) })
    }
}

/// What a request for `offset` up to `end` says in its `Range`; nothing if it is for the whole.
pub(crate) fn range_header(offset: u64, end: Option<u64>) -> Option<HeaderValue> {
    let last = match end {
        // An empty range can't be asked for.
        Some(end) if end <= offset => return None,
        Some(end) => (end - 1).to_string(),
        None if offset == 0 => return None,
        None => String::new(),
    };
    HeaderValue::from_str(&format!("bytes={offset}-{last}")).ok()
}

/// Reads `bytes <start>-<last>/<size>`: where it starts, and the size.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, size.parse().ok()?))
}

/// What a success that should be a 206 says that it holds, if its length is the same: some servers of S3 (rclone's) send what was
/// asked for, and a 200.
pub(crate) fn stated_range(response: &reqwest::Response) -> Option<(u64, u64)> {
    let text = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let (range, stated) = (text(CONTENT_RANGE)?, text(CONTENT_LENGTH)?.parse::<u64>().ok()?);
    let (start, last) = range.strip_prefix("bytes ")?.split_once('/')?.0.split_once('-')?;
    let len = last.parse::<u64>().ok()?.checked_sub(start.parse().ok()?)?.checked_add(1)?;
    if len == stated { content_range(range) } else { None }
}

/// Tries until it works, fails for good, or the attempts are used up.
pub(crate) fn retry<T>(
    attempts: u32,
    mut attempt: impl FnMut() -> std::result::Result<T, Fault>,
) -> std::result::Result<T, Fault> {
    for tried in 1.. {
        match attempt() {
            Err(fault) if fault.is_transient() && tried < attempts => std::thread::sleep(fault.pause(tried)),
            result => return result,
        }
    }
    Err(Fault::Broken("no attempt was allowed".into()))
}

/// Bytes after which one used attempt is given back: long transfers meet more faults.
const REFUND: u64 = 8 << 20;
