//! The Crypt4GH format.

use crate::sealed::Same;
use pox_seal::crypt4gh::{
    ContentKeys, DataKey, EditList, Header, Identity, Recipient, SecretKey, decode_packet,
};
use pox_seal::dataset::decode_access;

fn identity() -> Identity {
    Identity::from_bytes(&[7; 32])
}

fn content() -> ContentKeys {
    let keys = [1, 2].map(|byte| DataKey::from_bytes(&[byte; 32]).expect("it has 32 bytes"));
    let content = ContentKeys::from_parts(keys.to_vec(), Some(vec![0, 7853, 71_721]));
    content.expect("the list is within its bounds").expect("there are keys")
}

pub(crate) fn header(input: &[u8]) {
    if let Ok(header) = Header::parse(input) {
        assert_eq!(header.to_bytes(), input);
        assert_eq!(header.size(), input.len() as u64);
        let told = header.unlock(&[identity()]).ok();
        assert_eq!(
            header.describe(&[identity()]).opened.map(|told| told.data_keys),
            told.map(|told| told.keys().len())
        );
    }
}

pub(crate) fn header_seeds() -> Vec<Vec<u8>> {
    let header = Header::seal(&content(), &[identity().recipient()], &mut Same).expect("it fits");
    vec![header.to_bytes()]
}

/// What follows a packet's content is padding.
pub(crate) fn packet(input: &[u8]) {
    if let Some(text) = decode_packet(input) {
        assert!(input.starts_with(&text));
        assert_eq!(decode_packet(&text).as_deref(), Some(&*text));
    }
}

pub(crate) fn packet_seeds() -> Vec<Vec<u8>> {
    let edits = [&[1, 0, 0, 0, 2, 0, 0, 0][..], &[5; 16]].concat();
    vec![[&[0; 8][..], &[7; 32]].concat(), edits]
}

/// The input is a list of lengths; it is compared with the specification's own algorithm on a short text.
pub(crate) fn edits(input: &[u8]) {
    let lengths: Vec<u64> =
        input.chunks(2).map(|two| two.iter().fold(0, |sum, byte| sum << 4 ^ u64::from(*byte))).collect();
    let Ok(edits) = EditList::new(lengths.clone()) else { return };
    let (mut position, mut kept, body) = (0u64, 0, 10_000u64);
    for (index, length) in lengths.iter().enumerate() {
        let end = position.saturating_add(*length);
        if index % 2 == 1 {
            kept += end.min(body) - position.min(body);
        }
        position = end;
    }
    if lengths.len() % 2 == 1 {
        kept += body - position.min(body);
    }
    assert_eq!(edits.content_len(body), kept);
}

pub(crate) fn edit_seeds() -> Vec<Vec<u8>> {
    vec![vec![0, 5, 1, 1, 0, 0, 9], vec![0xff; 12]]
}

pub(crate) fn keys(input: &[u8]) {
    if let Ok(recipient) = Recipient::from_file(input) {
        assert_eq!(Recipient::from_file(recipient.to_file().as_bytes()), Ok(recipient));
    }
    if let Ok(SecretKey::Open(identity)) = SecretKey::from_file(input) {
        let again =
            SecretKey::from_file(identity.dangerous_file().as_bytes()).expect("what is written is read");
        assert!(matches!(again, SecretKey::Open(again) if again.recipient() == identity.recipient()));
    }
}

pub(crate) fn key_seeds() -> Vec<Vec<u8>> {
    let locked = "YzRnaC12MQAGYmNyeXB0ABQAAABkqquLD0enj+INR7TRTbN2eQARY2hhY2hhMjBfcG9seTEzMDUAPJbKGH2X+qoaVwVH6fqdW/FOM9vATCrIPJ3g17/HDwl/OxOMz+yGY19sgiYEfaU9BTUIemTCHq4KgUYdJAABYw==";
    let locked =
        format!("-----BEGIN CRYPT4GH PRIVATE KEY-----\n{locked}\n-----END CRYPT4GH PRIVATE KEY-----\n");
    vec![
        identity().recipient().to_file().into_bytes(),
        identity().dangerous_file().as_bytes().to_vec(),
        locked.into_bytes(),
    ]
}

pub(crate) fn access(input: &[u8]) {
    if let Some(again) = decode_access(input) {
        assert_eq!(*again, input);
    }
}

/// `["pox-crypt4gh", 1, [["a.c4gh", [key], null], ["b.c4gh", [key], [5]]]]`
pub(crate) fn access_seeds() -> Vec<Vec<u8>> {
    let file =
        |name: &[u8], edits: &[u8]| [&[0x83, 0x66][..], name, &[0x81, 0x58, 32], &[7; 32], edits].concat();
    let head = [&[0x83, 0x6c][..], b"pox-crypt4gh", &[1, 0x82]].concat();
    let seed = [head, file(b"a.c4gh", &[0xf6]), file(b"b.c4gh", &[0x81, 5])].concat();
    assert!(decode_access(&seed).is_some());
    vec![seed]
}
