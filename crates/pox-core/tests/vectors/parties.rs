//! Vectors of what has more than one owner and one processor: requests, lists, and what parties sign (spec §3).

use crate::cast::{CO_OWNER, DELEGATE, ENCLAVE, OWNER, PROCESSOR, account, domains, request, word};
use crate::json::{domain_out, hexed, number};
use crate::make::Maker;
use pox_core::consent::{cancellation, refusal};
use pox_core::receipt::archived_batch;
use pox_core::{Address, Archive, B256, MembersRoot, ReceiptId, TaskId, abi, tree};
use serde_json::json;

type Change = fn(&mut abi::Request);

/// Faults of the fields that several owners need, and the field that each is in.
pub(crate) const INVALID: [(&str, u8, Change); 8] = [
    ("delegate-is-the-owner", 17, |record| record.delegate = record.owner),
    ("too-many-co-owners", 18, |record| *record = shared(record, 8)),
    ("co-owner-zero", 18, |record| {
        *record = shared(record, 1);
        record.coOwners[0].account = Address::ZERO;
    }),
    ("co-owners-out-of-order", 18, |record| {
        *record = shared(record, 2);
        record.coOwners.reverse();
    }),
    ("co-owner-is-the-owner", 18, |record| {
        *record = shared(record, 1);
        record.coOwners[0].account = record.owner;
    }),
    ("co-owner-is-the-delegate", 18, |record| {
        *record = shared(record, 1);
        record.delegate = record.coOwners[0].account;
    }),
    ("co-owner-without-inputs", 18, |record| {
        *record = shared(record, 1);
        record.coOwners[0].inputs = 0;
    }),
    ("input-with-two-owners", 18, |record| {
        *record = shared(record, 2);
        record.coOwners[1].inputs = 3;
    }),
];

/// Requests that use those fields.
pub(crate) fn requests(basic: &abi::Request) -> Vec<(&'static str, abi::Request)> {
    let mut all = shared(basic, 7);
    all.inputs = vec![word("input"); 32];
    all.coOwners[6].inputs = 1 << 31;
    all.delegate = account(DELEGATE);
    let delegated = abi::Request { delegate: account(DELEGATE), ..basic.clone() };
    let listed = abi::Request { processors: word("list"), ..basic.clone() };
    vec![
        ("two-owners", shared(basic, 1)),
        ("eight-owners", all),
        ("with-a-delegate", delegated),
        ("for-a-list", listed),
    ]
}

/// The request with so many co-owners, one input each.
fn shared(basic: &abi::Request, count: u8) -> abi::Request {
    let inputs = (0..=count).map(|i| word(&format!("input {i}"))).collect();
    let other = |i: u8| abi::CoOwner { account: Address::with_last_byte(i + 1), inputs: 1 << i };
    abi::Request { inputs, coOwners: (0..count).map(other).collect(), ..basic.clone() }
}

impl Maker {
    pub(crate) fn parties(&mut self) {
        for (suffix, domain) in domains() {
            let (task, enclave) = (TaskId(domain.digest(&request())), account(ENCLAVE));
            let parts = json!({ "task": hexed(task.0), "enclave": hexed(enclave), "reason": "3" });
            let id = refusal(&domain, task, enclave, 3);
            let case =
                json!({ "kind": "refusal", "domain": domain_out(&domain), "record": parts, "id": hexed(id) });
            self.add("consent", &format!("refusal{suffix}"), case);
            let parts = json!({ "task": hexed(task.0) });
            let id = cancellation(&domain, task);
            let case = json!({ "kind": "cancellation", "domain": domain_out(&domain), "record": parts, "id": hexed(id) });
            self.add("consent", &format!("cancellation{suffix}"), case);
            let (receipt, archive, members) = (word("receipt"), word("archive"), word("members"));
            let parts = json!({
                "receipt": hexed(receipt),
                "archive": hexed(archive),
                "members": hexed(members),
                "count": "65535",
            });
            let id =
                archived_batch(&domain, ReceiptId(receipt), Archive(archive), MembersRoot(members), u16::MAX);
            let case =
                json!({ "kind": "batch", "domain": domain_out(&domain), "record": parts, "id": hexed(id.0) });
            self.add("consent", &format!("batch{suffix}"), case);
        }
        let accounts = [OWNER, PROCESSOR, ENCLAVE, CO_OWNER, DELEGATE].map(account);
        for count in 1..=accounts.len() {
            let leaves: Vec<_> =
                accounts[..count].iter().map(|account| tree::account_leaf(*account)).collect();
            let place = count - 1;
            self.list(
                &format!("last-of-{count}"),
                &leaves,
                accounts[place],
                tree::path(&leaves, place),
                true,
            );
            self.list(&format!("first-of-{count}"), &leaves, accounts[0], tree::path(&leaves, 0), true);
        }
        let leaves = accounts.map(tree::account_leaf);
        let path = tree::path(&leaves, 1).unwrap();
        self.list("another-account", &leaves, accounts[0], Some(path.clone()), false);
        self.list("path-cut-short", &leaves, accounts[1], Some(path[..2].to_vec()), false);
        self.list("path-too-long", &leaves, accounts[1], Some(vec![B256::ZERO; 33]), false);
    }

    fn list(&mut self, name: &str, leaves: &[B256], account: Address, path: Option<Vec<B256>>, listed: bool) {
        let case = json!({
            "root": hexed(tree::root(leaves).unwrap()),
            "account": hexed(account),
            "path": path.unwrap().iter().map(hexed).collect::<Vec<_>>(),
            "listed": listed,
            "leaves": number(leaves.len()),
        });
        self.add("list", name, case);
    }
}
