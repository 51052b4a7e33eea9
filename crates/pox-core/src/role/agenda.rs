//! What is to be done now, and when it was last asked for.
//!
//! A role decides what it wants from its facts alone. Each want is asked for once, and again if it still stands after a
//! while: so a lost transaction or a restart needs no case of its own.

use crate::record::UnixTime;
use std::collections::VecDeque;

/// The wants of one role and the actions that wait to be polled.
#[derive(Debug, Clone)]
pub(super) struct Agenda<A> {
    again_after: u32,
    asked: Vec<(A, UnixTime)>,
    queue: VecDeque<A>,
}

impl<A: Clone + PartialEq> Agenda<A> {
    pub(super) fn new(again_after: u32) -> Self {
        Self { again_after: again_after.max(1), asked: Vec::new(), queue: VecDeque::new() }
    }

    /// Asks for something once, whatever is wanted later.
    pub(super) fn tell(&mut self, action: A) {
        self.queue.push_back(action);
    }

    /// Sets what is wanted now: what is new or was asked for long ago is queued, what is no longer wanted forgotten.
    pub(super) fn want(&mut self, wanted: Vec<A>, now: UnixTime) {
        let mut asked = Vec::with_capacity(wanted.len());
        for action in wanted {
            let last = self.asked.iter().find(|(known, _)| *known == action).map(|(_, at)| *at);
            let at = match last {
                Some(at) if now.0 < self.due(at).0 => at,
                _ => {
                    self.queue.push_back(action.clone());
                    now
                }
            };
            asked.push((action, at));
        }
        self.asked = asked;
    }

    pub(super) fn poll(&mut self) -> Option<A> {
        self.queue.pop_front()
    }

    /// When the first of the wants is to be asked for again.
    pub(super) fn next_due(&self) -> Option<UnixTime> {
        self.asked.iter().map(|(_, at)| self.due(*at)).min()
    }

    fn due(&self, at: UnixTime) -> UnixTime {
        UnixTime(at.0.saturating_add(self.again_after.into()))
    }
}
