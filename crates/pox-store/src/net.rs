//! The one HTTP client: it connects only where the [`Access`] policy lets it, however it is led there.

use std::error::Error as StdError;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::StatusCode;
use http::header::{RANGE, RETRY_AFTER};
use reqwest::dns::{Addrs, Name as DnsName, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Request, Response};
use tokio::runtime::Runtime;
use url::Url;

use crate::reader::stated_range;
use crate::{Access, Error, IpfsError, Refused, SignError};

/// A client and the policy that it keeps.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    client: Client,
    pub(crate) access: Arc<Access>,
}

/// Why a request failed, before it is known what it was for.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Refused(Refused),
    #[error("not found")]
    NotFound,
    #[error("denied with status {0}")]
    Denied(u16),
    #[error("precondition failed")]
    Precondition,
    #[error("range ignored")]
    RangeIgnored,
    #[error("range beyond the end")]
    RangeBeyond,
    #[error("{0}")]
    Protocol(&'static str),
    #[error("status {0}")]
    Status(u16),
    /// Worth another try; the server may say when.
    #[error("busy with status {0}")]
    Busy(u16, Option<Duration>),
    /// What storage that has codes for its errors says.
    #[error("{code} with status {status}")]
    Code { status: u16, code: String },
    /// Content-addressed data isn't what it has to be.
    #[error(transparent)]
    Ipfs(IpfsError),
    /// Whoever holds the keys does not sign.
    #[error(transparent)]
    Unsigned(SignError),
    /// Worth another try.
    #[error("{0}")]
    Broken(String),
    /// Worth another try.
    #[error("stalled for {0:?}")]
    Stalled(Duration),
    /// It would take the next attempt as slowly.
    #[error("not done within {0:?}")]
    Dripped(Duration),
}

/// A body that arrives in pieces.
pub(crate) type Body = BoxStream<'static, Result<Bytes, Fault>>;

impl Fault {
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Busy(..) | Self::Broken(_) | Self::Stalled(_))
    }

    /// How long to wait before the next try, after so many failures.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        // 100 ms after the first failure, doubled after each further one, up to 3.2 s.
        let backoff = Duration::from_millis(100) * 2u32.pow(failures.saturating_sub(1).min(5));
        match self {
            Self::Busy(_, Some(asked)) => backoff.max((*asked).min(MAX_ASKED_PAUSE)),
            _ => backoff,
        }
    }
}

impl Net {
    pub(crate) fn new(access: &Access) -> Result<Self, Error> {
        // Fails if this process has a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let access = Arc::new(access.clone());
        let client = Client::builder()
            .user_agent(concat!("pox/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .referer(false)
            .connect_timeout(access.timeouts.connect)
            .dns_resolver(Arc::new(Guard(access.clone())))
            .redirect(redirects(access.clone()))
            .build()
            .map_err(|error| Error::Unreachable(explain(&error)))?;
        Ok(Self { client, access })
    }

    /// Sends a request, and returns the answer if its status is a success.
    ///
    /// `patience` bounds the wait for the answer's head; nothing where the caller watches the upload itself.
    pub(crate) async fn send(&self, request: Request, patience: Option<Duration>) -> Result<Response, Fault> {
        let ranged = request.headers().contains_key(RANGE);
        let response = self.send_any(request, patience).await?;
        check_status(&response, ranged)?;
        Ok(response)
    }

    /// Passes an answer on if its status is a success for that request.
    pub(crate) fn check(response: Response, request: &Request) -> Result<Response, Fault> {
        check_status(&response, request.headers().contains_key(RANGE))?;
        Ok(response)
    }

    /// Sends a request, and returns the answer whatever its status.
    pub(crate) async fn send_any(
        &self,
        request: Request,
        patience: Option<Duration>,
    ) -> Result<Response, Fault> {
        self.access.check_url(request.url()).map_err(Fault::Refused)?;
        let answer = self.client.execute(request);
        match patience {
            Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| Fault::Stalled(limit))?,
            None => answer.await,
        }
        .map_err(|error| broken(&error))
    }

    /// Returns the body of an answer; a pause longer than the policy's is a fault.
    pub(crate) fn body(&self, response: Response) -> Body {
        let stall = self.access.timeouts.stall;
        let pieces = futures_util::stream::unfold(Some(response), move |state| async move {
            let mut response = state?;
            match tokio::time::timeout(stall, response.chunk()).await {
                Ok(Ok(Some(piece))) => Some((Ok(piece), Some(response))),
                Ok(Ok(None)) => None,
                Ok(Err(error)) => Some((Err(broken(&error)), None)),
                Err(_) => Some((Err(Fault::Stalled(stall)), None)),
            }
        });
        pieces.boxed()
    }

    /// Reads a whole small body, of at most `limit` bytes.
    pub(crate) async fn small_body(&self, response: Response, limit: usize) -> Result<Vec<u8>, Fault> {
        let mut body = self.body(response);
        let whole = async {
            let mut bytes = Vec::new();
            while let Some(piece) = body.next().await {
                bytes.extend_from_slice(&piece?);
                if bytes.len() > limit {
                    return Err(Fault::Protocol("its answer is too long"));
                }
            }
            Ok(bytes)
        };
        let total = self.access.timeouts.total;
        tokio::time::timeout(total, whole).await.map_err(|_| Fault::Stalled(total))?
    }
}

/// Runs a future to its end on the calling thread; sockets are served by a background thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("pox-store")
            .enable_all()
            .build()
            .expect("a thread and a poll descriptor can be had when the process starts to use the network")
    });
    runtime.block_on(future)
}

pub(crate) fn check_status(response: &Response, ranged: bool) -> Result<(), Fault> {
    Err(match response.status() {
        StatusCode::PARTIAL_CONTENT if !ranged => Fault::Protocol("it sends a part when asked for the whole"),
        StatusCode::PARTIAL_CONTENT => return Ok(()),
        status if status.is_success() && ranged && stated_range(response).is_none() => Fault::RangeIgnored,
        status if status.is_success() => return Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE => Fault::NotFound,
        StatusCode::PRECONDITION_FAILED => Fault::Precondition,
        StatusCode::RANGE_NOT_SATISFIABLE => Fault::RangeBeyond,
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Fault::Denied(status.as_u16()),
        status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => {
            Fault::Busy(status.as_u16(), retry_after(response))
        }
        status if status.is_server_error() => Fault::Busy(status.as_u16(), retry_after(response)),
        status => Fault::Status(status.as_u16()),
    })
}

/// In seconds; the form with a date is as good as none.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(text.trim().parse().ok()?))
}

/// Resolves names, and drops out if any address is one that the policy refuses.
///
/// The connection is made to the addresses returned here, so a name can't lead elsewhere once it was checked.
struct Guard(Arc<Access>);

impl Resolve for Guard {
    fn resolve(&self, name: DnsName) -> Resolving {
        let access = self.0.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &addresses {
                access.check_resolved(name.as_str(), address.ip())?;
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn redirects(access: Arc<Access>) -> Policy {
    Policy::custom(move |attempt| {
        let from_https = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        let url: &Url = attempt.url();
        let downgrade = from_https && url.scheme() != "https";
        if downgrade || !matches!(url.scheme(), "http" | "https") || attempt.previous().len() > MAX_REDIRECTS
        {
            let refused = Refused::Redirect(url.origin().ascii_serialization());
            return attempt.error(refused);
        }
        match access.check_url(url) {
            Ok(()) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        }
    })
}

/// Finds what the policy refused in a chain of errors; anything else broke on the way.
fn broken(error: &reqwest::Error) -> Fault {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Fault::Refused(refused.clone());
        }
        next = error.source();
    }
    Fault::Broken(explain(error))
}

/// Joins the causes of an error, without the URL, which the caller knows.
fn explain(error: &reqwest::Error) -> String {
    let mut text = String::from(if error.is_connect() { "no connection" } else { "broken off" });
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

/// Longest pause that a server can ask for.
const MAX_ASKED_PAUSE: Duration = Duration::from_secs(30);
/// Registries redirect blobs once, mirrors once more.
const MAX_REDIRECTS: usize = 5;
