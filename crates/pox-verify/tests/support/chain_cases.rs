//! Every way in which the chain's part of a proof can be right or wrong, each changed in one thing.

use super::cases::{Case, chain, graded, rejected};
use super::chain::HeaderDraft;
use super::events::ChangeDraft;
use super::{CHAIN_ID, Draft, START, address, at, authorities, key};
use alloy_primitives::{B256, Bytes, LogData, U256, keccak256};
use pox_core::UnixTime;
use pox_core::history::{Payload, Step};
use pox_core::proof::{HistoryProof, ReceiptProof};
use pox_verify::Anchors;
use pox_verify::anchors::{Aura, Authorities, PinnedSet, TrustedBlock};

pub fn all() -> Vec<Case> {
    [state(), finality(), seal(), receipts(), changes()].into_iter().flatten().collect()
}

fn aura(anchors: &mut Anchors) -> &mut Aura {
    match &mut chain(anchors).authorities {
        Authorities::Aura(aura) => aura,
        Authorities::Unpinned => unreachable!("the plain anchors pin authorities"),
    }
}

/// The second header's block announces a change, which the third makes final.
#[allow(clippy::ptr_arg, reason = "drafts are changed by functions over their whole list")]
fn announcing(headers: &mut Vec<HeaderDraft>) {
    let block = ChangeDraft::default().block();
    headers[1].bloom = block.bloom();
    // The filter names the parent, which is the first header as it stands here.
    let first = super::chain::seal(vec![headers[0].clone()]).remove(0);
    headers[1].bloom.accrue(alloy_primitives::BloomInput::Raw(keccak256(first).as_slice()));
}

fn finality() -> Vec<Case> {
    vec![
        graded("final-by-two-of-three", "simulated", |d| d.later = 1),
        graded("one-authority-twice-is-one", "asserted", |d| {
            // The same authority seals every third step.
            d.headers = |h| {
                for (header, steps) in h.iter_mut().zip([0, 3, 6]) {
                    header.time += steps * 5 - (header.number - 14) * 5;
                }
            };
        }),
        graded("two-thirds-are-not-more-than-two-thirds", "asserted", |d| d.later = 1)
            .under(|a| aura(a).two_thirds_from = Some(14)),
        graded("half-was-enough-before-the-change", "simulated", |d| d.later = 1)
            .under(|a| aura(a).two_thirds_from = Some(15)),
        graded("step-one-after-that-of-the-time", "simulated", |d| {
            d.headers = |h| h[2].step = Some(h[2].time / 5 + 1);
        }),
        graded("authorities-pinned-from-a-later-block", "asserted", |_| {})
            .under(|a| aura(a).sets[0].from = 15),
        graded("authorities-pinned-until-an-earlier-block", "asserted", |_| {})
            .under(|a| aura(a).sets[0].until = Some(15)),
        graded("authorities-of-two-pinned-sets", "simulated", |d| {
            d.later = 4;
            d.headers = |h| h[2..].iter_mut().for_each(|header| header.set = vec![4, 3]);
        })
        .under(|a| {
            let more = PinnedSet { from: 16, validators: authorities([4, 3]), ..aura(a).sets[0].clone() };
            aura(a).sets.push(more);
        }),
        graded("announced-in-the-newest-header", "simulated", |d| {
            d.later = 1;
            d.headers = announcing;
        }),
    ]
}

fn receipts() -> Vec<Case> {
    let case = |name, draft| rejected(name, "receipt-proof", draft);
    vec![
        graded("valid-by-receipts", "simulated", |d| d.receipts = Some(|_| {})),
        graded("valid-by-receipts-in-two-runs", "simulated", |d| {
            d.receipts = Some(|_| {});
            d.steps = |steps| steps[3].at = at(60);
        }),
        graded("valid-by-receipts-after-a-rejected-match", "simulated", |d| {
            d.receipts = Some(|_| {});
            d.steps = |steps| {
                steps.insert(1, Step { at: at(10), ..steps[1] });
                steps.insert(2, Payload::Reject { account: address("owner"), reason: 3 }.step(at(11)));
            };
        }),
        graded("by-receipts-of-an-unknown-contract", "asserted", |d| d.receipts = Some(|_| {}))
            .under(|a| chain(a).deployments.clear()),
        graded("by-receipts-with-the-last-not-final", "asserted", |d| {
            d.receipts = Some(|_| {});
            d.later = 0;
        }),
        graded("by-receipts-with-the-last-trusted-only", "asserted", |d| {
            d.receipts = Some(|_| {});
            d.steps = |steps| steps[3].at = at(60);
            d.later = 0;
        })
        .under(|a| {
            let mut draft = Draft { receipts: Some(|_| {}), later: 0, ..Draft::default() };
            draft.steps = |steps| steps[3].at = at(60);
            let run = draft.build().chain.runs.remove(1);
            let hash = pox_verify::chain::unpack(&run).unwrap()[0].hash;
            a.trusted_blocks = vec![TrustedBlock { chain_id: CHAIN_ID, number: 60, hash }];
        }),
        case("receipt-of-another-contract", |d| {
            d.receipts = Some(|events| events[1].address = address("another contract"));
        }),
        case("receipt-of-another-task-step", |d| {
            d.receipts = Some(|events| events[1].log = events[2].log.clone());
        }),
        case("receipt-without-the-event", |d| {
            d.receipts = Some(|events| {
                events[1].log = LogData::new_unchecked(vec![B256::ZERO], Bytes::from_static(b"x"))
            });
        }),
        case("receipt-with-the-other-log", |d| {
            d.receipts = Some(|events| events[1].proven = |proof| proof.log = 0);
        }),
        case("receipt-with-no-such-log", |d| {
            d.receipts = Some(|events| events[1].proven = |proof| proof.log = 9);
        }),
        case("receipt-at-another-index", |d| {
            d.receipts = Some(|events| events[1].proven = |proof| proof.index += 1);
        }),
        case("receipt-proof-cut-short", |d| {
            d.receipts = Some(|events| {
                events[3].proven = |proof| {
                    proof.nodes.pop();
                };
            });
        }),
        case("receipt-proof-with-surplus", |d| {
            d.receipts = Some(|events| events[3].proven = |proof| proof.nodes.push(proof.nodes[0].clone()));
        }),
        case("one-receipt-for-two-steps", |d| {
            d.receipts = Some(|_| {});
            d.steps = |steps| {
                steps.insert(1, Step { at: at(10), ..steps[1] });
                steps.insert(2, Payload::Reject { account: address("owner"), reason: 3 }.step(at(10)));
                steps[3].at = at(10);
            };
            d.finish = |p| {
                let HistoryProof::Receipts(receipts) = &mut p.chain.history else {
                    unreachable!("has receipts")
                };
                receipts[3] = receipts[1].clone();
            };
        }),
        case("receipts-swapped", |d| {
            d.receipts = Some(|_| {});
            d.finish = |p| {
                let HistoryProof::Receipts(receipts) = &mut p.chain.history else {
                    unreachable!("has receipts")
                };
                receipts.swap(1, 2);
            };
        }),
        case("fewer-receipts-than-steps", |d| {
            d.receipts = Some(|events| {
                events.pop();
            });
        }),
        case("receipts-without-the-block-of-a-step", |d| {
            d.receipts = Some(|_| {});
            d.steps = |steps| steps[3].at = at(60);
            d.finish = |p| {
                p.chain.runs.pop();
            };
        }),
        case("receipts-of-a-block-with-another-time", |d| {
            d.receipts = Some(|_| {});
            d.headers = |h| h.iter_mut().for_each(|header| header.time += 1);
        }),
        rejected("receipts-in-headers-with-a-gap", "header-seal", |d| {
            d.receipts = Some(|_| {});
            d.steps = |steps| steps[3].at = at(60);
            d.headers = |h| h.iter_mut().filter(|h| h.number == 61).for_each(|h| h.sealer = Some(key("x")));
        }),
    ]
}

fn changes() -> Vec<Case> {
    let case = |name, draft| rejected(name, "authority-change", draft);
    vec![
        graded("valid-after-a-change", "simulated", |d| d.change = Some(ChangeDraft::default())),
        graded("valid-by-receipts-after-a-change", "simulated", |d| {
            d.change = Some(ChangeDraft::default());
            d.receipts = Some(|_| {});
        }),
        graded("change-shown-but-too-few-of-the-new-set", "asserted", |d| {
            d.change = Some(ChangeDraft::default());
            d.later = 1;
        }),
        graded("change-with-nobody-pinned", "asserted", |d| d.change = Some(ChangeDraft::default()))
            .under(|a| chain(a).authorities = Authorities::Unpinned),
        rejected("change-left-away", "header-seal", |d| {
            d.change = Some(ChangeDraft::default());
            d.finish = |p| p.chain.changes.clear();
        }),
        case("change-not-final", |d| d.change = Some(ChangeDraft { later: 0, ..ChangeDraft::default() })),
        case("change-with-headers-after-finality", |d| {
            d.change = Some(ChangeDraft { later: 2, ..ChangeDraft::default() });
        }),
        case("change-by-one-authority-twice", |d| {
            let headers = |h: &mut Vec<HeaderDraft>| h[1].time = h[0].time + 15;
            d.change = Some(ChangeDraft { headers, ..ChangeDraft::default() });
        }),
        case("change-sealed-by-another", |d| {
            let headers = |h: &mut Vec<HeaderDraft>| h[1].sealer = Some(key("another authority"));
            d.change = Some(ChangeDraft { headers, ..ChangeDraft::default() });
        }),
        case("change-made-final-by-the-new-set", |d| {
            let headers = |h: &mut Vec<HeaderDraft>| h[1].set = vec![3, 1, 4, 2];
            d.change = Some(ChangeDraft { headers, ..ChangeDraft::default() });
        }),
        case("change-announced-by-another-contract", |d| {
            d.change = Some(ChangeDraft { announcer: address("contract"), ..ChangeDraft::default() });
        }),
        case("change-announced-by-another-event", |d| {
            d.change = Some(ChangeDraft { topic: keccak256("FinalizeChange()"), ..ChangeDraft::default() });
        }),
        case("change-announced-for-another-block", |d| {
            d.change = Some(ChangeDraft { parent: keccak256("another block"), ..ChangeDraft::default() });
        }),
        case("change-announced-twice-in-one-receipt", |d| {
            let other = ChangeDraft { set: vec![3], ..ChangeDraft::default() };
            let after = vec![(other.announcer, other.log())];
            d.change = Some(ChangeDraft { after, ..ChangeDraft::default() });
        }),
        case("change-to-one-authority-twice", |d| {
            d.change = Some(ChangeDraft { set: vec![3, 3], ..ChangeDraft::default() });
        }),
        case("change-with-another-log", |d| {
            let proven = |proof: &mut ReceiptProof| proof.log = 1;
            d.change = Some(ChangeDraft { proven, ..ChangeDraft::default() });
        }),
        case("change-with-another-receipt", |d| {
            let proven = |proof: &mut ReceiptProof| proof.index = 2;
            d.change = Some(ChangeDraft { proven, ..ChangeDraft::default() });
        }),
        case("change-shown-twice", |d| {
            d.change = Some(ChangeDraft::default());
            d.finish = |p| p.chain.changes.push(p.chain.changes[0].clone());
        }),
        case("change-after-everything", |d| {
            let change = ChangeDraft { number: 30, ..ChangeDraft::default() };
            d.change = Some(ChangeDraft { set: vec![0, 1, 2], ..change });
        }),
        case("change-of-a-set-that-does-not-change", |d| d.change = Some(ChangeDraft::default()))
            .under(|a| aura(a).sets[0].announcer = None),
        case("change-before-anybody-is-pinned", |d| d.change = Some(ChangeDraft::default()))
            .under(|a| aura(a).sets[0].from = 4),
        rejected("change-on-another-branch", "header-seal", |d| {
            d.change = Some(ChangeDraft { number: 14, ..ChangeDraft::default() });
        }),
        rejected("change-after-which-time-goes-back", "header-seal", |d| {
            let headers = |h: &mut Vec<HeaderDraft>| {
                h[0].time = START + 15_000;
                h[1].time = START + 15_005;
            };
            d.change = Some(ChangeDraft { headers, ..ChangeDraft::default() });
        }),
    ]
}

fn state() -> Vec<Case> {
    let case = |name, draft| rejected(name, "state-proof", draft);
    vec![
        rejected("history-of-other-steps", "history-mismatch", |d| {
            d.state = |s| {
                s.storage.insert(s.slot, U256::from(1));
            };
        }),
        rejected("history-with-another-time", "history-mismatch", |d| {
            d.finish = |p| p.steps[1].at.time = UnixTime(p.steps[1].at.time.0 + 1);
        }),
        rejected("account-with-other-code", "contract-code", |d| {
            d.state = |s| s.account.as_mut().unwrap().code_hash = keccak256("other code");
        }),
        rejected("account-without-code", "contract-code", |d| {
            d.state = |s| s.account.as_mut().unwrap().code_hash = alloy_primitives::KECCAK256_EMPTY;
        })
        .under(|a| a.chains.clear()),
        case("no-account", |d| d.state = |s| s.account = None),
        case("no-history-word", |d| {
            d.state = |s| {
                s.storage.remove(&s.slot);
            }
        }),
        case("no-storage", |d| d.state = |s| s.storage.clear()),
        case("account-proof-cut-short", |d| {
            d.state = |s| {
                s.nodes = |a, _| {
                    a.pop();
                }
            }
        }),
        case("account-proof-empty", |d| d.state = |s| s.nodes = |a, _| a.clear()),
        case("storage-proof-cut-short", |d| {
            d.state = |s| {
                s.nodes = |_, w| {
                    w.pop();
                }
            }
        }),
        case("storage-proof-with-surplus", |d| d.state = |s| s.nodes = |_, w| w.push(w[0].clone())),
        case("state-root-of-another-block", |d| {
            d.headers = |h| h[0].state_root = keccak256("another state");
        }),
        case("state-before-the-receipt", |d| {
            d.headers = |headers| {
                for header in headers {
                    header.number -= 2;
                    header.time -= 10;
                }
            };
        }),
        case("proofs-swapped", |d| {
            d.finish = |p| {
                let HistoryProof::State(state) = &mut p.chain.history else { unreachable!("it has state") };
                core::mem::swap(&mut state.account, &mut state.storage);
            };
        }),
    ]
}

fn seal() -> Vec<Case> {
    let case = |name, draft| rejected(name, "header-seal", draft);
    vec![
        case("sealed-by-another", |d| d.headers = |h| h[0].sealer = Some(key("another authority"))),
        case("author-is-no-authority", |d| {
            d.headers = |h| {
                h[0].sealer = Some(key("another authority"));
                h[0].author = Some(address("another authority"));
            };
        }),
        case("sealed-out-of-turn", |d| d.headers = |h| h[2].step = Some(h[2].time / 5 + 3)),
        case("sealed-in-the-turn-of-another", |d| {
            d.headers = |h| {
                h[2].sealer = Some(super::authority(0));
                h[2].author = Some(authorities([0])[0]);
            };
        }),
        case("later-header-sealed-by-another", |d| {
            d.headers = |h| h[2].sealer = Some(key("another authority"));
        }),
        // Nothing else can be said in a run than that each header is the child of the one before it, so it is the seals that break.
        case("later-header-left-out", |d| {
            d.finish = |p| {
                let headers = |later| Draft { later, ..Draft::default() }.build().chain.runs.remove(0);
                let (one, two) = (headers(0).len(), headers(1).len());
                p.chain.runs[0].drain(one..two);
            };
        }),
        case("state-root-of-a-later-header", |d| {
            d.finish = |p| {
                let at = p.chain.runs[0].len() - 66;
                p.chain.runs[0][at] ^= 1;
            };
        }),
        case("step-not-after-the-parents", |d| {
            d.headers = |h| h[1].step = Some(h[0].time / 5);
        }),
        case("step-two-after-that-of-the-time", |d| d.headers = |h| h[2].step = Some(h[2].time / 5 + 2)),
        case("step-beside-that-of-the-time-of-a-lone-authority", |d| {
            d.headers = |h| {
                h.iter_mut().for_each(|header| header.set = vec![0]);
                h[2].step = Some(h[2].time / 5 + 1);
            };
        })
        .under(|a| aura(a).sets[0].validators.truncate(1)),
        case("change-left-out", |d| {
            d.later = 4;
            d.headers = announcing;
        }),
        case("later-header-of-another-difficulty", |d| {
            d.headers = |h| h[1].difficulty = Some(U256::from(u128::MAX));
        }),
        case("seal-of-another-engine", |d| d.headers = |h| h.iter_mut().for_each(|h| h.ethash = true)),
        case("authorities-without-anybody", |_| {}).under(|a| aura(a).sets[0].validators.clear()),
        case("authorities-swapped", |_| {}).under(|a| aura(a).sets[0].validators.reverse()),
        case("not-the-trusted-block", |_| {}).under(|a| {
            a.trusted_blocks = vec![TrustedBlock { chain_id: CHAIN_ID, number: 15, hash: keccak256("x") }];
        }),
    ]
}
