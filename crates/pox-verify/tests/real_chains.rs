//! Seals, receipts and changes of authorities of public chains, as `data/aura` has them.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use alloy_primitives::{Address, B256, Bytes};
use pox_core::proof::ReceiptProof;
use pox_verify::anchors::{Aura, PinnedSet, StepRule};
use pox_verify::chain::authorities::{ChangeFault, Timeline};
use pox_verify::chain::{BadHeader, Header, ReceiptFault, Seal, pack, unpack};
use serde::Deserialize;
use std::num::NonZeroU64;

const HEADERS: &str = include_str!("data/aura/headers.json");
const KOVAN: &str = include_str!("data/aura/kovan-change.json");
const TOBALABA: &str = include_str!("data/aura/tobalaba-changes.json");

#[derive(Deserialize)]
struct Recorded {
    name: String,
    step_seconds: u64,
    hash: Option<B256>,
    author: Address,
    header: Bytes,
}

#[derive(Deserialize)]
struct Kovan {
    step_seconds: u64,
    announcer: Address,
    set: Vec<Address>,
    new_set: Vec<Address>,
    headers: Vec<Bytes>,
    index: u32,
    log: u32,
    nodes: Vec<Bytes>,
}

#[derive(Deserialize)]
struct Tobalaba {
    step_seconds: u64,
    changes: Vec<TobalabaChange>,
}

#[derive(Deserialize)]
struct TobalabaChange {
    set: Vec<Address>,
    new_set: Vec<Address>,
    header: Bytes,
    index: u32,
    log: u32,
    nodes: Vec<Bytes>,
}

fn rule(seconds: u64, validators: Vec<Address>, announcer: Option<Address>) -> Aura {
    let set = PinnedSet {
        from: 0,
        until: None,
        validators,
        announcer,
        as_of: "2019-05-14".into(),
        source: "a public chain".into(),
    };
    let steps = StepRule { seconds: NonZeroU64::new(seconds).unwrap() };
    Aura { steps, two_thirds_from: None, sets: vec![set] }
}

fn run(headers: &[Bytes]) -> Vec<Header> {
    let headers: Vec<Vec<u8>> = headers.iter().map(|header| header.to_vec()).collect();
    unpack(&pack(&headers).unwrap()).unwrap()
}

fn receipt(index: u32, log: u32, nodes: &[Bytes]) -> ReceiptProof {
    ReceiptProof { index, log, nodes: nodes.iter().map(|node| node.to_vec()).collect() }
}

#[test]
fn real_headers_with_and_without_base_fee_are_sealed_by_their_authors() {
    let recorded: Vec<Recorded> = serde_json::from_str(HEADERS).unwrap();
    assert_eq!(recorded.len(), 4);
    for Recorded { name, step_seconds, hash, author, header } in recorded {
        let headers = run(std::slice::from_ref(&header));
        assert!(hash.is_none_or(|hash| headers[0].hash == hash), "{name}");
        let rule = rule(step_seconds, vec![author], None);
        assert_eq!(Timeline::pinned(&rule).check(&headers), Ok(Some(vec![0])), "{name}");
        // Whatever of it is changed, another has signed it, or nobody.
        for at in [40, 80, 120, 160, 200, 300, header.len() - 80] {
            let mut forged = header.to_vec();
            forged[at] ^= 1;
            let Ok(parsed) = Header::parse(&forged) else { continue };
            assert!(Timeline::pinned(&rule).check(&[parsed]).is_err(), "{name}, byte {at}");
        }
    }
}

/// A public test network's own, made of three headers and one receipt.
#[test]
fn a_change_of_kovans_authorities_is_shown() {
    let kovan: Kovan = serde_json::from_str(KOVAN).unwrap();
    let headers = run(&kovan.headers);
    let announcement = receipt(kovan.index, kovan.log, &kovan.nodes);
    let rule = rule(kovan.step_seconds, kovan.set.clone(), Some(kovan.announcer));
    let mut timeline = Timeline::pinned(&rule);
    timeline.follow(&headers, &announcement).unwrap();
    let place = timeline.term_at(10_994_697).unwrap();
    assert_eq!(timeline.terms()[place].validators, kovan.new_set);
    assert_eq!(timeline.term_at(10_994_696), Some(0));
    // Two of five are not enough.
    let mut timeline = Timeline::pinned(&rule);
    assert_eq!(timeline.follow(&headers[..2], &announcement), Err(ChangeFault::NotFinal { built: 2, of: 5 }));
    // Nor is a receipt of another place, another log, or another contract.
    for (index, log) in [(kovan.index + 1, kovan.log), (kovan.index, kovan.log + 1)] {
        let other = receipt(index, log, &kovan.nodes);
        assert!(Timeline::pinned(&rule).follow(&headers, &other).is_err());
    }
    let other = self::rule(kovan.step_seconds, kovan.set.clone(), Some(Address::ZERO));
    let fault = Timeline::pinned(&other).follow(&headers, &announcement);
    assert_eq!(fault, Err(ChangeFault::Emitter { actual: kovan.announcer }));
    // Nor any other order of the same five.
    let mut reversed = kovan.set;
    reversed.reverse();
    let other = self::rule(kovan.step_seconds, reversed, Some(kovan.announcer));
    assert!(matches!(Timeline::pinned(&other).follow(&headers, &announcement), Err(ChangeFault::Seal(_))));
}

/// Each is sealed by the set before, and announces the one after. The first was of a single authority, with a step beside its time.
#[test]
fn announcements_on_tobalaba_are_read() {
    let recorded: Tobalaba = serde_json::from_str(TOBALABA).unwrap();
    let announcer: Address = log_address(&recorded.changes[0]);
    let (mut one_later, mut read) = (0, 0);
    for change in &recorded.changes {
        let headers = run(std::slice::from_ref(&change.header));
        let Seal::Aura { step, .. } = headers[0].seal else { unreachable!("all are Aura's") };
        one_later += usize::from(step == headers[0].time.0 / recorded.step_seconds + 1);
        let announcement = receipt(change.index, change.log, &change.nodes);
        let rule = rule(recorded.step_seconds, change.set.clone(), Some(announcer));
        let mut timeline = Timeline::pinned(&rule);
        let followed = timeline.follow(&headers, &announcement);
        match change.set.len() {
            1 => {
                assert!(matches!(followed, Err(ChangeFault::Seal(_))), "{followed:?}");
                continue;
            }
            of => assert_eq!(followed, Err(ChangeFault::NotFinal { built: 1, of })),
        }
        // One of them alone would be enough, if it were all there was: so the new set is what the event says.
        let alone = vec![headers[0].author; 1];
        let other = self::rule(recorded.step_seconds, alone, Some(announcer));
        let mut timeline = Timeline::pinned(&other);
        if timeline.follow(&headers, &announcement).is_ok() {
            assert_eq!(timeline.terms()[1].validators, change.new_set);
            read += 1;
        }
        let mut cut = announcement.clone();
        cut.nodes.pop();
        let fault = Timeline::pinned(&rule).follow(&headers, &cut);
        assert!(matches!(fault, Err(ChangeFault::Receipt(ReceiptFault::Trie(_)))), "{fault:?}");
    }
    assert!(read >= 5, "{read}");
    assert!(one_later >= 1, "public chains have steps that are one later than those of their times");
}

/// Who emitted the log: read from the last trie node, which ends with the receipt.
fn log_address(change: &TobalabaChange) -> Address {
    let node = change.nodes.last().unwrap();
    let topic = pox_verify::chain::authorities::ANNOUNCEMENT;
    let at = node.windows(32).position(|bytes| bytes == topic.as_slice()).unwrap();
    // Before the topic: its length, the list of two topics with a length in two bytes, and the address.
    Address::from_slice(&node[at - 3 - 20..at - 3])
}

#[test]
fn empty_steps_are_refused_by_name() {
    let recorded: Vec<Recorded> = serde_json::from_str(HEADERS).unwrap();
    let header = recorded[0].header.to_vec();
    // An empty list at the end, and a length that counts it.
    let length = u16::from_be_bytes([header[1], header[2]]) + 1;
    let [high, low] = length.to_be_bytes();
    let with_list = [&[header[0], high, low], &header[3..], &[0xc0]].concat();
    assert_eq!(Header::parse(&with_list), Err(BadHeader::EmptySteps));
}
