//! Writing: one request for what is small, parts for the rest, in bounded memory.
//!
//! Each part is read once, kept until the storage has it, and sent with its MD5, which the storage compares. An upload that was
//! interrupted is gone on with, if the storage can list it: a part that is there with the right MD5 isn't sent again. What the
//! storage calls an object appears with the last request, whole, or not at all.

use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderName, HeaderValue};
use md5::{Digest as _, Md5};
use pox_core::s3::{MAX_PARTS, Operation};
use tokio::task::JoinSet;

use super::answer::{self, Answer, parse_answer};
use super::{Object, fault_of, send};
use crate::net::{Fault, block_on};
use crate::reader::retry;
use crate::{Error, PutMode, Result};

/// An upload in parts.
struct Parts<'a> {
    object: &'a Object,
    upload: String,
    part_len: u64,
    count: u32,
    /// The tag of each part that the storage has, from the first on.
    tags: Vec<Option<String>>,
    sending: JoinSet<Sent>,
}

/// What became of one attempt at one part.
struct Sent {
    number: u32,
    body: Bytes,
    md5: [u8; 16],
    attempt: u32,
    outcome: std::result::Result<String, Fault>,
}

impl Object {
    /// Writes an object of exactly `len` bytes; what fails in passing is repeated, part by part.
    pub(crate) fn put(&self, source: &mut dyn Read, len: u64, mode: PutMode) -> Result<()> {
        let part_len = part_len(len);
        if len <= part_len {
            let body = read_part(source, len)?;
            expect_end(source)?;
            return self.put_small(body, mode);
        }
        let first = read_part(source, part_len)?;
        let mut parts = Parts::start(self, &first, part_len, len)?;
        let written = parts.write(first, source, len).and_then(|()| parts.finish(len, mode));
        if let Err(error) = &written
            && !can_be_resumed(error)
        {
            // No part may arrive after it. Best effort: the storage's own rules clean up what this leaves.
            block_on(parts.sending.shutdown());
            let abort = Operation::Abort { upload: parts.upload.clone() };
            let _ = self.ask(&abort, &[], None);
        }
        written
    }

    fn put_small(&self, body: Bytes, mode: PutMode) -> Result<()> {
        let md5 = Md5::digest(&body).into();
        let mut headers = body_headers(&md5, body.len());
        let mut tried = 0;
        if mode == PutMode::Create {
            headers.push((IF_NONE_MATCH, HeaderValue::from_static("*")));
        }
        let written = retry(self.bucket.net.access.attempts.max(1), || {
            tried += 1;
            self.ask(&Operation::Write, &headers, Some(body.clone()))
        });
        match written {
            Ok(_) => Ok(()),
            // It may be our own earlier attempt, whose answer was lost.
            Err(Fault::Precondition) if tried > 1 && self.is_there(&hex::encode(md5), body.len() as u64) => {
                Ok(())
            }
            Err(Fault::Precondition) => Err(Error::Exists(self.key.clone())),
            Err(fault) => Err(fault_of(self, fault)),
        }
    }

    /// Whether the storage has an object of this length and tag.
    fn is_there(&self, tag: &str, len: u64) -> bool {
        self.ask(&Operation::Size, &[], None).is_ok_and(|response| {
            let text =
                |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            text(http::header::ETAG).map(answer::unquoted).as_deref() == Some(tag)
                && text(CONTENT_LENGTH).and_then(|text| text.parse().ok()) == Some(len)
        })
    }

    /// Makes a request whose answer is a document.
    fn document(
        &self,
        operation: &Operation,
        body: Option<Bytes>,
        headers: super::Headers<'_>,
    ) -> std::result::Result<Answer, Fault> {
        let response = self.ask(operation, headers, body)?;
        let bytes = block_on(self.bucket.net.small_body(response, answer::MAX_ANSWER))?;
        let found = parse_answer(&bytes).ok_or(Fault::Protocol("its answer isn't what S3 answers"))?;
        // A success that has begun can still come to an error.
        match answer::error_code(&bytes) {
            Some(code) if code == "InternalError" || code == "SlowDown" => Err(Fault::Busy(500, None)),
            Some(code) => Err(super::named(200, code.clone(), Fault::Code { status: 200, code })),
            None => Ok(found),
        }
    }

    fn document_retried(&self, operation: &Operation) -> std::result::Result<Answer, Fault> {
        retry(self.bucket.net.access.attempts.max(1), || self.document(operation, None, &[]))
    }

    /// Finds an upload of this object that was begun with the same first part, and the tags of its parts.
    fn unfinished(&self, first: &[u8], part_len: u64, len: u64) -> Option<(String, Vec<Option<String>>)> {
        // Storage that can't list, or a signer that doesn't let it, costs a new start.
        let uploads = self.document(&Operation::Unfinished, None, &[]).ok()?;
        let first = hex::encode(Md5::digest(first));
        let mine = uploads.items.into_iter().filter(|item| item.key == self.key).take(MAX_TRIED);
        mine.filter_map(|item| Some((self.parts(&item.upload, part_len, len)?, item.upload)))
            .find(|(tags, _)| tags.first().is_some_and(|tag| tag.as_deref() == Some(&first)))
            .map(|(tags, upload)| (upload, tags))
    }

    fn parts(&self, upload: &str, part_len: u64, len: u64) -> Option<Vec<Option<String>>> {
        let count = count(part_len, len);
        let mut tags = vec![None; count as usize];
        let mut after = 0;
        loop {
            let operation = Operation::Parts { after, upload: upload.to_owned() };
            let listed = self.document(&operation, None, &[]).ok()?;
            for part in &listed.items {
                let expected =
                    if part.number == count { len - part_len * u64::from(count - 1) } else { part_len };
                if !(after + 1..=count).contains(&part.number) || part.size != expected {
                    return None;
                }
                after = part.number;
                tags[part.number as usize - 1] = Some(part.tag.clone());
            }
            if !listed.truncated || listed.items.is_empty() {
                return Some(tags);
            }
        }
    }
}

impl<'a> Parts<'a> {
    /// Goes on with an upload that has the same first part, or begins one.
    fn start(object: &'a Object, first: &[u8], part_len: u64, len: u64) -> Result<Self> {
        let count = count(part_len, len);
        let (upload, tags) = match object.unfinished(first, part_len, len) {
            Some(found) => found,
            None => {
                let begun = object.document_retried(&Operation::Begin);
                let upload = begun.map_err(|fault| fault_of(object, fault))?.upload;
                (upload, vec![None; count as usize])
            }
        };
        Ok(Self { object, upload, part_len, count, tags, sending: JoinSet::new() })
    }

    /// Sends every part that the storage hasn't, some at a time.
    fn write(&mut self, first: Bytes, source: &mut dyn Read, len: u64) -> Result<()> {
        let mut first = Some(first);
        let parallel = usize::try_from(IN_FLIGHT / self.part_len).unwrap_or(1).clamp(1, MAX_PARALLEL);
        for number in 1..=self.count {
            let start = self.part_len * u64::from(number - 1);
            let body = match first.take() {
                Some(first) => first,
                None => read_part(source, self.part_len.min(len - start))?,
            };
            let md5 = Md5::digest(&body).into();
            let tag = self.tags[number as usize - 1].take();
            if tag.as_deref() == Some(hex::encode(md5).as_str()) {
                self.tags[number as usize - 1] = tag;
                continue;
            }
            while self.sending.len() >= parallel {
                self.await_one()?;
            }
            self.send(number, body, md5, 1)?;
        }
        expect_end(source)?;
        while !self.sending.is_empty() {
            self.await_one()?;
        }
        Ok(())
    }

    fn send(&mut self, number: u32, body: Bytes, md5: [u8; 16], attempt: u32) -> Result<()> {
        let operation = Operation::Part { number, upload: self.upload.clone() };
        let headers = body_headers(&md5, body.len());
        let request = self.object.request(&operation, &headers, Some(body.clone()));
        let request = request.map_err(|fault| fault_of(self.object, fault))?;
        let net = self.object.bucket.net.clone();
        let task = async move {
            let outcome = send(&net, request).await.and_then(|response| {
                let tag = response.headers().get(http::header::ETAG).and_then(|tag| tag.to_str().ok());
                tag.map(answer::unquoted).ok_or(Fault::Protocol("it gives a part no tag"))
            });
            Sent { number, body, md5, attempt, outcome }
        };
        block_on(async { self.sending.spawn(task) });
        Ok(())
    }

    /// Waits for one part; sends it again if that may help.
    fn await_one(&mut self) -> Result<()> {
        let sent = match block_on(self.sending.join_next()) {
            Some(Ok(sent)) => sent,
            Some(Err(_)) => return Err(Error::Unreachable("the upload of a part was cut off".into())),
            None => return Ok(()),
        };
        match sent.outcome {
            Ok(tag) => {
                self.tags[sent.number as usize - 1] = Some(tag);
                Ok(())
            }
            Err(fault) if fault.is_transient() && sent.attempt < self.object.bucket.net.access.attempts => {
                std::thread::sleep(fault.pause(sent.attempt));
                self.send(sent.number, sent.body, sent.md5, sent.attempt + 1)
            }
            Err(fault) => Err(fault_of(self.object, fault)),
        }
    }

    /// Makes the parts the object.
    fn finish(&self, len: u64, mode: PutMode) -> Result<()> {
        let mut list = String::from("<CompleteMultipartUpload>");
        for (number, tag) in (1u32..).zip(&self.tags) {
            let tag = escape(tag.as_deref().unwrap_or_default());
            list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>&quot;{tag}&quot;</ETag></Part>");
        }
        list += "</CompleteMultipartUpload>";
        let body = Bytes::from(list);
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/xml"))];
        if mode == PutMode::Create {
            headers.push((IF_NONE_MATCH, HeaderValue::from_static("*")));
        }
        let operation = Operation::Finish { upload: self.upload.clone() };
        let mut tried = 0;
        let finished = retry(self.object.bucket.net.access.attempts.max(1), || {
            tried += 1;
            self.object.document(&operation, Some(body.clone()), &headers)
        });
        match finished {
            Ok(_) => self.check_len(len),
            // An earlier attempt may have done it, whose answer was lost.
            Err(Fault::NotFound | Fault::Precondition) if tried > 1 && self.is_finished(len) => Ok(()),
            Err(Fault::Precondition) => Err(Error::Exists(self.object.key.clone())),
            Err(fault) => Err(fault_of(self.object, fault)),
        }
    }

    fn is_finished(&self, len: u64) -> bool {
        let mut md5 = Md5::new();
        for tag in &self.tags {
            match hex::decode(tag.as_deref().unwrap_or_default()) {
                Ok(tag) => md5.update(tag),
                Err(_) => return false,
            }
        }
        self.object.is_there(&format!("{}-{}", hex::encode(md5.finalize()), self.count), len)
    }

    fn check_len(&self, len: u64) -> Result<()> {
        let size = retry(self.object.bucket.net.access.attempts.max(1), || self.object.size());
        match size {
            Ok(size) if size == len => Ok(()),
            Ok(_) => Err(Error::Corrupt("the storage has another length than was sent")),
            // Keys that can only write can't look.
            Err(Fault::Denied(_)) => Ok(()),
            Err(fault) => Err(fault_of(self.object, fault)),
        }
    }
}

fn body_headers(md5: &[u8; 16], len: usize) -> Vec<(HeaderName, HeaderValue)> {
    let digest = HeaderValue::from_str(&BASE64.encode(md5));
    let digest = digest.expect("Base64 has characters that headers may have only");
    vec![
        (CONTENT_LENGTH, len.into()),
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (HeaderName::from_static("content-md5"), digest),
    ]
}

fn read_part(source: &mut dyn Read, len: u64) -> Result<Bytes> {
    let mut part = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    source.take(len).read_to_end(&mut part).map_err(Error::Source)?;
    if part.len() as u64 == len {
        Ok(part.into())
    } else {
        Err(Error::Source(io::ErrorKind::UnexpectedEof.into()))
    }
}

fn expect_end(source: &mut dyn Read) -> Result<()> {
    match source.read(&mut [0]).map_err(Error::Source)? {
        0 => Ok(()),
        _ => Err(Error::Source(io::Error::other("it is longer than announced"))),
    }
}

/// So long that the parts are few enough.
fn part_len(len: u64) -> u64 {
    len.div_ceil(MAX_PARTS.into()).next_multiple_of(1 << 20).max(PART)
}

fn count(part_len: u64, len: u64) -> u32 {
    // At most MAX_PARTS, by the choice of the length.
    u32::try_from(len.div_ceil(part_len)).unwrap_or(MAX_PARTS)
}

fn escape(tag: &str) -> String {
    tag.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The storage failed, not the upload: what it has is of use to the next attempt.
fn can_be_resumed(error: &Error) -> bool {
    matches!(
        error,
        Error::Unreachable(_) | Error::TimedOut(_) | Error::Status(500..) | Error::Status(408 | 429)
    )
}

/// What fits into one request, and the usual length of a part: above S3's least of 5 MiB.
const PART: u64 = 8 << 20;
/// Bytes of parts on their way, unless one part is longer.
const IN_FLIGHT: u64 = 32 << 20;
const MAX_PARALLEL: usize = 4;
/// Unfinished uploads of one object that are looked at.
const MAX_TRIED: usize = 16;
