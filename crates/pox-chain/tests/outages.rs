//! Every fault that an endpoint can have, before real nodes: what the client says while it lasts, and that it ends in exactly
//! one effective transaction and a right view. The table of `docs/chain.md` is what this test found; `UPDATE=1` writes it anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod support;

use pox_chain::{
    ChainError, Contract, Cursor, Deployment, Effect, FileShelf, Follower, Outbox, Pace, Patience, Progress,
    Rpc,
};
use pox_core::TaskId;
use std::path::Path;
use std::time::Duration;
use support::Node;
use support::proxy::{Fault, Proxy};

const NO_EVENTS: &str = "the task's events";

/// How often the caller comes back, as services do with what they still want.
const TRIES: usize = 5;

const PACE: Pace =
    Pace { rounds: 3, first_pause: Duration::from_millis(5), deadline: Duration::from_secs(5), seed: 3 };

/// One account and contract on one node, of which the tests ask through proxies.
struct Scene<'a> {
    node: &'a Node,
    honest: Contract,
    key: u8,
    folder: tempfile::TempDir,
    start: u64,
}

impl<'a> Scene<'a> {
    fn new(node: &'a Node, honest: &Contract, key: u8) -> Self {
        let funded = node.outbox(honest.rpc(), key);
        // Its first nonce is used, so that a count from the chain's beginning is wrong.
        let gift = pox_chain::Draft {
            to: Some(funded.address()),
            value: pox_core::U256::ZERO,
            input: pox_core::Bytes::new(),
        };
        support::send(&funded, &gift);
        Self {
            node,
            honest: honest.clone(),
            key,
            folder: tempfile::tempdir().unwrap(),
            start: honest.rpc().head().unwrap().at.number,
        }
    }

    fn rpc(&self, endpoints: &[&str]) -> Rpc {
        let mut profile = self.node.profile();
        profile.endpoints = endpoints.iter().map(|url| url.parse().unwrap()).collect();
        profile.timeout_millis = 600;
        profile.poll_millis = 10;
        Rpc::offline(profile, PACE)
    }

    fn outbox(&self, rpc: &Rpc) -> Outbox {
        let account = pox_chain::Account::from_bytes(&[self.key; 32]).unwrap();
        let shelf = FileShelf::new(&self.folder.path().join("outbox.json"));
        Outbox::open(rpc, account, Box::new(shelf))
    }

    /// Has a request in the chain through these endpoints, as a service would; the last error if it can't.
    fn bring_about(&self, rpc: &Rpc, record: &pox_core::Request) -> Result<(), ChainError> {
        let place = Deployment { address: self.honest.domain().contract, block: 0 };
        let task = record.id(self.honest.domain());
        let mut last = None;
        for _ in 0..TRIES {
            let tried = Contract::open(rpc, place).and_then(|contract| {
                let patience = Patience {
                    timeout: Duration::from_millis(1500),
                    replace_after: Some(Duration::from_millis(800)),
                    confirmations: 1,
                };
                let mut done = || Ok(contract.task(task)?.is_some());
                self.outbox(rpc).ensure(&contract.request(record), &patience, &mut done)
            });
            match tried {
                Ok(Effect::Sent(_) | Effect::AlreadyThere) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap())
    }

    /// The events of a task as these endpoints show them.
    fn events(&self, rpc: &Rpc, task: TaskId) -> Result<usize, ChainError> {
        let place = Deployment { address: self.honest.domain().contract, block: 0 };
        let mut last = None;
        for _ in 0..TRIES * 3 {
            match Contract::open(rpc, place).and_then(|contract| followed(&contract, self.start, task)) {
                Ok(0) => last = Some(ChainError::Lagging(NO_EVENTS.into())),
                Ok(count) => return Ok(count),
                Err(error) => last = Some(error),
            }
            // A replica that is behind by blocks comes to know what now is the newest.
            self.node.control("evm_mine", serde_json::json!([]));
        }
        Err(last.unwrap())
    }
}

fn followed(contract: &Contract, start: u64, task: TaskId) -> Result<usize, ChainError> {
    let mut follower = Follower::new(contract, Cursor::before(start));
    let mut count = 0;
    for _ in 0..200 {
        let batch = follower.poll()?;
        for followed in batch.events {
            if let pox_chain::Followed::Event { event, .. } = followed {
                count += usize::from(event.task() == Some(task));
            }
        }
        if batch.progress != Progress::Behind {
            return Ok(count);
        }
    }
    Err(ChainError::Lagging("the follower".into()))
}

/// What an error says, without what differs from run to run.
fn said(error: &ChainError) -> &'static str {
    match error {
        ChainError::Contradiction(_) => "\"the endpoint contradicts itself\"",
        ChainError::Lagging(_) => "\"the endpoint lags\"",
        ChainError::Disagreement { .. } => "\"the endpoints disagree\"",
        ChainError::Oversized { .. } => "\"the answer is too large\"",
        ChainError::Refused { .. } => "\"the node refuses\"",
        ChainError::Reverted(_) => "\"reverted\"",
        ChainError::Unreachable { .. } | ChainError::Malformed { .. } | ChainError::RateLimited { .. } => {
            "\"cannot reach the chain\""
        }
        _ => "another error",
    }
}

/// What one fault ends in, alone and beside two honest endpoints.
fn trial(node: &Node, honest: &Contract, fault: Fault, key: u8) -> (String, String) {
    let mut outcomes = Vec::new();
    for (round, beside) in [0_u8, 2].into_iter().enumerate() {
        let key = key + u8::try_from(round).unwrap() * 100;
        let scene = Scene::new(node, honest, key);
        let rpc = honest.rpc();
        let owner = pox_chain::Account::from_bytes(&[key; 32]).unwrap().address();
        let record = support::request(owner, rpc.head().unwrap().time, key);
        let task = record.id(honest.domain());
        let before = rpc.nonce(owner).unwrap();
        let proxy = Proxy::start(&node.url, fault);
        let mut endpoints = vec![proxy.server.url.as_str()];
        endpoints.extend(std::iter::repeat_n(node.url.as_str(), beside.into()));
        let through = scene.rpc(&endpoints);

        let sent = scene.bring_about(&through, &record);
        let seen = sent.as_ref().ok().map(|()| scene.events(&through, task));
        let outcome = match (&sent, &seen) {
            (Ok(()), Some(Ok(3))) => "done".to_owned(),
            (Ok(()), Some(Ok(count))) => panic!("{fault}, beside {beside}: {count} events"),
            (Ok(()), Some(Err(ChainError::Lagging(what)))) if what == NO_EVENTS => {
                "\"it is there already\"; no events; done when it passes".to_owned()
            }
            (Ok(()), Some(Err(error))) => format!("done; events: {}", said(error)),
            (Err(error), _) => format!("{}; done when it passes", said(error)),
            (Ok(()), None) => panic!("nobody looked"),
        };
        if beside > 0 {
            assert!(
                matches!((&sent, &seen), (Ok(()), Some(Ok(3)))),
                "{fault}, beside {beside}: {sent:?} {seen:?}"
            );
        }
        // When it has passed, whoever still wants it gets it, once.
        proxy.heal();
        let healed = scene.rpc(&[proxy.server.url.as_str()]);
        scene
            .bring_about(&healed, &record)
            .unwrap_or_else(|error| panic!("{fault}, beside {beside}: {error}"));
        for _ in 0..50 {
            if scene
                .outbox(&healed)
                .tend()
                .unwrap()
                .iter()
                .all(|one| matches!(one.waits_for, pox_chain::WaitsFor::Finality { .. }))
            {
                break;
            }
        }
        assert_eq!(scene.events(&healed, task).unwrap(), 3, "{fault}, beside {beside}");
        assert_eq!(
            rpc.nonce(owner).unwrap(),
            before + 1,
            "{fault}, beside {beside}: one transaction, and no other"
        );
        outcomes.push(outcome);
    }
    let [alone, beside] = outcomes.try_into().unwrap();
    (alone, beside)
}

fn table(node: &Node) -> String {
    let rpc = node.rpc();
    let honest = node.contract(&rpc);
    let mut rows = vec![
        "| what the endpoint does | alone | beside two honest ones |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    for (index, (fault, words)) in Fault::ALL.into_iter().enumerate() {
        let (alone, beside) = trial(node, &honest, fault, 20 + u8::try_from(index).unwrap());
        rows.push(format!("| {words} | {alone} | {beside} |"));
    }
    rows.join("\n")
}

const BEGIN: &str = "<!-- faults: written by the test `outages` of pox-chain -->\n";
const END: &str = "\n<!-- end of faults -->";

/// What the page says, and what stands before and after it.
fn page() -> (std::path::PathBuf, [String; 3]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/chain.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (committed, after) = rest.split_once(END).unwrap();
    (path, [before, committed, after].map(str::to_owned))
}

#[test]
fn every_fault_ends_in_one_transaction_on_the_embedded_chain() {
    let found = table(&Node::embedded());
    let (path, [before, committed, after]) = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{found}{END}{after}")).unwrap();
    } else {
        assert_eq!(committed, found, "docs/chain.md is out of date; run this test with UPDATE=1");
    }
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn every_fault_ends_in_the_same_on_anvil_at_istanbul() {
    assert_eq!(table(&Node::anvil("istanbul", &[])), page().1[1]);
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn every_fault_ends_in_the_same_on_anvil_at_its_newest_level() {
    assert_eq!(table(&Node::anvil("osaka", &[])), page().1[1]);
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn every_fault_ends_in_the_same_on_ganache() {
    assert_eq!(table(&Node::ganache()), page().1[1]);
}

#[test]
#[ignore = "needs POX_HARDHAT: run by .ci/run"]
fn every_fault_ends_in_the_same_on_hardhat() {
    assert_eq!(table(&Node::hardhat()), page().1[1]);
}
