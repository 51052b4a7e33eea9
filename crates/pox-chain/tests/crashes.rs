//! An outbox that is killed between any two of its effects, over chains that are reorganised: what was to be brought about is
//! brought about exactly once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod support;

use pox_chain::{
    Account, ChainError, Contract, Draft, Edit, FileShelf, Outbox, Pace, Patience, Prepared, Rpc, Shelf,
    Standing,
};
use pox_core::{Address, Bytes, Request, U256};
use pox_devchain::Returned;
use proptest::prelude::*;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use support::Node;
use support::proxy::forward;
use support::server::{Reply, Server};

/// Counts effects down; what comes after the last does not happen.
#[derive(Debug, Clone)]
struct Fuse(Arc<AtomicI64>);

/// Whether the effect at which the program is killed still happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Happens,
    DoesNot,
}

impl Fuse {
    fn new(effects: i64) -> Self {
        Self(Arc::new(AtomicI64::new(effects)))
    }

    /// How many effects are left, this one not counted; negative: the program is dead.
    fn burn(&self) -> i64 {
        self.0.fetch_sub(1, Ordering::SeqCst) - 1
    }

    fn is_burnt(&self) -> bool {
        self.0.load(Ordering::SeqCst) <= 0
    }
}

/// A journal of a program that is killed.
#[derive(Debug)]
struct Mortal(FileShelf, Fuse, Last);

impl Shelf for Mortal {
    fn edit(&self, edit: &mut Edit<'_>) -> io::Result<()> {
        let killed = || io::Error::other("killed");
        let mut is_write = false;
        let mut looked = |bytes: &[u8]| {
            let written = edit(bytes)?;
            is_write = written.is_some();
            if !is_write {
                return Ok(None);
            }
            match (self.1.burn(), self.2) {
                (1.., _) | (0, Last::Happens) => Ok(written),
                _ => Err(killed()),
            }
        };
        self.0.edit(&mut looked)?;
        // Whoever is killed with the write done never hears that it was.
        if is_write && self.1.is_burnt() { Err(killed()) } else { Ok(()) }
    }
}

/// The way to the chain of a program that is killed.
fn mortal_endpoint(node: &Node, fuse: &Fuse, last: Last) -> Server {
    let (upstream, fuse) = (node.url.clone(), fuse.clone());
    Server::start(move |method, params| {
        if fuse.is_burnt() {
            return Reply::Body(500, Vec::new());
        }
        let left = if method == "eth_sendRawTransaction" { fuse.burn() } else { 1 };
        if left < 0 || left == 0 && last == Last::DoesNot {
            return Reply::Body(500, Vec::new());
        }
        let mut told = forward(&upstream, method, params);
        match (left, told.get_mut("error").filter(|error| !error.is_null())) {
            (0, _) => Reply::CutShort,
            (_, Some(error)) => Reply::Failure(error.take()),
            (_, None) => Reply::Result(told["result"].take()),
        }
    })
}

const ONCE: Pace =
    Pace { rounds: 1, first_pause: Duration::from_millis(1), deadline: Duration::from_secs(2), seed: 1 };
const KEY: u8 = 77;

struct World {
    node: Node,
    contract: Contract,
    folder: tempfile::TempDir,
    /// What is to be brought about.
    wishes: Vec<Request>,
    start: u64,
}

impl World {
    fn new(wishes: u8) -> Self {
        let node = Node::embedded();
        let rpc = node.rpc();
        let contract = node.contract(&rpc);
        let owner = node.outbox(&rpc, KEY).address();
        let now = rpc.head().unwrap().time;
        let wishes = (0..wishes).map(|salt| support::request(owner, now, salt)).collect();
        // Deeper than any reorganisation of these tests.
        for _ in 0..8 {
            node.chain().mine().unwrap();
        }
        let start = node.chain().head().number;
        Self { node, contract, folder: tempfile::tempdir().unwrap(), wishes, start }
    }

    fn shelf(&self) -> FileShelf {
        FileShelf::new(&self.folder.path().join("outbox.json"))
    }

    fn account() -> Account {
        Account::from_bytes(&[KEY; 32]).unwrap()
    }

    fn patience(most: u64) -> Patience {
        Patience { timeout: Duration::from_millis(most), confirmations: 1, replace_after: None }
    }

    fn is_there(&self, contract: &Contract, wish: &Request) -> Result<bool, ChainError> {
        Ok(contract.task(wish.id(self.contract.domain()))?.is_some())
    }

    fn draft(&self, wish: &Request) -> Draft {
        self.contract.request(wish)
    }

    fn ensure(
        &self,
        outbox: &Outbox,
        contract: &Contract,
        wish: &Request,
        most: u64,
    ) -> Result<(), ChainError> {
        let patience = Self::patience(most);
        let mut done = || self.is_there(contract, wish);
        outbox.ensure(&self.draft(wish), &patience, &mut done).map(|_| ())
    }

    /// One life of the program, which ends when the fuse has burnt down, if it does.
    fn live(&self, wish: &Request, effects: i64, last: Last) -> Result<(), ChainError> {
        let fuse = Fuse::new(effects);
        let endpoint = mortal_endpoint(&self.node, &fuse, last);
        let mut profile = self.node.profile();
        profile.endpoints = vec![endpoint.url.parse().unwrap()];
        profile.poll_millis = 2;
        profile.timeout_millis = 500;
        let rpc = Rpc::connect(profile, ONCE)?;
        let contract = Contract::open(
            &rpc,
            pox_chain::Deployment { address: self.contract.domain().contract, block: 0 },
        )?;
        let outbox = Outbox::open(&rpc, Self::account(), Box::new(Mortal(self.shelf(), fuse, last)));
        self.ensure(&outbox, &contract, wish, 60)
    }

    /// The last life: nothing goes wrong any more.
    fn settle(&self) {
        let outbox = Outbox::open(self.contract.rpc(), Self::account(), Box::new(self.shelf()));
        for wish in &self.wishes {
            // What went back to the pool is mined with the next block.
            self.node.chain().mine().unwrap();
            self.ensure(&outbox, &self.contract, wish, 5000).unwrap();
        }
        for _ in 0..100 {
            self.node.chain().mine().unwrap();
            if outbox.tend().unwrap().is_empty() {
                return;
            }
        }
        panic!("the outbox never empties: {:?}", outbox.tend());
    }

    /// Every wish came true, and as many transactions took effect as there are wishes.
    fn judge(&self) {
        for wish in &self.wishes {
            assert!(self.is_there(&self.contract, wish).unwrap());
        }
        let (rpc, owner) = (self.contract.rpc(), Self::account().address());
        let mut effective = 0;
        for number in self.start + 1..=rpc.head().unwrap().at.number {
            for hash in rpc.block(number).unwrap().unwrap().transactions {
                let told = forward(&self.node.url, "eth_getTransactionReceipt", &serde_json::json!([hash]));
                // Not the transfers of nothing that stand in for what failed.
                let contract = self.contract.domain().contract;
                let ours = told["result"]["from"] == serde_json::json!(owner)
                    && told["result"]["to"] == serde_json::json!(contract);
                effective += usize::from(ours && told["result"]["status"] == "0x1");
            }
        }
        assert_eq!(effective, self.wishes.len());
        // The price of each request is in the contract's hands once.
        let escrow = rpc.balance(self.contract.domain().contract).unwrap();
        let prices: u128 = self.wishes.iter().map(|wish| wish.price.wei()).sum();
        assert_eq!(escrow, U256::from(prices));
    }
}

#[test]
fn a_kill_between_any_two_effects_loses_and_repeats_nothing() {
    for last in [Last::Happens, Last::DoesNot] {
        for effects in 0..20 {
            let world = World::new(1);
            let wish = &world.wishes[0];
            let survived = world.live(wish, effects, last).is_ok();
            world.settle();
            world.judge();
            if survived {
                assert!(effects > 2, "a journal entry, a broadcast and its end are three effects");
                break;
            }
            assert!(effects < 19, "it has no end");
        }
    }
}

/// How a transaction comes to nothing while its nonce is used.
#[derive(Debug, Clone, Copy)]
enum Failure {
    /// It was right when it was signed, and what came before it does not let it pass.
    Reverted,
    /// Another program of the same account, without the journal, was faster.
    Superseded,
}

impl World {
    /// Has a transaction for a wish fail, and gives it with what its caller was told.
    fn fail(
        &self,
        outbox: &Outbox,
        wish: &Request,
        failure: Failure,
        patience: &Patience,
    ) -> Result<(Prepared, Option<ChainError>), ChainError> {
        let first = outbox.prepare(&self.draft(wish))?;
        let lost = match failure {
            Failure::Reverted => {
                let second = outbox.prepare(&self.draft(wish))?;
                outbox.broadcast(&first)?;
                second
            }
            Failure::Superseded => {
                let nothing = Draft { to: Some(Address::ZERO), value: U256::ZERO, input: Bytes::new() };
                Outbox::new(self.contract.rpc(), Self::account()).send(&nothing, patience)?;
                first
            }
        };
        Ok((lost.clone(), outbox.wait(lost, patience).err()))
    }
}

/// A transaction fails, its caller is told so, others follow it, and a reorganisation drops them all: the nonce of the one that
/// nobody wants any more must not keep the others from the chain.
fn a_dropped_failure_holds_nobody_up(failure: Failure) -> ChainError {
    let world = World::new(2);
    let (chain, rpc) = (world.node.chain(), world.contract.rpc());
    let open = || Outbox::open(rpc, World::account(), Box::new(world.shelf()));
    let before = rpc.nonce(open().address()).unwrap();
    let (lost, told) = world.fail(&open(), &world.wishes[0], failure, &support::patience()).unwrap();
    let tells = |outbox: &Outbox| outbox.tend().unwrap().iter().any(|one| one.nonce == lost.nonce());
    assert!(!tells(&open()), "its caller knows already");
    support::send(&open(), &world.draft(&world.wishes[1]));

    chain.reorg(chain.head().number - world.start, Returned::Never).unwrap();
    assert_eq!(rpc.nonce(open().address()).unwrap(), before);
    assert!(tells(&open()), "what takes its place is sent, and costs gas");
    world.settle();
    world.judge();
    assert!(matches!(open().standing(&lost).unwrap(), Standing::Unknown), "its caller gave it up");
    told.unwrap()
}

#[test]
fn a_reverted_transaction_that_is_dropped_holds_nobody_up() {
    let told = a_dropped_failure_holds_nobody_up(Failure::Reverted);
    assert!(matches!(told, ChainError::Reverted(_)), "{told}");
}

#[test]
fn a_superseded_transaction_whose_rival_is_dropped_holds_nobody_up() {
    let told = a_dropped_failure_holds_nobody_up(Failure::Superseded);
    assert!(matches!(told, ChainError::Superseded { .. }), "{told}");
}

/// What happens to the program and its chain.
#[derive(Debug, Clone)]
enum Act {
    /// The program runs for a wish, and is killed after some effects, or not.
    Live { wish: usize, effects: i64, last: Last },
    /// The chain takes blocks back.
    Reorganise { depth: u64, transactions: Returned },
    /// Time passes.
    Mine,
    /// Another life tends what waits.
    Tend,
    /// A transaction for a wish fails, if it can be signed and is not held up.
    Fail { wish: usize, failure: Failure },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let last = prop_oneof![Just(Last::Happens), Just(Last::DoesNot)];
    let returned = prop_oneof![Just(Returned::ToPool), Just(Returned::Never)];
    let failure = prop_oneof![Just(Failure::Reverted), Just(Failure::Superseded)];
    let act = prop_oneof![
        5 => (0..3_usize, 0..6_i64, last).prop_map(|(wish, effects, last)| Act::Live { wish, effects, last }),
        3 => (1..4_u64, returned).prop_map(|(depth, transactions)| Act::Reorganise { depth, transactions }),
        1 => Just(Act::Mine),
        1 => Just(Act::Tend),
        2 => (0..3_usize, failure).prop_map(|(wish, failure)| Act::Fail { wish, failure }),
    ];
    proptest::collection::vec(act, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn crashes_and_reorganisations_in_any_order_lose_and_repeat_nothing(acts in acts()) {
        let world = World::new(3);
        for act in acts {
            match act {
                // That it was killed is not its fault.
                Act::Live { wish, effects, last } => drop(world.live(&world.wishes[wish], effects, last)),
                Act::Reorganise { depth, transactions } => {
                    let above = world.node.chain().head().number - world.start;
                    if above > 0 {
                        world.node.chain().reorg(depth.min(above), transactions).unwrap();
                    }
                }
                Act::Mine => drop(world.node.chain().mine().unwrap()),
                Act::Tend => {
                    let outbox = Outbox::open(world.contract.rpc(), World::account(), Box::new(world.shelf()));
                    outbox.tend().unwrap();
                }
                Act::Fail { wish, failure } => {
                    let outbox = Outbox::open(world.contract.rpc(), World::account(), Box::new(world.shelf()));
                    let patience = World::patience(60);
                    drop(world.fail(&outbox, &world.wishes[wish], failure, &patience));
                }
            }
        }
        world.settle();
        world.judge();
    }
}

#[test]
fn a_journal_is_whole_or_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("outbox.json");
    let shelf = FileShelf::new(path);
    shelf.edit(&mut |_| Ok(Some(b"first".to_vec()))).unwrap();
    assert!(shelf.edit(&mut |_| Err(io::Error::other("no"))).is_err());
    // What a crash while writing leaves beside it is never read.
    std::fs::write(folder.path().join("outbox.json.new"), b"half").unwrap();
    let mut seen = Vec::new();
    shelf
        .edit(&mut |bytes| {
            seen = bytes.to_vec();
            Ok(None)
        })
        .unwrap();
    assert_eq!(seen, b"first");
}
