//! Vectors of histories (spec §5).

use crate::cast::{CO_OWNER, ENCLAVE, NOW, OWNER, PROCESSOR, account, word};
use crate::json::{hexed, number};
use crate::make::Maker;
use pox_core::history::{At, Payload, Step};
use pox_core::{Address, ArchivedBatchId, ArchivedReceiptId, History, OfferId, TaskId, UnixTime, keccak256};
use serde_json::{Value, json};

impl Maker {
    pub(crate) fn histories(&mut self) {
        let (offer, processor, enclave) = (word("offer"), account(PROCESSOR), account(ENCLAVE));
        let (evidence, secret) = (b"evidence".as_slice(), b"secret".as_slice());
        let request = |_: ()| (Payload::Request(TaskId(word("task"))), json!({}));
        let join = |evidence: &[u8]| {
            let payload =
                Payload::Match { offer: OfferId(offer), processor, enclave, evidence: keccak256(evidence) };
            let parts = json!({
                "offer": hexed(offer),
                "processor": hexed(processor),
                "enclave": hexed(enclave),
                "evidence": hexed(evidence),
            });
            (payload, parts)
        };
        let reject = |account: Address, reason: u8| {
            let parts = json!({ "account": hexed(account), "reason": number(reason) });
            (Payload::Reject { account, reason }, parts)
        };
        let release = |account: Address, secret: &[u8]| {
            let payload = Payload::Release { account, enclave, secret: keccak256(secret) };
            let parts = json!({
                "account": hexed(account),
                "enclave": hexed(enclave),
                "secret": hexed(secret),
            });
            (payload, parts)
        };
        let (owner, other) = (account(OWNER), account(CO_OWNER));
        let many = (Payload::ProveMany(ArchivedBatchId(word("statement"))), json!({}));
        let approve = |secret: &[u8]| {
            let payload = Payload::Approve { enclave, secret: keccak256(secret) };
            (payload, json!({ "enclave": hexed(enclave), "secret": hexed(secret) }))
        };
        let prove = (Payload::Prove(ArchivedReceiptId(word("statement"))), json!({}));
        let (cancel, expire) = ((Payload::Cancel, json!({})), (Payload::Expire, json!({})));
        let histories = [
            ("requested", vec![request(())]),
            ("batch", vec![request(()), join(evidence), approve(secret), many]),
            (
                "two-owners",
                vec![
                    request(()),
                    join(evidence),
                    release(other, b"theirs"),
                    release(owner, secret),
                    prove.clone(),
                ],
            ),
            ("proven", vec![request(()), join(evidence), approve(secret), prove]),
            ("cancelled", vec![request(()), cancel]),
            ("expired-open", vec![request(()), expire.clone()]),
            ("expired-approved", vec![request(()), join(evidence), approve(secret), expire]),
            (
                "rejected-twice",
                vec![
                    request(()),
                    join(evidence),
                    reject(owner, 3),
                    join(b""),
                    reject(other, 255),
                    join(evidence),
                    approve(b""),
                ],
            ),
        ];
        for (name, steps) in histories {
            self.add("history", name, history(&steps));
        }
    }
}

fn history(steps: &[(Payload, Value)]) -> Value {
    let mut folded: Vec<Step> = Vec::new();
    let mut listed = Vec::new();
    for (index, (payload, parts)) in steps.iter().enumerate() {
        let (number_, time) = (100 + index as u64 / 2, NOW + 5 * (index as u64 / 2));
        let step = payload.step(At { number: number_, time: UnixTime(time) });
        let mut case = json!({
            "step": number(step.code),
            "number": number(number_),
            "time": number(time),
            "payload": hexed(step.payload),
        });
        case.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        folded.push(step);
        listed.push(case);
    }
    json!({ "steps": listed, "history": hexed(History::over(&folded).as_bytes()) })
}
