//! The judge behind a C interface, for `benches/wasm.mjs`.
//!
//! [`input`] gives room for the parts of a case, each a little-endian `u32` length and as many bytes; [`appraise`] and [`judge`]
//! read them. `crates/pox-verify/examples/verification_times.rs` writes the cases.

use pox_core::UnixTime;
use pox_core::endorsement::Endorsement;
use pox_core::evidence::EvidenceKind;
use pox_verify::anchors::{Aura, Authorities, ChainAnchor, ChainStanding, PinnedSet, Release, StepRule};
use pox_verify::evidence::inspect;
use pox_verify::evidence::launch::Window;
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use pox_verify::{Anchors, Grade, Measurement, verify};
use std::cell::RefCell;
use std::num::NonZeroU64;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Room for a case of so many bytes; it stays where it is until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn input(length: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        *input = vec![0; length];
        input.as_mut_ptr()
    })
}

/// Judges an evidence: time, kind code, three roots, quote, endorsements with their kinds before them. 1 if it is genuine.
#[unsafe(no_mangle)]
pub extern "C" fn appraise() -> u32 {
    with_parts(|parts| {
        let [at, kind, intel, amd, aws, quote, endorsements @ ..] = parts else { return None };
        let endorsements: Option<Vec<Endorsement>> =
            endorsements.iter().map(|part| endorsement(part)).collect();
        let kind = EvidenceKind::ALL.into_iter().find(|known| [*known as u8] == **kind)?;
        let (at, roots) = (time(at)?, roots(intel, amd, aws));
        let made = Window { from: UnixTime(0), until: UnixTime(u64::MAX) };
        inspect::appraise(kind, quote, &endorsements?, &roots, at, made).ok().map(|_| 1)
    })
}

/// Judges a proof: time, three roots, measurement, chain id, contract's code, validators, proof. 1 if it is `simulated`.
#[unsafe(no_mangle)]
pub extern "C" fn judge() -> u32 {
    with_parts(|parts| {
        let [at, intel, amd, aws, measurement, chain_id, code, validators, proof] = parts else {
            return None;
        };
        let chain = ChainAnchor {
            name: "test chain".into(),
            standing: ChainStanding::Embedded,
            authorities: Authorities::Aura(Aura {
                steps: StepRule { seconds: const { NonZeroU64::new(5).unwrap() } },
                two_thirds_from: None,
                sets: vec![PinnedSet {
                    from: 0,
                    until: None,
                    validators: validators.chunks_exact(20).map(pox_core::Address::from_slice).collect(),
                    announcer: None,
                    as_of: "now".into(),
                    source: "this benchmark".into(),
                }],
            }),
            contract_code: pox_core::B256::from_slice(code),
            deployments: Default::default(),
            names: Default::default(),
        };
        let measurement = Measurement(pox_core::B256::from_slice(measurement));
        let anchors = Anchors {
            vendor_roots: roots(intel, amd, aws),
            releases: vec![Release { name: "release".into(), measurement }],
            chains: [(time(chain_id)?.0, chain)].into(),
            ..Anchors::default()
        };
        let verdict = verify(proof, &anchors, Grade::Simulated, time(at)?);
        (verdict.grade == Grade::Simulated && verdict.meets).then_some(1)
    })
}

/// The parts of the case; 0 for one that is none.
fn with_parts(judge: impl FnOnce(&[&[u8]]) -> Option<u32>) -> u32 {
    INPUT.with_borrow(|input| {
        let (mut parts, mut rest) = (Vec::new(), input.as_slice());
        while let Some((length, after)) = rest.split_first_chunk() {
            let Some((part, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize) else {
                return 0;
            };
            parts.push(part);
            rest = after;
        }
        judge(&parts).unwrap_or(0)
    })
}

fn time(part: &[u8]) -> Option<UnixTime> {
    Some(UnixTime(u64::from_le_bytes(part.try_into().ok()?)))
}

fn endorsement(part: &[u8]) -> Option<Endorsement> {
    let (kind, content) = part.split_first_chunk()?;
    Some(Endorsement { kind: u16::from_le_bytes(*kind), content: content.to_vec() })
}

fn roots(intel: &[u8], amd: &[u8], aws: &[u8]) -> VendorRoots {
    let (intel, amd, aws) = (intel.to_vec(), vec![amd.to_vec()], aws.to_vec());
    VendorRoots { intel, amd, aws, standing: RootStanding::Development }
}
