//! The processor's side of all its tasks: which to take, and what each needs next.
//!
//! A task whose enclave is gone can't be saved: keys die with the enclave. Before the approval the processor waits for the
//! owner's answer or the deadline, and has its bond back; after it, the bond is lost, and the machine says so and ends.

use super::agenda::Agenda;
use super::job::{Context, Job, Stage};
use super::sight::{Place, Sighting};
use crate::domain::Domain;
use crate::event::Event;
use crate::history::At;
use crate::id::{Archive, ListRoot, OfferId, TaskId};
use crate::members::Members;
use crate::receipt::Receipt;
use crate::record::{Offer, Processors, Request, UnixTime};
use crate::refusal::Phase;
use crate::signature::Signature;
use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use super::job::Job as Entry;

/// What a processor takes, and how patient it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The processor's account.
    pub account: Address,
    /// Enclaves at once.
    pub slots: usize,
    /// Blocks that have to stand on an end before it counts; its own included.
    pub confirmations: u64,
    /// Seconds after which an action that has shown no effect is asked for again.
    pub again_after: u32,
    /// Seconds that an enclave takes to boot, be matched and see the match in the chain.
    pub boot_time: u32,
    /// Seconds that fetching, sealing and posting take besides the run; a request has to leave them in `prove_within`.
    pub overhead: u32,
    /// Longest wait, seconds, before booting for a request that is open to all (see [`delay`]).
    pub max_delay: u32,
    /// Seconds after a deadline in which the chain can still show what came before it, and after which nothing more is
    /// expected.
    pub grace: u32,
    /// Launches that may fail before a task is given up.
    pub launches: u32,
    /// The lists that the account is on, each with the path from its leaf to the root (spec §3.4).
    pub lists: BTreeMap<ListRoot, Vec<B256>>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The chain shows something.
    Chain(Sighting),
    /// The enclave that was launched for a task says or does something.
    Enclave(TaskId, EnclaveFact),
}

/// What an enclave says or does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnclaveFact {
    /// It has its keys and its evidence.
    Ready {
        /// Its account.
        enclave: Address,
        /// keccak256 of its key evidence.
        evidence: B256,
    },
    /// It refused what it was given as a secret.
    SecretRefused,
    /// It signed.
    Finished(Box<Proof>),
    /// It is gone, or never came up.
    Gone,
}

/// What `prove` or `proveMany` carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The receipt.
    #[serde(with = "super::receipt_hex")]
    pub receipt: Receipt,
    /// SHA-256 of the archive, which the caller keeps.
    pub archive: Archive,
    /// The enclave's signature.
    #[serde(with = "super::signature_hex")]
    pub signature: Signature,
    /// The members, if the receipt closes a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
}

/// What to do. Each can be asked for again, and has to have its effect at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write [`Processor::entry`] of this task to the journal, before any action that follows.
    Save(TaskId),
    /// Remove this task from the journal: nothing will happen to it any more.
    Forget(TaskId),
    /// Launch an enclave for this task, unless one runs.
    Boot {
        /// The task.
        task: TaskId,
        /// Its request.
        request: Box<Request>,
    },
    /// Match the task with the running enclave and its evidence.
    SendMatch {
        /// The task.
        task: TaskId,
        /// Its request.
        request: Box<Request>,
        /// The offer.
        offer: Box<Offer>,
        /// The enclave that is up.
        enclave: Address,
        /// The path to the root of the request's list, if it has one.
        path: Option<Vec<B256>>,
    },
    /// Take the secrets from their transactions and give them to the enclave, unless it has them.
    Deliver {
        /// The task.
        task: TaskId,
        /// Where each party's release stands, or the owner's approval.
        released: Vec<Place>,
    },
    /// Post the receipt.
    SendProve {
        /// The task.
        task: TaskId,
        /// What to post.
        proof: Box<Proof>,
    },
    /// End the task, its deadline having passed.
    SendExpire {
        /// The task.
        task: TaskId,
        /// Its request.
        request: Box<Request>,
        /// The phase that it is in.
        from: Phase,
    },
    /// End the enclave, if it runs, and remove all that it left.
    Shutdown(TaskId),
    /// The processor has done with the task; said once, for whoever watches.
    Report {
        /// The task.
        task: TaskId,
        /// What became of it.
        ending: Ending,
    },
}

/// What became of a task, for this processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Ending {
    /// The receipt is posted, with this outcome's code.
    Proven(u8),
    /// The owner rejected the evidence; the bond is back.
    Rejected,
    /// The owner did not answer; the bond is back.
    Unanswered,
    /// An approved task was not proven in time; the bond is lost.
    BondLost,
    /// It was never ours: another processor was first, the owner took it back, or nobody took it in time.
    NotOurs,
    /// No enclave would launch.
    NoEnclave,
}

/// One processor with all its tasks.
#[derive(Debug, Clone)]
pub struct Processor {
    policy: Policy,
    offers: BTreeMap<OfferId, Offer>,
    jobs: BTreeMap<TaskId, Job>,
    head: Option<At>,
    now: UnixTime,
    agenda: Agenda<Action>,
}

/// Seconds that a processor waits before it boots for an open request, so that usually one boots and not all.
///
/// It follows from task and offer alone: nobody can choose to be first for every task.
pub fn delay(task: TaskId, offer: OfferId, most: u32) -> u32 {
    let hash = keccak256([task.0, offer.0].concat());
    let spread = u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]]);
    u32::try_from(spread % (u64::from(most) + 1)).unwrap_or(most)
}

impl Policy {
    /// Whether this processor can match a request, as far as who may is concerned.
    fn may_match(&self, processors: Processors) -> bool {
        processors.allow(self.account, self.path_for(processors).as_deref())
    }

    pub(super) fn path_for(&self, processors: Processors) -> Option<Vec<B256>> {
        match processors {
            Processors::Any | Processors::Only(_) => None,
            Processors::Listed(root) => self.lists.get(&root).cloned(),
        }
    }
}

impl Processor {
    /// Starts, or goes on from a journal's entries; `offers` are those that are open in the chain now.
    ///
    /// Enclaves that ran before are taken for gone.
    pub fn resume(
        policy: Policy,
        domain: &Domain,
        offers: impl IntoIterator<Item = Offer>,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Self {
        let offers = offers.into_iter().map(|offer| (offer.id(domain), offer)).collect();
        let jobs = entries.into_iter().map(|job| (job.task(), job.restarted())).collect();
        let agenda = Agenda::new(policy.again_after);
        Self { policy, offers, jobs, head: None, now: UnixTime(0), agenda }
    }

    /// What to write to the journal for a task.
    pub fn entry(&self, task: TaskId) -> Option<&Entry> {
        self.jobs.get(&task)
    }

    /// The tasks that it has not done with.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.jobs.keys().copied()
    }

    /// The request of a task that it has not done with.
    pub fn request(&self, task: TaskId) -> Option<&Request> {
        self.jobs.get(&task).map(Job::request)
    }

    /// Takes a fact. Repeated and outdated ones change nothing.
    pub fn handle(&mut self, fact: Fact, now: UnixTime) {
        let mut touched = None;
        match fact {
            Fact::Chain(Sighting::Event { place, event }) => touched = self.see(place, &event),
            Fact::Chain(Sighting::Reverted { place }) => {
                for (task, job) in &mut self.jobs {
                    if job.revert(&place) {
                        touched = Some(*task);
                    }
                }
            }
            Fact::Chain(Sighting::Head(head)) => self.head = Some(head),
            Fact::Enclave(task, fact) => {
                let changed = self.jobs.get_mut(&task).is_some_and(|job| job.hear(fact));
                touched = changed.then_some(task);
            }
        }
        self.decide(touched, now);
    }

    /// Takes the time.
    pub fn handle_timeout(&mut self, now: UnixTime) {
        self.decide(None, now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.agenda.poll()
    }

    /// When to call [`Processor::handle_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<UnixTime> {
        let context = self.context(self.now);
        let wakes = self.jobs.values().filter_map(|job| job.wake(&context)).filter(|wake| *wake > self.now);
        wakes.chain(self.agenda.next_due()).min()
    }

    fn see(&mut self, place: Place, event: &Event) -> Option<TaskId> {
        match event {
            Event::Offered { offer, terms } if terms.processor == self.policy.account => {
                self.offers.insert(*offer, terms.clone());
            }
            Event::OfferWithdrawn { offer, .. } => drop(self.offers.remove(offer)),
            Event::Requested { task, request } => {
                let ours = self.policy.may_match(request.processors);
                if ours && !self.jobs.contains_key(task) {
                    self.jobs.insert(*task, Job::new(*task, request.as_ref().clone()));
                }
            }
            _ => {}
        }
        let task = event.task()?;
        self.jobs.get_mut(&task)?.see(place, event).then_some(task)
    }

    fn decide(&mut self, touched: Option<TaskId>, now: UnixTime) {
        self.now = now;
        let clock = self.context(now).clock;
        let mut busy = self.jobs.values().filter(|job| job.has_enclave()).count();
        let (mut wanted, mut done) = (Vec::new(), Vec::new());
        let context = Context { policy: &self.policy, offers: &self.offers, head: self.head, clock };
        for (task, job) in &mut self.jobs {
            let before = (job.stage().clone(), job.ending());
            job.advance(&context, busy < self.policy.slots);
            if matches!((&before.0, job.stage()), (Stage::Watching, Stage::Booting { .. })) {
                busy += 1;
            }
            if job.is_over(&context) {
                done.push(*task);
            } else if before != (job.stage().clone(), job.ending()) || touched == Some(*task) {
                self.agenda.tell(Action::Save(*task));
            }
            let ending = job.ending().filter(|_| before.1.is_none());
            if let Some(ending) = ending.filter(|_| job.was_engaged(&before.0)) {
                self.agenda.tell(Action::Shutdown(*task));
                self.agenda.tell(Action::Report { task: *task, ending });
            }
            wanted.extend(job.wanted(&context));
        }
        self.agenda.want(wanted, now);
        for task in done {
            self.jobs.remove(&task);
            self.agenda.tell(Action::Forget(task));
        }
    }

    fn context(&self, now: UnixTime) -> Context<'_> {
        Context {
            policy: &self.policy,
            offers: &self.offers,
            head: self.head,
            clock: self.head.map_or(now, |head| now.max(head.time)),
        }
    }
}
