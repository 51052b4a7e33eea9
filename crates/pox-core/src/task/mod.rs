//! The lifecycle of one task (spec §4): its states, and the only code that moves a task from one to the next.
//!
//! The contract does the same; a differential test drives both with the same calls. What needs more than one task
//! (whether an id is used, an offer withdrawn, a credit paid) is [`crate::ledger`]'s.

mod steps;

use crate::abi;
use crate::consent::Consent;
use crate::domain::Domain;
use crate::event::Event;
use crate::history::{At, Payload, Step};
use crate::id::{Archive, History, OfferId, TaskId};
use crate::members::Members;
use crate::party::{Parties, Party};
use crate::record::{Amount, Offer, Request, UnixTime};
use crate::refusal::{Phase, Refusal};
use alloy_primitives::{Address, B256, Bytes, U256};
use steps::{Terms, bounded_request, paid};

/// Who calls, with how much money, in which block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The calling account.
    pub sender: Address,
    /// What made the call.
    pub origin: Origin,
    /// Wei that come with the call.
    pub value: U256,
    /// The block.
    pub at: At,
}

/// What makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A transaction of its own, by an account without code: whoever reads the chain finds the call's input.
    Transaction,
    /// Code: a contract's, or that of an account with a key (EIP-7702).
    Code,
}

/// What a call asks of a task that exists; each payload is reduced to what the contract looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Join an offer and an enclave to it.
    Match {
        /// The offer as the call carries it.
        terms: Box<abi::Offer>,
        /// Whether it is not withdrawn.
        open: bool,
        /// The enclave's account.
        enclave: Address,
        /// keccak256 of the evidence.
        evidence: B256,
        /// From the sender's leaf to the root of the request's list, where the call carries it.
        path: Option<Vec<B256>>,
    },
    /// Refuse the evidence.
    Reject {
        /// The enclave that is refused.
        enclave: Address,
        /// Why, by spec §9.4.
        reason: u8,
    },
    /// Refuse the evidence, by a party's signature.
    RejectFor {
        /// Whose refusal it is.
        party: Party,
        /// The enclave that is refused.
        enclave: Address,
        /// Why, by spec §9.4.
        reason: u8,
        /// What the party signed.
        consent: Consent,
    },
    /// Release the secret.
    Approve {
        /// To this enclave.
        enclave: Address,
        /// The signed and sealed secret, unchecked.
        secret: Bytes,
    },
    /// Release one party's secret.
    Release {
        /// Whose.
        party: Party,
        /// To this enclave.
        enclave: Address,
        /// The signed and sealed secret, unchecked.
        secret: Bytes,
    },
    /// Post the receipt.
    Prove {
        /// The receipt.
        receipt: Box<abi::Receipt>,
        /// SHA-256 of the archive.
        archive: Archive,
        /// The members, if it closes a batch.
        members: Option<Members>,
        /// The enclave's signature, unchecked.
        signature: Vec<u8>,
    },
    /// Take the request back.
    Cancel,
    /// Take the request back, by the owner's signature.
    CancelFor {
        /// What the owner signed.
        consent: Consent,
    },
    /// End it, its deadline having passed.
    Expire,
}

/// What is known of every task from its request on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The task's id.
    pub id: TaskId,
    /// Its request.
    pub request: Request,
    /// Who escrowed the price, if it was not the owner.
    pub sponsor: Option<Address>,
    /// The running commitment over its steps.
    pub history: History,
}

/// What a match adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// The offer's id.
    pub offer_id: OfferId,
    /// The offer; its processor runs the task.
    pub offer: Offer,
    /// The enclave's account.
    pub enclave: Address,
    /// keccak256 of the key evidence.
    pub evidence: B256,
}

/// Asked for; open to be matched until `request.match_by`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// The request.
    pub posted: Posted,
}

/// An enclave is named; the owner's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// The request.
    pub posted: Posted,
    /// Offer and enclave.
    pub pairing: Pairing,
    /// Whose `release` is missing; nobody's where the owner's `approve` is what it waits for.
    pub missing: Parties,
    /// Last second in which the parties can release or reject.
    pub approve_by: UnixTime,
}

/// The secret is released; the processor's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The request.
    pub posted: Posted,
    /// Offer and enclave.
    pub pairing: Pairing,
    /// Last second in which the receipt can be posted.
    pub prove_by: UnixTime,
}

/// The receipt is posted: an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The approved task that it was.
    pub approved: Approved,
    /// The receipt; its outcome can be a code that this version does not know.
    pub receipt: abi::Receipt,
    /// SHA-256 of the archive.
    pub archive: Archive,
    /// The members, if it was a batch.
    pub members: Option<Members>,
}

/// The owner took it back: an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The request.
    pub posted: Posted,
}

/// A deadline passed: an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The request.
    pub posted: Posted,
    /// The phase that it ended from.
    pub from: Phase,
}

/// A task in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Open to be matched.
    Requested(Requested),
    /// Waits for the owner.
    Matched(Matched),
    /// Waits for the receipt.
    Approved(Approved),
    /// Ended by a receipt.
    Proven(Box<Proven>),
    /// Ended by its owner.
    Cancelled(Cancelled),
    /// Ended by time.
    Expired(Expired),
}

/// Money that the contract now owes an account; paid out by `withdraw` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// The account.
    pub to: Address,
    /// How much; may be zero.
    pub amount: Amount,
}

/// What one accepted call does to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The task afterwards.
    pub task: Task,
    /// The step that its history gained.
    pub step: Step,
    /// What is credited; what came in is the call's value.
    pub credits: Vec<Credit>,
    /// What the contract tells the world.
    pub events: Vec<Event>,
}

impl Task {
    /// Opens a task by a request. Whether the id is new is not known here.
    ///
    /// # Errors
    /// The first check of spec §4 that fails.
    pub fn request(record: abi::Request, sent: &Sent, domain: &Domain) -> Result<Transition, Refusal> {
        if record.owner != sent.sender {
            return Err(Refusal::NotYours);
        }
        Self::open(record, None, sent, domain)
    }

    /// Opens a task by a request that the sender pays for. Neither the owner's signature nor whether the id is new is looked at
    /// here.
    ///
    /// # Errors
    /// The first check of spec §4 that fails.
    pub fn request_for(record: abi::Request, sent: &Sent, domain: &Domain) -> Result<Transition, Refusal> {
        if record.owner.is_zero() {
            return Err(Refusal::BadRecord(0));
        }
        Self::open(record, Some(sent.sender), sent, domain)
    }

    fn open(
        record: abi::Request,
        sponsor: Option<Address>,
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        let request = bounded_request(record, sent.at.time)?;
        paid(sent, request.price)?;
        let id = request.id(domain);
        let step = Payload::Request(id).step(sent.at);
        let mut events = vec![Event::Requested { task: id, request: Box::new(request.clone()) }];
        events.extend(request.inputs.iter().map(|&input| Event::Uses { input, task: id }));
        events.extend(sponsor.map(|sponsor| Event::Sponsored { task: id, sponsor }));
        let posted = Posted { id, request, sponsor, history: History::ZERO.then(&step) };
        Ok(Transition { task: Self::Requested(Requested { posted }), step, credits: Vec::new(), events })
    }

    /// Moves a task by a call that names it.
    ///
    /// # Errors
    /// The first check of spec §4 that fails.
    pub fn apply(self, ask: Ask, sent: &Sent, domain: &Domain) -> Result<Transition, Refusal> {
        let phase = self.phase();
        match (self, ask) {
            (Self::Requested(task), Ask::Match { terms, open, enclave, evidence, path }) => {
                let terms = Terms { record: *terms, open, path };
                task.join(terms, enclave, evidence, sent, domain)
            }
            (Self::Requested(task), Ask::Cancel) => task.cancel(sent),
            (Self::Requested(task), Ask::CancelFor { consent }) => task.cancel_for(&consent, sent, domain),
            (Self::Matched(task), Ask::Reject { enclave, reason }) => task.reject(enclave, reason, sent),
            (Self::Matched(task), Ask::RejectFor { party, enclave, reason, consent }) => {
                task.reject_for(party, enclave, reason, &consent, sent, domain)
            }
            (Self::Matched(task), Ask::Approve { enclave, secret }) => {
                task.approve(enclave, &secret, sent, domain)
            }
            (Self::Matched(task), Ask::Release { party, enclave, secret }) => {
                task.release(party, enclave, &secret, sent, domain)
            }
            (Self::Approved(task), Ask::Prove { receipt, archive, members, signature }) => {
                task.prove(*receipt, archive, members, &signature, sent, domain)
            }
            (Self::Requested(task), Ask::Expire) => task.expire(sent),
            (Self::Matched(task), Ask::Expire) => task.expire(sent),
            (Self::Approved(task), Ask::Expire) => task.expire(sent),
            _ => Err(Refusal::WrongPhase(phase)),
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Requested(_) => Phase::Requested,
            Self::Matched(_) => Phase::Matched,
            Self::Approved(_) => Phase::Approved,
            Self::Proven(_) => Phase::Proven,
            Self::Cancelled(_) => Phase::Cancelled,
            Self::Expired(_) => Phase::Expired,
        }
    }

    /// What its request says, and its history.
    pub fn posted(&self) -> &Posted {
        match self {
            Self::Requested(task) => &task.posted,
            Self::Matched(task) => &task.posted,
            Self::Approved(task) => &task.posted,
            Self::Proven(task) => &task.approved.posted,
            Self::Cancelled(task) => &task.posted,
            Self::Expired(task) => &task.posted,
        }
    }

    /// Offer and enclave, while the contract keeps them.
    pub fn pairing(&self) -> Option<&Pairing> {
        match self {
            Self::Matched(task) => Some(&task.pairing),
            Self::Approved(task) => Some(&task.pairing),
            Self::Requested(_) | Self::Proven(_) | Self::Cancelled(_) | Self::Expired(_) => None,
        }
    }

    /// The deadline of its phase; an end has none.
    pub fn deadline(&self) -> Option<UnixTime> {
        match self {
            Self::Requested(task) => Some(task.posted.request.match_by),
            Self::Matched(task) => Some(task.approve_by),
            Self::Approved(task) => Some(task.prove_by),
            Self::Proven(_) | Self::Cancelled(_) | Self::Expired(_) => None,
        }
    }
}
