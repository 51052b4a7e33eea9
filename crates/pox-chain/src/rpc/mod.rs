//! JSON-RPC over HTTP: bounded, patient, and tolerant of every dialect.

mod dialect;
mod link;
mod methods;
mod wire;

pub(crate) use dialect::{NotTaken, not_taken, unknown_state};
pub(crate) use wire::{CallParams, Quantity, RawBlock, RawProof};

pub use methods::{Block, BlockAt, Log, MinedTransaction, Receipt, Succeeded};

use crate::error::{ChainError, plain};
use crate::profile::Profile;
use link::Link;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// How long to try before the chain counts as unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Most time for one exchange, connecting included.
    pub timeout: Duration,
    /// Rounds over all endpoints before giving up.
    pub rounds: u32,
    /// Pause after the first round; doubled after each.
    pub first_pause: Duration,
}

/// A connection to a chain: some of its nodes, and the profile by which they are used. Cheap to clone.
///
/// Every call is one that can be repeated without harm, a signed transaction's broadcast included, so that each is tried
/// again on every endpoint. What nodes answer is parsed, but not believed beyond what the callers check.
#[derive(Clone)]
pub struct Rpc(Arc<Inner>);

struct Inner {
    profile: Profile,
    pace: Pace,
    links: Vec<Link>,
    current: AtomicUsize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(20), rounds: 4, first_pause: Duration::from_millis(250) }
    }
}

impl Rpc {
    /// Connects to the first endpoint that answers and is on the profile's chain.
    ///
    /// # Errors
    /// None answers, or the last one tried is on another chain.
    pub fn connect(profile: Profile) -> Result<Self, ChainError> {
        Self::connect_at(profile, Pace::default())
    }

    /// Connects with other patience.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_at(profile: Profile, pace: Pace) -> Result<Self, ChainError> {
        let links = profile.endpoints.iter().map(|endpoint| Link::new(endpoint, pace.timeout)).collect();
        let rpc = Self(Arc::new(Inner { profile, pace, links, current: AtomicUsize::new(0) }));
        rpc.chain_id()?;
        Ok(rpc)
    }

    /// The profile that it was connected with.
    pub fn profile(&self) -> &Profile {
        &self.0.profile
    }

    /// How long two looks at something that is waited for are apart.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.0.profile.poll_millis.into())
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
        let current = self.0.current.load(Ordering::Relaxed);
        let endpoint = self.0.links.get(current).map(|link| link.shown.clone()).unwrap_or_default();
        ChainError::Malformed { endpoint, method, reason: plain(reason) }
    }

    fn exchange<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &RawValue,
    ) -> Result<Option<T>, ChainError> {
        let Inner { profile, pace, links, current } = &*self.0;
        let mut pause = pace.first_pause;
        let mut round = 1;
        loop {
            let first = current.load(Ordering::Relaxed);
            let (mut unreachable, mut faulty) = (None, None);
            for index in (0..links.len()).map(|offset| (first + offset) % links.len()) {
                match links[index].exchange(profile.chain_id, method, params) {
                    Ok(answer) => {
                        current.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(error @ ChainError::Unreachable { .. }) => unreachable = Some(error),
                    // Asking again would give the same, but another endpoint can do better.
                    Err(error @ (ChainError::Malformed { .. } | ChainError::WrongChain { .. })) => {
                        faulty = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            if unreachable.is_some() && round < pace.rounds {
                sleep(pause);
                pause = pause.saturating_mul(2);
                round += 1;
                continue;
            }
            // A profile has endpoints; only one that was built by hand gets to the last alternative.
            return Err(faulty.or(unreachable).unwrap_or_else(|| ChainError::Unreachable {
                endpoint: profile.name.clone(),
                reason: "it has no endpoints".into(),
            }));
        }
    }
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc").field("chain", &self.0.profile.name).finish_non_exhaustive()
    }
}
