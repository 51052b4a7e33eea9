//! Objects in S3-compatible storage, asked for with signed URLs only.
//!
//! This client never has a key: for each request it asks a [`Sign`] for a URL. On an owner's machine that is [`Keys`]; on a
//! processor's it is the enclave, so that the host moves bytes for an owner whose keys it never sees.

mod answer;
mod keys;
mod profile;
mod upload;

pub use answer::{Listed, parse_answer};
pub use keys::{Keys, Sign, SignError};
pub use profile::{Profile, ProfileError};

use std::sync::Arc;

use bytes::Bytes;
use http::header::{IF_MATCH, RANGE};
use http::{HeaderName, HeaderValue, Method};
use pox_core::s3::{Operation, key};
use reqwest::{Request, Response};
use url::Url;

use crate::net::{Fault, Net, block_on, check_status};
use crate::reader::{Opened, Remote, Version, range_header};
use crate::{Error, Name, Result};

/// What was asked for may be part of a bucket only.
#[derive(Clone)]
pub(crate) struct Bucket {
    net: Net,
    signer: Arc<dyn Sign>,
    bucket: String,
    prefix: String,
}

/// One object of a bucket.
#[derive(Clone)]
pub(crate) struct Object {
    bucket: Bucket,
    key: String,
}

type Headers<'a> = &'a [(HeaderName, HeaderValue)];

impl Bucket {
    pub(crate) fn open(net: Net, bucket: &str, prefix: &str) -> Result<Self> {
        let signer = net.access.signer.clone().ok_or(SignError::NoKeys(bucket.to_owned()))?.0;
        Ok(Self { net, signer, bucket: bucket.into(), prefix: prefix.into() })
    }

    pub(crate) fn object(&self, name: &Name) -> Object {
        Object { bucket: self.clone(), key: key(&self.prefix, name.as_str()) }
    }
}

impl Object {
    pub(crate) fn size(&self) -> std::result::Result<u64, Fault> {
        let response = self.ask(&Operation::Size, &[], None)?;
        let length = response.headers().get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        length.ok_or(Fault::Protocol("it doesn't say how long the object is"))
    }

    /// Makes one request; the answer is a success.
    fn ask(
        &self,
        operation: &Operation,
        headers: Headers<'_>,
        body: Option<Bytes>,
    ) -> std::result::Result<Response, Fault> {
        let request = self.request(operation, headers, body)?;
        block_on(send(&self.bucket.net, request))
    }

    /// Has one request signed.
    fn request(
        &self,
        operation: &Operation,
        headers: Headers<'_>,
        body: Option<Bytes>,
    ) -> std::result::Result<Request, Fault> {
        let Bucket { signer, bucket, .. } = &self.bucket;
        let url = signer.sign(bucket, &self.key, operation).map_err(Fault::Unsigned)?;
        let url = Url::parse(&url).map_err(|_| Fault::Protocol("its address can't be asked for"))?;
        let method = Method::from_bytes(operation.method().as_bytes());
        let mut request =
            Request::new(method.map_err(|_| Fault::Protocol("its method can't be asked for"))?, url);
        for (name, value) in headers {
            request.headers_mut().insert(name, value.clone());
        }
        *request.body_mut() = body.map(Into::into);
        Ok(request)
    }

    fn read(&self, range: Option<HeaderValue>, version: &Version) -> std::result::Result<Response, Fault> {
        let mut headers: Vec<_> = range.into_iter().map(|range| (RANGE, range)).collect();
        if let Some(tag) = version.strong().and_then(|tag| HeaderValue::from_str(tag).ok()) {
            headers.push((IF_MATCH, tag));
        }
        self.ask(&Operation::Read, &headers, None)
    }
}

impl Remote for Object {
    fn open(&self, offset: u64, end: Option<u64>, version: &Version) -> std::result::Result<Opened, Fault> {
        let range = range_header(offset, end);
        let response = match self.read(range.clone(), version) {
            Err(Fault::RangeIgnored) => self.read(None, version)?,
            other => other?,
        };
        Opened::from_answer(&self.bucket.net, response, offset)
    }
}

/// Sends a signed request, and turns an error of the storage's into a fault that says which it is.
async fn send(net: &Net, request: Request) -> std::result::Result<Response, Fault> {
    let (ranged, is_head) = (request.headers().contains_key(RANGE), request.method() == Method::HEAD);
    let body = request.body().and_then(reqwest::Body::as_bytes).map_or(0, <[u8]>::len);
    let patience = match *request.method() {
        // The storage puts the parts together before it answers.
        Method::POST => net.access.timeouts.stall * PATIENCE_WITH_PARTS,
        // A part has to be sent before it is answered.
        _ => net.access.timeouts.taking(body as u64),
    };
    let response = net.send_any(request, Some(patience)).await?;
    let Err(fault) = check_status(&response, ranged) else { return Ok(response) };
    if is_head || matches!(fault, Fault::RangeIgnored | Fault::Precondition | Fault::Protocol(_)) {
        return Err(fault);
    }
    let status = response.status().as_u16();
    let Ok(body) = net.small_body(response, answer::MAX_ERROR).await else { return Err(fault) };
    Err(answer::error_code(&body).map_or(fault.clone(), |code| named(status, code, fault)))
}

/// What a named error is to whoever may try again.
fn named(status: u16, code: String, fault: Fault) -> Fault {
    match code.as_str() {
        "NoSuchKey" | "NoSuchUpload" | "NotFound" => Fault::NotFound,
        "PreconditionFailed" => Fault::Precondition,
        "InvalidRange" => Fault::RangeBeyond,
        // Somebody else writes the same object now.
        "ConditionalRequestConflict" | "OperationAborted" | "RequestTimeout" => Fault::Busy(status, None),
        "BadDigest" | "IncompleteBody" => Fault::Broken(format!("the storage got other bytes ({code})")),
        _ if fault.is_transient() => fault,
        _ => Fault::Code { status, code },
    }
}

fn fault_of(object: &Object, fault: Fault) -> Error {
    Error::from_fault(fault, &object.key)
}

/// How many times as long as anything else the storage may take to begin an upload, or to put it together: minutes, for AWS.
const PATIENCE_WITH_PARTS: u32 = 10;
