//! Bytes that are too many, too few or other ones.

use super::{REPORT_DATA, chain, document, judge};
use pox_devtee::nitro::Value;
use pox_verify::evidence::nitro::NitroRejection;
use proptest::prelude::*;

fn valid() -> Vec<u8> {
    chain().sign(&document(&chain()))
}

#[test]
fn every_flipped_byte_is_found() {
    let quote = valid();
    assert!(judge(&quote).is_ok());
    for position in 0..quote.len() {
        let mut changed = quote.clone();
        changed[position] ^= 1 << (position % 8);
        assert!(judge(&changed).is_err(), "byte {position}");
    }
}

#[test]
fn a_truncated_document_is_refused() {
    let quote = valid();
    for length in 0..quote.len() {
        assert!(judge(&quote[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn bytes_after_a_document_are_refused() {
    assert_eq!(judge(&[valid(), vec![0]].concat()), Err(NitroRejection::NotCanonical));
    let chain = chain();
    let payload = [document(&chain).payload(), vec![0]].concat();
    let quote = document(&chain).sign_payload(&chain.links[4].key, &payload);
    assert!(matches!(judge(&quote), Err(NitroRejection::Malformed(_))));
}

#[test]
fn an_oversized_document_is_refused_unread() {
    let chain = chain();
    let mut large = document(&chain);
    large.set("module_id", Value::Text("i".repeat(0x3000)));
    let quote = chain.sign(&large);
    assert_eq!(judge(&quote), Err(NitroRejection::TooLarge { actual: quote.len(), most: 0x3000 }));
}

#[test]
fn lengths_that_lie_are_refused_without_allocating() {
    let head = [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0];
    for lie in [
        // A payload of 2^63 bytes, an array of 2^64 - 1 parts, and a payload that never ends.
        [&head[..], &[0x5b, 0x80, 0, 0, 0, 0, 0, 0, 0]].concat(),
        vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        [&head[..], &[0x5f]].concat(),
    ] {
        assert!(matches!(judge(&lie), Err(NitroRejection::Malformed(_))));
    }
    let chain = chain();
    let sign = |payload: &[u8]| document(&chain).sign_payload(&chain.links[4].key, payload);
    // Maps, registers and bundles with 2^64 - 1 entries.
    let many = [0xff; 8];
    for payload in [
        [&[0xbb][..], &many].concat(),
        [&[0xa1, 0x64][..], b"pcrs", &[0xbb], &many].concat(),
        [&[0xa1, 0x68][..], b"cabundle", &[0x9b], &many].concat(),
    ] {
        assert!(matches!(judge(&sign(&payload)), Err(NitroRejection::Malformed(_))));
    }
}

#[test]
fn another_encoding_of_the_same_envelope_is_refused() {
    let quote = valid();
    // The array's length in two bytes, the protected headers' too, an array without a length, a tag in two bytes.
    let longer = [&[0x98, 0x04], &quote[1..]].concat();
    assert_eq!(judge(&longer), Err(NitroRejection::NotCanonical));
    let longer = [&quote[..1], &[0x58, 0x04], &quote[2..]].concat();
    assert_eq!(judge(&longer), Err(NitroRejection::NotCanonical));
    let open = [&[0x9f], &quote[1..], &[0xff]].concat();
    assert!(matches!(judge(&open), Err(NitroRejection::Malformed(_))));
    assert!(judge(&[&[0xd2], quote.as_slice()].concat()).is_ok());
    assert_eq!(judge(&[&[0xd8, 0x12], quote.as_slice()].concat()), Err(NitroRejection::NotCanonical));
    for other in [[0xd1], [0xd3]] {
        assert!(matches!(judge(&[&other, quote.as_slice()].concat()), Err(NitroRejection::Malformed(_))));
    }
    assert!(judge(&[&[0xd2, 0xd2], quote.as_slice()].concat()).is_err());
}

#[test]
fn a_signature_of_another_length_or_of_nothing_is_refused() {
    let quote = valid();
    let body = &quote[..quote.len() - 98];
    for signature in [vec![0x58, 0x60], vec![0x58, 0x5f], vec![0x58, 0x61]] {
        let length = usize::from(signature[1]);
        let zero = [body, &signature, &vec![0; length]].concat();
        assert_eq!(judge(&zero), Err(NitroRejection::Signature));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_signed_is_what_is_said(registers in prop::collection::btree_map(0u8..32, any::<[u8; 32]>(), 0..8), data: [u8; 32]) {
        let chain = chain();
        let wide = |bytes: [u8; 32]| [[1; 16].as_slice(), &bytes].concat();
        let mut all: Vec<_> = (0..3).map(|index| (index, vec![index as u8 + 1; 48])).collect();
        all.extend(registers.iter().filter(|(index, _)| **index > 2).map(|(index, value)| (u64::from(*index), wide(*value))));
        let data = [data, data].concat();
        let mut document = document(&chain);
        document.set("pcrs", Value::Registers(all.clone())).set("user_data", Value::Bytes(data.clone()));
        let launch = judge(&chain.sign(&document)).unwrap();
        prop_assert_eq!(launch.report_data.as_slice(), data);
        let said: Vec<_> = launch.registers.iter().map(|register| (register.name.to_owned(), register.value.clone())).collect();
        let expected: Vec<_> = all.iter().map(|(index, value)| (format!("PCR{index}"), value.clone())).collect();
        prop_assert_eq!(said, expected);
    }

    #[test]
    fn several_changed_bytes_are_found(changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4)) {
        let mut quote = valid();
        let genuine = quote.clone();
        for (position, flip) in changes {
            let position = position.index(quote.len());
            quote[position] ^= flip;
        }
        prop_assume!(quote != genuine);
        prop_assert!(judge(&quote).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(judge(&bytes).is_err());
        let chain = chain();
        prop_assert!(judge(&document(&chain).sign_payload(&chain.links[4].key, &bytes)).is_err());
    }

    #[test]
    fn no_certificate_makes_it_panic(position in 1usize..5, at in any::<prop::sample::Index>(), flip in 1u8..) {
        let chain = chain();
        let mut certificates = chain.certificates();
        let byte = at.index(certificates[position].len());
        certificates[position][byte] ^= flip;
        let leaf = certificates.pop().unwrap();
        let mut document = document(&chain);
        document.set("certificate", Value::Bytes(leaf)).set("cabundle", Value::List(certificates));
        // Signed by the enclave's key, so that nothing but the certificates can be what is wrong.
        prop_assert!(judge(&chain.sign(&document)).is_err());
        prop_assert_eq!(judge(&chain.sign(&super::document(&chain))).unwrap().report_data, REPORT_DATA);
    }
}
