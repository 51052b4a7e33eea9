//! JSON-RPC over HTTP.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, HOST},
    },
    response::IntoResponse,
    routing::post,
};
use thiserror::Error;
use tokio::{runtime, sync::oneshot};

use crate::Chain;

/// Bytes of a request at most: a transaction of the largest size in hexadecimal, and a batch around it.
const MAX_REQUEST: usize = 5 * 1024 * 1024;

/// Requests that are answered at the same time at most; others wait.
const MAX_CONCURRENT: usize = 8;

/// Time that answers in progress get when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Serves a chain over HTTP on threads of its own, until it is stopped or dropped.
///
/// There is no authentication and no encryption: listen on the loopback interface. Pages in a browser are kept out:
/// requests must be of type `application/json`, and sent to an address or `localhost`.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

/// The server can't start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("can't listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        reason: std::io::Error,
    },
    /// The machine gives no more threads.
    #[error("can't start the server's threads")]
    Threads(#[source] std::io::Error),
}

impl Server {
    /// Starts to listen; port 0 takes any free port.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn start(chain: &Chain, address: SocketAddr) -> Result<Self, ServerError> {
        let listen = |reason| ServerError::Listen { address, reason };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(MAX_CONCURRENT)
            .enable_io()
            .build()
            .map_err(ServerError::Threads)?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(listen)?
        };
        let router = Router::new()
            .route("/", post(answer))
            .layer(DefaultBodyLimit::max(MAX_REQUEST))
            .with_state(chain.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            tokio::select! {
                // It never ends by itself; failures to accept are retried inside.
                _ = axum::serve(listener, router).into_future() => {}
                _ = stopped => {}
            }
        };
        let thread = thread::Builder::new()
            .name("pox-devchain".into())
            .spawn(move || {
                runtime.block_on(serve);
                runtime.shutdown_timeout(LAST_ANSWERS);
            })
            .map_err(ServerError::Threads)?;
        Ok(Self { address: bound, running: Some(Running { stop, thread }) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients find it, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops to listen; answers in progress get a second.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            // Either fails only if the thread is gone already.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn answer(State(chain): State<Chain>, headers: HeaderMap, request: Bytes) -> impl IntoResponse {
    let refused = |status| (status, [(CONTENT_TYPE, "text/plain")], Vec::new());
    if !is_json(&headers) {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if !is_for_this_machine(&headers) {
        return refused(StatusCode::FORBIDDEN);
    }
    // Running code takes long enough to hold up the other connections.
    match tokio::task::spawn_blocking(move || chain.rpc(&request)).await {
        Ok(answer) => (StatusCode::OK, [(CONTENT_TYPE, "application/json")], answer),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A page in a browser can post anything else to this machine without asking first.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// A page in a browser can have its own name point to this machine; it can't do that with an address.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let host = host.to_str().unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|digit| digit.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_this_machine() {
        let allowed =
            |host: &str| is_for_this_machine(&HeaderMap::from_iter([(HOST, host.parse().unwrap())]));
        for host in ["localhost", "LOCALHOST:8545", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8545"] {
            assert!(allowed(host), "{host}");
        }
        for host in ["", "example.org", "example.org:80", "127.0.0.1.example.org", "localhost:example.org"] {
            assert!(!allowed(host), "{host}");
        }
    }
}
