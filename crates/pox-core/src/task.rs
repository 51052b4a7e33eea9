//! The lifecycle of one task (spec §4): its states, and the only code that moves a task from one to the next.
//!
//! The contract does the same; a differential test drives both with the same calls. What needs more than one task
//! (whether an id is used, an offer withdrawn, a credit paid) is [`crate::ledger`]'s.

use crate::abi;
use crate::domain::Domain;
use crate::event::Event;
use crate::history::{At, Payload, Step};
use crate::id::{Archive, ArchivedReceiptId, History, OfferId, ReceiptId, TaskId};
use crate::receipt::{Doing, Party, archived};
use crate::record::{Amount, MAX_DEADLINE_SECONDS, Offer, Request, UnixTime};
use crate::refusal::{Phase, Refusal};
use crate::secret::SignedSecret;
use crate::signature::Signature;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};

/// Who calls, with how much money, in which block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The calling account.
    pub sender: Address,
    /// Wei that come with the call.
    pub value: U256,
    /// The block.
    pub at: At,
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
    },
    /// Refuse the evidence.
    Reject {
        /// Why, by spec §9.4.
        reason: u8,
    },
    /// Release the secret.
    Approve {
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
        /// The enclave's signature, unchecked.
        signature: Vec<u8>,
    },
    /// Take the request back.
    Cancel,
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
    /// Last second in which the owner can approve or reject.
    pub approve_by: UnixTime,
}

/// The secret is released; the processor's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The request.
    pub posted: Posted,
    /// Offer and enclave.
    pub pairing: Pairing,
    /// keccak256 of the signed and sealed secret.
    pub secret: B256,
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
    /// What the enclave signed.
    pub statement: ArchivedReceiptId,
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
    pub event: Event,
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
        let request = bounded_request(record, sent.at.time)?;
        paid(sent, request.price)?;
        let id = request.id(domain);
        let step = Payload::Request(id).step(sent.at);
        let event = Event::Requested { task: id, request: Box::new(request.clone()) };
        let posted = Posted { id, request, history: History::ZERO.then(&step) };
        Ok(Transition { task: Self::Requested(Requested { posted }), step, credits: Vec::new(), event })
    }

    /// Moves a task by a call that names it.
    ///
    /// # Errors
    /// The first check of spec §4 that fails.
    pub fn apply(self, ask: Ask, sent: &Sent, domain: &Domain) -> Result<Transition, Refusal> {
        let phase = self.phase();
        match (self, ask) {
            (Self::Requested(task), Ask::Match { terms, open, enclave, evidence }) => {
                task.join(*terms, open, enclave, evidence, sent, domain)
            }
            (Self::Requested(task), Ask::Cancel) => task.cancel(sent),
            (Self::Matched(task), Ask::Reject { reason }) => task.reject(reason, sent),
            (Self::Matched(task), Ask::Approve { enclave, secret }) => {
                task.approve(enclave, &secret, sent, domain)
            }
            (Self::Approved(task), Ask::Prove { receipt, archive, signature }) => {
                task.prove(*receipt, archive, &signature, sent, domain)
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

/// The number of the request's field `kinds`.
const KINDS: u8 = 8;

impl Requested {
    fn join(
        self,
        terms: abi::Offer,
        open: bool,
        enclave: Address,
        evidence: B256,
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        let request = &self.posted.request;
        in_time(sent, request.match_by)?;
        belongs_to(terms.processor, sent)?;
        belongs_to(request.processor.unwrap_or(sent.sender), sent)?;
        if !open {
            return Err(Refusal::OfferClosed);
        }
        in_time(sent, UnixTime(terms.validUntil))?;
        // What makes the record no offer is that it names no kind; no such record fits any request.
        let offer = Offer::try_from(terms).map_err(|_| Refusal::DoesNotFit(KINDS))?;
        offer.misfit(request).map_or(Ok(()), |field| Err(Refusal::DoesNotFit(field)))?;
        if enclave.is_zero() {
            return Err(Refusal::WrongEnclave);
        }
        paid(sent, offer.bond)?;

        let offer_id = offer.id(domain);
        let (task, processor, bond) = (self.posted.id, sent.sender, offer.bond);
        let step = Payload::Match { offer: offer_id, processor, enclave, evidence }.step(sent.at);
        let event = Event::Matched { task, offer: offer_id, processor, enclave, evidence, bond };
        let approve_by = after(sent, request.approve_within);
        let pairing = Pairing { offer_id, offer, enclave, evidence };
        let task = Task::Matched(Matched { posted: self.posted.then(&step), pairing, approve_by });
        Ok(Transition { task, step, credits: Vec::new(), event })
    }

    fn cancel(self, sent: &Sent) -> Result<Transition, Refusal> {
        belongs_to(self.posted.request.owner, sent)?;

        let step = Payload::Cancel.step(sent.at);
        let credits = vec![self.posted.price_to_owner()];
        let event = Event::Cancelled { task: self.posted.id };
        let task = Task::Cancelled(Cancelled { posted: self.posted.then(&step) });
        Ok(Transition { task, step, credits, event })
    }

    fn expire(self, sent: &Sent) -> Result<Transition, Refusal> {
        let deadline = self.posted.request.match_by;
        let credits = vec![self.posted.price_to_owner()];
        self.posted.expire(Phase::Requested, deadline, credits, sent)
    }
}

impl Matched {
    fn reject(self, reason: u8, sent: &Sent) -> Result<Transition, Refusal> {
        belongs_to(self.posted.request.owner, sent)?;
        in_time(sent, self.approve_by)?;

        let step = Payload::Reject(reason).step(sent.at);
        let processor = self.pairing.offer.processor;
        let credits = vec![Credit { to: processor, amount: self.pairing.offer.bond }];
        let event = Event::Rejected { task: self.posted.id, processor, reason };
        let task = Task::Requested(Requested { posted: self.posted.then(&step) });
        Ok(Transition { task, step, credits, event })
    }

    fn approve(
        self,
        enclave: Address,
        secret: &[u8],
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        belongs_to(self.posted.request.owner, sent)?;
        in_time(sent, self.approve_by)?;
        if enclave != self.pairing.enclave {
            return Err(Refusal::WrongEnclave);
        }
        SignedSecret::parse(secret)
            .and_then(|secret| secret.released_by(sent.sender, domain, self.posted.id, enclave).map(drop))
            .map_err(|_| Refusal::BadSignature)?;

        let secret = keccak256(secret);
        let step = Payload::Approve { enclave, secret }.step(sent.at);
        let event = Event::Approved { task: self.posted.id, enclave, secret };
        let prove_by = after(sent, self.posted.request.prove_within);
        let posted = self.posted.then(&step);
        let task = Task::Approved(Approved { posted, pairing: self.pairing, secret, prove_by });
        Ok(Transition { task, step, credits: Vec::new(), event })
    }

    /// The owner did not answer: nobody loses anything.
    fn expire(self, sent: &Sent) -> Result<Transition, Refusal> {
        let bond = Credit { to: self.pairing.offer.processor, amount: self.pairing.offer.bond };
        let credits = vec![self.posted.price_to_owner(), bond];
        self.posted.expire(Phase::Matched, self.approve_by, credits, sent)
    }
}

impl Approved {
    fn prove(
        self,
        receipt: abi::Receipt,
        archive: Archive,
        signature: &[u8],
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        in_time(sent, self.prove_by)?;
        if receipt.enclave != self.pairing.enclave {
            return Err(Refusal::WrongEnclave);
        }
        let doing = Doing::of(receipt.outcome).ok_or(Refusal::BadOutcome)?;
        let statement = archived(domain, ReceiptId(domain.digest(&receipt)), archive);
        let signer = Signature::parse(signature).and_then(|signature| signature.signer(statement.0));
        if signer != Ok(self.pairing.enclave) {
            return Err(Refusal::BadSignature);
        }

        let step = Payload::Prove(statement).step(sent.at);
        let processor = self.pairing.offer.processor;
        let account = |party| match party {
            Party::Owner => self.posted.request.owner,
            Party::Processor => processor,
        };
        let settlement = doing.settlement();
        let credits = vec![
            Credit { to: account(settlement.price_to), amount: self.posted.request.price },
            Credit { to: account(settlement.bond_to), amount: self.pairing.offer.bond },
        ];
        let event =
            Event::Proven { task: self.posted.id, processor, receipt: Box::new(receipt.clone()), archive };
        let approved = Self { posted: self.posted.then(&step), ..self };
        let task = Task::Proven(Box::new(Proven { approved, receipt, archive, statement }));
        Ok(Transition { task, step, credits, event })
    }

    /// The receipt did not come: the bond answers for it.
    fn expire(self, sent: &Sent) -> Result<Transition, Refusal> {
        let bond = Credit { to: self.posted.request.owner, amount: self.pairing.offer.bond };
        let credits = vec![self.posted.price_to_owner(), bond];
        self.posted.expire(Phase::Approved, self.prove_by, credits, sent)
    }
}

impl Posted {
    fn then(self, step: &Step) -> Self {
        Self { history: self.history.then(step), ..self }
    }

    fn price_to_owner(&self) -> Credit {
        Credit { to: self.request.owner, amount: self.request.price }
    }

    fn expire(
        self,
        from: Phase,
        deadline: UnixTime,
        credits: Vec<Credit>,
        sent: &Sent,
    ) -> Result<Transition, Refusal> {
        if sent.at.time <= deadline {
            return Err(Refusal::TooEarly(deadline));
        }
        let step = Payload::Expire.step(sent.at);
        let event = Event::Expired { task: self.id, from };
        let task = Task::Expired(Expired { posted: self.then(&step), from });
        Ok(Transition { task, step, credits, event })
    }
}

/// Parses a request and checks the one bound that needs a clock, in the order of the fields.
fn bounded_request(record: abi::Request, now: UnixTime) -> Result<Request, Refusal> {
    const MATCH_BY: u8 = 13;
    let match_by = record.matchBy;
    let latest = now.0.saturating_add(MAX_DEADLINE_SECONDS.into());
    let parsed = Request::try_from(record);
    match parsed {
        Err(bad) if bad.field < MATCH_BY => Err(bad.into()),
        _ if match_by < now.0 || match_by > latest => Err(Refusal::BadRecord(MATCH_BY)),
        parsed => Ok(parsed?),
    }
}

fn belongs_to(account: Address, sent: &Sent) -> Result<(), Refusal> {
    if account == sent.sender { Ok(()) } else { Err(Refusal::NotYours) }
}

fn in_time(sent: &Sent, deadline: UnixTime) -> Result<(), Refusal> {
    if sent.at.time <= deadline { Ok(()) } else { Err(Refusal::TooLate(deadline)) }
}

fn paid(sent: &Sent, needed: Amount) -> Result<(), Refusal> {
    if sent.value == U256::from(needed.wei()) { Ok(()) } else { Err(Refusal::WrongValue(needed)) }
}

/// A deadline that starts with this block. The contract keeps 40 bits of it, which last for 30,000 years.
fn after(sent: &Sent, seconds: u32) -> UnixTime {
    UnixTime(sent.at.time.0.saturating_add(seconds.into()))
}
