//! Proofs with several data owners and lists of processors.

use super::cases::{Case, graded, rejected};
use super::{Draft, address, at};
use alloy_primitives::keccak256;
use pox_core::history::Payload;
use pox_core::tree::{account_leaf, list_path, list_root};
use pox_core::{Address, CoOwner, ListRoot, Processors, Request};
use std::collections::BTreeSet;

/// The owner's data, and that of two others.
fn shared(request: &mut Request) {
    request.inputs = (0..3).map(|i| keccak256([i]).0.into()).collect();
    let mut others = [address("hospital"), address("clinic")];
    others.sort();
    request.co_owners =
        (0u32..).zip(others).map(|(i, account)| CoOwner { account, inputs: 1 << i }).collect();
}

fn list() -> BTreeSet<Address> {
    ["processor", "another", "a third"].map(address).into()
}

fn listed(draft: &mut Draft) {
    draft.request = |request| request.processors = Processors::Listed(list_root(&list()).unwrap());
    draft.path = list_path(&list(), address("processor")).unwrap();
}

fn names(draft: &mut Draft) {
    draft.terms.inputs = ["a", "b", "c"].map(String::from).to_vec();
    draft.request = shared;
}

pub fn parties() -> Vec<Case> {
    vec![
        graded("three-owners", "simulated", names),
        graded("three-owners-by-receipts", "simulated", |d| {
            names(d);
            d.receipts = Some(|_| {});
        }),
        graded("with-a-delegate", "simulated", |d| d.request = |r| r.delegate = Some(address("delegate"))),
        graded("rejected-by-a-co-owner-then-released", "simulated", |d| {
            names(d);
            d.steps = |steps| {
                let reject = Payload::Reject { account: address("hospital"), reason: 5 };
                let (matched, release) = (steps[1], steps[2]);
                steps.splice(
                    1..1,
                    [matched, pox_core::history::Step { at: at(11), ..release }, reject.step(at(11))],
                );
            };
        }),
        rejected("rejected-by-a-stranger", "lifecycle", |d| {
            names(d);
            d.steps = |steps| {
                let (matched, reject) =
                    (steps[1], Payload::Reject { account: address("stranger"), reason: 5 });
                steps.splice(1..1, [matched, reject.step(at(11))]);
            };
        }),
        rejected("a-release-missing", "lifecycle", |d| {
            names(d);
            d.steps = |steps| {
                steps.remove(2);
            };
        }),
        rejected("one-release-too-many", "lifecycle", |d| {
            names(d);
            d.steps = |steps| steps.insert(2, steps[2]);
        }),
        rejected("one-released-for-another", "approve-mismatch", |d| {
            names(d);
            d.steps = |steps| steps[2] = steps[3];
        }),
        rejected("a-stranger-released", "approve-mismatch", |d| {
            names(d);
            d.steps = |steps| {
                let (enclave, secret) = (address("enclave"), keccak256("theirs"));
                steps[2] = Payload::Release { account: address("stranger"), enclave, secret }.step(at(12));
            };
        }),
        rejected("approved-for-several", "lifecycle", |d| {
            names(d);
            d.steps = |steps| {
                steps.truncate(2);
                let approve = Payload::Approve { enclave: address("enclave"), secret: keccak256("one") };
                steps.push(approve.step(at(12)));
            };
        }),
        rejected("released-alone", "lifecycle", |d| {
            d.steps = |steps| {
                let (account, enclave, secret) = (address("owner"), address("enclave"), keccak256("one"));
                steps[2] = Payload::Release { account, enclave, secret }.step(at(12));
            };
        }),
        rejected("a-secret-too-many", "approve-mismatch", |d| {
            d.finish = |p| p.secrets.push(keccak256("more"))
        }),
        graded("on-the-list", "simulated", listed),
        rejected("listed-without-a-path", "match-mismatch", |d| {
            listed(d);
            d.path.clear();
        }),
        rejected("on-another-list", "match-mismatch", |d| {
            listed(d);
            d.request = |r| r.processors = Processors::Listed(ListRoot(account_leaf(address("another"))));
        }),
        rejected("a-path-without-a-list", "match-mismatch", |d| d.path = vec![keccak256("node")]),
    ]
}
