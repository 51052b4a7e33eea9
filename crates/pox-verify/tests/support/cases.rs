//! Every way in which a proof can be right or wrong, each changed in one thing.

use super::{CHAIN_ID, Draft, address, anchors, at, key, policy_bytes};
use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolValue;
use pox_core::evidence::{EvidenceKind, Purpose};
use pox_core::history::{Payload, Step};
use pox_core::leaves::Leaf;
use pox_core::proof::Proof;
use pox_core::receipt::{Endorsement, RunReport};
use pox_core::{Amount, Kinds, MetadataRoot, Processors, TaskId, UnixTime, to_canonical};
use pox_verify::anchors::{Authorities, ChainStanding, TrustedBlock};
use pox_verify::{Anchors, Fresh, Measurement};

/// What a verdict must come to: a grade, or the code of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Grade(&'static str),
    Rejection(&'static str),
}

pub struct Case {
    /// Also the name of its golden files.
    pub name: &'static str,
    pub expected: Expected,
    pub draft: fn(&mut Draft),
    pub anchors: fn(&mut Anchors),
}

pub const fn graded(name: &'static str, grade: &'static str, draft: fn(&mut Draft)) -> Case {
    Case { name, expected: Expected::Grade(grade), draft, anchors: |_| {} }
}

pub const fn rejected(name: &'static str, code: &'static str, draft: fn(&mut Draft)) -> Case {
    Case { name, expected: Expected::Rejection(code), draft, anchors: |_| {} }
}

impl Case {
    pub const fn under(mut self, anchors: fn(&mut Anchors)) -> Self {
        self.anchors = anchors;
        self
    }

    pub fn proof(&self) -> Proof {
        let mut draft = Draft::default();
        (self.draft)(&mut draft);
        draft.build()
    }

    pub fn anchors(&self) -> Anchors {
        let mut anchors = anchors();
        (self.anchors)(&mut anchors);
        anchors
    }
}

pub fn all() -> Vec<Case> {
    let groups = [
        accepted(),
        super::parties::parties(),
        super::batches::batches(),
        malformed(),
        request(),
        lifecycle(),
        matched(),
        receipt(),
        key_claims(),
        result_claims(),
        evidence(),
        policy(),
        super::chain_cases::all(),
        openings(),
    ];
    groups.into_iter().flatten().collect()
}

pub fn chain(anchors: &mut Anchors) -> &mut pox_verify::anchors::ChainAnchor {
    anchors.chains.get_mut(&CHAIN_ID).unwrap()
}

fn first_hash(draft: &Draft) -> B256 {
    pox_verify::chain::unpack(&draft.build().chain.runs[0]).unwrap()[0].hash
}

fn first_block_hash() -> B256 {
    first_hash(&Draft::default())
}

fn accepted() -> Vec<Case> {
    vec![
        graded("valid-simulated", "simulated", |_| {}),
        graded("valid-vm-sim", "simulated", |d| {
            d.policy = policy_bytes(r#"{"version":1,"kinds":["vm-sim"],"allow_simulated":true}"#);
            d.key.kind = EvidenceKind::VmSim;
            d.result.kind = EvidenceKind::VmSim;
        }),
        graded("valid-after-a-rejected-match", "simulated", |d| {
            d.steps = |steps| {
                steps.insert(1, Step { at: at(10), ..steps[1] });
                steps.insert(2, Payload::Reject { account: address("owner"), reason: 3 }.step(at(11)));
            };
        }),
        graded("valid-failed-task", "simulated", |d| {
            d.receipt = |r| {
                r.outcome = pox_core::receipt::Outcome::Failed;
                r.exit_code = 137;
            };
        }),
        graded("valid-without-openings", "simulated", |d| {
            d.metadata = false;
            d.finish = |p| p.terms = None;
        }),
        graded("valid-with-base-fee", "simulated", |d| {
            d.headers = |headers| headers.iter_mut().for_each(|header| header.base_fee = Some(7));
        }),
        graded("valid-listed-measurement", "simulated", |d| {
            d.policy = listed_policy();
        })
        .under(|a| a.releases.clear()),
        graded("valid-listed-release", "simulated", |d| {
            d.policy = policy_bytes(
                r#"{"version":1,"kinds":["simulated"],"releases":["test-release"],"allow_simulated":true}"#,
            );
        }),
        graded("simulated-evidence-on-a-public-chain", "simulated", |_| {})
            .under(|a| chain(a).standing = ChainStanding::Public),
        graded("no-chain-anchor", "asserted", |_| {}).under(|a| a.chains.clear()),
        graded("not-final", "asserted", |d| d.later = 0),
        graded("authorities-unpinned", "asserted", |_| {})
            .under(|a| chain(a).authorities = Authorities::Unpinned),
        graded("unpinned-but-trusted-block", "simulated", |d| {
            d.headers = |headers| headers.iter_mut().for_each(|header| header.ethash = true);
        })
        .under(|a| {
            chain(a).authorities = Authorities::Unpinned;
            let draft = Draft {
                headers: |headers| headers.iter_mut().for_each(|header| header.ethash = true),
                ..Draft::default()
            };
            let hash = first_hash(&draft);
            a.trusted_blocks = vec![TrustedBlock { chain_id: CHAIN_ID, number: 14, hash }];
        }),
        graded("not-final-but-trusted-block", "simulated", |d| d.later = 0).under(|a| {
            a.trusted_blocks =
                vec![TrustedBlock { chain_id: CHAIN_ID, number: 14, hash: first_block_hash() }];
        }),
        graded("trusted-block-of-another-chain", "asserted", |d| d.later = 0).under(|a| {
            a.trusted_blocks = vec![TrustedBlock { chain_id: 1, number: 14, hash: first_block_hash() }];
        }),
        graded("simulated-today", "simulated", |_| {}).under(|a| a.fresh = Some(Fresh::default())),
        graded("unendorsed", "asserted", |d| {
            d.policy = policy_bytes(r#"{"version":1,"kinds":["tdx"]}"#);
            for evidence in [&mut d.key, &mut d.result] {
                evidence.kind = EvidenceKind::Tdx;
                evidence.quoted = super::quoted_by_tdx;
            }
        }),
    ]
}

fn listed_policy() -> Vec<u8> {
    let measurement = super::measurement();
    policy_bytes(&format!(
        r#"{{"version":1,"kinds":["simulated"],"measurements":["{measurement}"],"allow_simulated":true}}"#
    ))
}

/// The plain policy in another spelling.
fn respelt(from: &str, to: &str) -> Vec<u8> {
    let policy = String::from_utf8(Draft::default().policy).unwrap();
    assert!(policy.contains(from));
    policy.replace(from, to).into_bytes()
}

fn malformed() -> Vec<Case> {
    vec![
        rejected("malformed-request", "malformed", |d| {
            d.finish = |p| p.request[31] ^= 1;
        }),
        rejected("malformed-request-without-image", "malformed", |d| {
            d.request = |r| r.image = B256::ZERO.0.into()
        }),
        rejected("malformed-offer-without-kinds", "malformed", |d| d.offer = |o| o.kinds = Kinds(0)),
        rejected("malformed-request-trailing-bytes", "malformed", |d| d.finish = |p| p.request.push(0)),
        rejected("malformed-outcome", "malformed", |d| {
            d.finish = |p| {
                let mut receipt = p.receipt_record().unwrap();
                receipt.outcome = 5;
                p.proven.receipt = receipt.abi_encode();
            };
        }),
        rejected("malformed-evidence", "malformed", |d| d.finish = |p| p.matched.evidence.push(0)),
        rejected("malformed-archive", "malformed", |d| d.archive_bytes = |bytes| bytes.push(0)),
        rejected("malformed-report", "malformed", |d| {
            d.archive = |archive| archive.report = vec![0xa0];
        }),
        rejected("malformed-policy-with-another-key", "malformed", |d| {
            d.policy = respelt(",\"allow_simulated\"", ",\"x\":1,\"allow_simulated\"")
        }),
        rejected("malformed-policy-with-white-space", "malformed", |d| d.policy = respelt(",", ", ")),
        rejected("malformed-archive-with-too-many-endorsements", "malformed", |d| {
            d.archive = |archive| archive.endorsements = vec![Endorsement { kind: 1, content: vec![] }; 9];
        }),
        rejected("malformed-archive-with-a-large-endorsement", "malformed", |d| {
            d.archive = |archive| {
                archive.endorsements = vec![Endorsement { kind: 1, content: vec![0; 128 * 1024 + 1] }];
            };
        }),
        rejected("malformed-header", "malformed", |d| d.finish = |p| p.chain.runs[0] = vec![0, 1, 0xc0]),
        rejected("malformed-later-header", "malformed", |d| d.finish = |p| p.chain.runs[0].push(0)),
        rejected("malformed-run-of-nothing", "malformed", |d| d.finish = |p| p.chain.runs[0].clear()),
        rejected("malformed-without-a-run", "malformed", |d| d.finish = |p| p.chain.runs.clear()),
        rejected("malformed-state-with-two-runs", "malformed", |d| {
            d.finish = |p| {
                let more =
                    Draft { headers: |h| h.iter_mut().for_each(|h| h.number += 9), ..Draft::default() };
                p.chain.runs.extend(more.build().chain.runs);
            };
        }),
        rejected("malformed-runs-that-touch", "malformed", |d| {
            d.receipts = Some(|_| {});
            d.finish = |p| {
                let more =
                    Draft { headers: |h| h.iter_mut().for_each(|h| h.number += 2), ..Draft::default() };
                p.chain.runs.extend(more.build().chain.runs);
            };
        }),
    ]
}

fn request() -> Vec<Case> {
    vec![
        rejected("replay-on-another-chain", "request-mismatch", |d| d.finish = |p| p.domain.chain_id += 1),
        rejected("replay-on-another-contract", "request-mismatch", |d| {
            d.finish = |p| p.domain.contract = address("another contract");
        }),
        rejected("another-request", "request-mismatch", |d| {
            d.finish = |p| {
                let mut request = p.request_record().unwrap();
                request.salt = B256::repeat_byte(1);
                p.request = request.abi_encode();
            };
        }),
        rejected("history-of-another-task", "request-mismatch", |d| {
            d.steps = |steps| steps[0].payload = keccak256("another task");
        }),
        rejected("history-without-a-request", "request-mismatch", |d| {
            d.steps = |steps| {
                steps.remove(0);
            };
        }),
        rejected("no-history", "request-mismatch", |d| d.steps = |steps| steps.clear()),
    ]
}

fn lifecycle() -> Vec<Case> {
    let case = |name, draft| rejected(name, "lifecycle", draft);
    vec![
        case("requested-late", |d| d.request = |r| r.match_by = UnixTime(at(10).time.0 - 1)),
        case("requested-too-far-ahead", |d| {
            d.request = |r| r.match_by = UnixTime(at(10).time.0 + 31_536_001);
        }),
        case("matched-late", |d| d.request = |r| r.match_by = UnixTime(at(11).time.0 - 1)),
        case("approved-late", |d| d.request = |r| r.approve_within = 4),
        case("proven-late", |d| {
            d.request = |r| r.prove_within = 600;
            d.steps = |steps| steps[3].at = at(12 + 121);
            d.headers = |headers| {
                for header in headers {
                    header.number += 200;
                    header.time += 1000;
                }
            };
        }),
        case("rejected-late", |d| {
            d.request = |r| r.approve_within = 4;
            d.steps = |steps| {
                steps.insert(2, Payload::Reject { account: address("owner"), reason: 1 }.step(at(12)))
            };
        }),
        case("approved-without-a-match", |d| {
            d.steps = |steps| {
                steps.remove(1);
            }
        }),
        case("matched-twice", |d| d.steps = |steps| steps.insert(1, steps[1])),
        case("requested-twice", |d| d.steps = |steps| steps.insert(1, steps[0])),
        case("cancelled-and-proven", |d| d.steps = |steps| steps.insert(1, Payload::Cancel.step(at(10)))),
        case("expired-after-the-receipt", |d| d.steps = |steps| steps.push(Payload::Expire.step(at(13)))),
        case("unknown-step", |d| d.steps = |steps| steps[1].code = 8),
        case("block-numbers-go-back", |d| d.steps = |steps| steps[2].at.number = 10),
        case("times-go-back", |d| d.steps = |steps| steps[2].at.time = at(10).time),
        case("two-times-in-one-block", |d| {
            d.steps = |steps| steps[2].at.number = 11;
        }),
        case("rejected-without-a-code", |d| {
            d.steps = |steps| {
                steps.insert(1, steps[1]);
                steps.insert(2, Step { code: 3, payload: B256::repeat_byte(1), at: at(11) });
            };
        }),
        case("not-proven", |d| {
            d.steps = |steps| {
                steps.pop();
            }
        }),
    ]
}

fn matched() -> Vec<Case> {
    let case = |name, draft| rejected(name, "match-mismatch", draft);
    vec![
        case("another-offer", |d| {
            d.finish = |p| {
                let mut offer = p.offer_record().unwrap();
                offer.salt = B256::repeat_byte(1);
                p.matched.offer = offer.abi_encode();
            };
        }),
        case("another-enclave", |d| d.finish = |p| p.matched.enclave = address("another enclave")),
        case("another-evidence", |d| {
            d.finish = |p| {
                let mut evidence = pox_core::evidence::Evidence::parse(&p.matched.evidence).unwrap();
                evidence.claims.block_hash = B256::ZERO;
                p.matched.evidence = evidence.to_bytes();
            };
        }),
        case("request-names-another-processor", |d| {
            d.request = |r| r.processors = Processors::Only(address("another processor"));
        }),
        case("offer-has-ended", |d| d.offer = |o| o.valid_until = UnixTime(at(11).time.0 - 1)),
        case("offer-without-the-kinds", |d| {
            d.request = |r| r.kinds = Kinds(1);
            d.offer = |o| o.kinds = Kinds(2);
        }),
        case("offer-with-less-memory", |d| d.offer = |o| o.resources.memory_mib -= 1),
        case("offer-for-more-money", |d| d.offer = |o| o.price_per_second = Amount::from_wei(1667).unwrap()),
        rejected("another-secret", "approve-mismatch", |d| d.finish = |p| p.secrets[0] = B256::ZERO),
    ]
}

fn receipt() -> Vec<Case> {
    vec![
        rejected("receipt-of-another-task", "receipt-mismatch", |d| {
            d.receipt = |r| r.task = TaskId(keccak256("another task"));
        }),
        rejected("receipt-of-another-enclave", "receipt-mismatch", |d| {
            d.receipt = |r| r.enclave = address("another enclave");
        }),
        rejected("another-result", "receipt-mismatch", |d| {
            d.finish = |p| {
                let mut receipt = p.receipt_record().unwrap();
                receipt.results = B256::ZERO;
                p.proven.receipt = receipt.abi_encode();
            };
        }),
        rejected("another-archive", "receipt-mismatch", |d| {
            d.finish = |p| {
                let mut archive = pox_core::receipt::Archive::parse(&p.proven.archive).unwrap();
                archive.evidence.claims.block_hash = B256::ZERO;
                p.proven.archive = archive.seal().0;
            };
        }),
        rejected("receipt-signed-by-another", "receipt-signature", |d| {
            d.receipt_signer = key("another enclave");
        }),
        rejected("receipt-signature-in-another-form", "receipt-signature", |d| {
            d.finish = |p| p.proven.signature[64] -= 27;
        }),
        rejected("report-of-another-run", "archive-mismatch", |d| {
            d.archive = |archive| archive.report = to_canonical(&RunReport::default());
        }),
    ]
}

fn key_claims() -> Vec<Case> {
    let case = |name, draft| rejected(name, "key-claims", draft);
    vec![
        case("key-evidence-for-a-result", |d| d.key.claims = |c| c.purpose = Purpose::Result),
        case("key-evidence-of-another-task", |d| {
            d.key.claims = |c| c.task = TaskId(keccak256("another task"));
        }),
        case("key-evidence-of-another-processor", |d| {
            d.key.claims = |c| c.processor = address("another processor");
        }),
        case("match-copied-by-another-processor", |d| {
            d.key.claims = |c| c.processor = address("processor");
            d.result.claims = |c| c.processor = address("processor");
            d.offer = |o| o.processor = address("another processor");
        }),
        case("key-evidence-of-another-enclave", |d| {
            d.key.claims = |c| c.enclave = address("another enclave");
        }),
        case("key-evidence-with-another-recipient", |d| d.key.quoted = |e| e.recipient[0] ^= 1),
        case("key-evidence-with-a-short-recipient", |d| {
            d.key.quoted = |e| {
                e.recipient.pop();
            };
        }),
        case("key-evidence-from-the-future", |d| d.key.claims = |c| c.block_number = 12),
        case("key-evidence-with-a-predecessor", |d| d.key.claims = |c| c.previous = keccak256("x")),
        case("key-evidence-with-a-receipt", |d| {
            d.key.claims = |c| c.receipt = keccak256("x").0.into();
        }),
    ]
}

fn result_claims() -> Vec<Case> {
    let case = |name, draft| rejected(name, "result-claims", draft);
    vec![
        case("result-evidence-for-a-key", |d| d.result.claims = |c| c.purpose = Purpose::Key),
        case("result-evidence-of-another-task", |d| {
            d.result.claims = |c| c.task = TaskId(keccak256("another task"));
        }),
        case("result-evidence-of-another-processor", |d| {
            d.result.claims = |c| c.processor = address("another processor");
        }),
        case("result-evidence-of-another-enclave", |d| {
            d.result.claims = |c| c.enclave = address("another enclave");
        }),
        case("result-evidence-with-another-recipient", |d| {
            d.result.claims = |c| c.recipient = keccak256("another recipient");
        }),
        case("result-evidence-with-recipient-bytes", |d| d.result.quoted = |e| e.recipient.push(0)),
        case("result-evidence-from-the-future", |d| d.result.claims = |c| c.block_number = 14),
        case("result-evidence-after-another-key", |d| {
            d.result.claims = |c| c.previous = keccak256("another key evidence");
        }),
        case("result-evidence-of-another-receipt", |d| {
            d.result.claims = |c| c.receipt = keccak256("another receipt").0.into();
        }),
    ]
}

fn evidence() -> Vec<Case> {
    let case = |name, draft| rejected(name, "evidence-invalid", draft);
    vec![
        case("key-quote-by-another-root", |d| d.key.root = key("another root")),
        case("result-quote-by-another-root", |d| d.result.root = key("another root")),
        case("simulated-root-swapped", |_| {}).under(|a| a.simulated_root = address("another root")),
        case("quote-over-other-claims", |d| d.key.quoted = |e| e.claims.block_hash = B256::ZERO),
        case("quote-malformed", |d| d.result.quoted = |e| e.quote.push(0)),
        case("quote-without-bytes", |d| d.key.quoted = |e| e.quote.clear()),
        case("two-kinds", |d| d.result.kind = EvidenceKind::VmSim),
        case("simulated-evidence-as-a-real-one", |d| d.result.kind = EvidenceKind::Tdx),
        case("two-programs", |d| d.result.measurement = keccak256("another runtime")),
        case("endorsement-without-meaning", |d| {
            d.archive = |archive| archive.endorsements.push(Endorsement { kind: 1, content: vec![] });
        }),
        case("endorsement-of-an-unknown-kind", |d| {
            d.archive = |archive| archive.endorsements.push(Endorsement { kind: 6, content: vec![] });
        }),
        case("endorsement-of-another-vendor", |d| {
            d.policy = policy_bytes(r#"{"version":1,"kinds":["tdx"]}"#);
            d.key.kind = EvidenceKind::Tdx;
            d.result.kind = EvidenceKind::Tdx;
            d.archive = |archive| archive.endorsements.push(Endorsement { kind: 5, content: vec![] });
        }),
    ]
}

fn policy() -> Vec<Case> {
    let refuses = |name, draft| rejected(name, "policy-refuses", draft);
    vec![
        rejected("another-policy", "policy-mismatch", |d| d.finish = |p| p.policy = listed_policy()),
        refuses("policy-of-other-kinds", |d| {
            d.policy = policy_bytes(r#"{"version":1,"kinds":["vm-sim"],"allow_simulated":true}"#);
        }),
        refuses("policy-without-simulated-evidence", |d| {
            d.policy = policy_bytes(r#"{"version":1,"kinds":["simulated","tdx"]}"#);
        }),
        refuses("policy-by-default", |d| d.policy = pox_verify::Policy::default().canonical_bytes()),
        refuses("request-of-other-kinds", |d| d.request = |r| r.kinds = Kinds(0x3e)),
        refuses("measurement-not-listed", |d| {
            let other = Measurement(keccak256("another runtime"));
            d.policy = policy_bytes(&format!(
                r#"{{"version":1,"kinds":["simulated"],"measurements":["{other}"],"allow_simulated":true}}"#
            ));
        }),
        refuses("release-not-listed", |d| {
            d.policy = policy_bytes(
                r#"{"version":1,"kinds":["simulated"],"releases":["another"],"allow_simulated":true}"#,
            );
        }),
        refuses("measurement-of-no-known-release", |_| {}).under(|a| a.releases.clear()),
        refuses("hardware-kind-that-the-policy-refuses", |d| {
            for evidence in [&mut d.key, &mut d.result] {
                evidence.kind = EvidenceKind::Tdx;
                evidence.quoted = super::quoted_by_tdx;
            }
        }),
    ]
}

fn openings() -> Vec<Case> {
    let case = |name, draft| rejected(name, "opening-mismatch", draft);
    vec![
        case("terms-of-another-root", |d| d.request = |r| r.terms = keccak256("other terms").0.into()),
        case("terms-with-another-leaf", |d| {
            d.terms_leaves = |leaves| leaves[1].name = "cmd".into();
        }),
        case("terms-with-five-leaves", |d| {
            d.terms_leaves = |leaves| {
                leaves.push(Leaf { salt: B256::ZERO, name: "more".into(), value: vec![0x80] });
            };
        }),
        case("terms-that-are-no-texts", |d| d.terms_leaves = |leaves| leaves[1].value = vec![1]),
        case("terms-with-a-nul", |d| {
            d.terms_leaves = |leaves| leaves[1].value = to_canonical(&vec!["a\0b".to_owned()]);
        }),
        case("terms-with-other-inputs", |d| d.terms.inputs = vec!["a".into(), "b".into()]),
        case("metadata-of-another-root", |d| {
            d.request = |r| r.metadata = MetadataRoot(keccak256("other metadata"));
        }),
        case("metadata-that-was-not-committed", |d| d.request = |r| r.metadata = MetadataRoot::ZERO),
    ]
}
