//! When an endpoint that fails is asked again, and how long to pause: the more often it fails the later, and never all
//! clients at the same moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row after which an endpoint is left alone for a while.
const FAILURES: u32 = 3;
/// The first such while; doubled with each further failure.
const FIRST_REST: Duration = Duration::from_millis(500);
/// The longest, also where the endpoint asks for more: a hostile one could ask for years.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Pauses that differ from one client to the next, from a seed that the caller chose.
#[derive(Debug)]
pub(crate) struct Jitter(AtomicU64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Between half of a pause and one and a half of it.
    pub(crate) fn spread(&self, pause: Duration) -> Duration {
        // Sebastiano Vigna's splitmix64: any sequence that two clients do not share would do.
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let thousandths = u32::try_from((mixed >> 32) % 1001).unwrap_or(500);
        pause.saturating_mul(500 + thousandths) / 1000
    }
}

/// Whether an endpoint is worth asking now.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    rests_until: Option<Instant>,
    /// As the endpoint itself wants it.
    asked_until: Option<Instant>,
}

impl Health {
    /// Whether it is to be left alone now.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        self.with(|state| state.rests_until.is_some_and(|until| now < until))
    }

    /// How long it wants to be left alone from now on.
    pub(crate) fn asked_rest(&self, now: Instant) -> Duration {
        self.with(|state| left(state.asked_until, now))
    }

    pub(crate) fn succeeded(&self) {
        self.with(|state| *state = State::default());
    }

    /// Notes a failure; `asked` is the rest that the endpoint itself wants.
    pub(crate) fn failed(&self, now: Instant, asked: Option<Duration>, jitter: &Jitter) {
        self.with(|state| {
            state.failures = state.failures.saturating_add(1);
            let doubled = state.failures.checked_sub(FAILURES).map(|more| {
                let rest = FIRST_REST.saturating_mul(1_u32 << more.min(16));
                jitter.spread(rest.min(LONGEST_REST))
            });
            let asked = asked.map(|asked| asked.min(LONGEST_REST));
            state.asked_until = asked.map(|rest| now + rest).max(state.asked_until);
            state.rests_until = asked.max(doubled).map(|rest| now + rest).max(state.rests_until);
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // Nothing above can panic between two of its writes.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn left(until: Option<Instant>, now: Instant) -> Duration {
    until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest_left(health: &Health, now: Instant) -> Duration {
        health.with(|state| left(state.rests_until, now))
    }

    #[test]
    fn an_endpoint_rests_after_failures_and_longer_after_more() {
        let (health, jitter, start) = (Health::default(), Jitter::new(1), Instant::now());
        for _ in 1..FAILURES {
            health.failed(start, None, &jitter);
            assert!(!health.rests(start));
        }
        let mut last = Duration::ZERO;
        for doubling in 0..10 {
            health.failed(start, None, &jitter);
            let left = rest_left(&health, start);
            assert!(left >= last && left <= LONGEST_REST * 3 / 2, "{left:?}");
            assert!(left >= (FIRST_REST * (1 << doubling)).min(LONGEST_REST) / 2, "{left:?}");
            last = left;
        }
        assert!(!health.rests(start + last));
        health.succeeded();
        assert!(!health.rests(start));
    }

    #[test]
    fn an_endpoint_that_asks_for_years_gets_a_minute() {
        let (health, jitter, start) = (Health::default(), Jitter::new(1), Instant::now());
        health.failed(start, Some(Duration::from_secs(u64::MAX)), &jitter);
        assert_eq!(health.asked_rest(start), LONGEST_REST);
        assert!(health.rests(start));
    }

    #[test]
    fn pauses_are_spread_and_follow_the_seed() {
        let pause = Duration::from_secs(1);
        let of = |seed| {
            let jitter = Jitter::new(seed);
            [(); 50].map(|()| jitter.spread(pause))
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert!(of(7).iter().all(|spread| *spread >= pause / 2 && *spread <= pause * 3 / 2));
        assert!(of(7).iter().max() > of(7).iter().min().map(|least| *least + pause / 2).as_ref());
    }
}
