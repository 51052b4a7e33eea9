//! Owners, processors, enclaves and a chain, through crashes, reorganisations, timeouts and lies.
//!
//! After each event: no money is lost or made; the contract holds what it owes; only verified enclaves are approved; no
//! enclave signs twice; what is settled stays. At the end: every task has ended, and nobody's money is locked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chain;
#[path = "../common/mod.rs"]
mod common;
mod enclaves;
mod parties;

use alloy_primitives::{Address, U256};
use chain::Chain;
use common::{Dice, account, domain, key, offer, request};
use enclaves::Manner;
use parties::{Faults, OwnerManner, OwnerNode, Plan, ProcessorNode, Watch, World};
use pox_core::leaves::Leaves;
use pox_core::role::owner::Patience;
use pox_core::role::processor::Policy;
use pox_core::secret::Terms;
use pox_core::{Archive, B256, Call, ListRoot, Offer, Party, Phase, Request, Runs, Task, abi, tree};
use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

const CASES: u32 = 500;
const START: u64 = 1_600_000_000;
/// How long the world is unkind, seconds.
const UNKIND: u64 = 500;
/// All deadlines together, with what it takes to notice them.
const LONGEST: u64 = 3_000;
/// Processors that an owner may keep a task for.
const LIST: [u8; 2] = [5, 6];
/// The account that pays for others' requests.
const SPONSOR: u8 = 8;
/// The owners' data is partly this account's.
const CO_OWNER: u8 = 9;
/// One more than the deepest reorganisation, so that what counts as deep never changes.
const CONFIRMATIONS: u64 = chain::MAX_REORGANISATION as u64 + 1;

const PATIENCE: Patience = Patience { confirmations: CONFIRMATIONS, again_after: 20, fetch_within: 150 };
const QUIET: Faults = Faults { lost: 0, delayed: 0, crashed: 0, deaf: 0, reorganised: 0 };

#[test]
fn every_task_ends_and_no_money_is_lost() {
    #[allow(clippy::disallowed_methods, reason = "a test may read what it is asked for")]
    let cases = std::env::var("POX_SIMULATION_CASES").map_or(CASES, |text| text.parse().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let watch = RefCell::new(Watch::default());
    let run = |seed| {
        simulate(seed, &mut watch.borrow_mut());
        Ok(())
    };
    TestRunner::new(config).run(&any::<u64>(), run).unwrap();
    assert_happened(&watch.borrow());
}

fn simulate(seed: u64, watch: &mut Watch) {
    let mut dice = Dice::new(seed);
    let accounts: Vec<_> = (1..=9).map(account).collect();
    let mut chain = Chain::new(domain(), &accounts, START);
    let mut owners: Vec<_> = (1..=3).flat_map(|number| owners_of_a_task(number, &mut dice)).collect();
    let mut processors: Vec<_> = (4..=6).map(|number| a_processor(number, &mut chain, &mut dice)).collect();
    let hostile = Faults {
        lost: dice.below(30),
        delayed: dice.below(70),
        crashed: dice.below(10),
        deaf: dice.below(50),
        reorganised: dice.below(8),
    };
    let mut now = START;
    loop {
        let quiet = now > START + UNKIND;
        let faults = if quiet { QUIET } else { hostile };
        now += 1 + dice.below(8);
        if dice.percent(faults.reorganised) {
            chain.reorganise(now, faults.lost, &mut dice);
        } else {
            chain.mine(now, faults.delayed, &mut dice);
        }
        attack(accounts[6], &mut chain, &mut dice);
        if quiet {
            sweep(accounts[7], now, &mut chain, &mut dice);
        }
        let mut world = World { chain: &mut chain, now, faults, quiet, dice: &mut dice, watch };
        for owner in &mut owners {
            owner.step(PATIENCE, &mut world);
        }
        for processor in &mut processors {
            processor.step(&mut world);
        }
        assert_only_verified(&chain);
        let done = owners.iter().all(OwnerNode::has_ended) && processors.iter().all(ProcessorNode::is_idle);
        let ended = chain.ledger().tasks().all(|task| task.phase().is_end());
        if quiet && done && ended {
            break;
        }
        assert!(now < START + LONGEST, "seed {seed}: a task does not end");
    }
    if chain.reorganisations > 0 {
        watch.happened.insert("reorganised".into());
    }
    assert_nothing_locked(&mut chain, &accounts, now, &mut dice);
}

/// The owner of a task, and its co-owner if it has one.
fn owners_of_a_task(number: u8, dice: &mut Dice) -> Vec<OwnerNode> {
    let manners = [
        OwnerManner::Honest,
        OwnerManner::Honest,
        OwnerManner::Careless,
        OwnerManner::Fickle,
        OwnerManner::Away,
        OwnerManner::Gone,
    ];
    let manner = dice.pick(&manners).unwrap_or(OwnerManner::Honest);
    let mut record = request(account(number), START, dice);
    record.inputs.clear();
    let shared = dice.percent(40);
    if shared {
        record.inputs.push(dice.word());
        record.coOwners.push(abi::CoOwner { account: account(CO_OWNER), inputs: 1 });
    }
    record.kinds = 1;
    record.price += alloy_primitives::Uint::from(record.timeLimit * 3);
    record.matchBy = START + 60 + dice.below(300);
    record.approveWithin = 60 + dice.below(120) as u32;
    record.proveWithin = record.timeLimit + 40 + dice.below(150) as u32;
    if dice.percent(20) {
        record.processors = account(4).into_word();
    } else if dice.percent(20) {
        record.processors = tree::root(&LIST.map(|number| tree::account_leaf(account(number)))).unwrap();
    }
    let batch = dice.percent(25);
    let runs = batch.then(|| Runs { seed: dice.word(), count: 1 + dice.below(5) as u16, args: None });
    let committed = runs.as_ref().and_then(Runs::committed);
    let terms = Terms { inputs: vec!["in".into(); record.inputs.len()], runs: committed, ..Terms::default() };
    let leaves: Leaves = terms.leaves(core::iter::repeat_with(|| dice.word())).unwrap();
    record.terms = leaves.root();
    let request = Request::try_from(record).unwrap();
    let sponsor = dice.percent(30).then(|| account(SPONSOR));
    let node = |number, manner, party| {
        let plan =
            Plan { request: request.clone(), party, terms: leaves.clone(), runs: runs.clone(), sponsor };
        OwnerNode::new(key(number), manner, plan, PATIENCE, START)
    };
    let mut nodes = vec![node(number, manner, Party::OWNER)];
    if shared {
        let manners = [OwnerManner::Honest, OwnerManner::Honest, OwnerManner::Careless, OwnerManner::Away];
        nodes.push(node(CO_OWNER, dice.pick(&manners).unwrap_or(OwnerManner::Honest), Party(1)));
    }
    nodes
}

/// The lists that a processor is on.
fn lists(number: u8) -> BTreeMap<ListRoot, Vec<B256>> {
    let leaves = LIST.map(|number| tree::account_leaf(account(number)));
    let place = LIST.iter().position(|listed| *listed == number);
    let path = place.and_then(|place| tree::path(&leaves, place));
    path.into_iter().map(|path| (ListRoot(tree::root(&leaves).unwrap()), path)).collect()
}

fn a_processor(number: u8, chain: &mut Chain, dice: &mut Dice) -> ProcessorNode {
    let manners =
        [Manner::Genuine, Manner::Genuine, Manner::Genuine, Manner::Fake, Manner::Mute, Manner::Broken];
    let manner = dice.pick(&manners);
    let mut record = offer(account(number), START, dice);
    record.kinds = 1;
    record.validUntil = START + 1_000;
    chain.send(account(number), U256::ZERO, Call::Offer(record.clone()), 0, dice);
    let policy = Policy {
        account: account(number),
        slots: 2,
        confirmations: CONFIRMATIONS,
        again_after: 20,
        boot_time: 10,
        overhead: 20,
        max_delay: 40,
        grace: 60,
        launches: 2,
        lists: lists(number),
    };
    let offer = Offer::try_from(record).unwrap();
    ProcessorNode::new(manner.unwrap_or(Manner::Genuine), domain(), policy, offer)
}

/// Somebody without a part in any task tries what they can.
fn attack(attacker: Address, chain: &mut Chain, dice: &mut Dice) {
    let tasks: Vec<_> = chain.ledger().tasks().map(|task| task.posted().id).collect();
    let Some(task) = dice.pick(&tasks).filter(|_| dice.percent(30)) else { return };
    let view = chain.ledger().view(task);
    let receipt = abi::Receipt {
        task: task.0,
        enclave: view.enclave,
        outcome: 0,
        exitCode: 0,
        results: dice.word(),
        report: dice.word(),
        cpuMicros: 0,
        wallMicros: 0,
        memoryPeak: 0,
    };
    let signature = vec![27; 65].into();
    let record = chain.ledger().task(task).map(|task| task.posted().request.to_abi()).unwrap();
    let (enclave, party) = (view.enclave, dice.below(3) as u8);
    let call = match dice.below(8) {
        4 => Call::Release { record, party, enclave, secret: vec![1; 100].into() },
        5 => Call::RejectFor { record, party, enclave, reason: 1, signature },
        6 => Call::CancelFor { task, signature },
        7 => Call::Reject { record, enclave, reason: 1 },
        0 => Call::Prove { receipt, archive: Archive(dice.word()), signature },
        1 => Call::Approve { task, enclave: view.enclave, secret: vec![1; 100].into() },
        2 => Call::Cancel(task),
        _ => Call::Withdraw,
    };
    chain.send(attacker, U256::ZERO, call, 0, dice);
}

/// Ends what only its owner would end, for owners that are gone. A matched task is left to its processor, who wants its bond.
fn sweep(passer_by: Address, now: u64, chain: &mut Chain, dice: &mut Dice) {
    let late = |task: &&Task| task.deadline().is_some_and(|deadline| now > deadline.0 + 500);
    let tasks = chain.ledger().tasks().filter(late).filter(|task| task.phase() != Phase::Matched);
    let requests: Vec<_> = tasks.map(|task| task.posted().request.to_abi()).collect();
    for request in requests {
        chain.send(passer_by, U256::ZERO, Call::Expire(request), 0, dice);
    }
}

/// No owner's approval is in the chain for an enclave that a verifier would not accept.
fn assert_only_verified(chain: &Chain) {
    for task in chain.ledger().tasks() {
        let pairing = match task {
            Task::Approved(task) => &task.pairing,
            Task::Proven(task) => &task.approved.pairing,
            _ => continue,
        };
        let evidence = chain.evidence(pairing.evidence);
        let (task, processor) = (task.posted().id, pairing.offer.processor);
        assert!(enclaves::verifies(evidence, task, processor, pairing.enclave), "an unverified enclave");
    }
}

fn assert_nothing_locked(chain: &mut Chain, accounts: &[Address], now: u64, dice: &mut Dice) {
    for task in chain.ledger().tasks() {
        assert!(task.phase().is_end(), "{:?} is still {}", task.posted().id, task.phase());
        assert_ne!(task.phase(), Phase::None);
    }
    for account in accounts {
        chain.send(*account, U256::ZERO, Call::Withdraw, 0, dice);
    }
    chain.mine(now + 10, 0, dice);
    assert_eq!(chain.ledger().balance(), U256::ZERO, "money stays locked");
}

/// A simulation in which nothing happens proves nothing.
fn assert_happened(watch: &Watch) {
    let needed = [
        "reorganised",
        "owner restarted",
        "processor restarted",
        "owner: Proven { outcome: 0, results: Had }",
        "owner: Proven { outcome: 16, results: None }",
        "owner: Proven { outcome: 33, results: None }",
        "owner: Proven { outcome: 49, results: None }",
        "Party(0) released",
        "Party(1) released",
        "owner: Cancelled",
        "owner: Expired(Requested)",
        "owner: Expired(Matched)",
        "owner: Expired(Approved)",
        "processor: Proven(0)",
        "processor: Rejected",
        "processor: Unanswered",
        "processor: BondLost",
        "processor: NotOurs",
        "processor: NoEnclave",
    ];
    let missing: Vec<_> = needed.iter().filter(|name| !watch.happened.contains(**name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}; happened: {:?}", watch.happened);
}
