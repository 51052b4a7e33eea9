//! The contract's whole state and behaviour in Rust, for simulations and for the differential test against its bytecode.
//!
//! It never decides anything for a program that serves real users: there the chain does.

use crate::abi;
use crate::call::Call;
use crate::consent::Consent;
use crate::domain::Domain;
use crate::event::Event;
use crate::id::{History, OfferId, TaskId};
use crate::members::Members;
use crate::party::{Parties, Party};
use crate::record::{Amount, Offer, UnixTime};
use crate::refusal::{Phase, Refusal};
use crate::task::{Ask, Sent, Task, Transition};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use std::collections::{BTreeMap, BTreeSet};

/// The contract: tasks, offers and credits at one address of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    domain: Domain,
    tasks: BTreeMap<TaskId, Task>,
    withdrawn: BTreeSet<OfferId>,
    credits: BTreeMap<Address, U256>,
    balance: U256,
    refusing: BTreeSet<Address>,
    wallets: BTreeMap<Address, bool>,
}

/// What the contract's `task` view says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskView {
    /// Where it stands.
    pub phase: Phase,
    /// Who asked; zero if nobody did.
    pub owner: Address,
    /// Who matched; zero unless it is matched or approved.
    pub processor: Address,
    /// The enclave; zero unless it is matched or approved.
    pub enclave: Address,
    /// The price in escrow; zero once it has ended.
    pub price: Amount,
    /// The bond in escrow; zero unless it is matched or approved.
    pub bond: Amount,
    /// The phase's deadline; zero unless it is matched or approved, for a request's is in its record.
    pub deadline: UnixTime,
    /// The running commitment.
    pub history: History,
    /// Who paid, if it was not the owner; zero otherwise, and once it has ended.
    pub sponsor: Address,
    /// Whose `release` it waits for.
    pub missing: Parties,
}

impl Ledger {
    /// A contract as it is right after its deployment.
    pub fn new(domain: Domain) -> Self {
        Self {
            domain,
            tasks: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            credits: BTreeMap::new(),
            balance: U256::ZERO,
            refusing: BTreeSet::new(),
            wallets: BTreeMap::new(),
        }
    }

    /// Makes an account one that takes no payment, as a contract without a receive function does.
    pub fn refuse_payments_to(&mut self, account: Address) {
        self.refusing.insert(account);
    }

    /// Makes an account one that has code, which takes every signature for its own or none.
    pub fn set_wallet(&mut self, account: Address, takes_every_signature: bool) {
        self.wallets.insert(account, takes_every_signature);
    }

    /// Whether an account is a contract.
    pub fn has_code(&self, account: Address) -> bool {
        self.wallets.contains_key(&account)
    }

    /// Runs one call; a refused one changes nothing.
    ///
    /// # Errors
    /// The first check of spec §4 that fails.
    pub fn call(&mut self, sent: &Sent, call: Call) -> Result<Vec<Event>, Refusal> {
        if !call.is_payable() && !sent.value.is_zero() {
            return Err(Refusal::NotPayable);
        }
        match call {
            Call::Request(record) => self.request(record, sent),
            Call::Offer(record) => self.offer(record, sent),
            Call::WithdrawOffer(record) => self.withdraw_offer(&record, sent),
            Call::RequestFor { record, signature } => self.request_for(record, signature, sent),
            Call::MatchTask { record, terms, enclave, evidence } => {
                self.join(&record, terms, enclave, &evidence, None, sent)
            }
            Call::MatchListed { record, terms, enclave, evidence, path } => {
                self.join(&record, terms, enclave, &evidence, Some(path), sent)
            }
            Call::RejectFor { record, party, enclave, reason, signature } => {
                let party = Party(party);
                let id = self.task_id(&record);
                let signer = self.tasks.get(&id).and_then(|task| task.posted().request.signer_of(party));
                let consent = self.consent(signer, signature);
                self.ask(id, Ask::RejectFor { party, enclave, reason, consent }, sent)
            }
            Call::Release { record, party, enclave, secret } => {
                self.ask(self.task_id(&record), Ask::Release { party: Party(party), enclave, secret }, sent)
            }
            Call::CancelFor { task, signature } => {
                let owner = self.tasks.get(&task).map(|task| task.posted().request.owner);
                self.ask(task, Ask::CancelFor { consent: self.consent(owner, signature) }, sent)
            }
            Call::Reject { record, enclave, reason } => {
                self.ask(self.task_id(&record), Ask::Reject { enclave, reason }, sent)
            }
            Call::Approve { task, enclave, secret } => self.ask(task, Ask::Approve { enclave, secret }, sent),
            Call::Prove { receipt, archive, signature } => {
                let (task, receipt) = (TaskId(receipt.task), Box::new(receipt));
                let signature = signature.to_vec();
                self.ask(task, Ask::Prove { receipt, archive, members: None, signature }, sent)
            }
            Call::ProveMany { receipt, archive, members: root, count, signature } => {
                let (task, receipt) = (TaskId(receipt.task), Box::new(receipt));
                let (members, signature) = (Some(Members { root, count }), signature.to_vec());
                self.ask(task, Ask::Prove { receipt, archive, members, signature }, sent)
            }
            Call::Cancel(task) => self.ask(task, Ask::Cancel, sent),
            Call::Expire(record) => self.ask(self.task_id(&record), Ask::Expire, sent),
            Call::Withdraw => self.withdraw(sent),
        }
    }

    /// The contract's domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// A task, if there is one with this id.
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    /// Every task.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// What the contract's `task` view says.
    pub fn view(&self, id: TaskId) -> TaskView {
        let Some(task) = self.tasks.get(&id) else { return TaskView::NONE };
        let (posted, pairing) = (task.posted(), task.pairing());
        TaskView {
            phase: task.phase(),
            owner: posted.request.owner,
            processor: pairing.map_or(Address::ZERO, |pairing| pairing.offer.processor),
            enclave: pairing.map_or(Address::ZERO, |pairing| pairing.enclave),
            price: if task.phase().is_end() { Amount::ZERO } else { posted.request.price },
            bond: pairing.map_or(Amount::ZERO, |pairing| pairing.offer.bond),
            deadline: pairing.and(task.deadline()).unwrap_or_default(),
            history: posted.history,
            sponsor: posted.sponsor.filter(|_| !task.phase().is_end()).unwrap_or_default(),
            missing: if let Task::Matched(task) = task { task.missing } else { Parties(0) },
        }
    }

    /// Whether an offer can be matched, time apart: whether it is not withdrawn.
    pub fn is_open(&self, offer: OfferId) -> bool {
        !self.withdrawn.contains(&offer)
    }

    /// Wei that an account can withdraw.
    pub fn credit(&self, account: Address) -> U256 {
        self.credits.get(&account).copied().unwrap_or_default()
    }

    /// Wei that the contract holds.
    pub fn balance(&self) -> U256 {
        self.balance
    }

    /// Wei that the contract owes: prices and bonds in escrow, and credits. Equals [`Ledger::balance`] at all times.
    pub fn owed(&self) -> U256 {
        let escrow = self.tasks.keys().map(|id| {
            let view = self.view(*id);
            U256::from(view.price.wei()) + U256::from(view.bond.wei())
        });
        escrow.chain(self.credits.values().copied()).sum()
    }

    fn request(&mut self, record: abi::Request, sent: &Sent) -> Result<Vec<Event>, Refusal> {
        let transition = Task::request(record, sent, &self.domain)?;
        self.check_new(&transition)?;
        Ok(self.settle(transition, sent))
    }

    fn request_for(
        &mut self,
        record: abi::Request,
        signature: Bytes,
        sent: &Sent,
    ) -> Result<Vec<Event>, Refusal> {
        let transition = Task::request_for(record, sent, &self.domain)?;
        self.check_new(&transition)?;
        let posted = transition.task.posted();
        let (owner, id) = (posted.request.owner, posted.id);
        if !self.consent(Some(owner), signature).is_of(owner, id.0) {
            return Err(Refusal::BadSignature);
        }
        Ok(self.settle(transition, sent))
    }

    fn check_new(&self, transition: &Transition) -> Result<(), Refusal> {
        let used = self.tasks.contains_key(&transition.task.posted().id);
        if used { Err(Refusal::AlreadyUsed) } else { Ok(()) }
    }

    fn join(
        &mut self,
        record: &abi::Request,
        terms: abi::Offer,
        enclave: Address,
        evidence: &[u8],
        path: Option<Vec<B256>>,
        sent: &Sent,
    ) -> Result<Vec<Event>, Refusal> {
        let (open, evidence) = (self.is_open(self.offer_id(&terms)), keccak256(evidence));
        let ask = Ask::Match { terms: Box::new(terms), open, enclave, evidence, path };
        self.ask(self.task_id(record), ask, sent)
    }

    /// A signature as the contract takes it: an account with code judges it itself.
    fn consent(&self, account: Option<Address>, signature: Bytes) -> Consent {
        match account.and_then(|account| self.wallets.get(&account)) {
            Some(answer) => Consent::ByCode(*answer),
            None => Consent::Signature(signature),
        }
    }

    fn ask(&mut self, id: TaskId, ask: Ask, sent: &Sent) -> Result<Vec<Event>, Refusal> {
        let task = self.tasks.get(&id).ok_or(Refusal::WrongPhase(Phase::None))?;
        let transition = task.clone().apply(ask, sent, &self.domain)?;
        Ok(self.settle(transition, sent))
    }

    fn settle(&mut self, transition: Transition, sent: &Sent) -> Vec<Event> {
        self.balance += sent.value;
        for credit in transition.credits {
            if credit.amount != Amount::ZERO {
                *self.credits.entry(credit.to).or_default() += U256::from(credit.amount.wei());
            }
        }
        self.tasks.insert(transition.task.posted().id, transition.task);
        transition.events
    }

    fn offer(&self, record: abi::Offer, sent: &Sent) -> Result<Vec<Event>, Refusal> {
        const VALID_UNTIL: u8 = 8;
        if record.processor != sent.sender {
            return Err(Refusal::NotYours);
        }
        let offer = Offer::try_from(record)?;
        if offer.valid_until < sent.at.time {
            return Err(Refusal::BadRecord(VALID_UNTIL));
        }
        Ok(vec![Event::Offered { offer: offer.id(&self.domain), terms: offer }])
    }

    fn withdraw_offer(&mut self, record: &abi::Offer, sent: &Sent) -> Result<Vec<Event>, Refusal> {
        if record.processor != sent.sender {
            return Err(Refusal::NotYours);
        }
        let id = self.offer_id(record);
        if !self.withdrawn.insert(id) {
            return Err(Refusal::OfferClosed);
        }
        Ok(vec![Event::OfferWithdrawn { offer: id, processor: sent.sender }])
    }

    fn withdraw(&mut self, sent: &Sent) -> Result<Vec<Event>, Refusal> {
        let amount = self.credit(sent.sender);
        if amount.is_zero() {
            return Err(Refusal::NothingToWithdraw);
        }
        if self.refusing.contains(&sent.sender) {
            return Err(Refusal::PaymentRefused);
        }
        self.credits.remove(&sent.sender);
        self.balance -= amount;
        Ok(vec![Event::Withdrawn { account: sent.sender, amount }])
    }

    fn task_id(&self, record: &abi::Request) -> TaskId {
        TaskId(self.domain.digest(record))
    }

    fn offer_id(&self, record: &abi::Offer) -> OfferId {
        OfferId(self.domain.digest(record))
    }
}

impl TaskView {
    /// What the view says of an id that no task has.
    pub const NONE: Self = Self {
        phase: Phase::None,
        owner: Address::ZERO,
        processor: Address::ZERO,
        enclave: Address::ZERO,
        price: Amount::ZERO,
        bond: Amount::ZERO,
        deadline: UnixTime(0),
        history: History::ZERO,
        sponsor: Address::ZERO,
        missing: Parties(0),
    };
}
