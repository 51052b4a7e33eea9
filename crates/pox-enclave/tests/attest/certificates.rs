//! The host's certificate table, which a hostile host writes.

use pox_core::receipt::Endorsement;
use pox_devtee::tsm::certificate_table;
use pox_enclave::runtime::certificates;
use proptest::prelude::*;

// In the order of the digits, as the tables of real hosts have them.
const VCEK: [u8; 16] =
    [0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd];
const VLEK: [u8; 16] =
    [0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1];
const ASK: [u8; 16] =
    [0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82];
const ARK: [u8; 16] =
    [0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae];
const CRL: [u8; 16] =
    [0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67, 0xea];

fn endorsement(kind: u16, content: &[u8]) -> Endorsement {
    Endorsement { kind, content: content.to_vec() }
}

#[test]
fn each_certificate_gets_its_kind_and_the_root_is_left_out() {
    let entries: [([u8; 16], &[u8]); 5] =
        [(VCEK, b"0vcek"), (ASK, b"0ask"), (ARK, b"0ark"), (CRL, b"0crl"), (VLEK, b"0vlek")];
    let expected = [
        endorsement(2, b"0vcek"),
        endorsement(3, b"0ask"),
        endorsement(4, b"0crl"),
        endorsement(2, b"0vlek"),
    ];
    assert_eq!(certificates(&certificate_table(&entries)), expected);
}

#[test]
fn what_is_unknown_or_no_der_is_left_out() {
    let entries: [([u8; 16], &[u8]); 4] =
        [([9; 16], b"0unknown"), (VCEK, b"-----BEGIN CERTIFICATE-----"), (VLEK, b""), (ASK, b"0ask")];
    assert_eq!(certificates(&certificate_table(&entries)), [endorsement(3, b"0ask")]);
}

#[test]
fn entries_that_point_outside_are_left_out() {
    for (offset, length) in [(u32::MAX, u32::MAX), (0, u32::MAX), (u32::MAX, 1), (70, 5), (48, 1000)] {
        let mut table = certificate_table(&[(VCEK, b"0vcek"), (ASK, b"0ask")]);
        table[16..20].copy_from_slice(&offset.to_le_bytes());
        table[20..24].copy_from_slice(&length.to_le_bytes());
        assert_eq!(certificates(&table), [endorsement(3, b"0ask")], "{offset} {length}");
    }
}

#[test]
fn nothing_behind_the_end_is_read() {
    let mut table = certificate_table(&[(VCEK, b"0vcek")]);
    let behind = certificate_table(&[(ASK, b"0ask")]);
    table.splice(48..48, behind[..24].to_vec());
    assert_eq!(certificates(&table).len(), 0, "the certificate has moved");
    assert_eq!(certificates(&[]), []);
    assert_eq!(certificates(&[0; 23]), []);
    assert_eq!(certificates(&VCEK), []);
}

#[test]
fn many_entries_for_one_certificate_cost_no_more_than_a_few() {
    let entries = vec![(VCEK, b"0vcek".as_slice()); 1000];
    assert_eq!(certificates(&certificate_table(&entries)).len(), 16);
}

proptest! {
    #[test]
    fn any_table_is_read_within_its_bytes(table in proptest::collection::vec(any::<u8>(), 0..600), known in 0..5_usize) {
        let mut table = table;
        if table.len() >= 16 {
            table[..16].copy_from_slice(&[VCEK, VLEK, ASK, ARK, CRL][known]);
        }
        for found in certificates(&table) {
            prop_assert!(found.content.first() == Some(&0x30));
            prop_assert!(table.windows(found.content.len()).any(|window| window == found.content));
        }
    }
}
