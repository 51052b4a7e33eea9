//! Enclaves of the simulation: the real state types, with stand-ins for TEE, sealing and running.

use crate::common::Dice;
use alloy_primitives::Address;
use k256::ecdsa::SigningKey;
use pox_core::evidence::{Evidence, EvidenceKind, Purpose, RECIPIENT_BYTES, sha256};
use pox_core::receipt::{Outcome, RunReport};
use pox_core::role::enclave::{Accepted, End, Failure, Launch, Limit, Opened, Ready, Running, Signed, Usage};
use pox_core::signature::address_of;
use pox_core::{
    B256, Domain, MemberReceipt, MemberReceipts, Request, ResultsCommitment, Runs, TaskId, keccak256,
};

/// What a genuine TEE signs in this world. Anything else is a lie.
const GENUINE: &[u8] = b"genuine";

/// What a processor's enclave does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Genuine,
    /// Outside any TEE: its evidence does not verify.
    Fake,
    /// Takes the secret and never answers.
    Mute,
    /// Never comes up.
    Broken,
}

enum State {
    Booting(Box<Launch>),
    Ready(Box<Ready>),
    Running(Box<Accepted>),
    Done,
}

pub(crate) struct Enclave {
    manner: Manner,
    state: State,
    due: u64,
    pub(crate) task: TaskId,
}

/// What an enclave tells its host.
pub(crate) enum Says {
    Ready { enclave: Address, evidence: Vec<u8> },
    Finished(Box<Signed>),
    Gone,
}

impl Enclave {
    pub(crate) fn boot(
        domain: Domain,
        request: Request,
        processor: Address,
        manner: Manner,
        block: (u64, B256),
        now: u64,
        dice: &mut Dice,
    ) -> Self {
        let key = SigningKey::from_slice(&dice.word()[..]).unwrap();
        let recipient = keccak256(address_of(key.verifying_key())).repeat(RECIPIENT_BYTES / 32);
        let launch = Launch::new(domain, request.clone(), processor, key, recipient, block.0, block.1);
        let (state, due) = (State::Booting(Box::new(launch)), now + dice.below(15));
        Self { manner, state, due, task: request.id(&domain) }
    }

    /// Lets time pass; some launches and runs die.
    pub(crate) fn step(&mut self, now: u64, faults: u64, dice: &mut Dice) -> Option<Says> {
        if now < self.due {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Booting(_) if self.manner == Manner::Broken || dice.percent(faults) => Some(Says::Gone),
            State::Booting(launch) => {
                let quote = if self.manner == Manner::Fake { b"fake" } else { GENUINE };
                let ready = launch.attested(EvidenceKind::Simulated, quote.to_vec());
                let said = Says::Ready { enclave: ready.account(), evidence: ready.evidence().to_vec() };
                self.state = State::Ready(Box::new(ready));
                Some(said)
            }
            State::Running(_) if dice.percent(faults) => Some(Says::Gone),
            State::Running(accepted) if self.manner == Manner::Mute => {
                self.state = State::Running(accepted);
                None
            }
            State::Running(accepted) => {
                let report = RunReport::default();
                let unsigned = match accepted.running {
                    Running::Single(running) => running.ended(&any_end(dice), Usage::default(), &report),
                    Running::Batch(running) => {
                        let results = Ok(ResultsCommitment(dice.word()));
                        let members = any_members(&running.runs, dice);
                        running.closed(&members, results, Usage::default(), &report)
                    }
                };
                let signed = unsigned.attested(EvidenceKind::Simulated, GENUINE.to_vec(), Vec::new());
                Some(Says::Finished(Box::new(signed)))
            }
            state => {
                self.state = state;
                None
            }
        }
    }

    /// Gives it a secret; says whether it is done at once, and whether it refused.
    pub(crate) fn take(&mut self, signed: &[Vec<u8>], now: u64, dice: &mut Dice) -> Result<Option<Says>, ()> {
        let ready = match std::mem::replace(&mut self.state, State::Done) {
            State::Ready(ready) => ready,
            state => {
                self.state = state;
                return Ok(None);
            }
        };
        let account = ready.account();
        let released = match ready.take(signed) {
            Ok(released) => released,
            Err(not_taken) => {
                self.state = State::Ready(Box::new(not_taken.ready));
                return Err(());
            }
        };
        let open = |sealed: &Vec<u8>| sealed.strip_prefix(account.as_slice()).map(<[u8]>::to_vec);
        let plaintexts: Vec<_> = released.sealed().iter().map(open).collect();
        match released.open(&plaintexts) {
            Opened::Accepted(accepted) => {
                self.state = State::Running(accepted);
                self.due = now + dice.below(40);
                Ok(None)
            }
            Opened::Refused(refused) => {
                let unsigned = refused.ended(&RunReport::default());
                let signed = unsigned.attested(EvidenceKind::Simulated, GENUINE.to_vec(), Vec::new());
                Ok(Some(Says::Finished(Box::new(signed))))
            }
        }
    }
}

/// Whether evidence is genuine and of this task, processor and enclave: what a verifier would say.
pub(crate) fn verifies(evidence: &[u8], task: TaskId, processor: Address, enclave: Address) -> bool {
    Evidence::parse(evidence).is_ok_and(|evidence| {
        let claims = &evidence.claims;
        evidence.quote == GENUINE
            && claims.purpose == Purpose::Key
            && claims.task == task
            && claims.processor == processor
            && claims.enclave == enclave
            && claims.recipient == sha256(&evidence.recipient)
    })
}

fn any_members(runs: &Runs, dice: &mut Dice) -> MemberReceipts {
    let outcomes = [Outcome::Completed, Outcome::Completed, Outcome::Failed, Outcome::RuntimeFailed];
    let member = |run| MemberReceipt::not_begun(&run, dice.pick(&outcomes).unwrap_or(Outcome::Completed));
    MemberReceipts::new(runs.iter().map(member).collect()).unwrap()
}

fn any_end(dice: &mut Dice) -> End {
    let results = ResultsCommitment(dice.word());
    match dice.below(10) {
        0..=4 => End::Exited { code: 0, results },
        5 => End::Exited { code: 3, results },
        6 => End::Limited { limit: Limit::Time, results: ResultsCommitment::ZERO },
        7 => End::Failed(Failure::ImageInvalid),
        8 => End::Failed(Failure::InputUnavailable),
        _ => End::Failed(Failure::RuntimeFailed),
    }
}
