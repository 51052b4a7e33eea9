//! Objects behind HTTP, read through `object_store`, so that S3 and others become further builders, not further code.

use std::error::Error as StdError;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig};
use url::Url;

use crate::net::{Fault, Net, block_on};
use crate::reader::{Opened, Remote, Version};
use crate::{Error, Name, Result};

/// Opens the objects below a base URL, on our own client.
pub(crate) fn http(base: &Url, net: &Net) -> Result<Arc<dyn ObjectStore>> {
    let store = HttpBuilder::new()
        .with_url(base.as_str())
        .with_client_options(ClientOptions::new().with_allow_http(true))
        // Retries are the reader's, who knows where to go on.
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(Connector(net.clone()))
        .build()
        .map_err(|error| Error::from_fault(fault(&error), base.as_str()))?;
    Ok(Arc::new(store))
}

/// One object in a store.
pub(crate) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    stall: std::time::Duration,
}

impl Object {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, name: &Name, net: &Net) -> Self {
        // Names need no escaping, so this is the name itself.
        Self { store, path: Path::from(name.as_str()), stall: net.access.timeouts.stall }
    }

    /// Asks for the size, by `HEAD` or, where a server doesn't have that, by asking for the first byte.
    pub(crate) fn size(&self) -> std::result::Result<u64, Fault> {
        match block_on(self.store.head(&self.path)).map_err(|error| fault(&error)) {
            Ok(meta) => Ok(meta.size),
            Err(Fault::Status(405 | 501) | Fault::Busy(501, _) | Fault::Protocol(_)) => {
                self.open(0, Some(1), &Version::default()).map(|opened| opened.size)
            }
            Err(fault) => Err(fault),
        }
    }

    fn get(
        &self,
        range: Option<GetRange>,
        version: &Version,
    ) -> std::result::Result<Opened, object_store::Error> {
        let options =
            GetOptions { range, if_match: version.strong().map(str::to_owned), ..GetOptions::default() };
        let answer = block_on(self.store.get_opts(&self.path, options))?;
        let version = Version { etag: answer.meta.e_tag.clone(), modified: modified(&answer) };
        let (start, size, stall) = (answer.range.start, answer.meta.size, self.stall);
        let body = futures_util::stream::unfold(Some(answer.into_stream()), move |state| async move {
            let mut pieces = state?;
            match tokio::time::timeout(stall, pieces.next()).await {
                Ok(None) => None,
                Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
                Ok(Some(Err(error))) => Some((Err(fault(&error)), None)),
                Err(_) => Some((Err(Fault::Stalled(stall)), None)),
            }
        });
        Ok(Opened { start, size, version, body: body.boxed() })
    }
}

impl Remote for Object {
    fn open(&self, offset: u64, end: Option<u64>, version: &Version) -> std::result::Result<Opened, Fault> {
        let range = match end {
            // An empty range can't be asked for.
            Some(end) if end <= offset => None,
            Some(end) => Some(GetRange::Bounded(offset..end)),
            None if offset == 0 => None,
            None => Some(GetRange::Offset(offset)),
        };
        let ranged = range.is_some();
        match self.get(range, version).map_err(|error| fault(&error)) {
            Err(Fault::RangeIgnored) if ranged => self.get(None, version).map_err(|error| fault(&error)),
            result => result,
        }
    }
}

/// The library makes up a date where the server gives none, so only a date in the past counts.
fn modified(answer: &object_store::GetResult) -> Option<String> {
    let seconds = answer.meta.last_modified.timestamp();
    (seconds > 0).then(|| seconds.to_string())
}

/// Finds our own fault in the library's error; what it says itself is about the server's headers.
fn fault(error: &object_store::Error) -> Fault {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.clone();
        }
        next = error.source();
    }
    match error {
        object_store::Error::NotFound { .. } => Fault::NotFound,
        object_store::Error::Precondition { .. } => Fault::Precondition,
        _ => Fault::Protocol("its headers don't describe its answer"),
    }
}

/// Hands the library our guarded client in place of its own.
#[derive(Debug)]
struct Connector(Net);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone())))
    }
}

#[derive(Debug)]
struct Service(Net);

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|_| wrap(Fault::Protocol("its address can't be asked for")))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        // Reads have no body; writes don't pass here, because the library would hold them in memory.
        if !body.is_empty() {
            return Err(wrap(Fault::Protocol("a read has a body")));
        }
        let response = self.0.send(request, Some(self.0.access.timeouts.stall)).await.map_err(wrap)?;
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let body = body.map_err(|error| wrap(Fault::Broken(error.without_url().to_string())));
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

fn wrap(fault: Fault) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, fault)
}
