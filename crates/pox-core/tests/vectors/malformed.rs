//! What a decoder of canonical CBOR must refuse, made from a valid message that is one map.

use minicbor::Decoder;
use pox_core::CodecError;

/// How a spoiled message is refused.
pub(crate) const MALFORMED: &str = "malformed";
pub(crate) const NOT_CANONICAL: &str = "not-canonical";
pub(crate) const TOO_LARGE: &str = "too-large";

pub(crate) fn class(error: &CodecError) -> &'static str {
    match error {
        CodecError::TooLarge { .. } => TOO_LARGE,
        CodecError::Malformed { .. } => MALFORMED,
        CodecError::NotCanonical => NOT_CANONICAL,
    }
}

/// Names, bytes and refusals of messages that are not quite the valid one.
pub(crate) fn spoil(valid: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let entries = entries(valid);
    let count = entries.len() as u8;
    assert!((2..23).contains(&count));
    let map = |header: &[u8], entries: &[&[u8]]| [header, &entries.concat()].concat();
    let whole: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let mut swapped = whole.clone();
    swapped.swap(0, 1);
    let mut unknown = whole.clone();
    unknown.push(&[0x17, 0x00]);
    let mut twice = whole.clone();
    twice.push(whole[0]);
    // The first key, which is 0, in two bytes instead of one.
    let long_key = [&[0x18, 0x00], &whole[0][1..]].concat();
    let mut long_keyed = whole.clone();
    long_keyed[0] = &long_key;
    let header = 0xa0 + count;
    vec![
        ("trailing-byte", [valid, &[0]].concat(), NOT_CANONICAL),
        ("cut-short", valid[..valid.len() - 1].to_vec(), MALFORMED),
        ("empty", Vec::new(), MALFORMED),
        ("long-map-header", map(&[0xb8, count], &whole), NOT_CANONICAL),
        ("indefinite-map", [map(&[0xbf], &whole), vec![0xff]].concat(), NOT_CANONICAL),
        ("long-key", map(&[header], &long_keyed), NOT_CANONICAL),
        ("keys-out-of-order", map(&[header], &swapped), NOT_CANONICAL),
        ("unknown-key", map(&[header + 1], &unknown), NOT_CANONICAL),
        ("repeated-key", map(&[header + 1], &twice), NOT_CANONICAL),
        ("missing-key", map(&[header - 1], &whole[1..]), MALFORMED),
        ("array-for-map", map(&[0x80 + count * 2], &whole), MALFORMED),
    ]
}

/// The key-value pairs of a map, each as its bytes.
fn entries(valid: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(valid);
    let count = decoder.map().unwrap().unwrap();
    let mut entries = Vec::new();
    for _ in 0..count {
        let start = decoder.position();
        decoder.skip().unwrap();
        decoder.skip().unwrap();
        entries.push(valid[start..decoder.position()].to_vec());
    }
    entries
}
