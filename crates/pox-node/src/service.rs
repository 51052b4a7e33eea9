//! The processor's service: drives `pox_core::role::processor`, which decides, and does what it asks for.

use crate::clock::{head, now, sighting};
use crate::endorser::Endorser;
use crate::host::{Enclave, Report, Storage};
use crate::journal::{Journal, JournalError};
use crate::runtime::Runtime;
use pox_chain::{
    Carried, ChainError, Contract, Cursor, Draft, Effect, Follower, Outbox, Patience, TaskView, WaitsFor,
};
use pox_core::channel::{HostMessage, Stage};
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::{Receipt, archive_hash};
use pox_core::refusal::Phase;
use pox_core::role::Place;
use pox_core::role::processor::{Action, EnclaveFact, Ending, Fact, Policy, Processor, Proof};
use pox_core::signature::Signature;
use pox_core::{Address, B256, Kinds, Members, Offer, Request, TaskId, keccak256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// What a processor acts with.
pub struct Equipment {
    /// The contract.
    pub contract: Contract,
    /// Sends transactions as the processor.
    pub outbox: Outbox,
    /// The measured runtime.
    pub runtime: Runtime,
    /// What enclaves may reach.
    pub storage: Storage,
    /// Gets what vouches for their evidence.
    pub endorser: Arc<dyn Endorser>,
    /// What must survive a crash.
    pub journal: Journal,
    /// How long transactions are waited for.
    pub patience: Patience,
}

/// Something that whoever watches a node wants to know.
#[derive(Debug)]
pub enum Note {
    /// The offer stands.
    Offering {
        /// Its id.
        offer: pox_core::OfferId,
        /// The kinds of TEE that it has.
        kinds: Kinds,
        /// Whether it stood before.
        renewed: bool,
    },
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
    /// An enclave was launched that gives evidence of this kind.
    Booting(EvidenceKind),
    /// The enclave has its keys.
    Ready(Address),
    /// What the enclave does now.
    Stage(Stage),
    /// The processor has done with the task.
    Done(Ending),
    /// A transaction waits for something that is not usual.
    Waiting(String),
    /// Something failed in passing, and is tried again.
    Trouble(String),
}

/// Something that the service can't get past.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The chain refuses, or can't be asked.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The journal fails: going on could lose what was promised.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A processor at work.
pub struct Service {
    equipment: Equipment,
    processor: Processor,
    follower: Follower,
    enclaves: BTreeMap<TaskId, Launched>,
    reports: Mail,
    tended: Option<Instant>,
    /// What the outbox waits for, as it was told.
    waiting: BTreeSet<String>,
}

/// How often the outbox is looked after: faster than anybody misses a transaction, slower than any endpoint minds.
const TEND_EVERY: Duration = Duration::from_secs(15);

type Mail = (Sender<(TaskId, Report)>, Receiver<(TaskId, Report)>);

struct Launched {
    enclave: Enclave,
    evidence: Vec<u8>,
    delivered: Vec<Place>,
}

impl Service {
    /// Posts the offer unless it stands, and goes on where the journal ends.
    ///
    /// # Errors
    /// The chain can't be asked or refuses the offer, or the journal fails.
    pub fn start(
        equipment: Equipment,
        policy: Policy,
        offer: Offer,
        watch: &mut dyn FnMut(Option<TaskId>, Note),
    ) -> Result<Self, ServiceError> {
        let contract = &equipment.contract;
        let offer = stand_by(&equipment, offer, watch)?;
        let entries = equipment.journal.entries()?;
        // A new processor serves what is asked for from now on, and what is still open.
        let cursor = equipment.journal.cursor()?.unwrap_or_else(|| Cursor::before(contract.since()));
        let follower = Follower::new(contract, cursor);
        let processor = Processor::resume(policy, contract.domain(), [offer], entries);
        Ok(Self {
            equipment,
            processor,
            follower,
            enclaves: BTreeMap::new(),
            reports: channel(),
            tended: None,
            waiting: BTreeSet::new(),
        })
    }

    /// Looks at the chain and the enclaves once, and does what is to be done. Trouble in passing is told and tried again.
    ///
    /// # Errors
    /// The journal fails.
    pub fn step(&mut self, watch: &mut dyn FnMut(Option<TaskId>, Note)) -> Result<(), ServiceError> {
        match self.follower.poll() {
            Ok(batch) => {
                for followed in &batch.events {
                    self.processor.handle(Fact::Chain(sighting(followed)), now());
                }
                self.processor.handle(Fact::Chain(head(batch.head.number)), now());
                let cursor = self.follower.cursor().clone();
                self.act(Some(&cursor), watch)?;
            }
            Err(error) => watch(None, Note::Trouble(error.to_string())),
        }
        self.hear(watch)?;
        self.processor.handle_timeout(now());
        self.act(None, watch)?;
        self.tend(watch);
        Ok(())
    }

    /// Sends on what the outbox keeps, and tells what it waits for, each thing once.
    fn tend(&mut self, watch: &mut dyn FnMut(Option<TaskId>, Note)) {
        if self.tended.is_some_and(|at| at.elapsed() < TEND_EVERY) {
            return;
        }
        self.tended = Some(Instant::now());
        match self.equipment.outbox.tend() {
            Ok(waiting) => {
                // To wait for finality is the usual course of things.
                let told = waiting.iter().filter(|one| !matches!(one.waits_for, WaitsFor::Finality { .. }));
                let words: BTreeSet<_> = told.map(|one| format!("{}: {}", one.what, one.waits_for)).collect();
                for new in words.difference(&self.waiting) {
                    watch(None, Note::Waiting(new.clone()));
                }
                self.waiting = words;
            }
            Err(error) => watch(None, Note::Trouble(error.to_string())),
        }
    }

    /// Waits for an enclave's word, at most this long.
    ///
    /// # Errors
    /// The journal fails.
    pub fn wait(
        &mut self,
        most: Duration,
        watch: &mut dyn FnMut(Option<TaskId>, Note),
    ) -> Result<(), ServiceError> {
        match self.reports.1.recv_timeout(most) {
            Ok((task, report)) => {
                self.take(task, report, watch)?;
                self.act(None, watch)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(()),
        }
    }

    /// The tasks that it has not done with.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.processor.tasks()
    }

    fn hear(&mut self, watch: &mut dyn FnMut(Option<TaskId>, Note)) -> Result<(), ServiceError> {
        while let Ok((task, report)) = self.reports.1.try_recv() {
            self.take(task, report, watch)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        task: TaskId,
        report: Report,
        watch: &mut dyn FnMut(Option<TaskId>, Note),
    ) -> Result<(), ServiceError> {
        let fact = match report {
            Report::Ready { enclave, evidence } => {
                watch(Some(task), Note::Ready(enclave));
                let hash = keccak256(&evidence);
                if let Some(launched) = self.enclaves.get_mut(&task) {
                    launched.evidence = evidence;
                }
                EnclaveFact::Ready { enclave, evidence: hash }
            }
            Report::SecretRefused(reason) => {
                watch(Some(task), Note::Trouble(format!("the enclave refused the secret: {reason}")));
                EnclaveFact::SecretRefused
            }
            Report::Progress(stage) => {
                watch(Some(task), Note::Stage(stage));
                return Ok(());
            }
            Report::NotEndorsed(reason) => {
                watch(
                    Some(task),
                    Note::Trouble(format!("the evidence is archived without endorsements: {reason}")),
                );
                return Ok(());
            }
            Report::Finished { receipt, signature, archive, members } => {
                match proof(&receipt, &signature, &archive, members) {
                    Some(proof) => {
                        self.equipment.journal.keep_archive(task, &archive)?;
                        EnclaveFact::Finished(Box::new(proof))
                    }
                    None => EnclaveFact::Gone,
                }
            }
            Report::Gone(reason) => {
                watch(Some(task), Note::Trouble(format!("the enclave is gone: {reason}")));
                EnclaveFact::Gone
            }
        };
        if fact == EnclaveFact::Gone {
            // As long as it is kept, no other is launched for the task.
            self.enclaves.remove(&task);
        }
        self.processor.handle(Fact::Enclave(task, fact), now());
        Ok(())
    }

    /// Writes what is to be remembered first, in one piece with the cursor; then does what is to be done.
    fn act(
        &mut self,
        mut cursor: Option<&Cursor>,
        watch: &mut dyn FnMut(Option<TaskId>, Note),
    ) -> Result<(), ServiceError> {
        loop {
            let (mut entries, mut actions) = (Vec::new(), Vec::new());
            while let Some(action) = self.processor.poll_action() {
                match action {
                    Action::Save(task) => entries.push((task, true)),
                    Action::Forget(task) => entries.push((task, false)),
                    other => actions.push(other),
                }
            }
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(task, keep)| (task, self.processor.entry(task).filter(|_| keep)))
                .collect();
            if !entries.is_empty() || cursor.is_some() {
                self.equipment.journal.save(&entries, cursor.take())?;
            }
            if actions.is_empty() {
                return Ok(());
            }
            for action in actions {
                match self.perform(action, watch) {
                    Ok(()) => {}
                    Err(error @ ServiceError::Journal(_)) => return Err(error),
                    // The role asks again while it still wants it.
                    Err(ServiceError::Chain(error)) => watch(None, Note::Trouble(error.to_string())),
                }
            }
        }
    }

    fn perform(
        &mut self,
        action: Action,
        watch: &mut dyn FnMut(Option<TaskId>, Note),
    ) -> Result<(), ServiceError> {
        match action {
            // Written before anything is done: see `act`.
            Action::Save(_) | Action::Forget(_) => Ok(()),
            Action::Boot { task, request } => self.boot(task, &request, watch),
            Action::SendMatch { task, request, offer, enclave, path } => {
                let Some(launched) = self.enclaves.get(&task) else { return Ok(()) };
                let evidence = launched.evidence.clone().into();
                let draft = self.equipment.contract.match_task(&request, &offer, enclave, evidence, path);
                self.send("match", task, &draft, |view| view.enclave == Some(enclave), watch)
            }
            Action::Deliver { task, released } => self.deliver(task, released),
            Action::SendProve { task, proof } => {
                let Proof { receipt, archive, signature, members } = &*proof;
                let draft = self.equipment.contract.prove(receipt, *archive, *members, signature);
                let call = if members.is_some() { "prove many" } else { "prove" };
                self.send(call, task, &draft, |view| view.phase >= Phase::Proven, watch)
            }
            Action::SendExpire { task, request, .. } => {
                let draft = self.equipment.contract.expire(&request);
                self.send("expire", task, &draft, |view| view.phase >= Phase::Proven, watch)
            }
            Action::Shutdown(task) => {
                self.enclaves.remove(&task);
                Ok(())
            }
            Action::Report { task, ending } => {
                watch(Some(task), Note::Done(ending));
                Ok(())
            }
        }
    }

    fn boot(
        &mut self,
        task: TaskId,
        request: &Request,
        watch: &mut dyn FnMut(Option<TaskId>, Note),
    ) -> Result<(), ServiceError> {
        if self.enclaves.contains_key(&task) {
            return Ok(());
        }
        let contract = &self.equipment.contract;
        let recent = contract.rpc().head()?.at;
        let boot = HostMessage::Boot {
            domain: *contract.domain(),
            request: request.to_bytes(),
            block_number: recent.number,
            block_hash: recent.hash,
            processor: self.equipment.outbox.address(),
        };
        let Equipment { runtime, storage, endorser, .. } = &self.equipment;
        let (storage, endorser) = (storage.clone(), Arc::clone(endorser));
        let reports = self.reports.0.clone();
        match Enclave::launch(runtime, task, &request.resources, boot, storage, endorser, reports) {
            Ok(enclave) => {
                watch(Some(task), Note::Booting(runtime.kind()));
                self.enclaves.insert(task, Launched { enclave, evidence: Vec::new(), delivered: Vec::new() });
            }
            Err(error) => {
                watch(Some(task), Note::Trouble(format!("the runtime does not start: {error}")));
                self.processor.handle(Fact::Enclave(task, EnclaveFact::Gone), now());
            }
        }
        Ok(())
    }

    /// Gives the enclave the secrets of these releases, in the order of the parties.
    fn deliver(&mut self, task: TaskId, released: Vec<Place>) -> Result<(), ServiceError> {
        let Some(launched) = self.enclaves.get_mut(&task) else { return Ok(()) };
        if launched.delivered == released {
            return Ok(());
        }
        let history = self.equipment.contract.history(task)?;
        let carried = |place: &Place| {
            let step = history.steps.iter().find(|step| step.place.transaction == place.transaction)?;
            match &step.carried {
                Carried::Secret { party, secret } => Some((*party, secret.to_vec())),
                _ => None,
            }
        };
        if let Some(mut secrets) = released.iter().map(carried).collect::<Option<Vec<_>>>() {
            secrets.sort_by_key(|(party, _)| *party);
            launched.enclave.deliver(secrets.into_iter().map(|(_, secret)| secret).collect());
            launched.delivered = released;
        }
        Ok(())
    }

    fn send(
        &self,
        call: &'static str,
        task: TaskId,
        draft: &Draft,
        is_done: impl Fn(&TaskView) -> bool,
        watch: &mut dyn FnMut(Option<TaskId>, Note),
    ) -> Result<(), ServiceError> {
        let Equipment { contract, outbox, patience, .. } = &self.equipment;
        let mut done = || Ok(contract.task(task)?.is_some_and(|view| is_done(&view)));
        if let Effect::Sent(sent) = outbox.ensure(draft, patience, &mut done)? {
            let receipt = &sent.receipt;
            let (hash, block, gas) = (receipt.transaction, receipt.block.number, receipt.gas_used);
            watch(Some(task), Note::Sent { call, hash, block, gas });
        }
        Ok(())
    }
}

/// Has an offer with these terms advertised in the chain; goes on with the one from the journal if it is the same but for its salt.
fn stand_by(
    equipment: &Equipment,
    offer: Offer,
    watch: &mut dyn FnMut(Option<TaskId>, Note),
) -> Result<Offer, ServiceError> {
    let Equipment { contract, outbox, journal, .. } = equipment;
    // Nothing else is to be looked after yet.
    let patience = &Patience::default();
    let domain = contract.domain();
    if let Some(known) = journal.offer()?
        && contract.is_open(known.id(domain))?
    {
        let same = Offer { salt: offer.salt, valid_until: offer.valid_until, ..known.clone() } == offer;
        if same && known.valid_until > now() {
            watch(None, Note::Offering { offer: known.id(domain), kinds: known.kinds, renewed: false });
            return Ok(known);
        }
        let id = known.id(domain);
        let mut done = || Ok(!contract.is_open(id)?);
        outbox.ensure(&contract.withdraw_offer(&known), patience, &mut done)?;
    }
    let id = offer.id(domain);
    // The chain keeps no offers, so what is in the journal was posted: a crash in between only advertises another.
    let mut done = || Ok(false);
    if let Effect::Sent(sent) = outbox.ensure(&contract.offer(&offer), patience, &mut done)? {
        let receipt = &sent.receipt;
        let (hash, block, gas) = (receipt.transaction, receipt.block.number, receipt.gas_used);
        watch(None, Note::Sent { call: "offer", hash, block, gas });
    }
    journal.save_offer(&offer)?;
    watch(None, Note::Offering { offer: id, kinds: offer.kinds, renewed: true });
    Ok(offer)
}

/// An enclave's last word, if it is one.
fn proof(receipt: &[u8], signature: &[u8], archive: &[u8], members: Option<Members>) -> Option<Proof> {
    let receipt = Receipt::parse(receipt).ok()?;
    let signature = Signature::parse(signature).ok()?;
    Some(Proof { receipt, archive: archive_hash(archive), signature, members })
}
