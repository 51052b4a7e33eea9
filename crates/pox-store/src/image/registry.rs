//! A client of the OCI distribution API, on the guarded HTTP client.
//!
//! The reference comes from the other party, so names must be resolved, and redirects followed, under our policy. No
//! client library lets us hold that in hand.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use reqwest::{Request, Response};
use url::Url;

use super::document::{DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use super::{BlobSource, Descriptor, Digest, MAX_DOCUMENT, Reference, auth};
use crate::net::{Fault, Net, block_on};
use crate::reader::{Opened, Remote, Version, range_header, retry};
use crate::upload::{self, Upload};
use crate::{Access, Error, Login, ObjectReader, Result};

/// One repository of a registry.
#[derive(Clone)]
pub(crate) struct Registry {
    net: Net,
    /// Ends in `/v2/<repository>/`.
    base: Url,
    login: Option<Login>,
    authorization: Arc<Mutex<Option<HeaderValue>>>,
}

impl Registry {
    pub(crate) fn open(reference: &Reference, access: &Access) -> Result<Self> {
        let scheme = if reference.host.is_loopback() { "http" } else { "https" };
        let text = format!("{scheme}://{}/v2/{}/", reference.host, reference.repository);
        let base = Url::parse(&text).map_err(|_| Error::Protocol("the registry has no usable address"))?;
        access.check_url(&base)?;
        let login = access.logins.iter().find(|login| login.registry == reference.host).cloned();
        Ok(Self { net: Net::new(access)?, base, login, authorization: Arc::default() })
    }

    /// Asks which digest a tag stands for.
    pub(crate) fn resolve(&self, tag: &str) -> Result<Digest> {
        self.fetch_document(tag).map(|bytes| Digest::of(&bytes))
    }

    pub(crate) fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let url = self.url(&["blobs", &digest.to_string()]);
        match self.try_often(|| block_on(self.send(Request::new(Method::HEAD, url.clone())))) {
            Ok(_) => Ok(true),
            Err(Fault::NotFound) => Ok(false),
            Err(fault) => Err(Error::from_fault(fault, &digest.to_string())),
        }
    }

    /// Uploads a blob in one piece. The registry checks the digest.
    pub(crate) fn push_blob(&self, blob: &Descriptor, source: &mut dyn Read) -> Result<()> {
        let name = blob.digest.to_string();
        let start = self.url(&["blobs", "uploads", ""]);
        let mut begin = Request::new(Method::POST, start.clone());
        begin.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let response = block_on(self.send(begin)).map_err(|fault| Error::from_fault(fault, &name))?;
        let place = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let mut url = place
            .and_then(|place| start.join(place).ok())
            .ok_or(Error::Protocol("it names no place to upload to"))?;
        url.query_pairs_mut().append_pair("digest", &name);
        let headers: Vec<_> = self.authorization(&url).into_iter().collect();
        let upload = Upload { method: Method::PUT, url, headers: &headers };
        let response = upload::send(&self.net, &upload, source, blob.size)
            .map_err(|stopped| stopped.into_error(&name))?;
        if response.status() != StatusCode::CREATED {
            return Err(Error::Status(response.status().as_u16()));
        }
        Ok(())
    }

    /// Uploads a manifest, whose blobs are there already, under a tag or its digest.
    pub(crate) fn push_manifest(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<()> {
        let media_type = HeaderValue::from_str(media_type).map_err(|_| Error::Protocol("odd media type"))?;
        let put = || {
            let mut request = Request::new(Method::PUT, self.url(&["manifests", name]));
            request.headers_mut().insert(CONTENT_TYPE, media_type.clone());
            *request.body_mut() = Some(bytes.to_vec().into());
            block_on(self.send(request))
        };
        self.try_often(put).map(|_| ()).map_err(|fault| Error::from_fault(fault, name))
    }

    fn fetch_document(&self, name: &str) -> Result<Vec<u8>> {
        let limit = usize::try_from(MAX_DOCUMENT).unwrap_or(usize::MAX);
        let get = || {
            let mut request = Request::new(Method::GET, self.url(&["manifests", name]));
            let accept = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX].join(", ");
            let accept = HeaderValue::from_str(&accept).map_err(|_| Fault::Protocol("odd media type"))?;
            request.headers_mut().insert(ACCEPT, accept);
            block_on(async { self.net.small_body(self.send(request).await?, limit).await })
        };
        self.try_often(get).map_err(|fault| Error::from_fault(fault, name))
    }

    /// Sends a request, with credentials once the registry has asked for them.
    async fn send(&self, mut request: Request) -> std::result::Result<Response, Fault> {
        let again = request.try_clone();
        let patience = Some(self.net.access.timeouts.stall);
        if let Some((name, value)) = self.authorization(request.url()) {
            request.headers_mut().insert(name, value);
        }
        let first = self.net.send_any(request.try_clone().ok_or(UNREPEATABLE)?, patience).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Net::check(first, &request);
        }
        // A challenge of somebody to whom the registry led us is none of the registry's.
        if first.url().origin() != self.base.origin() {
            return Err(Fault::Denied(first.status().as_u16()));
        }
        let Some(answer) = auth::answer(&self.net, &first, self.login.as_ref()).await? else {
            return Err(Fault::Denied(first.status().as_u16()));
        };
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        let mut again = again.ok_or(UNREPEATABLE)?;
        again.headers_mut().insert(AUTHORIZATION, answer);
        self.net.send(again, patience).await
    }

    /// Credentials, for the registry's own address only.
    fn authorization(&self, url: &Url) -> Option<(HeaderName, HeaderValue)> {
        if url.origin() != self.base.origin() {
            return None;
        }
        let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.map(|value| (AUTHORIZATION, value))
    }

    fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Always possible, since the base has a host.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    fn try_often<T>(
        &self,
        attempt: impl FnMut() -> std::result::Result<T, Fault>,
    ) -> std::result::Result<T, Fault> {
        retry(self.net.access.attempts.max(1), attempt)
    }
}

impl BlobSource for Registry {
    fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.fetch_document(&digest.to_string())
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        let name = blob.digest.to_string();
        let remote = Blob { registry: self.clone(), url: self.url(&["blobs", &name]) };
        let reader = ObjectReader::remote(Arc::new(remote), &name, 0, None, &self.net.access)?;
        Ok(Box::new(reader))
    }
}

struct Blob {
    registry: Registry,
    url: Url,
}

impl Remote for Blob {
    fn open(&self, offset: u64, end: Option<u64>, _: &Version) -> std::result::Result<Opened, Fault> {
        let mut request = Request::new(Method::GET, self.url.clone());
        if let Some(range) = range_header(offset, end) {
            request.headers_mut().insert(RANGE, range);
        }
        let response = match block_on(self.registry.send(request)) {
            Err(Fault::RangeIgnored) => {
                block_on(self.registry.send(Request::new(Method::GET, self.url.clone())))?
            }
            other => other?,
        };
        Opened::from_answer(&self.registry.net, response, offset)
    }
}

const UNREPEATABLE: Fault = Fault::Protocol("the request can't be repeated");
