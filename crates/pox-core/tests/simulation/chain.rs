//! A chain with faults: blocks, reorganisations, lost, delayed and repeated transactions, endpoints that lag.

use crate::common::Dice;
use alloy_primitives::{Address, U256};
use pox_core::history::At;
use pox_core::ledger::{Ledger, TaskView};
use pox_core::role::{Place, Sighting};
use pox_core::{B256, Call, Domain, Event, Origin, Phase, Sent, TaskId, UnixTime, keccak256};
use std::collections::BTreeMap;

/// Deepest reorganisation, blocks.
pub(crate) const MAX_REORGANISATION: usize = 3;
/// What each account starts with.
pub(crate) const FUNDS: u64 = 1_000_000;

#[derive(Clone)]
struct Transaction {
    hash: B256,
    sender: Address,
    value: U256,
    call: Call,
}

#[derive(Clone)]
struct Block {
    at: At,
    hash: B256,
    ledger: Ledger,
    accounts: BTreeMap<Address, U256>,
    events: Vec<(Place, Event)>,
    transactions: Vec<Transaction>,
}

pub(crate) struct Chain {
    blocks: Vec<Block>,
    waiting: Vec<Transaction>,
    sent: BTreeMap<B256, Call>,
    counter: u64,
    /// What can't change any more.
    settled: BTreeMap<TaskId, TaskView>,
    pub(crate) reorganisations: u64,
}

impl Chain {
    pub(crate) fn new(domain: Domain, accounts: &[Address], now: u64) -> Self {
        let genesis = Block {
            at: At { number: 1, time: UnixTime(now) },
            hash: keccak256(b"genesis"),
            ledger: Ledger::new(domain),
            accounts: accounts.iter().map(|account| (*account, U256::from(FUNDS))).collect(),
            events: Vec::new(),
            transactions: Vec::new(),
        };
        let settled = BTreeMap::new();
        let (waiting, sent) = (Vec::new(), BTreeMap::new());
        Self { blocks: vec![genesis], waiting, sent, counter: 0, settled, reorganisations: 0 }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.head().ledger
    }

    /// The call of a transaction that was in some block.
    pub(crate) fn call_of(&self, transaction: B256) -> &Call {
        &self.sent[&transaction]
    }

    /// The evidence with this hash, from some match's transaction.
    pub(crate) fn evidence(&self, hash: B256) -> &[u8] {
        let found = self.sent.values().find_map(|call| match call {
            Call::MatchTask { evidence, .. } | Call::MatchListed { evidence, .. }
                if keccak256(evidence) == hash =>
            {
                Some(evidence)
            }
            _ => None,
        });
        found.expect("every match was sent")
    }

    /// A recent block, as evidence names it.
    pub(crate) fn recent_block(&self) -> (u64, B256) {
        (self.head().at.number, self.head().hash)
    }

    /// Hands a transaction to the network, which can lose or repeat it.
    pub(crate) fn send(&mut self, sender: Address, value: U256, call: Call, faults: u64, dice: &mut Dice) {
        if dice.percent(faults) {
            return;
        }
        for _ in 0..1 + u64::from(dice.percent(faults)) {
            self.counter += 1;
            let hash = keccak256(self.counter.to_be_bytes());
            self.sent.insert(hash, call.clone());
            self.waiting.push(Transaction { hash, sender, value, call: call.clone() });
        }
    }

    pub(crate) fn mine(&mut self, now: u64, delays: u64, dice: &mut Dice) {
        let mut included = Vec::new();
        let mut later = Vec::new();
        for transaction in self.waiting.drain(..) {
            if dice.percent(delays) { later.push(transaction) } else { included.push(transaction) }
        }
        self.waiting = later;
        self.counter += 1;
        let head = self.head();
        let at = At { number: head.at.number + 1, time: UnixTime(now.max(head.at.time.0 + 1)) };
        let hash = keccak256([head.hash, keccak256(self.counter.to_be_bytes())].concat());
        let (ledger, accounts) = (head.ledger.clone(), head.accounts.clone());
        let mut block = Block { at, hash, ledger, accounts, events: Vec::new(), transactions: Vec::new() };
        for transaction in included {
            block.run(transaction);
        }
        block.check_money();
        self.blocks.push(block);
        self.settle();
    }

    /// Replaces the newest blocks by others, in which their transactions come later, or never.
    pub(crate) fn reorganise(&mut self, now: u64, faults: u64, dice: &mut Dice) {
        let depth = (1 + dice.below(MAX_REORGANISATION as u64) as usize).min(self.blocks.len() - 1);
        let dropped = self.blocks.split_off(self.blocks.len() - depth);
        for transaction in dropped.into_iter().flat_map(|block| block.transactions) {
            if !dice.percent(faults) {
                self.waiting.push(transaction);
            }
        }
        self.reorganisations += 1;
        for _ in 0..=depth {
            self.mine(now, 50, dice);
        }
    }

    fn head(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    /// A task that ended under as many blocks as can be replaced stays as it is.
    fn settle(&mut self) {
        for (task, view) in &self.settled {
            assert_eq!(self.ledger().view(*task), *view, "a settled task changed");
        }
        let Some(deep) = self.blocks.len().checked_sub(MAX_REORGANISATION + 1) else { return };
        let ledger = &self.blocks[deep].ledger;
        for task in ledger.tasks().filter(|task| task.phase().is_end()) {
            let id = task.posted().id;
            self.settled.insert(id, ledger.view(id));
        }
    }
}

impl Block {
    fn run(&mut self, transaction: Transaction) {
        let Transaction { hash, sender, value, ref call } = transaction;
        let sent = Sent { sender, origin: Origin::Transaction, value, at: self.at };
        if let Ok(events) = self.ledger.call(&sent, call.clone()) {
            *self.accounts.get_mut(&sender).unwrap() -= value;
            for event in events {
                if let Event::Withdrawn { account, amount } = event {
                    *self.accounts.get_mut(&account).unwrap() += amount;
                }
                let index = self.events.len() as u64;
                let place = Place { at: self.at, block: self.hash, transaction: hash, index };
                self.events.push((place, event));
            }
        }
        self.transactions.push(transaction);
    }

    /// No money is lost or made, and the contract holds exactly what it owes.
    fn check_money(&self) {
        assert_eq!(self.ledger.balance(), self.ledger.owed());
        let total: U256 = self.accounts.values().copied().sum();
        assert_eq!(total + self.ledger.balance(), U256::from(FUNDS) * U256::from(self.accounts.len()));
        for task in self.ledger.tasks() {
            let proven = |(_, event): &&(Place, Event)| matches!(event, Event::Proven { task: id, .. } if *id == task.posted().id);
            let receipts = self.events.iter().filter(proven).count();
            assert!(receipts <= 1 && (receipts == 0 || task.phase() == Phase::Proven));
        }
    }
}

/// One party's view of the chain through its endpoint. Kept on disk together with what was made of the events.
#[derive(Clone, Default)]
pub(crate) struct Cursor {
    seen: Vec<(B256, Vec<Place>)>,
}

impl Cursor {
    /// Everything that changed since the last look, and the newest block; an endpoint can be some blocks behind.
    pub(crate) fn poll(&mut self, chain: &Chain, lag: usize) -> Vec<Sighting> {
        let end = chain.blocks.len().saturating_sub(lag).max(1);
        let mut sightings = Vec::new();
        let same = |seen: &[(B256, Vec<Place>)]| {
            seen.iter().zip(&chain.blocks).take_while(|((hash, _), block)| *hash == block.hash).count()
        };
        let common = same(&self.seen);
        if common == self.seen.len() && end <= common {
            return sightings;
        }
        for (_, places) in self.seen.drain(common..).rev() {
            sightings.extend(places.into_iter().rev().map(|place| Sighting::Reverted { place }));
        }
        for block in chain.blocks.get(common..end).unwrap_or_default() {
            self.seen.push((block.hash, block.events.iter().map(|(place, _)| *place).collect()));
            let events = block.events.iter().cloned();
            sightings.extend(events.map(|(place, event)| Sighting::Event { place, event }));
        }
        let head = &chain.blocks[self.seen.len() - 1];
        sightings.push(Sighting::Head(head.at));
        sightings
    }
}
