//! What each accepted call does, state by state, with the checks of spec §4 in their order.

use super::{
    Approved, Cancelled, Credit, Expired, Matched, Origin, Pairing, Posted, Proven, Requested, Sent, Task,
    Transition,
};
use crate::abi;
use crate::consent::{Consent, cancellation, refusal};
use crate::domain::Domain;
use crate::event::Event;
use crate::history::{Payload, Step};
use crate::id::{Archive, ReceiptId};
use crate::members::Members;
use crate::party::{Parties, Party};
use crate::receipt::{Doing, Side, archived, archived_batch};
use crate::record::{Amount, MAX_DEADLINE_SECONDS, Offer, Request, UnixTime};
use crate::refusal::{Phase, Refusal};
use crate::secret::SignedSecret;
use crate::signature::Signature;
use alloy_primitives::{Address, B256, U256, keccak256};

/// The number of the request's field `kinds`.
const KINDS: u8 = 8;

/// An offer as a match carries it.
pub(super) struct Terms {
    pub(super) record: abi::Offer,
    pub(super) open: bool,
    pub(super) path: Option<Vec<B256>>,
}

impl Requested {
    pub(super) fn join(
        self,
        terms: Terms,
        enclave: Address,
        evidence: B256,
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        let request = &self.posted.request;
        in_time(sent, request.match_by)?;
        let Terms { record: terms, open, path } = terms;
        belongs_to(terms.processor, sent)?;
        if !request.processors.allow(sent.sender, path.as_deref()) {
            return Err(Refusal::NotYours);
        }
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
        let events = vec![Event::Matched { task, offer: offer_id, processor, enclave, evidence, bond }];
        let missing = request.releases();
        let approve_by = after(sent, request.approve_within);
        let pairing = Pairing { offer_id, offer, enclave, evidence };
        let task = Task::Matched(Matched { posted: self.posted.then(&step), pairing, missing, approve_by });
        Ok(Transition { task, step, credits: Vec::new(), events })
    }

    pub(super) fn cancel(self, sent: &Sent) -> Result<Transition, Refusal> {
        belongs_to(self.posted.request.owner, sent)?;
        Ok(self.cancelled(sent))
    }

    pub(super) fn cancel_for(
        self,
        consent: &Consent,
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        signed(consent.is_of(self.posted.request.owner, cancellation(domain, self.posted.id)))?;
        Ok(self.cancelled(sent))
    }

    fn cancelled(self, sent: &Sent) -> Transition {
        let step = Payload::Cancel.step(sent.at);
        let credits = vec![self.posted.price_back()];
        let events = vec![Event::Cancelled { task: self.posted.id }];
        let task = Task::Cancelled(Cancelled { posted: self.posted.then(&step) });
        Transition { task, step, credits, events }
    }

    pub(super) fn expire(self, sent: &Sent) -> Result<Transition, Refusal> {
        let deadline = self.posted.request.match_by;
        let credits = vec![self.posted.price_back()];
        self.posted.expire(Phase::Requested, deadline, credits, sent)
    }
}

impl Matched {
    pub(super) fn reject(self, enclave: Address, reason: u8, sent: &Sent) -> Result<Transition, Refusal> {
        self.is_answerable(enclave, sent)?;
        let party = self.posted.request.party_of(sent.sender).ok_or(Refusal::NotYours)?;
        let account = self.posted.request.account_of(party).ok_or(Refusal::NotYours)?;
        Ok(self.rejected(account, reason, sent))
    }

    pub(super) fn reject_for(
        self,
        party: Party,
        enclave: Address,
        reason: u8,
        consent: &Consent,
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        let (account, signer) = self.answering(party, enclave, sent)?;
        signed(consent.is_of(signer, refusal(domain, self.posted.id, enclave, reason)))?;
        Ok(self.rejected(account, reason, sent))
    }

    fn rejected(self, account: Address, reason: u8, sent: &Sent) -> Transition {
        let step = Payload::Reject { account, reason }.step(sent.at);
        let processor = self.pairing.offer.processor;
        let credits = vec![Credit { to: processor, amount: self.pairing.offer.bond }];
        let enclave = self.pairing.enclave;
        let events = vec![Event::Rejected { task: self.posted.id, processor, account, enclave, reason }];
        let task = Task::Requested(Requested { posted: self.posted.then(&step) });
        Transition { task, step, credits, events }
    }

    /// The checks that every answer to a match shares: each names the enclave that it answers.
    fn is_answerable(&self, enclave: Address, sent: &Sent) -> Result<(), Refusal> {
        in_time(sent, self.approve_by)?;
        if enclave == self.pairing.enclave { Ok(()) } else { Err(Refusal::WrongEnclave) }
    }

    /// The checks of a named party's answer; the party's account, and the one that signs for it.
    fn answering(&self, party: Party, enclave: Address, sent: &Sent) -> Result<(Address, Address), Refusal> {
        self.is_answerable(enclave, sent)?;
        let request = &self.posted.request;
        request.account_of(party).zip(request.signer_of(party)).ok_or(Refusal::NotYours)
    }

    fn check_secret(
        &self,
        signer: Address,
        enclave: Address,
        secret: &[u8],
        sent: &Sent,
        domain: &Domain,
    ) -> Result<(), Refusal> {
        if sent.origin != Origin::Transaction {
            return Err(Refusal::NotDirect);
        }
        SignedSecret::parse(secret)
            .and_then(|secret| secret.released_by(signer, domain, self.posted.id, enclave).map(drop))
            .map_err(|_| Refusal::BadSignature)
    }

    pub(super) fn approve(
        self,
        enclave: Address,
        secret: &[u8],
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        let (owner, _) = self.answering(Party::OWNER, enclave, sent)?;
        if !self.missing.is_empty() {
            return Err(Refusal::NeedsRelease);
        }
        self.check_secret(owner, enclave, secret, sent, domain)?;

        let secret = keccak256(secret);
        let step = Payload::Approve { enclave, secret }.step(sent.at);
        let events = vec![Event::Approved { task: self.posted.id, enclave, secret }];
        let task = self.answered(Parties(0), &step, sent);
        Ok(Transition { task, step, credits: Vec::new(), events })
    }

    pub(super) fn release(
        self,
        party: Party,
        enclave: Address,
        secret: &[u8],
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        let (account, signer) = self.answering(party, enclave, sent)?;
        if !self.missing.contains(party) {
            return Err(Refusal::NotMissing);
        }
        self.check_secret(signer, enclave, secret, sent, domain)?;

        let (secret, missing) = (keccak256(secret), self.missing.without(party));
        let step = Payload::Release { account, enclave, secret }.step(sent.at);
        let events =
            vec![Event::Released { task: self.posted.id, account, enclave, secret, missing: missing.0 }];
        let task = self.answered(missing, &step, sent);
        Ok(Transition { task, step, credits: Vec::new(), events })
    }

    /// The task after an answer: approved, once nobody's is missing.
    fn answered(self, missing: Parties, step: &Step, sent: &Sent) -> Task {
        let prove_by = after(sent, self.posted.request.prove_within);
        let posted = self.posted.then(step);
        if missing.is_empty() {
            Task::Approved(Approved { posted, pairing: self.pairing, prove_by })
        } else {
            Task::Matched(Self { posted, missing, ..self })
        }
    }

    /// The owner did not answer: nobody loses anything.
    pub(super) fn expire(self, sent: &Sent) -> Result<Transition, Refusal> {
        let bond = Credit { to: self.pairing.offer.processor, amount: self.pairing.offer.bond };
        let credits = vec![self.posted.price_back(), bond];
        self.posted.expire(Phase::Matched, self.approve_by, credits, sent)
    }
}

impl Approved {
    pub(super) fn prove(
        self,
        receipt: abi::Receipt,
        archive: Archive,
        members: Option<Members>,
        signature: &[u8],
        sent: &Sent,
        domain: &Domain,
    ) -> Result<Transition, Refusal> {
        in_time(sent, self.prove_by)?;
        if receipt.enclave != self.pairing.enclave {
            return Err(Refusal::WrongEnclave);
        }
        let doing = Doing::of(receipt.outcome).ok_or(Refusal::BadOutcome)?;
        let id = ReceiptId(domain.digest(&receipt));
        let payload = match members {
            None => Payload::Prove(archived(domain, id, archive)),
            Some(Members { root, count }) => {
                Payload::ProveMany(archived_batch(domain, id, archive, root, count))
            }
        };
        let signer = Signature::parse(signature).and_then(|signature| signature.signer(payload.word()));
        signed(signer == Ok(self.pairing.enclave))?;

        let step = payload.step(sent.at);
        let (task, processor) = (self.posted.id, self.pairing.offer.processor);
        let settlement = doing.settlement();
        let price = match settlement.price_to {
            Side::Owner => self.posted.price_back(),
            Side::Processor => Credit { to: processor, amount: self.posted.request.price },
        };
        let bond_to = match settlement.bond_to {
            Side::Owner => self.posted.request.owner,
            Side::Processor => processor,
        };
        let credits = vec![price, Credit { to: bond_to, amount: self.pairing.offer.bond }];
        let mut events = vec![Event::Proven { task, processor, receipt: Box::new(receipt.clone()), archive }];
        events.extend(members.map(|Members { root, count }| Event::Members { task, root, count }));
        let approved = Self { posted: self.posted.then(&step), ..self };
        let task = Task::Proven(Box::new(Proven { approved, receipt, archive, members }));
        Ok(Transition { task, step, credits, events })
    }

    /// The receipt did not come: the bond answers for it.
    pub(super) fn expire(self, sent: &Sent) -> Result<Transition, Refusal> {
        let bond = Credit { to: self.posted.request.owner, amount: self.pairing.offer.bond };
        let credits = vec![self.posted.price_back(), bond];
        self.posted.expire(Phase::Approved, self.prove_by, credits, sent)
    }
}

impl Posted {
    fn then(self, step: &Step) -> Self {
        Self { history: self.history.then(step), ..self }
    }

    /// To whoever paid it.
    fn price_back(&self) -> Credit {
        Credit { to: self.sponsor.unwrap_or(self.request.owner), amount: self.request.price }
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
        let events = vec![Event::Expired { task: self.id, from }];
        let task = Task::Expired(Expired { posted: self.then(&step), from });
        Ok(Transition { task, step, credits, events })
    }
}

/// Parses a request and checks the one bound that needs a clock, in the order of the fields.
pub(super) fn bounded_request(record: abi::Request, now: UnixTime) -> Result<Request, Refusal> {
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

fn signed(is_signed: bool) -> Result<(), Refusal> {
    if is_signed { Ok(()) } else { Err(Refusal::BadSignature) }
}

fn in_time(sent: &Sent, deadline: UnixTime) -> Result<(), Refusal> {
    if sent.at.time <= deadline { Ok(()) } else { Err(Refusal::TooLate(deadline)) }
}

pub(super) fn paid(sent: &Sent, needed: Amount) -> Result<(), Refusal> {
    if sent.value == U256::from(needed.wei()) { Ok(()) } else { Err(Refusal::WrongValue(needed)) }
}

/// A deadline that starts with this block. The contract keeps 40 bits of it, which last for 30,000 years.
fn after(sent: &Sent, seconds: u32) -> UnixTime {
    UnixTime(sent.at.time.0.saturating_add(seconds.into()))
}
