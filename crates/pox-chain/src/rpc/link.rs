//! One endpoint: an HTTP exchange, and the answer in it.

use super::dialect::{fails_for_now, limits_rate, revert_data};
use super::health::Health;
use super::wire::{Envelope, Failure, Quantity};
use crate::endpoint::Endpoint;
use crate::error::{ChainError, Revert, plain};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, Uri};

/// Most bytes of an answer. The largest that is asked for are logs, of which a range can be made smaller, and a transaction
/// with a secret of 72 KiB.
pub(crate) const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// One node, as its URL reaches it.
pub(crate) struct Link {
    agent: Agent,
    uri: Uri,
    /// The URL without what can be a key.
    pub(crate) shown: String,
    pub(crate) health: Health,
    /// Methods and forms that it was seen to lack.
    lacking: Mutex<BTreeSet<&'static str>>,
    /// Whether it was seen to be on the profile's chain.
    checked: AtomicBool,
    next_id: AtomicU64,
}

#[derive(Serialize)]
struct Question<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'static str,
    params: &'a RawValue,
}

impl Link {
    pub(crate) fn new(endpoint: &Endpoint, timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A redirect of a POST would become a GET, or send the question to somebody whom the profile does not name.
            .max_redirects(0)
            .max_redirects_will_error(true)
            .user_agent(concat!("pox/", env!("CARGO_PKG_VERSION")));
        let config = if endpoint.is_loopback() { config.proxy(None) } else { config };
        Self {
            agent: config.build().new_agent(),
            uri: endpoint.uri().clone(),
            shown: endpoint.to_string(),
            health: Health::default(),
            lacking: Mutex::default(),
            checked: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
        }
    }

    pub(crate) fn lacks(&self, what: &'static str) -> bool {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner).contains(what)
    }

    pub(crate) fn note_lack(&self, what: &'static str) {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }

    /// Asks, after having asked once for the chain's id.
    pub(crate) fn exchange<T: DeserializeOwned>(
        &self,
        chain_id: u64,
        method: &'static str,
        params: &RawValue,
    ) -> Result<Option<T>, ChainError> {
        if !self.checked.load(Ordering::Relaxed) {
            self.check_chain(chain_id)?;
            self.checked.store(true, Ordering::Relaxed);
        }
        self.question(method, params)
    }

    fn check_chain(&self, expected: u64) -> Result<(), ChainError> {
        const METHOD: &str = "eth_chainId";
        let nothing =
            to_raw_value::<[(); 0]>(&[]).map_err(|error| self.malformed(METHOD, &error.to_string()))?;
        let answer: Option<Quantity> = self.question(METHOD, &nothing)?;
        let actual = answer
            .and_then(Quantity::number)
            .ok_or_else(|| self.malformed(METHOD, "the chain id is no 64-bit number"))?;
        if actual == expected {
            Ok(())
        } else {
            Err(ChainError::WrongChain { endpoint: self.shown.clone(), expected, actual })
        }
    }

    fn question<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &RawValue,
    ) -> Result<Option<T>, ChainError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let question = Question { jsonrpc: "2.0", id, method, params };
        let body =
            serde_json::to_vec(&question).map_err(|error| self.malformed(method, &error.to_string()))?;
        let (status, headers, answer) = self.post(method, &body)?;
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.rate_limited(&headers));
        }
        let envelope = match serde_json::from_slice::<Envelope<'_>>(&answer) {
            Ok(envelope) => envelope,
            Err(_) if !status.is_success() => return Err(self.unreachable(format!("HTTP status {status}"))),
            Err(error) => return Err(self.malformed(method, &error.to_string())),
        };
        // Answers to malformed questions have no id; any other id is somebody else's answer.
        let is_ours = envelope.id.as_ref().is_none_or(|told| match told {
            Value::Null => true,
            Value::String(text) => text.parse() == Ok(id),
            other => *other == id,
        });
        if !is_ours {
            return Err(self.malformed(method, "the answer is to another question"));
        }
        if let Some(failure) = envelope.error {
            return Err(self.failure(method, status, &headers, failure));
        }
        if !status.is_success() {
            return Err(self.unreachable(format!("HTTP status {status}")));
        }
        let result = envelope.result.map(RawValue::get).unwrap_or("null");
        serde_json::from_str(result).map_err(|error| self.malformed(method, &error.to_string()))
    }

    fn post(
        &self,
        method: &'static str,
        body: &[u8],
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), ChainError> {
        let failed = |error: ureq::Error| match error {
            ureq::Error::BodyExceedsLimit(most) => {
                ChainError::Oversized { endpoint: self.shown.clone(), method, most }
            }
            error => self.unreachable(error.to_string()),
        };
        let sent = self.agent.post(&self.uri).header("content-type", "application/json").send(body);
        let mut response = sent.map_err(failed)?;
        let answer =
            response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(failed)?;
        let (head, _) = response.into_parts();
        Ok((head.status, head.headers, answer))
    }

    fn failure(
        &self,
        method: &'static str,
        status: StatusCode,
        headers: &HeaderMap,
        failure: Failure,
    ) -> ChainError {
        let Failure { code, message, data } = failure;
        if limits_rate(code, &message) {
            return self.rate_limited(headers);
        }
        if status.is_server_error() && data.is_none() {
            return self.unreachable(format!("HTTP status {status}: {message}"));
        }
        if matches!(method, "eth_call" | "eth_estimateGas" | "eth_sendRawTransaction")
            && let Some(data) = revert_data(code, &message, data.as_ref())
        {
            return ChainError::Reverted(Revert::parse(&data, &message));
        }
        if fails_for_now(code, &message) {
            return self.unreachable(format!("it fails inside: {message}"));
        }
        ChainError::Refused { method, code, message: plain(&message) }
    }

    fn rate_limited(&self, headers: &HeaderMap) -> ChainError {
        // The other form of this header is a date, by a clock that is not ours.
        let seconds = headers.get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        ChainError::RateLimited { endpoint: self.shown.clone(), retry_after }
    }

    fn unreachable(&self, reason: String) -> ChainError {
        ChainError::Unreachable { endpoint: self.shown.clone(), reason: plain(&reason) }
    }

    fn malformed(&self, method: &'static str, reason: &str) -> ChainError {
        ChainError::Malformed { endpoint: self.shown.clone(), method, reason: plain(reason) }
    }
}
