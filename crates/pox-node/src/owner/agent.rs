//! The owner's agent: drives its tasks to their ends, by policy, while the owner is away.

use super::kept::{BadKept, KeptTask};
use super::members::{MembersError, open_members};
use super::proof::{ProofError, fetch_archive};
use super::release::{CheckedMatch, FoundMatch, ReleaseError, check_match, endorsed};
use super::results::{ResultsError, open_results};
use crate::clock::{head, now, sighting};
use crate::endorsements::Sources;
use k256::ecdsa::SigningKey;
use pox_chain::{
    Carried, ChainError, Contract, Cursor, Draft, Effect, Follower, Outbox, Patience, Sent, TaskView,
};
use pox_core::receipt::archive_hash;
use pox_core::refusal::Phase;
use pox_core::role::Seat;
use pox_core::role::owner::{Action, Ending, Entry, Fact, Fetch, Owner, Verdict};
use pox_core::signature::address_of;
use pox_core::{Address, Archive, B256, ResultsCommitment, TaskId};
use pox_seal::Identity;
use pox_store::Access;
use pox_verify::{Anchors, Policy};
use std::io;
use std::path::PathBuf;

/// What the owner acts with.
pub struct Owns<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// Sends transactions as the owner.
    pub outbox: &'a Outbox,
    /// Signs releases.
    pub account: &'a SigningKey,
    /// Opens inputs' keys and results.
    pub identity: &'a Identity,
    /// What may be read and written.
    pub access: &'a Access,
    /// What the owner trusts.
    pub anchors: &'a Anchors,
    /// A policy of its own that all evidence has to pass, beside each task's.
    pub own_policy: Option<&'a Policy>,
    /// How long transactions are waited for.
    pub patience: Patience,
}

/// Where an agent writes what it must remember, and tells what happens.
pub trait Desk {
    /// Keeps a task's entry, on disk when this returns.
    ///
    /// # Errors
    /// It can't be written; nothing that depends on it is done.
    fn save(&mut self, task: TaskId, entry: &Entry) -> io::Result<()>;

    /// Where a task's opened results go; `None` leaves them sealed where they are.
    fn results_folder(&self, task: TaskId) -> Option<PathBuf>;

    /// Tells what happened.
    fn note(&mut self, task: TaskId, note: Note);
}

/// Something that whoever watches wants to know.
#[derive(Debug)]
pub enum Note {
    /// A transaction is in the chain.
    Sent {
        /// Which call.
        call: &'static str,
        /// Its hash.
        hash: B256,
        /// Its block.
        block: u64,
        /// Gas that it used.
        gas: u64,
    },
    /// A processor matched the task with an enclave.
    Matched {
        /// The processor.
        processor: Address,
        /// The enclave's account.
        enclave: Address,
        /// The transaction.
        transaction: B256,
    },
    /// The evidence was checked, and the policy accepts it.
    Accepted {
        /// Which TEE.
        kind: pox_core::evidence::EvidenceKind,
        /// What it launched.
        measurement: pox_verify::Measurement,
    },
    /// The evidence is refused.
    Refused(ReleaseError),
    /// The receipt is in the chain.
    Proven {
        /// What the run came to.
        outcome: u8,
        /// The transaction.
        transaction: B256,
    },
    /// The results are here.
    Fetched {
        /// Files, folders and links.
        entries: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Something failed in passing, and is tried again.
    Trouble(String),
}

/// Something that the agent can't get past.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// What was kept is damaged.
    #[error(transparent)]
    Kept(#[from] BadKept),
    /// The journal can't be written.
    #[error("cannot write the journal: {0}")]
    Journal(#[source] io::Error),
    /// The chain refuses, or can't be asked.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The secret can't be released.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The results can't be opened.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// The archive can't be had.
    #[error(transparent)]
    Archive(#[from] ProofError),
    /// The members of the batch can't be had.
    #[error(transparent)]
    Members(#[from] MembersError),
}

/// One task under an agent's care.
pub struct Tended<'a> {
    owns: &'a Owns<'a>,
    kept: KeptTask,
    owner: Owner,
    follower: Follower,
}

impl<'a> Tended<'a> {
    /// Takes a task on: a new one, or one whose journal entry is at hand.
    ///
    /// # Errors
    /// What was kept is damaged.
    pub fn new(
        owns: &'a Owns<'a>,
        kept: KeptTask,
        entry: Option<Entry>,
        patience: pox_core::role::owner::Patience,
    ) -> Result<Self, BadKept> {
        let owner = match entry {
            Some(entry) => Owner::resume(entry, patience),
            None => Owner::new(&kept.domain, kept.request()?, kept.party, patience),
        };
        let follower = Follower::new(owns.contract, Cursor::before(kept.from_block));
        Ok(Self { owns, kept, owner, follower })
    }

    /// The task.
    pub fn task(&self) -> TaskId {
        self.owner.task()
    }

    /// Looks at the chain once, and does what is to be done. `Some` once the task has ended for good.
    ///
    /// # Errors
    /// What can't be got past, or only by trying again later; calling again goes on where it stopped.
    pub fn step(&mut self, desk: &mut dyn Desk) -> Result<Option<Ending>, AgentError> {
        let batch = self.follower.poll()?;
        for followed in &batch.events {
            if let pox_chain::Followed::Event { place, event } = followed {
                self.tell(event, place.transaction, desk);
            }
            self.owner.handle(Fact::Chain(sighting(followed)), now());
        }
        self.owner.handle(Fact::Chain(head(batch.head.number)), now());
        self.owner.handle_timeout(now());
        while let Some(action) = self.owner.poll_action() {
            self.act(action, desk)?;
        }
        Ok(self.owner.ending())
    }

    /// Takes the request back, as soon as it is not matched.
    pub fn cancel(&mut self) {
        self.owner.handle(Fact::Cancel, now());
    }

    fn tell(&self, event: &pox_core::Event, transaction: B256, desk: &mut dyn Desk) {
        use pox_core::Event;
        let own = self.task();
        match event {
            Event::Matched { task, processor, enclave, .. } if *task == own => {
                desk.note(own, Note::Matched { processor: *processor, enclave: *enclave, transaction });
            }
            Event::Proven { task, receipt, .. } if *task == own => {
                desk.note(own, Note::Proven { outcome: receipt.outcome, transaction });
            }
            _ => {}
        }
    }

    fn act(&mut self, action: Action, desk: &mut dyn Desk) -> Result<(), AgentError> {
        let (task, contract) = (self.task(), self.owns.contract);
        match action {
            Action::Save => desk.save(task, self.owner.entry()).map_err(AgentError::Journal),
            Action::SendRequest
                if self.owner.request().owner != address_of(self.owns.account.verifying_key()) =>
            {
                // A delegate waits until somebody has posted what the owner signed.
                Ok(())
            }
            Action::SendRequest => {
                let draft = contract.request(self.owner.request());
                self.send("request", &draft, |view| view.phase >= Phase::Requested, desk)
            }
            Action::Judge(seat) => self.judge(seat, desk),
            Action::SendApprove(seat) => {
                let owns = self.owns;
                let secret = self.check(&seat)?.release(owns.identity, owns.account, owns.access)?;
                self.release(seat, secret, desk)
            }
            Action::SendReject { seat, reason } => self.reject(&seat, reason, desk),
            Action::SendCancel => {
                let is_over = |view: &TaskView| view.phase >= Phase::Cancelled;
                self.send("cancel", &contract.cancel(task), is_over, desk)
            }
            Action::SendExpire(_) => {
                let draft = contract.expire(self.owner.request());
                self.send("expire", &draft, |view| view.phase >= Phase::Expired, desk)
            }
            Action::FetchResults { results, archive } => self.fetch(results, archive, desk),
            Action::Finish(_) => Ok(()),
        }
    }

    /// Sends a party's secret, unless the chain has it: alone it approves the task; among several, the contract says whose is
    /// missing.
    fn release(&self, seat: Seat, secret: Vec<u8>, desk: &mut dyn Desk) -> Result<(), AgentError> {
        let (contract, party) = (self.owns.contract, self.owner.party());
        let request = self.owner.request();
        let alone = request.releases().is_empty();
        let draft = contract.approve(request, party, seat.enclave, secret.into());
        let is_released = |view: &TaskView| {
            view.phase >= Phase::Approved
                || (!alone && view.phase == Phase::Matched && !view.missing.contains(party))
        };
        self.send(if alone { "approve" } else { "release" }, &draft, is_released, desk)
    }

    /// Refuses a match, unless it is over: whatever has ended it, there is nothing left to refuse.
    fn reject(&self, seat: &Seat, reason: u8, desk: &mut dyn Desk) -> Result<(), AgentError> {
        let Owns { contract, outbox, patience, .. } = self.owns;
        let (task, draft) = (self.task(), contract.reject(self.owner.request(), seat.enclave, reason));
        let is_over = |view: &TaskView| view.phase != Phase::Matched || view.enclave != Some(seat.enclave);
        let mut done = || Ok(contract.task(task)?.is_some_and(|view| is_over(&view)));
        let sent = match outbox.ensure(&draft, patience, &mut done)? {
            Effect::AlreadyThere => return Ok(()),
            Effect::Sent(sent) if sent.receipt.block.number > seat.place.at.number => *sent,
            // The refusal of an earlier match, which is not final yet: the same call as this one's.
            Effect::Sent(_) => outbox.send(&draft, patience)?,
        };
        desk.note(task, sent_note("reject", &sent));
        Ok(())
    }

    fn check(&self, seat: &Seat) -> Result<CheckedMatch<'_>, AgentError> {
        let history = self.owns.contract.history(self.task())?;
        let step = history.steps.iter().find(|step| step.place.transaction == seat.place.transaction);
        let Some(Carried::Match { evidence, .. }) = step.map(|step| &step.carried) else {
            return Err(ChainError::Reorganised(seat.place.at.number).into());
        };
        let requested = history.steps.first().map_or(seat.place.at, |first| first.step.at);
        let found = FoundMatch {
            processor: seat.processor,
            enclave: seat.enclave,
            evidence,
            requested,
            matched: seat.place.at,
        };
        let endorsements = endorsed(evidence, &Sources::default())?;
        let own = self.owns.own_policy;
        Ok(check_match(&self.kept, &found, &endorsements, now(), self.owns.anchors, own)?)
    }

    fn judge(&mut self, seat: Seat, desk: &mut dyn Desk) -> Result<(), AgentError> {
        let verdict = match self.check(&seat) {
            Ok(checked) => {
                let (kind, measurement) = (checked.evidence().kind, checked.evidence().measurement);
                desk.note(self.task(), Note::Accepted { kind, measurement });
                Verdict::Accept
            }
            Err(AgentError::Release(error)) => {
                let Some(reason) = error.reject_reason() else { return Err(error.into()) };
                desk.note(self.task(), Note::Refused(error));
                Verdict::Reject(reason)
            }
            Err(other) => return Err(other),
        };
        self.owner.handle(Fact::Judged { seat, verdict }, now());
        Ok(())
    }

    /// Sends a call unless the task shows that there is nothing left to do.
    fn send(
        &self,
        call: &'static str,
        draft: &Draft,
        is_done: impl Fn(&TaskView) -> bool,
        desk: &mut dyn Desk,
    ) -> Result<(), AgentError> {
        let (contract, task) = (self.owns.contract, self.task());
        let mut done = || Ok(contract.task(task)?.is_some_and(|view| is_done(&view)));
        match self.owns.outbox.ensure(draft, &self.owns.patience, &mut done)? {
            Effect::Sent(sent) => desk.note(task, sent_note(call, &sent)),
            Effect::AlreadyThere => {}
        }
        Ok(())
    }

    fn fetch(
        &mut self,
        results: ResultsCommitment,
        archive: Archive,
        desk: &mut dyn Desk,
    ) -> Result<(), AgentError> {
        let fetch = match self.try_fetch(results, archive, desk) {
            Ok(()) => Fetch::Had,
            Err(error @ AgentError::Journal(_)) => return Err(error),
            Err(error) => {
                desk.note(self.task(), Note::Trouble(error.to_string()));
                Fetch::Failed
            }
        };
        self.owner.handle(Fact::Fetched { results, fetch }, now());
        Ok(())
    }

    fn try_fetch(
        &self,
        results: ResultsCommitment,
        archive: Archive,
        desk: &mut dyn Desk,
    ) -> Result<(), AgentError> {
        let (place, access) = (&self.kept.results, self.owns.access);
        if archive_hash(&fetch_archive(place, access)?) != archive {
            return Err(ProofError::OtherArchive.into());
        }
        let Some(folder) = desk.results_folder(self.task()) else { return Ok(()) };
        let identity = self.owns.identity;
        let (entries, bytes) = if self.kept.runs()?.is_some() {
            let members = self.owns.contract.history(self.task())?.members();
            let members = members.ok_or(ProofError::Hidden("receipt"))?;
            let opened = open_members(place, results, &members, identity, &folder, access)?;
            (opened.entries, opened.bytes)
        } else {
            let opened = open_results(place, results, identity, &folder, access, &mut |_| ())?;
            (opened.entries, opened.bytes)
        };
        desk.note(self.task(), Note::Fetched { entries, bytes });
        Ok(())
    }
}

/// What a sent transaction is to whoever watches.
pub fn sent_note(call: &'static str, sent: &Sent) -> Note {
    let receipt = &sent.receipt;
    Note::Sent { call, hash: receipt.transaction, block: receipt.block.number, gas: receipt.gas_used }
}
