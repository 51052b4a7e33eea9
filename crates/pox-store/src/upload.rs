//! Writing over HTTP, streamed: `object_store` would hold the whole object in memory.

use std::io::{self, Read};
use std::time::Instant;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Request};
use tokio::sync::mpsc;
use url::Url;

use crate::net::{Fault, Net, block_on};
use crate::{Error, Result};

/// What to send besides the bytes.
pub(crate) struct Upload<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Further headers.
    pub(crate) headers: &'a [(http::HeaderName, http::HeaderValue)],
}

/// Why an upload ended: the reader's fault is final, the server's may not be.
pub(crate) enum Stopped {
    Source(io::Error),
    Server(Fault),
}

/// Sends `len` bytes in one request, once. Memory is bounded by a few pieces.
pub(crate) fn send(
    net: &Net,
    upload: &Upload<'_>,
    source: &mut dyn Read,
    len: u64,
) -> std::result::Result<reqwest::Response, Stopped> {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let mut request = Request::new(upload.method.clone(), upload.url.clone());
    let headers = request.headers_mut();
    headers.insert(CONTENT_LENGTH, len.into());
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/octet-stream"));
    for (name, value) in upload.headers {
        headers.insert(name, value.clone());
    }
    *request.body_mut() = Some(Body::wrap_stream(pieces));

    let stall = net.access.timeouts.stall;
    // Only what the server takes is counted: the source may be slow too.
    let patience = net.access.timeouts.taking(len);
    let mut left = patience;
    let sending = net.clone();
    // Spawned, not awaited: it runs while the body is fed.
    #[allow(clippy::async_yields_async, reason = "the handle is what is wanted")]
    let answer = block_on(async move { tokio::spawn(async move { sending.send(request, None).await }) });
    let fed = feed(source, len, |piece| {
        let begin = Instant::now();
        let is_taken = block_on(async { sender.send_timeout(piece, stall.min(left)).await.is_ok() });
        left = left.saturating_sub(begin.elapsed());
        is_taken
    });
    drop(sender);
    let answer = block_on(async {
        let mut answer = answer;
        match tokio::time::timeout(stall, &mut answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Fault::Broken("the upload was cut off".into())),
            Err(_) => {
                answer.abort();
                Err(Fault::Stalled(stall))
            }
        }
    });
    match (fed, answer) {
        (Err(error), _) => Err(Stopped::Source(error)),
        (Ok(()), Ok(response)) => Ok(response),
        (Ok(()), Err(_)) if left.is_zero() => Err(Stopped::Server(Fault::Dripped(patience))),
        (Ok(()), Err(fault)) => Err(Stopped::Server(fault)),
    }
}

/// Passes exactly `len` bytes on, as long as somebody takes them.
fn feed(source: &mut dyn Read, len: u64, mut pass: impl FnMut(io::Result<Bytes>) -> bool) -> io::Result<()> {
    let mut left = len;
    let mut buffer = vec![0; PIECE];
    loop {
        let result = match source.read(&mut buffer) {
            Ok(0) if left == 0 => return Ok(()),
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Ok(n) if n as u64 > left => Err(io::Error::other("it is longer than announced")),
            Ok(n) => Ok(n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        match result {
            Ok(n) => {
                left -= n as u64;
                if !pass(Ok(Bytes::copy_from_slice(&buffer[..n]))) {
                    // The server stopped listening; its answer says why.
                    return Ok(());
                }
            }
            Err(error) => {
                pass(Err(io::ErrorKind::Other.into()));
                return Err(error);
            }
        }
    }
}

impl Stopped {
    pub(crate) fn into_error(self, name: &str) -> Error {
        match self {
            Self::Source(error) => Error::Source(error),
            Self::Server(fault) => Error::from_fault(fault, name),
        }
    }
}

/// Starts a reader over for another attempt.
pub(crate) fn rewind(source: &mut (impl io::Seek + ?Sized), start: u64) -> Result<()> {
    source.seek(io::SeekFrom::Start(start)).map(|_| ()).map_err(Error::Source)
}

const PIECE: usize = 256 << 10;
/// Pieces on their way; with [`PIECE`] about 1 MiB an upload.
const PIECES: usize = 4;
