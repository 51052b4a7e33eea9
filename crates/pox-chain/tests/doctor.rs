//! `Diagnosis` on real nodes: what fits is said to fit, and what differs is named with what to do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod support;

use pox_chain::doctor::{Diagnosis, Fit, Health};
use pox_chain::{Fees, FinalTag, Finality, Hardfork, Profile, Transactions};
use serde_json::{Value, json};
use support::server::{Reply, Server};
use support::{Node, QUICK};

/// As for bloxberg, but of this node.
fn profile(node: &Node) -> Profile {
    let mut profile = node.profile();
    profile.hardfork = Some(Hardfork::Istanbul);
    // Nodes for tests make blocks when there is something to put into them.
    profile.finality = Finality::Depth { blocks: 1 };
    profile
}

fn examine(profile: &Profile, node: &Node) -> Diagnosis {
    let now = node.rpc().head().unwrap().time;
    Diagnosis::examine(profile, QUICK, now)
}

/// What differs, by name.
fn differing(diagnosis: &Diagnosis) -> Vec<&'static str> {
    let findings = diagnosis.endpoints.iter().flat_map(|one| &one.findings).chain(&diagnosis.between);
    let differing: Vec<_> = findings.filter(|finding| finding.verdict == Fit::Differs).collect();
    assert!(differing.iter().all(|finding| finding.advice.is_some()));
    differing.iter().map(|finding| finding.about).collect()
}

fn found<'a>(diagnosis: &'a Diagnosis, about: &str) -> &'a str {
    let findings = &diagnosis.endpoints[0].findings;
    &findings
        .iter()
        .find(|finding| finding.about == about)
        .unwrap_or_else(|| panic!("{about}: {findings:?}"))
        .found
}

#[test]
fn the_embedded_chain_fits_a_profile_like_bloxbergs() {
    let node = Node::embedded();
    let diagnosis = examine(&profile(&node), &node);
    assert_eq!(diagnosis.health(), Health::Fits, "{diagnosis:#?}");
    assert_eq!(found(&diagnosis, "hard fork"), "istanbul");
    assert_eq!(found(&diagnosis, "type 0"), "taken");
    assert_eq!(found(&diagnosis, "type 2"), "refused, and not needed");
    assert!(found(&diagnosis, "header").ends_with("sealed as Aura does"));
}

#[test]
fn what_openethereum_lacks_is_done_without() {
    let node = Node::embedded().strict();
    for _ in 0..100 {
        node.chain().mine().unwrap();
    }
    let diagnosis = examine(&profile(&node), &node);
    assert_eq!(diagnosis.health(), Health::Fits, "{diagnosis:#?}");
    assert!(found(&diagnosis, "EIP-1898").starts_with("missing"));
    assert!(found(&diagnosis, "eth_getBlockReceipts").starts_with("missing"));
    assert!(found(&diagnosis, "state").starts_with("of the last 64 blocks"));
    assert_eq!(found(&diagnosis, "tag finalized"), "not known, and not needed");
}

#[test]
fn every_level_is_told_by_what_runs() {
    use pox_devchain::Hardfork as Level;
    for (level, expected) in [
        (Level::Istanbul, "istanbul"),
        (Level::Berlin, "berlin"),
        (Level::London, "london"),
        (Level::Paris, "paris"),
        (Level::Shanghai, "shanghai"),
        (Level::Cancun, "cancun"),
        (Level::Prague, "prague"),
        (Level::Osaka, "osaka"),
    ] {
        let node = Node::embedded_at(level);
        let mut profile = profile(&node);
        profile.hardfork = None;
        let diagnosis = examine(&profile, &node);
        assert_eq!(found(&diagnosis, "hard fork"), expected, "{diagnosis:#?}");
    }
}

#[test]
fn what_differs_is_named_with_what_to_do() {
    let node = Node::embedded();
    let mut wrong = profile(&node);
    wrong.hardfork = Some(Hardfork::Shanghai);
    wrong.transactions = Transactions::Dynamic;
    wrong.genesis = Some(pox_core::B256::repeat_byte(1));
    wrong.contract = Some(pox_chain::Deployment { address: pox_core::Address::repeat_byte(1), block: 0 });
    let diagnosis = examine(&wrong, &node);
    assert_eq!(differing(&diagnosis), ["genesis", "hard fork", "base fee", "type 2", "contract"]);
    assert_eq!(diagnosis.health(), Health::Differs);

    let mut other = profile(&node);
    other.chain_id = 1;
    assert_eq!(differing(&examine(&other, &node)), ["chain id"]);

    let mut tagged = profile(&node);
    tagged.finality = Finality::Tag { tag: FinalTag::Finalized, blocks: 64 };
    tagged.fees = Fees::History { blocks: 10, percentile: 50, min_tip: 0 };
    tagged.transactions = Transactions::Detect;
    let strict = Node::embedded().strict();
    tagged.endpoints = strict.profile().endpoints;
    assert_eq!(differing(&examine(&tagged, &strict)), ["eth_feeHistory", "tag finalized"]);
}

#[test]
fn endpoints_are_compared_and_the_dead_told_from_the_different() {
    let node = Node::embedded();
    for _ in 0..10 {
        node.chain().mine().unwrap();
    }
    let upstream = node.url.clone();
    let behind = Server::start(move |method, params| {
        let mut params = params.clone();
        if method == "eth_getBlockByNumber" && params[0] == json!("latest") {
            params[0] = json!("0x2");
        }
        Reply::Result(support::proxy::forward(&upstream, method, &params)["result"].take())
    });
    let mut profile = profile(&node);
    profile.endpoints.push(behind.url.parse().unwrap());
    let diagnosis = examine(&profile, &node);
    assert_eq!(differing(&diagnosis), ["lag"]);

    let other = Node::embedded();
    other.chain().increase_time(1000).unwrap();
    other.chain().mine().unwrap();
    profile.endpoints[1] = other.url.parse().unwrap();
    assert!(differing(&examine(&profile, &node)).contains(&"same block"));

    profile.endpoints[1] = "http://127.0.0.1:1".parse().unwrap();
    let diagnosis = examine(&profile, &node);
    assert_eq!(diagnosis.health(), Health::Unreachable);
    let document: Value = serde_json::to_value(&diagnosis).unwrap();
    assert!(document["endpoints"][1]["unreachable"].is_string());
}

#[test]
#[ignore = "needs POX_NODE_MODULES: run by .ci/run"]
fn anvil_and_ganache_are_told() {
    let node = Node::anvil("istanbul", &[]);
    assert_eq!(found(&examine(&profile(&node), &node), "hard fork"), "istanbul");
    let node = Node::anvil("osaka", &[]);
    let diagnosis = examine(&profile(&node), &node);
    assert_eq!(differing(&diagnosis), ["hard fork"], "{diagnosis:#?}");
    assert_eq!(found(&diagnosis, "hard fork"), "osaka, not istanbul");
    let node = Node::ganache();
    assert_eq!(found(&examine(&profile(&node), &node), "hard fork"), "istanbul");
}

#[test]
#[ignore = "needs POX_HARDHAT: run by .ci/run"]
fn hardhat_is_told() {
    let node = Node::hardhat();
    let diagnosis = examine(&profile(&node), &node);
    assert_eq!(found(&diagnosis, "hard fork"), "istanbul", "{diagnosis:#?}");
}
