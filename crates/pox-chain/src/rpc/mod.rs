//! JSON-RPC over HTTP: bounded, patient, and tolerant of every dialect.

mod agree;
mod dialect;
mod health;
mod link;
mod methods;
mod pinned;
mod wire;

pub(crate) use dialect::{NotTaken, not_taken, unknown_state};
pub(crate) use wire::{CallParams, Quantity, RawBlock, RawBodies, RawBody, RawProof, RawReceipt};

pub use agree::Dissent;
pub use methods::{Block, BlockAt, Log, MinedTransaction, Receipt, Succeeded};

use crate::error::{ChainError, plain};
use crate::profile::Profile;
use health::Jitter;
use link::Link;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to try before the chain counts as unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Rounds over all endpoints before giving up on a question.
    pub rounds: u32,
    /// Pause after the first round, doubled after each; give or take a half, so that clients do not return all at once.
    pub first_pause: Duration,
    /// Most time for one question over all endpoints and rounds; it begins no round after that.
    pub deadline: Duration,
    /// Where the random part of pauses comes from: something that other clients do not have.
    pub seed: u64,
}

/// A connection to a chain: some of its nodes, and the profile by which they are used. Cheap to clone.
///
/// Every call is one that can be repeated without harm, a signed transaction's broadcast included, so that each is tried
/// again on every endpoint. What matters is compared between endpoints, and with the hashes of blocks; what nodes answer
/// besides is parsed, but not believed beyond what the callers check.
#[derive(Clone)]
pub struct Rpc {
    inner: Arc<Inner>,
    /// The one endpoint that this view asks, instead of any.
    only: Option<usize>,
}

struct Inner {
    profile: Profile,
    pace: Pace,
    links: Vec<Link>,
    current: AtomicUsize,
    jitter: Jitter,
    dissents: Mutex<BTreeSet<Dissent>>,
}

impl Pace {
    /// The usual pace: four rounds, a quarter of a second after the first, a minute in all.
    pub fn new(seed: u64) -> Self {
        let (first_pause, deadline) = (Duration::from_millis(250), Duration::from_secs(60));
        Self { rounds: 4, first_pause, deadline, seed }
    }
}

impl Rpc {
    /// Connects to the first endpoint that answers and is on the profile's chain.
    ///
    /// # Errors
    /// None answers, or the last one tried is on another chain.
    pub fn connect(profile: Profile, pace: Pace) -> Result<Self, ChainError> {
        let rpc = Self::offline(profile, pace);
        rpc.chain_id()?;
        Ok(rpc)
    }

    /// The same without asking anything yet.
    pub fn offline(profile: Profile, pace: Pace) -> Self {
        let timeout = Duration::from_millis(profile.timeout_millis.into());
        let links = profile.endpoints.iter().map(|endpoint| Link::new(endpoint, timeout)).collect();
        let (current, jitter) = (AtomicUsize::new(0), Jitter::new(pace.seed));
        let dissents = Mutex::default();
        Self { inner: Arc::new(Inner { profile, pace, links, current, jitter, dissents }), only: None }
    }

    /// The profile that it was connected with.
    pub fn profile(&self) -> &Profile {
        &self.inner.profile
    }

    /// How long two looks at something that is waited for are apart.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.inner.profile.poll_millis.into())
    }

    /// Asks for what can be absent.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Serialize,
    ) -> Result<Option<T>, ChainError> {
        let params = serde_json::value::to_raw_value(&params).map_err(|error| {
            // Only a type that can't be JSON gets here, and all parameters are texts, numbers and lists.
            ChainError::Malformed { endpoint: "this program".into(), method, reason: error.to_string() }
        })?;
        self.exchange(method, &params)
    }

    /// Asks for what a node must have.
    pub(crate) fn require<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Serialize,
    ) -> Result<T, ChainError> {
        self.ask(method, params)?.ok_or_else(|| self.malformed(method, "the result is null"))
    }

    pub(crate) fn malformed(&self, method: &'static str, reason: &str) -> ChainError {
        let endpoint = self.links().get(self.asked()).map(|link| link.shown.clone()).unwrap_or_default();
        ChainError::Malformed { endpoint, method, reason: plain(reason) }
    }

    /// Whether the endpoint that is asked now was seen to lack a method or a form.
    pub(crate) fn lacks(&self, what: &'static str) -> bool {
        self.links().get(self.asked()).is_some_and(|link| link.lacks(what))
    }

    pub(crate) fn note_lack(&self, what: &'static str) {
        if let Some(link) = self.links().get(self.asked()) {
            link.note_lack(what);
        }
    }

    fn links(&self) -> &[Link] {
        &self.inner.links
    }

    /// The endpoint that answered last, or the only one of this view.
    fn asked(&self) -> usize {
        self.only.unwrap_or_else(|| self.inner.current.load(Ordering::Relaxed))
    }

    /// The endpoints to ask, in order: the one that answered last first, those that rest last.
    fn order(&self) -> Vec<usize> {
        if let Some(only) = self.only {
            return vec![only];
        }
        let (count, first, now) = (self.links().len(), self.asked(), Instant::now());
        let mut order: Vec<_> = (0..count).map(|offset| (first + offset) % count).collect();
        order.sort_by_key(|index| self.links()[*index].health.rests(now));
        order
    }

    fn exchange<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &RawValue,
    ) -> Result<Option<T>, ChainError> {
        let Inner { profile, pace, links, current, jitter, .. } = &*self.inner;
        let end = Instant::now() + pace.deadline;
        let (mut pause, mut round) = (pace.first_pause, 1);
        loop {
            self.rest_as_asked(end)?;
            let (mut passing, mut lasting) = (None, None);
            for index in self.order() {
                let link = &links[index];
                // The others may answer at once, so that one that rests is asked only where nobody else is left.
                let others_spoke = passing.is_some() || lasting.is_some();
                if others_spoke && link.health.rests(Instant::now()) {
                    continue;
                }
                match link.exchange(profile.chain_id, method, params) {
                    Ok(answer) => {
                        link.health.succeeded();
                        if self.only.is_none() {
                            current.store(index, Ordering::Relaxed);
                        }
                        return Ok(answer);
                    }
                    Err(error) if !error.is_of_one_endpoint() => {
                        link.health.succeeded();
                        return Err(error);
                    }
                    Err(error) => {
                        let asked = match &error {
                            ChainError::RateLimited { retry_after, .. } => *retry_after,
                            _ => None,
                        };
                        // A missing method is no sign of bad health.
                        if !matches!(error, ChainError::Refused { .. } | ChainError::Oversized { .. }) {
                            link.health.failed(Instant::now(), asked, jitter);
                        }
                        // Asking again helps where an answer was lost, cut or refused for now, and not where it was complete;
                        // too many logs are asked for in a smaller range.
                        let passes = match error {
                            ChainError::Oversized { .. } => method != "eth_getLogs",
                            _ => error.is_transient(),
                        };
                        let kind = if passes { &mut passing } else { &mut lasting };
                        *kind = Some(error);
                    }
                }
            }
            let wait = jitter.spread(pause);
            if passing.is_some() && round < pace.rounds && Instant::now() + wait < end {
                sleep(wait);
                pause = pause.saturating_mul(2);
                round += 1;
                continue;
            }
            // A profile has endpoints; only one that was built by hand gets to the last alternative.
            return Err(lasting.or(passing).unwrap_or_else(|| ChainError::Unreachable {
                endpoint: profile.name.clone(),
                reason: "it has no endpoints".into(),
            }));
        }
    }

    /// Waits while every endpoint wants to be left alone.
    fn rest_as_asked(&self, end: Instant) -> Result<(), ChainError> {
        let now = Instant::now();
        let rests = self.order().into_iter().map(|index| (self.links()[index].health.asked_rest(now), index));
        let Some((rest, index)) = rests.min() else { return Ok(()) };
        if now + rest >= end {
            let endpoint = self.links()[index].shown.clone();
            return Err(ChainError::RateLimited { endpoint, retry_after: Some(rest) });
        }
        sleep(rest);
        Ok(())
    }
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc").field("chain", &self.inner.profile.name).finish_non_exhaustive()
    }
}
