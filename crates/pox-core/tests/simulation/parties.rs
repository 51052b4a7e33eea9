//! Owners and processors of the simulation: the real machines, with journals, crashes and restarts.

use crate::chain::{Chain, Cursor};
use crate::common::{Dice, domain};
use crate::enclaves::{Enclave, Manner, Says, verifies};
use alloy_primitives::{Address, U256};
use k256::ecdsa::SigningKey;
use pox_core::evidence::sha256;
use pox_core::leaves::Leaves;
use pox_core::role::owner::{self, Owner, Patience, Verdict};
use pox_core::role::processor::{self, EnclaveFact, Policy, Processor, Proof};
use pox_core::role::{Seat, Sighting};
use pox_core::secret::{InputAccess, InputSecret, Secret, SignedSecret};
use pox_core::signature::{Signature, address_of};
use pox_core::{Archive, Call, Domain, Members, Offer, Party, Request, Runs, TaskId, UnixTime, keccak256};
use std::collections::{BTreeMap, BTreeSet};

/// How unkind the world is, percent each.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) delayed: u64,
    pub(crate) crashed: u64,
    pub(crate) deaf: u64,
    pub(crate) reorganised: u64,
}

/// What the test watches besides the chain.
#[derive(Default)]
pub(crate) struct Watch {
    /// Enclaves that signed.
    signed: BTreeSet<Address>,
    /// What happened at all, over all runs.
    pub(crate) happened: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnerManner {
    Honest,
    /// Seals a secret of another task.
    Careless,
    /// Wants the request back soon.
    Fickle,
    /// Disappears after the request until the quiet end.
    Away,
    /// Disappears after the request for ever.
    Gone,
}

/// What an owner or co-owner does a task with.
pub(crate) struct Plan {
    pub(crate) request: Request,
    pub(crate) party: Party,
    pub(crate) terms: Leaves,
    pub(crate) runs: Option<Runs>,
    pub(crate) sponsor: Option<Address>,
}

pub(crate) struct OwnerNode {
    pub(crate) account: Address,
    key: SigningKey,
    manner: OwnerManner,
    domain: Domain,
    terms: Leaves,
    runs: Option<Runs>,
    sponsor: Option<Address>,
    machine: Option<Owner>,
    entry: String,
    cursor: Cursor,
    up_at: u64,
    fickle_at: u64,
}

pub(crate) struct ProcessorNode {
    pub(crate) account: Address,
    manner: Manner,
    domain: Domain,
    policy: Policy,
    machine: Option<Processor>,
    entries: BTreeMap<TaskId, String>,
    cursor: Cursor,
    up_at: u64,
    offer: Offer,
    enclaves: BTreeMap<TaskId, Enclave>,
    evidence: BTreeMap<Address, Vec<u8>>,
}

/// The world as one party acts on it.
pub(crate) struct World<'a> {
    pub(crate) chain: &'a mut Chain,
    pub(crate) now: u64,
    pub(crate) faults: Faults,
    pub(crate) quiet: bool,
    pub(crate) dice: &'a mut Dice,
    pub(crate) watch: &'a mut Watch,
}

impl World<'_> {
    fn send(&mut self, sender: Address, value: impl Into<U256>, call: Call) {
        self.chain.send(sender, value.into(), call, self.faults.lost, self.dice);
    }

    fn look(&mut self, cursor: &mut Cursor) -> Vec<Sighting> {
        if self.dice.percent(self.faults.deaf) {
            return Vec::new();
        }
        let lag = if self.dice.percent(self.faults.deaf) { self.dice.below(3) as usize } else { 0 };
        cursor.poll(self.chain, lag)
    }

    fn time(&self) -> UnixTime {
        UnixTime(self.now)
    }
}

impl OwnerNode {
    pub(crate) fn new(
        key: SigningKey,
        manner: OwnerManner,
        plan: Plan,
        patience: Patience,
        now: u64,
    ) -> Self {
        let (domain, account) = (domain(), address_of(key.verifying_key()));
        let Plan { request, party, terms, runs, sponsor } = plan;
        let machine = Owner::new(&domain, request, party, patience);
        let entry = serde_json::to_string(machine.entry()).unwrap();
        let (machine, cursor) = (Some(machine), Cursor::default());
        let fickle_at = now + 60;
        Self {
            account,
            key,
            manner,
            domain,
            terms,
            runs,
            sponsor,
            machine,
            entry,
            cursor,
            up_at: 0,
            fickle_at,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.manner == OwnerManner::Gone
            || self.machine.as_ref().is_some_and(|machine| machine.ending().is_some())
    }

    pub(crate) fn step(&mut self, patience: Patience, world: &mut World<'_>) {
        let leaves = self.manner == OwnerManner::Gone || (self.manner == OwnerManner::Away && !world.quiet);
        let away = leaves && world.now >= self.fickle_at;
        if (world.now < self.up_at && !world.quiet) || away {
            self.machine = None;
            return;
        }
        let now = world.time();
        let mut machine = self.machine.take().unwrap_or_else(|| {
            world.watch.happened.insert("owner restarted".into());
            Owner::resume(serde_json::from_str(&self.entry).unwrap(), patience)
        });
        for sighting in world.look(&mut self.cursor) {
            machine.handle(owner::Fact::Chain(sighting), now);
        }
        if self.manner == OwnerManner::Fickle && world.now >= self.fickle_at {
            machine.handle(owner::Fact::Cancel, now);
        }
        if machine.poll_timeout().is_some_and(|due| due <= now) || machine.poll_timeout().is_none() {
            machine.handle_timeout(now);
        }
        loop {
            // What was decided goes to the journal, together with the cursor, before anything is done.
            self.entry = serde_json::to_string(machine.entry()).unwrap();
            let actions: Vec<_> = std::iter::from_fn(|| machine.poll_action()).collect();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                if world.dice.percent(world.faults.crashed) {
                    self.up_at = world.now + world.dice.below(40);
                    return;
                }
                self.act(action, &mut machine, world);
            }
        }
        self.machine = Some(machine);
    }

    fn act(&mut self, action: owner::Action, machine: &mut Owner, world: &mut World<'_>) {
        let (task, now) = (machine.task(), world.time());
        let call = match action {
            owner::Action::Save => return,
            owner::Action::SendRequest => {
                let record = machine.request().to_abi();
                let price = U256::from(record.price);
                // The signed request reaches the sponsor again whenever the owner would send it.
                let Some(sponsor) = self.sponsor else {
                    return world.send(self.account, price, Call::Request(record));
                };
                let signature = Signature::sign(&self.key, task.0).to_bytes().to_vec().into();
                return world.send(sponsor, price, Call::RequestFor { record, signature });
            }
            owner::Action::Judge(seat) => {
                if world.dice.percent(world.faults.deaf) {
                    return;
                }
                let genuine = judge(&seat, task, world.chain);
                let verdict = if genuine { Verdict::Accept } else { Verdict::Reject(3) };
                return machine.handle(owner::Fact::Judged { seat, verdict }, now);
            }
            owner::Action::SendApprove(seat) => {
                assert!(judge(&seat, task, world.chain), "a secret for an enclave that is none");
                let (secret, enclave) = (self.secret(machine, &seat).into(), seat.enclave);
                let request = machine.request();
                if request.releases().is_empty() {
                    Call::Approve { task, enclave, secret }
                } else {
                    world.watch.happened.insert(format!("{:?} released", machine.party()));
                    Call::Release { record: request.to_abi(), party: machine.party().0, enclave, secret }
                }
            }
            owner::Action::SendReject { seat, reason } => {
                Call::Reject { record: machine.request().to_abi(), enclave: seat.enclave, reason }
            }
            owner::Action::SendCancel => Call::Cancel(task),
            owner::Action::SendExpire(_) => Call::Expire(machine.request().to_abi()),
            owner::Action::FetchResults { results, .. } => {
                let failed = world.dice.percent(world.faults.lost) || self.manner == OwnerManner::Careless;
                let fetch = if failed { owner::Fetch::Failed } else { owner::Fetch::Had };
                return machine.handle(owner::Fact::Fetched { results, fetch }, now);
            }
            owner::Action::Finish(ending) => {
                world.watch.happened.insert(format!("owner: {ending:?}"));
                return;
            }
        };
        world.send(self.account, U256::ZERO, call);
    }

    /// A sealed secret; in this world, "sealed to an enclave" is its address in front.
    fn secret(&self, machine: &Owner, seat: &Seat) -> Vec<u8> {
        let request = machine.request();
        let access = |_| InputAccess { location: "input".into(), keys: Vec::new(), crypt4gh: None };
        let inputs = request.inputs_of(machine.party()).map(access).collect();
        let task = if self.manner == OwnerManner::Careless { TaskId::ZERO } else { machine.task() };
        let secret = if machine.party() == Party::OWNER {
            let (terms, image, results) = (self.terms.clone(), "image".into(), "results".into());
            Secret {
                task,
                terms,
                image,
                inputs,
                results,
                recipients: vec!["recipient".into()],
                buckets: None,
                runs: self.runs.clone(),
            }
            .to_bytes()
        } else {
            InputSecret { task, inputs, buckets: None }.to_bytes()
        };
        let sealed = [seat.enclave.as_slice(), &secret].concat();
        SignedSecret::sign(&self.domain, machine.task(), seat.enclave, sealed, &self.key).to_bytes()
    }
}

/// What a verifier says of a match, from its transaction.
fn judge(seat: &Seat, task: TaskId, chain: &Chain) -> bool {
    let (Call::MatchTask { evidence, .. } | Call::MatchListed { evidence, .. }) =
        chain.call_of(seat.place.transaction)
    else {
        panic!("a match without a match");
    };
    assert_eq!(keccak256(evidence), seat.evidence);
    verifies(evidence, task, seat.processor, seat.enclave)
}

impl ProcessorNode {
    pub(crate) fn new(manner: Manner, domain: Domain, policy: Policy, offer: Offer) -> Self {
        Self {
            account: policy.account,
            manner,
            domain,
            policy,
            machine: None,
            entries: BTreeMap::new(),
            cursor: Cursor::default(),
            up_at: 0,
            offer,
            enclaves: BTreeMap::new(),
            evidence: BTreeMap::new(),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.machine.as_ref().is_some_and(|machine| machine.tasks().next().is_none())
    }

    pub(crate) fn step(&mut self, world: &mut World<'_>) {
        if world.now < self.up_at && !world.quiet {
            return;
        }
        let now = world.time();
        let mut machine = self.machine.take().unwrap_or_else(|| {
            if !self.entries.is_empty() {
                world.watch.happened.insert("processor restarted".into());
            }
            self.restart(world.chain)
        });
        for sighting in world.look(&mut self.cursor) {
            machine.handle(processor::Fact::Chain(sighting), now);
        }
        self.run_enclaves(&mut machine, world);
        if machine.poll_timeout().is_some_and(|due| due <= now) {
            machine.handle_timeout(now);
        }
        loop {
            let actions: Vec<_> = std::iter::from_fn(|| machine.poll_action()).collect();
            if actions.is_empty() {
                break;
            }
            for action in &actions {
                match action {
                    processor::Action::Save(task) => {
                        let entry = machine.entry(*task).map(|entry| serde_json::to_string(entry).unwrap());
                        self.entries.extend(entry.map(|entry| (*task, entry)));
                    }
                    processor::Action::Forget(task) => drop(self.entries.remove(task)),
                    _ => {}
                }
            }
            for action in actions {
                if world.dice.percent(world.faults.crashed) {
                    self.enclaves.clear();
                    self.up_at = world.now + world.dice.below(40);
                    return;
                }
                self.act(action, &mut machine, world);
            }
        }
        self.machine = Some(machine);
    }

    fn restart(&self, chain: &Chain) -> Processor {
        let open = chain.ledger().is_open(self.offer.id(&self.domain));
        let offers = if open { vec![self.offer.clone()] } else { Vec::new() };
        let entries: Vec<processor::Entry> =
            self.entries.values().map(|entry| serde_json::from_str(entry).unwrap()).collect();
        Processor::resume(self.policy.clone(), &self.domain, offers, entries)
    }

    fn run_enclaves(&mut self, machine: &mut Processor, world: &mut World<'_>) {
        let mut said = Vec::new();
        for (task, enclave) in &mut self.enclaves {
            said.extend(enclave.step(world.now, world.faults.crashed, world.dice).map(|says| (*task, says)));
        }
        for (task, says) in said {
            self.hear(task, says, machine, world);
        }
    }

    fn hear(&mut self, task: TaskId, says: Says, machine: &mut Processor, world: &mut World<'_>) {
        let fact = match says {
            Says::Ready { enclave, evidence } => {
                let hash = keccak256(&evidence);
                self.evidence.insert(enclave, evidence);
                EnclaveFact::Ready { enclave, evidence: hash }
            }
            Says::Finished(signed) => {
                assert!(world.watch.signed.insert(signed.receipt.enclave), "an enclave signed twice");
                let archive = Archive(sha256(&signed.archive));
                let (receipt, signature, members) = (signed.receipt, signed.signature, signed.members);
                EnclaveFact::Finished(Box::new(Proof { receipt, archive, signature, members }))
            }
            Says::Gone => {
                self.enclaves.remove(&task);
                EnclaveFact::Gone
            }
        };
        machine.handle(processor::Fact::Enclave(task, fact), world.time());
    }

    fn act(&mut self, action: processor::Action, machine: &mut Processor, world: &mut World<'_>) {
        match action {
            processor::Action::Save(_) | processor::Action::Forget(_) => {}
            processor::Action::Boot { task, request } => {
                if !self.enclaves.contains_key(&task) {
                    let block = world.chain.recent_block();
                    let (account, manner) = (self.account, self.manner);
                    let enclave =
                        Enclave::boot(self.domain, *request, account, manner, block, world.now, world.dice);
                    self.enclaves.insert(task, enclave);
                }
            }
            processor::Action::SendMatch { request, offer, enclave, path, .. } => {
                let evidence = self.evidence[&enclave].clone().into();
                let (record, terms) = (request.to_abi(), offer.to_abi());
                let bond = offer.bond;
                let call = match path {
                    None => Call::MatchTask { record, terms, enclave, evidence },
                    Some(path) => Call::MatchListed { record, terms, enclave, evidence, path },
                };
                world.send(self.account, bond, call);
            }
            processor::Action::Deliver { task, released } => self.deliver(task, &released, machine, world),
            processor::Action::SendProve { proof, .. } => {
                let Proof { receipt, archive, signature, members } = *proof;
                let (receipt, signature) = (receipt.to_abi(), signature.to_bytes().to_vec().into());
                let call = match members {
                    None => Call::Prove { receipt, archive, signature },
                    Some(Members { root, count }) => {
                        Call::ProveMany { receipt, archive, members: root, count, signature }
                    }
                };
                world.send(self.account, U256::ZERO, call);
            }
            processor::Action::SendExpire { request, .. } => {
                world.send(self.account, U256::ZERO, Call::Expire(request.to_abi()))
            }
            processor::Action::Shutdown(task) => drop(self.enclaves.remove(&task)),
            processor::Action::Report { ending, .. } => {
                world.watch.happened.insert(format!("processor: {ending:?}"));
            }
        }
    }

    fn deliver(
        &mut self,
        task: TaskId,
        released: &[pox_core::role::Place],
        machine: &mut Processor,
        world: &mut World<'_>,
    ) {
        let Some(enclave) = self.enclaves.get_mut(&task) else { return };
        assert_eq!(enclave.task, task);
        let mut secrets: Vec<_> = released
            .iter()
            .map(|place| match world.chain.call_of(place.transaction).clone() {
                Call::Approve { secret, .. } => (0, secret.to_vec()),
                Call::Release { party, secret, .. } => (party, secret.to_vec()),
                _ => panic!("a release without one"),
            })
            .collect();
        secrets.sort();
        let secrets: Vec<_> = secrets.into_iter().map(|(_, secret)| secret).collect();
        match enclave.take(&secrets, world.now, world.dice) {
            Ok(Some(says)) => self.hear(task, says, machine, world),
            Ok(None) => {}
            Err(()) => {
                world.watch.happened.insert("enclave refused a secret".into());
                machine.handle(processor::Fact::Enclave(task, EnclaveFact::SecretRefused), world.time());
            }
        }
    }
}
