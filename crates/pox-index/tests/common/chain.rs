//! A chain in memory: blocks with the events of random tasks, which can be taken back and made anew.
#![allow(dead_code, unreachable_pub, reason = "each test uses its own part")]

use alloy_primitives::{Address, B256, Uint, keccak256};
use pox_chain::{BlockAt, ChainError, Log};
use pox_core::receipt::Outcome;
use pox_core::{
    Amount, Archive, CoOwner, Domain, Event, Kinds, Offer, Parties, Processors, Request, Resources, TaskId,
    UnixTime, abi,
};
use pox_index::{Header, Source};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub const START: u64 = 5;
/// Tasks that are alive at once: each block keeps a copy of them.
const MAX_LIVE: usize = 24;

/// SplitMix64: the same seed gives the same chain everywhere.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub fn word(&mut self) -> B256 {
        keccak256(self.roll().to_be_bytes())
    }
}

pub fn domain() -> Domain {
    Domain { chain_id: 8995, contract: Address::repeat_byte(0xc0) }
}

/// One of a few accounts, programs or datasets.
pub fn account(number: u64) -> Address {
    Address::from_word(keccak256([number as u8, 1]))
}

pub fn image(number: u64) -> B256 {
    keccak256([number as u8, 2])
}

pub fn input(number: u64) -> B256 {
    keccak256([number as u8, 3])
}

/// Where a task stands, and what its next event needs.
#[derive(Debug, Clone)]
pub struct Live {
    pub task: TaskId,
    request: Request,
    stage: u8,
    missing: Parties,
    processor: Address,
    enclave: Address,
}

#[derive(Debug, Clone)]
pub struct Block {
    pub header: Header,
    pub logs: Vec<Log>,
    /// The tasks that were alive after it, so that a fork can go on from here.
    live: Vec<Live>,
    dice: Dice,
}

/// The chain, and how its node behaves.
pub struct Chain {
    pub blocks: RwLock<Vec<Block>>,
    pub range: u64,
    pub unsettled: u64,
    /// Answers until the next failure; never fails at `u64::MAX`.
    pub answers: AtomicU64,
    /// Inputs of each request.
    pub inputs: u64,
}

impl Chain {
    pub fn new(seed: u64) -> Self {
        let dice = Dice(seed);
        let genesis = header(0, B256::ZERO, &mut dice.clone());
        let first = Block { header: genesis, logs: Vec::new(), live: Vec::new(), dice };
        Self {
            blocks: RwLock::new(vec![first]),
            range: 7,
            unsettled: 20,
            answers: AtomicU64::new(u64::MAX),
            inputs: 3,
        }
    }

    /// Makes blocks, each with up to so many events.
    pub fn grow(&self, blocks: u64, events: u64) {
        let mut chain = self.blocks.write().unwrap();
        for _ in 0..blocks {
            let last = chain.last().unwrap();
            let (mut dice, mut live) = (last.dice.clone(), last.live.clone());
            let number = last.header.at.number + 1;
            let header = header(number, last.header.at.hash, &mut dice);
            let wanted = if number < START { 0 } else { dice.below(events + 1) };
            let mut told = Vec::new();
            while (told.len() as u64) < wanted {
                told.extend(self.happen(&mut live, header.time, &mut dice));
            }
            let logs = told.iter().enumerate();
            let logs = logs.map(|(index, event)| log(&header, event, index as u64)).collect();
            chain.push(Block { header, logs, live, dice });
        }
    }

    /// Takes blocks back; what is made on them next is another chain.
    pub fn fork(&self, depth: u64, salt: u64) {
        let mut chain = self.blocks.write().unwrap();
        let left = chain.len().saturating_sub(depth as usize).max(1);
        chain.truncate(left);
        chain.last_mut().unwrap().dice.0 ^= salt;
    }

    /// Forgets what forks from older blocks would need.
    pub fn forget_forks(&self) {
        let mut chain = self.blocks.write().unwrap();
        let last = chain.len() - 1;
        chain[..last].iter_mut().for_each(|block| block.live = Vec::new());
    }

    /// Lets something happen: a new task, or a step of one that is alive.
    fn happen(&self, live: &mut Vec<Live>, now: UnixTime, dice: &mut Dice) -> Vec<Event> {
        let number = dice.below(100);
        if number < 3 {
            let terms = offer(account(dice.below(5)), now, dice);
            return vec![Event::Offered { offer: terms.id(&domain()), terms }];
        }
        if number < 4 {
            return vec![Event::Withdrawn {
                account: account(dice.below(5)),
                amount: Uint::from(dice.below(99)),
            }];
        }
        if number < 30 && live.len() < MAX_LIVE || live.is_empty() {
            let inputs = dice.below(self.inputs + 1);
            let request = request(account(dice.below(5)), now, inputs, dice);
            let task = request.id(&domain());
            let uses = request.inputs.iter().map(|&input| Event::Uses { input, task }).collect::<Vec<_>>();
            live.push(Live {
                task,
                request: request.clone(),
                stage: 0,
                missing: Parties(0),
                processor: account(dice.below(5)),
                enclave: Address::from_word(dice.word()),
            });
            let sponsor = (dice.below(4) == 0).then(|| Event::Sponsored { task, sponsor: account(9) });
            let sponsored = sponsor.into_iter().collect();
            return [vec![Event::Requested { task, request: Box::new(request) }], uses, sponsored].concat();
        }
        let index = dice.below(live.len() as u64) as usize;
        let (events, is_end) = live[index].step(dice);
        if is_end {
            live.swap_remove(index);
        }
        events
    }

    fn answer<T>(&self, value: T) -> Result<T, ChainError> {
        if self.answers.load(Ordering::Relaxed) == u64::MAX {
            return Ok(value);
        }
        let left =
            self.answers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(_) => Ok(value),
            Err(_) => Err(ChainError::Unreachable { endpoint: "test".into(), reason: "told to".into() }),
        }
    }
}

impl Live {
    fn step(&mut self, dice: &mut Dice) -> (Vec<Event>, bool) {
        let Self { task, processor, enclave, .. } = *self;
        match (self.stage, dice.below(10)) {
            (0, 0) => (vec![Event::Cancelled { task }], true),
            (0, _) => {
                self.stage = 1;
                let offer = dice.word().0.into();
                let (evidence, bond) = (dice.word(), Amount::from_wei(u128::from(dice.below(9))).unwrap());
                self.missing = self.request.releases();
                (vec![Event::Matched { task, offer, processor, enclave, evidence, bond }], false)
            }
            (1, 0 | 1) => {
                self.stage = 0;
                let (account, reason) = (self.request.owner, dice.below(6) as u8);
                (vec![Event::Rejected { task, processor, account, enclave, reason }], false)
            }
            (1, _) if self.missing.is_empty() => {
                self.stage = 2;
                (vec![Event::Approved { task, enclave, secret: dice.word() }], false)
            }
            (1, _) => {
                let missing = self.missing;
                let (party, account) =
                    self.request.parties().find(|(party, _)| missing.contains(*party)).unwrap();
                self.missing = missing.without(party);
                self.stage = if self.missing.is_empty() { 2 } else { 1 };
                let (secret, missing) = (dice.word(), self.missing.0);
                (vec![Event::Released { task, account, enclave, secret, missing }], false)
            }
            _ => {
                let outcome = Outcome::ALL[dice.below(3) as usize].code();
                let receipt = abi::Receipt {
                    task: task.0,
                    enclave,
                    outcome,
                    exitCode: dice.below(2) as u32,
                    results: dice.word(),
                    report: dice.word(),
                    cpuMicros: dice.roll(),
                    wallMicros: dice.below(1 << 40),
                    memoryPeak: dice.below(1 << 40),
                };
                let archive = Archive(dice.word());
                let members = (dice.below(4) == 0).then(|| Event::Members {
                    task,
                    root: dice.word().0.into(),
                    count: 7,
                });
                let mut events = vec![Event::Proven { task, processor, receipt: Box::new(receipt), archive }];
                events.extend(members);
                (events, true)
            }
        }
    }
}

impl Source for Chain {
    fn head(&self) -> Result<Header, ChainError> {
        self.answer(self.blocks.read().unwrap().last().unwrap().header)
    }

    fn block(&self, number: u64) -> Result<Option<Header>, ChainError> {
        self.answer(self.blocks.read().unwrap().get(number as usize).map(|block| block.header))
    }

    fn logs(&self, from: u64, to: u64) -> Result<Vec<Log>, ChainError> {
        let blocks = self.blocks.read().unwrap();
        let range = blocks.get(from as usize..=(to as usize).min(blocks.len() - 1)).unwrap_or_default();
        self.answer(range.iter().flat_map(|block| block.logs.clone()).collect())
    }

    fn range(&self) -> u64 {
        self.range
    }

    fn unsettled(&self) -> u64 {
        self.unsettled
    }
}

fn header(number: u64, parent: B256, dice: &mut Dice) -> Header {
    let hash = keccak256([parent.as_slice(), &dice.roll().to_be_bytes()].concat());
    Header { at: BlockAt { number, hash }, parent: Some(parent), time: UnixTime(1_700_000_000 + 5 * number) }
}

pub fn log(header: &Header, event: &Event, index: u64) -> Log {
    let transaction = keccak256([header.at.hash.as_slice(), &index.to_be_bytes()].concat());
    Log { address: domain().contract, content: event.to_log(), block: header.at, transaction, index }
}

fn resources() -> Resources {
    Resources { cpu_millis: 1000, memory_mib: 64, disk_mib: 64, time_limit: 60 }
}

pub fn request(owner: Address, now: UnixTime, inputs: u64, dice: &mut Dice) -> Request {
    Request {
        owner,
        processors: Processors::Any,
        price: Amount::from_wei(u128::from(dice.below(1000))).unwrap(),
        image: image(dice.below(4)).0.into(),
        inputs: (0..inputs).map(|_| input(dice.below(6)).0.into()).collect(),
        terms: dice.word().0.into(),
        metadata: dice.word().0.into(),
        policy: dice.word().0.into(),
        kinds: Kinds(1),
        resources: resources(),
        match_by: UnixTime(now.0 + 20_000_000),
        approve_within: 2_000_000,
        prove_within: 2_000_000,
        salt: dice.word().0.into(),
        delegate: (dice.below(4) == 0).then(|| account(7)),
        co_owners: if inputs > 0 && dice.below(4) == 0 {
            vec![CoOwner { account: account(8), inputs: 1 }]
        } else {
            Vec::new()
        },
    }
}

fn offer(processor: Address, now: UnixTime, dice: &mut Dice) -> Offer {
    Offer {
        processor,
        kinds: Kinds(1),
        resources: resources(),
        price_per_second: Amount::from_wei(u128::from(dice.below(10))).unwrap(),
        bond: Amount::ZERO,
        valid_until: UnixTime(now.0 + dice.below(10_000)),
        salt: dice.word().0.into(),
    }
}
