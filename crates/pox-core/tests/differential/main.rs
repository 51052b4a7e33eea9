//! The contract's bytecode and `Task::apply` agree, call by call (spec §3 to §6).
//!
//! Random sequences of calls, most of them nearly right, run on both; results, errors with their data, events, balances,
//! views and storage words have to be the same. `POX_DIFFERENTIAL_SEQUENCES` asks for more than the default, and
//! `POX_DIFFERENTIAL_RESULT` for a file that says what was run: `contracts/differential.sh` is the campaign.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod campaign;
#[path = "../common/mod.rs"]
mod common;
mod evm;
mod generate;

use alloy_primitives::{Address, U256};
use campaign::{Campaign, Coverage, REFUSED};
use common::{Dice, account};
use evm::{Evm, FUNDS, Ran};
use generate::Generator;
use pox_core::abi::IProofOfExecution as wire;
use pox_core::ledger::{Ledger, TaskView};
use pox_core::{Call, Event, Phase, Refusal, Sent, TaskId};

/// In each sequence.
const CALLS: u64 = 30;

struct Both {
    ledger: Ledger,
    evm: Evm,
    accounts: Vec<Address>,
}

#[test]
fn contract_and_ledger_agree() {
    let campaign = Campaign::asked();
    let accounts: Vec<_> = (1..=5).map(account).collect();
    let (wallet, refusing) = (accounts[3], accounts[4]);
    let deployed = Evm::deploy(&accounts, &[refusing], &[wallet]);
    let coverage = campaign.run(|seed, coverage| {
        let mut ledger = Ledger::new(deployed.domain());
        ledger.refuse_payments_to(refusing);
        ledger.set_wallet(refusing, false);
        ledger.set_wallet(wallet, true);
        let mut both = Both { ledger, evm: deployed.clone(), accounts: accounts.clone() };
        let mut generator = Generator::new(Dice::new(seed), accounts.clone());
        for number in 0..CALLS {
            let (sent, call) = generator.next(&both.ledger);
            let context = format!("seed {seed}, call {number}: {call:?} {sent:?}");
            both.run(&sent, call, coverage, &context);
        }
        both.compare_everything(&generator, seed);
    });
    assert_covered(&coverage);
    campaign.report(&coverage, CALLS, &evm::runtime());
}

impl Both {
    fn run(&mut self, sent: &Sent, call: Call, coverage: &mut Coverage, context: &str) {
        let (calldata, calls) = (call.to_calldata(), call.clone());
        assert_eq!(Call::parse(&calldata).as_ref(), Some(&call), "{context}");
        let (tasks, before) = (touched(&call, &self.ledger), self.ledger.clone());
        let phase = tasks.first().map(|id| before.view(*id).phase);
        let ours = self.ledger.call(sent, call);
        let theirs = self.evm.call(sent, calldata);
        match (&ours, theirs) {
            (Ok(events), Ran::Done(logs)) => {
                assert_eq!(events.iter().map(Event::to_log).collect::<Vec<_>>(), logs, "{context}");
                for (event, log) in events.iter().zip(&logs) {
                    assert_eq!(Event::parse(self.ledger.domain(), log).as_ref(), Ok(event), "{context}");
                    *coverage.entry(event_name(event)).or_default() += 1;
                }
            }
            (Err(refusal), Ran::Reverted(data)) => {
                assert_eq!(refusal.revert_data(), data.to_vec(), "{refusal:?} for {context}");
                if let (Refusal::BadSignature, Some(phase)) = (refusal, phase) {
                    *coverage.entry(format!("BadSignature in {phase:?}")).or_default() += 1;
                    *coverage.entry(format!("BadSignature of {}", call_name(&calls))).or_default() += 1;
                }
                *coverage.entry(REFUSED.into()).or_default() += 1;
                assert_eq!(before, self.ledger, "a refused call changed something: {context}");
                *coverage.entry(refusal_name(refusal)).or_default() += 1;
            }
            (Ok(events), Ran::Reverted(data)) => {
                panic!("only the contract refuses, {:?}: {events:?} {context}", Refusal::parse(&data))
            }
            (Err(refusal), Ran::Done(_)) => panic!("only the ledger refuses, {refusal:?}: {context}"),
        }
        for task in tasks {
            self.compare_task(task, context);
        }
        assert_eq!(self.ledger.balance(), self.evm.balance(self.evm.contract), "{context}");
        assert_eq!(self.ledger.balance(), self.ledger.owed(), "{context}");
    }

    fn compare_task(&mut self, id: TaskId, context: &str) {
        let (ours, theirs) = (self.ledger.view(id), self.evm.task(id));
        assert_eq!(as_wire(&ours), theirs, "{context}");
        let words = self.words(id, &ours);
        assert_eq!(self.evm.task_words(id), words, "storage layout of spec §5.3: {context}");
    }

    fn words(&self, id: TaskId, view: &TaskView) -> [U256; 5] {
        let address = |account: Address| U256::from_be_slice(account.as_slice());
        let mut escrow = (U256::from(view.price.wei()) << 160) | address(view.owner);
        if !view.sponsor.is_zero() {
            escrow |= U256::from(1) << 254;
        }
        if view.phase.is_end() {
            escrow |= (U256::from(1) << 255) | (U256::from(view.phase as u8) << 160);
        }
        let (mut run, mut pledge) = (U256::ZERO, U256::ZERO);
        if let Some(task) = self.ledger.task(id).filter(|task| task.pairing().is_some()) {
            run = (U256::from(view.missing.0) << 240)
                | (U256::from(task.posted().request.prove_within) << 208)
                | (U256::from(view.deadline.0) << 168)
                | (U256::from(view.phase as u8) << 160)
                | address(view.enclave);
            pledge = (U256::from(view.bond.wei()) << 160) | address(view.processor);
        }
        [escrow, run, pledge, U256::from_be_bytes(*view.history.as_bytes()), address(view.sponsor)]
    }

    fn compare_everything(&mut self, generator: &Generator, seed: u64) {
        let context = format!("at the end of seed {seed}");
        let ids: Vec<_> = self.ledger.tasks().map(|task| task.posted().id).collect();
        for id in ids {
            self.compare_task(id, &context);
        }
        for offer in generator.offer_ids(self.ledger.domain()) {
            assert_eq!(self.ledger.is_open(offer), self.evm.is_open(offer), "{context}");
        }
        let mut total = self.evm.balance(self.evm.contract);
        for account in self.accounts.clone() {
            assert_eq!(self.ledger.credit(account), self.evm.credit(account), "{context}");
            total += self.evm.balance(account);
        }
        assert_eq!(
            total,
            U256::from(FUNDS) * U256::from(self.accounts.len()),
            "money was lost or made {context}"
        );
    }
}

/// The tasks whose storage a call can change.
fn touched(call: &Call, ledger: &Ledger) -> Vec<TaskId> {
    match call {
        Call::Request(record)
        | Call::RequestFor { record, .. }
        | Call::MatchTask { record, .. }
        | Call::MatchListed { record, .. }
        | Call::Reject { record, .. }
        | Call::RejectFor { record, .. }
        | Call::Release { record, .. }
        | Call::Expire(record) => vec![TaskId(ledger.domain().digest(record))],
        Call::Approve { task, .. } | Call::Cancel(task) | Call::CancelFor { task, .. } => vec![*task],
        Call::Prove { receipt, .. } | Call::ProveMany { receipt, .. } => vec![TaskId(receipt.task)],
        Call::Offer(_) | Call::WithdrawOffer(_) | Call::Withdraw => Vec::new(),
    }
}

fn as_wire(view: &TaskView) -> wire::taskReturn {
    let phases = [
        wire::Phase::None,
        wire::Phase::Requested,
        wire::Phase::Matched,
        wire::Phase::Approved,
        wire::Phase::Proven,
        wire::Phase::Cancelled,
        wire::Phase::Expired,
    ];
    wire::taskReturn {
        phase: phases[view.phase as usize],
        owner: view.owner,
        processor: view.processor,
        enclave: view.enclave,
        price: alloy_primitives::Uint::from(view.price.wei()),
        bond: alloy_primitives::Uint::from(view.bond.wei()),
        deadline: view.deadline.0,
        history: view.history.0,
        sponsor: view.sponsor,
        missing: view.missing.0,
    }
}

/// Which call it is that carries somebody's signature.
fn call_name(call: &Call) -> &'static str {
    match call {
        Call::RequestFor { .. } => "requestFor",
        Call::RejectFor { .. } => "rejectFor",
        Call::Approve { .. } => "approve",
        Call::Release { .. } => "release",
        Call::Prove { .. } => "prove",
        Call::ProveMany { .. } => "proveMany",
        Call::CancelFor { .. } => "cancelFor",
        _ => "a call without one",
    }
}

fn event_name(event: &Event) -> String {
    match event {
        Event::Proven { receipt, .. } => format!("Proven by {}", receipt.outcome >> 4),
        Event::Expired { from, .. } => format!("Expired from {from:?}"),
        Event::Requested { .. } => "Requested".into(),
        Event::Sponsored { .. } => "Sponsored".into(),
        Event::Released { missing: 0, .. } => "Released, the last".into(),
        Event::Released { .. } => "Released".into(),
        Event::Members { .. } => "Members".into(),
        Event::Uses { .. } => "Uses".into(),
        Event::Offered { .. } => "Offered".into(),
        Event::OfferWithdrawn { .. } => "OfferWithdrawn".into(),
        Event::Matched { .. } => "Matched".into(),
        Event::Rejected { .. } => "Rejected".into(),
        Event::Approved { .. } => "Approved".into(),
        Event::Cancelled { .. } => "Cancelled".into(),
        Event::Withdrawn { .. } => "Withdrawn".into(),
    }
}

fn refusal_name(refusal: &Refusal) -> String {
    match refusal {
        Refusal::TooLate(_) => "TooLate".into(),
        Refusal::TooEarly(_) => "TooEarly".into(),
        Refusal::WrongValue(_) => "WrongValue".into(),
        other => format!("{other:?}"),
    }
}

/// Every event, every error with every field and phase that it can name, and each of the four settlements.
fn assert_covered(coverage: &Coverage) {
    let mut needed: Vec<String> = ["Requested", "Uses", "Offered", "OfferWithdrawn", "Matched", "Rejected"]
        .into_iter()
        .chain(["Approved", "Cancelled", "Withdrawn", "NotYours", "TooLate", "TooEarly", "WrongValue"])
        .chain(["AlreadyUsed", "OfferClosed", "WrongEnclave", "BadSignature", "BadOutcome"])
        .chain([
            "Sponsored",
            "Released",
            "Released, the last",
            "Members",
            "NeedsRelease",
            "NotMissing",
            "NotDirect",
        ])
        .chain(["NothingToWithdraw", "PaymentRefused", "NotPayable"])
        .map(String::from)
        .collect();
    needed.extend((0..4).map(|doing| format!("Proven by {doing}")));
    let signed = ["requestFor", "rejectFor", "approve", "release", "prove", "proveMany", "cancelFor"];
    needed.extend(signed.map(|call| format!("BadSignature of {call}")));
    // Of a secret, and of a receipt.
    needed.extend([Phase::Matched, Phase::Approved].map(|phase| format!("BadSignature in {phase:?}")));
    let phases = [Phase::Requested, Phase::Matched, Phase::Approved];
    needed.extend(phases.map(|phase| format!("Expired from {phase:?}")));
    needed.extend(Phase::ALL.map(|phase| format!("{:?}", Refusal::WrongPhase(phase))));
    let request = [0, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18];
    needed.extend(request.map(|field| format!("{:?}", Refusal::BadRecord(field))));
    needed.push(format!("{:?}", Refusal::BadRecord(1)));
    needed.extend([2, 8, 9, 10, 11, 12].map(|field| format!("{:?}", Refusal::DoesNotFit(field))));
    let missing: Vec<_> = needed.iter().filter(|name| !coverage.contains_key(*name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}; happened: {coverage:?}");
}
