//! No byte of a proof is loose: whatever is changed, and whoever makes the file's digest fit again, the grade drops.

mod support;

use pox_core::evidence::sha256;
use pox_core::proof::{ChangeProof, HistoryProof, MAGIC, MAX_PROOF_BYTES, StateProof};
use pox_verify::{Grade, verify};
use proptest::prelude::*;
use support::{Draft, NOW, anchors};

const BODY: usize = MAGIC.len() + 32;
/// Every so many bytes, all values are tried.
const SAMPLE: usize = 127;

fn valid() -> Vec<u8> {
    let file = Draft::default().build().to_bytes();
    assert_eq!(grade(&file), Grade::Simulated);
    file
}

fn grade(file: &[u8]) -> Grade {
    verify(file, &anchors(), Grade::Simulated, NOW).grade
}

/// Makes the file's digest fit its body.
fn reseal(file: &mut [u8]) {
    let digest = sha256(&file[BODY..]);
    file[MAGIC.len()..BODY].copy_from_slice(digest.as_slice());
}

#[test]
fn every_flipped_byte_is_found() {
    let file = valid();
    for position in 0..file.len() {
        let mut changed = file.clone();
        changed[position] ^= 1 << (position % 8);
        assert_eq!(grade(&changed), Grade::Inconsistent, "byte {position}");
    }
}

#[test]
fn every_flipped_byte_is_found_though_the_digest_fits() {
    let file = valid();
    let mut loose = Vec::new();
    for position in BODY..file.len() {
        let values: Vec<u8> =
            if position % SAMPLE == 0 { (1..=255).collect() } else { vec![1 << (position % 8), 0xff] };
        for flip in values {
            let mut changed = file.clone();
            changed[position] ^= flip;
            reseal(&mut changed);
            if grade(&changed) >= Grade::Simulated {
                loose.push((position, flip));
            }
        }
    }
    assert!(loose.is_empty(), "loose bytes: {loose:?}");
}

#[test]
fn every_truncation_is_found() {
    let file = valid();
    for length in 0..file.len() {
        assert_eq!(grade(&file[..length]), Grade::Inconsistent, "{length} bytes");
        if length > BODY {
            let mut cut = file[..length].to_vec();
            reseal(&mut cut);
            assert_eq!(grade(&cut), Grade::Inconsistent, "{length} bytes, digest made to fit");
        }
    }
}

#[test]
fn bytes_at_the_end_are_found() {
    let mut file = valid();
    file.push(0);
    assert_eq!(grade(&file), Grade::Inconsistent);
    reseal(&mut file);
    assert_eq!(grade(&file), Grade::Inconsistent);
}

fn state(proof: &mut pox_core::proof::Proof) -> &mut StateProof {
    match &mut proof.chain.history {
        HistoryProof::State(state) => state,
        HistoryProof::Receipts(_) => unreachable!("the plain draft has state"),
    }
}

#[test]
fn oversized_lists_and_files_are_found() {
    let edits: [fn(&mut pox_core::proof::Proof); 10] = [
        |p| p.steps = vec![p.steps[0]; 1025],
        |p| state(p).account = vec![Vec::new(); 66],
        |p| state(p).storage = vec![Vec::new(); 66],
        |p| p.chain.runs = vec![p.chain.runs[0].clone(); 65],
        |p| p.chain.changes = vec![ChangeProof::default(); 129],
        |p| p.chain.runs[0] = [&[0x10, 0x01][..], &[0; 4097]].concat(),
        |p| p.policy = vec![b' '; 32 * 1024 + 1],
        |p| p.matched.evidence = vec![0; 18_113],
        |p| p.proven.archive = vec![0; 256 * 1024 + 1],
        |p| state(p).account[0] = vec![0; MAX_PROOF_BYTES],
    ];
    for (which, edit) in edits.into_iter().enumerate() {
        let mut proof = Draft::default().build();
        edit(&mut proof);
        let verdict = verify(&proof.to_bytes(), &anchors(), Grade::Simulated, NOW);
        assert_eq!(verdict.rejection.unwrap().code(), "malformed", "edit {which}");
    }
}

/// Heads that promise far more than the file holds, in place of each byte of the first kilobyte.
#[test]
fn promised_lengths_are_not_believed() {
    let file = valid();
    for position in BODY..BODY + 1024 {
        for major in [0x5b, 0x9b, 0xbb] {
            let mut changed = file[..position].to_vec();
            changed.push(major);
            changed.extend([0xff; 8]);
            changed.extend(&file[position..]);
            reseal(&mut changed);
            assert_eq!(grade(&changed), Grade::Inconsistent, "byte {position}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Pieces cut out, doubled, moved and overwritten.
    #[test]
    fn rearranged_files_are_found(
        edits in prop::collection::vec((0usize..4, any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1usize..64, any::<u8>()), 1..4)
    ) {
        let original = valid();
        let mut file = original.clone();
        for (edit, from, to, length, byte) in edits {
            let body = file.len() - BODY;
            if body < 2 { break; }
            let from = BODY + from.index(body);
            let end = (from + length).min(file.len());
            let piece = file[from..end].to_vec();
            match edit {
                0 => { file.drain(from..end); }
                1 => { let to = BODY + to.index(body); file.splice(to..to, piece); }
                2 => file[from..end].fill(byte),
                _ => file[from..end].reverse(),
            }
        }
        reseal(&mut file);
        prop_assume!(file != original);
        prop_assert!(grade(&file) < Grade::Simulated);
    }

    /// Nothing makes it panic.
    #[test]
    fn any_bytes_get_a_verdict(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut file = [MAGIC.as_slice(), &[0; 32], &body].concat();
        reseal(&mut file);
        prop_assert_eq!(grade(&file), Grade::Inconsistent);
    }
}
