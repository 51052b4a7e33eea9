//! Several endpoints asked the same, and what most of them say.

use super::Rpc;
use crate::error::{ChainError, Revert};
use std::fmt;
use std::sync::PoisonError;
use std::thread;

/// Most differences that are remembered; each endpoint and subject is remembered once.
const MAX_DISSENTS: usize = 64;
/// Most characters of what one side says that an error repeats.
const MAX_WORDS: usize = 60;

/// An endpoint said otherwise than most, about something that has one answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Dissent {
    /// Which endpoint.
    pub endpoint: String,
    /// About what.
    pub about: String,
}

impl fmt::Display for Dissent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} contradicts the other endpoints about {}", self.endpoint, self.about)
    }
}

/// What an endpoint says: a value, nothing yet, or that the call is reverted, which is an answer too.
#[derive(Clone, PartialEq)]
enum Said<T> {
    Value(T),
    Nothing,
    Reverted(Revert),
}

impl Rpc {
    /// The endpoints that contradicted the others so far.
    pub fn dissents(&self) -> Vec<Dissent> {
        self.inner.dissents.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// A view for each endpoint.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> + '_ {
        (0..self.links().len()).map(|index| Self { inner: self.inner.clone(), only: Some(index) })
    }

    /// Whether this asks one endpoint only, so that there is nobody to compare it with.
    pub(crate) fn is_alone(&self) -> bool {
        self.only.is_some() || self.links().len() <= 1
    }

    /// Asks one endpoint after the other until one gives an answer that stands: not one that contradicts itself or lags.
    pub(crate) fn first<T>(&self, read: impl Fn(&Self) -> Result<T, ChainError>) -> Result<T, ChainError> {
        if self.is_alone() {
            return read(self);
        }
        let mut last = None;
        for index in self.order() {
            match read(&Self { inner: self.inner.clone(), only: Some(index) }) {
                Err(error) if error.is_of_one_endpoint() => last = Some(error),
                answer => return answer,
            }
        }
        Err(last.unwrap_or_else(|| self.nobody()))
    }

    /// Reads from every endpoint at once. What more than half of those that answer say counts, if at least as many as the
    /// profile wants do; the others are remembered.
    pub(crate) fn agreed<T: PartialEq + fmt::Debug + Send>(
        &self,
        about: &str,
        read: impl Fn(&Self) -> Result<T, ChainError> + Sync,
    ) -> Result<T, ChainError> {
        self.agreed_if_any(about, |rpc| read(rpc).map(Some))?
            .ok_or_else(|| ChainError::Lagging(about.to_owned()))
    }

    /// The same for what an endpoint may not know yet: `None` unless enough know it, and say the same.
    pub(crate) fn agreed_if_any<T: PartialEq + fmt::Debug + Send>(
        &self,
        about: &str,
        read: impl Fn(&Self) -> Result<Option<T>, ChainError> + Sync,
    ) -> Result<Option<T>, ChainError> {
        if self.is_alone() {
            return read(self);
        }
        let answers = self.ask_all(&read);
        let (mut sides, mut failures) = (Vec::<(Said<T>, Vec<usize>)>::new(), Vec::new());
        for (index, answer) in answers.into_iter().enumerate() {
            let said = match answer {
                Ok(Some(value)) => Said::Value(value),
                Ok(None) => Said::Nothing,
                Err(ChainError::Reverted(revert)) => Said::Reverted(revert),
                Err(error) => {
                    failures.push((index, error));
                    continue;
                }
            };
            match sides.iter_mut().find(|(known, _)| *known == said) {
                Some((_, voters)) => voters.push(index),
                None => sides.push((said, vec![index])),
            }
        }
        self.decide(about, sides, failures)
    }

    /// The answers of all endpoints, in their order.
    pub(crate) fn ask_all<T: Send>(
        &self,
        read: &(impl Fn(&Self) -> Result<T, ChainError> + Sync),
    ) -> Vec<Result<T, ChainError>> {
        thread::scope(|scope| {
            let asked: Vec<_> =
                self.each().map(|view| scope.spawn(move || view.unless_resting(read))).collect();
            // A thread that panicked is a fault of this program, and no endpoint's answer.
            asked.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(self.nobody()))).collect()
        })
    }

    fn unless_resting<T>(&self, read: &impl Fn(&Self) -> Result<T, ChainError>) -> Result<T, ChainError> {
        match self.only.and_then(|index| self.links().get(index)) {
            Some(link) if link.health.rests(std::time::Instant::now()) => Err(ChainError::Unreachable {
                endpoint: link.shown.clone(),
                reason: "it failed before, and is asked again later".into(),
            }),
            _ => read(self),
        }
    }

    fn decide<T: PartialEq + fmt::Debug>(
        &self,
        about: &str,
        mut sides: Vec<(Said<T>, Vec<usize>)>,
        mut failures: Vec<(usize, ChainError)>,
    ) -> Result<Option<T>, ChainError> {
        let answered: usize = sides.iter().map(|(_, voters)| voters.len()).sum();
        let Some(most) = (0..sides.len()).max_by_key(|side| sides[*side].1.len()) else {
            // What the caller did wrong is worth more than that another endpoint is away.
            let telling = failures.iter().position(|(_, error)| !error.is_of_one_endpoint()).unwrap_or(0);
            return Err(match failures.is_empty() {
                true => self.nobody(),
                false => failures.swap_remove(telling).1,
            });
        };
        // Who contradicts itself, or the hash that it gives, says something untrue.
        for (index, error) in &failures {
            if matches!(error, ChainError::Contradiction(_)) {
                self.note_dissent(*index, about);
            }
        }
        let values = sides.iter().filter(|(said, _)| !matches!(said, Said::Nothing)).count();
        let (_, voters) = &sides[most];
        if voters.len() * 2 <= answered {
            return match values {
                // Some know it already, and the others not yet.
                0 | 1 => Ok(None),
                _ => Err(self.disagreement(about, &sides)),
            };
        }
        let (agreed, wanted) = (voters.len(), self.profile().agree);
        let (said, voters) = sides.swap_remove(most);
        if !matches!(said, Said::Nothing) {
            for (other, dissenters) in &sides {
                if !matches!(other, Said::Nothing) {
                    dissenters.iter().for_each(|index| self.note_dissent(*index, about));
                }
            }
        }
        if agreed < usize::from(wanted) {
            let rest = failures.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("; ");
            let rest = if rest.is_empty() { "the others say otherwise".to_owned() } else { rest };
            return Err(ChainError::TooFewAgree { what: about.to_owned(), agreed, wanted, rest });
        }
        // The next question goes to one that tells what most do.
        if let Some(first) = voters.first() {
            self.prefer(*first);
        }
        match said {
            Said::Value(value) => Ok(Some(value)),
            Said::Nothing => Ok(None),
            Said::Reverted(revert) => Err(ChainError::Reverted(revert)),
        }
    }

    pub(crate) fn note_dissent(&self, index: usize, about: &str) {
        let Some(link) = self.links().get(index) else { return };
        let mut dissents = self.inner.dissents.lock().unwrap_or_else(PoisonError::into_inner);
        if dissents.len() < MAX_DISSENTS {
            dissents.insert(Dissent { endpoint: link.shown.clone(), about: about.to_owned() });
        }
    }

    fn prefer(&self, index: usize) {
        self.inner.current.store(index, std::sync::atomic::Ordering::Relaxed);
    }

    fn disagreement<T: fmt::Debug>(&self, about: &str, sides: &[(Said<T>, Vec<usize>)]) -> ChainError {
        let said = |said: &Said<T>| match said {
            Said::Value(value) => format!("{value:?}").chars().take(MAX_WORDS).collect(),
            Said::Nothing => "nothing".to_owned(),
            Said::Reverted(revert) => revert.to_string(),
        };
        let names = |voters: &[usize]| {
            let shown = voters.iter().filter_map(|index| Some(self.links().get(*index)?.shown.as_str()));
            shown.collect::<Vec<_>>().join(", ")
        };
        let sides: Vec<_> =
            sides.iter().map(|(what, voters)| format!("{} say {}", names(voters), said(what))).collect();
        ChainError::Disagreement { what: about.to_owned(), sides: sides.join("; ") }
    }

    fn nobody(&self) -> ChainError {
        ChainError::Unreachable {
            endpoint: self.profile().name.clone(),
            reason: "no endpoint answers".into(),
        }
    }
}
