//! Documents that real enclaves had made.

use super::roots;
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_verify::evidence::launch::{TcbStatus, Window};
use pox_verify::evidence::nitro::{CertificateFault, NitroRejection, appraise};

const DOCUMENT: &[u8] = include_bytes!("../data/nitro/document.cose");
const DEBUG: &[u8] = include_bytes!("../data/nitro/document-debug.cose");
const ROOT: &[u8] = include_bytes!("../data/nitro/root.der");
/// When they were made, milliseconds.
const MADE: u64 = 1_766_668_537_578;
const DEBUG_MADE: u64 = 1_766_650_846_577;

fn day_of(made: u64) -> Window {
    Window { from: UnixTime(made / 1000 - 43_200), until: UnixTime(made / 1000 + 43_200) }
}

#[test]
fn a_real_document_is_accepted() {
    let launch = appraise(DOCUMENT, &[], &roots(ROOT.to_vec()), day_of(MADE)).unwrap();
    assert_eq!(launch.kind, EvidenceKind::Nitro);
    assert_eq!(launch.report_data, [0; 64]);
    assert_eq!(launch.registers.len(), 16);
    let measured: Vec<_> =
        launch.registers.iter().filter(|register| register.measured).map(|register| register.name).collect();
    assert_eq!(measured, ["PCR0", "PCR1", "PCR2"]);
    let image = &launch.registers[0];
    assert_eq!(
        (image.name, image.value.len(), &image.value[..4]),
        ("PCR0", 48, &[0x5c, 0xb7, 0x02, 0x95][..])
    );
    assert_eq!(launch.tcb.status, TcbStatus::UpToDate);
    let platform = launch.platform.unwrap();
    assert_eq!(platform.name, "module-id");
    assert_eq!(platform.bytes, b"i-0827e799ec9232d44-enc019b55a68bd2ed4b");
    assert_eq!((launch.launch_data, launch.endorsed), (None, None));
}

#[test]
fn a_real_document_with_its_tag_is_accepted() {
    let tagged = [&[0xd2], DOCUMENT].concat();
    let roots = roots(ROOT.to_vec());
    let launch = appraise(&tagged, &[], &roots, day_of(MADE)).unwrap();
    assert_eq!(launch, appraise(DOCUMENT, &[], &roots, day_of(MADE)).unwrap());
}

#[test]
fn a_real_document_of_a_debug_enclave_is_refused() {
    let judged = appraise(DEBUG, &[], &roots(ROOT.to_vec()), day_of(DEBUG_MADE));
    assert_eq!(judged, Err(NitroRejection::Debug(0)));
}

#[test]
fn a_real_document_is_refused_outside_its_window() {
    let made = MADE / 1000;
    for (from, until) in [(made + 1, made + 9), (made - 9, made - 1)] {
        let window = Window { from: UnixTime(from), until: UnixTime(until) };
        let judged = appraise(DOCUMENT, &[], &roots(ROOT.to_vec()), window);
        assert_eq!(judged, Err(NitroRejection::Time { made: MADE, window }));
    }
    let instant = Window { from: UnixTime(made), until: UnixTime(made) };
    assert!(appraise(DOCUMENT, &[], &roots(ROOT.to_vec()), instant).is_ok());
}

#[test]
fn a_real_document_does_not_lead_to_a_development_root() {
    let judged = appraise(DOCUMENT, &[], &roots(super::vendor().root()), day_of(MADE));
    assert_eq!(judged, Err(NitroRejection::Root));
}

#[test]
fn a_certificate_that_is_no_root_can_not_stand_for_it() {
    let leaf = super::chain().certificates().pop().unwrap();
    for (root, fault) in
        [(Vec::new(), CertificateFault::Malformed), (vec![0x30; 40], CertificateFault::Malformed)]
    {
        let judged = appraise(DOCUMENT, &[], &roots(root), day_of(MADE));
        assert_eq!(judged, Err(NitroRejection::PinnedRoot(fault)));
    }
    assert!(appraise(DOCUMENT, &[], &roots(leaf), day_of(MADE)).is_err());
}

#[test]
fn every_flipped_bit_of_a_real_document_is_found() {
    let roots = roots(ROOT.to_vec());
    for position in 0..DOCUMENT.len() {
        let mut changed = DOCUMENT.to_vec();
        changed[position] ^= 1 << (position % 8);
        assert!(appraise(&changed, &[], &roots, day_of(MADE)).is_err(), "byte {position}");
    }
}
