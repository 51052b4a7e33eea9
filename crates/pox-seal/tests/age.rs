//! The age engine by itself: round trips at every boundary, and damage of every kind.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail as tests do

use pox_seal::age::{
    AgeError, CHUNK, HeaderError, Locked, PayloadError, SEALED_CHUNK, SealHeaderError, Sealer, chunks_of,
    open_bytes, seal_bytes, sealed_len,
};
use pox_seal::{BadKey, FileKey, Identity, IdentityKind, OsRandom, Recipient, parse_identities};
use proptest::prelude::*;
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

fn identity(kind: IdentityKind) -> (Identity, Recipient) {
    let identity = Identity::generate(kind, &mut OsRandom).unwrap();
    let recipient = identity.recipient().unwrap();
    (identity, recipient)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn seal(recipient: &Recipient, plaintext: &[u8]) -> Vec<u8> {
    seal_bytes(std::slice::from_ref(recipient), plaintext, &mut OsRandom).unwrap()
}

fn open(identity: &Identity, sealed: &[u8]) -> Result<Vec<u8>, AgeError> {
    open_bytes(std::slice::from_ref(identity), sealed, usize::MAX).map(|text| text.to_vec())
}

#[test]
fn round_trips_at_every_boundary() {
    let (identity, recipient) = identity(IdentityKind::X25519);
    let batch = 64 * CHUNK;
    for near in [0, CHUNK, 2 * CHUNK, 63 * CHUNK, batch, batch + CHUNK, 2 * batch] {
        for len in near.saturating_sub(1)..=near + 1 {
            let text = pattern(len);
            let sealed = seal(&recipient, &text);
            assert!(open(&identity, &sealed).unwrap() == text, "{len}");
            let mut sealer = Sealer::new(std::slice::from_ref(&recipient), Vec::new()).unwrap();
            let mut seen = Vec::new();
            let read = sealer.read_from(&mut &text[..], u64::MAX, &mut |part| seen.extend_from_slice(part));
            assert_eq!(read.unwrap(), len as u64);
            assert!(seen == text, "{len}");
            let again = sealer.finish().unwrap();
            assert!(open(&identity, &again).unwrap() == text, "{len}");
            let header = Locked::read(&again[..]).unwrap().chunk_offset(0);
            assert_eq!(again.len() as u64 - header, sealed_len(len as u64));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trips_in_any_pieces(lens in prop::collection::vec(0usize..100_000, 0..20), read in 1usize..90_000) {
        let (identity, recipient) = identity(IdentityKind::Hybrid);
        let text = pattern(lens.iter().sum());
        let mut sealer = Sealer::new(&[recipient], Vec::new()).unwrap();
        let mut rest = &text[..];
        for (turn, len) in lens.into_iter().enumerate() {
            let (piece, tail) = rest.split_at(len);
            if turn % 2 == 0 {
                sealer.write_all(piece).unwrap();
            } else {
                sealer.read_from(&mut &piece[..], u64::MAX, &mut |_| ()).unwrap();
            }
            rest = tail;
        }
        let sealed = sealer.finish().unwrap();
        let locked = Locked::read(&sealed[..]).unwrap();
        let key = locked.file_key(&[identity]).unwrap();
        let mut opener = locked.open(&key).unwrap();
        let (mut out, mut piece) = (Vec::new(), vec![0; read]);
        loop {
            let count = opener.read(&mut piece).unwrap();
            if count == 0 { break; }
            out.extend_from_slice(&piece[..count]);
        }
        prop_assert!(out == text);
    }

    #[test]
    fn opens_from_any_offset(len in 1usize..400_000, at in 0.0f64..1.0, size in 1usize..150_000) {
        let (identity, recipient) = identity(IdentityKind::X25519);
        let text = pattern(len);
        let sealed = seal(&recipient, &text);
        let start = (at * (len - 1) as f64) as usize;
        let end = (start + size).min(len);
        let locked = Locked::read(&sealed[..]).unwrap();
        let key = locked.file_key(&[identity]).unwrap();
        let chunks = chunks_of(start as u64..end as u64);
        let from = locked.chunk_offset(chunks.start) as usize;
        let to = (locked.chunk_offset(chunks.end) as usize).min(sealed.len());
        let mut opener = locked.open_at(&key, chunks.start, &sealed[from..to]).unwrap();
        let mut skipped = vec![0; start - chunks.start as usize * CHUNK];
        opener.read_exact(&mut skipped).unwrap();
        let mut out = vec![0; end - start];
        opener.read_exact(&mut out).unwrap();
        prop_assert!(out == text[start..end]);
    }
}

#[test]
fn every_flipped_byte_is_rejected() {
    for kind in [IdentityKind::X25519, IdentityKind::Hybrid] {
        let (identity, recipient) = identity(kind);
        let sealed = seal(&recipient, b"one small secret");
        for at in 0..sealed.len() {
            for bit in [0x01, 0x80] {
                let mut damaged = sealed.clone();
                damaged[at] ^= bit;
                assert!(open(&identity, &damaged).is_err(), "{kind:?} byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn every_truncation_and_extension_is_rejected() {
    let (identity, recipient) = identity(IdentityKind::X25519);
    let sealed = seal(&recipient, b"one small secret");
    for len in 0..sealed.len() {
        assert!(open(&identity, &sealed[..len]).is_err(), "{len}");
    }
    for more in 1..40 {
        let mut longer = sealed.clone();
        longer.extend(vec![0; more]);
        assert!(open(&identity, &longer).is_err(), "{more}");
    }
    let chunked = seal(&recipient, &pattern(3 * CHUNK));
    let start = chunked.len() - 3 * SEALED_CHUNK;
    for chunks in 0..3 {
        let cut = &chunked[..start + chunks * SEALED_CHUNK];
        assert!(matches!(open(&identity, cut), Err(AgeError::Payload(PayloadError::Truncated))), "{chunks}");
    }
}

#[test]
fn moved_chunks_are_rejected() {
    let (identity, recipient) = identity(IdentityKind::X25519);
    let sealed = seal(&recipient, &pattern(200 * CHUNK));
    let start = sealed.len() - 200 * SEALED_CHUNK;
    let chunk = |index: usize| start + index * SEALED_CHUNK..start + (index + 1) * SEALED_CHUNK;
    for (one, other) in [(0, 1), (5, 70), (198, 199), (63, 64)] {
        let mut swapped = sealed.clone();
        swapped[chunk(one)].copy_from_slice(&sealed[chunk(other)]);
        swapped[chunk(other)].copy_from_slice(&sealed[chunk(one)]);
        assert!(open(&identity, &swapped).is_err());
        let mut doubled = sealed.clone();
        doubled[chunk(other)].copy_from_slice(&sealed[chunk(one)]);
        assert!(open(&identity, &doubled).is_err());
    }
    let mut dropped = sealed.clone();
    dropped.drain(chunk(10));
    assert!(open(&identity, &dropped).is_err());
}

#[test]
fn nothing_unauthenticated_is_released() {
    let (identity, recipient) = identity(IdentityKind::X25519);
    let text = pattern(10 * CHUNK);
    let mut sealed = seal(&recipient, &text);
    let at = sealed.len() - 4 * SEALED_CHUNK;
    sealed[at] ^= 1;
    let locked = Locked::read(&sealed[..]).unwrap();
    let key = locked.file_key(&[identity]).unwrap();
    let mut out = Vec::new();
    let error = locked.open(&key).unwrap().read_to_end(&mut out).unwrap_err();
    assert!(matches!(AgeError::from(error), AgeError::Payload(PayloadError::Chunk(6))));
    assert!(out == text[..6 * CHUNK]);
}

/// Fails once, and keeps what it got.
struct Hiccup(Vec<u8>, bool);

impl Write for &mut Hiccup {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        match bytes.len() > CHUNK && !std::mem::replace(&mut self.1, true) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_is_sealed_twice_after_the_sink_failed() {
    let (_, recipient) = identity(IdentityKind::X25519);
    let text = pattern(64 * CHUNK + 1);
    let mut sink = Hiccup(Vec::new(), false);
    let mut sealer = Sealer::new(&[recipient], &mut sink).unwrap();
    assert!(sealer.write_all(&text).is_err());
    assert!(sealer.write_all(&text).is_err());
    assert!(sealer.finish().is_err());
    assert!(!sink.0.windows(64).any(|window| window == &text[1000..1064]));
    assert!(sink.0.len() < 65 * SEALED_CHUNK);
}

#[test]
fn a_file_key_opens_its_file_and_no_other() {
    let (identity, recipient) = identity(IdentityKind::Hybrid);
    let (one, other) = (seal(&recipient, b"one"), seal(&recipient, b"other"));
    let locked = Locked::read(&one[..]).unwrap();
    let key = locked.file_key(&[identity]).unwrap();
    let carried = FileKey::from_bytes(key.dangerous_bytes()).unwrap();
    assert_eq!(locked.key_commitment(&key), locked.key_commitment(&carried));
    let mut text = String::new();
    locked.open(&carried).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "one");

    let second = Locked::read(&other[..]).unwrap();
    assert_ne!(second.key_commitment(&key), Locked::read(&one[..]).unwrap().key_commitment(&key));
    assert!(matches!(second.open(&key), Err(AgeError::Mac)));
    assert_eq!(FileKey::from_bytes(&[0; 32]).unwrap_err(), BadKey::Length);
    assert_eq!(format!("{key:?}"), "FileKey(..)");
}

#[test]
fn several_recipients_open_and_strangers_do_not() {
    let (old, old_recipient) = identity(IdentityKind::X25519);
    let (new, new_recipient) = identity(IdentityKind::Hybrid);
    let (stranger, _) = identity(IdentityKind::Hybrid);
    let sealed = seal_bytes(&[old_recipient, new_recipient], b"shared", &mut OsRandom).unwrap();
    assert_eq!(open(&old, &sealed).unwrap(), b"shared");
    assert_eq!(open(&new, &sealed).unwrap(), b"shared");
    assert!(matches!(open(&stranger, &sealed), Err(AgeError::NoMatch)));
    let phrase = Identity::from_passphrase(Zeroizing::new("shared".into()));
    assert!(matches!(open(&phrase, &sealed), Err(AgeError::NoMatch)));
}

#[test]
fn bounds_hold() {
    let (identity, recipient) = identity(IdentityKind::X25519);
    let sealed = seal(&recipient, &[7; 100]);
    let keys = [identity];
    assert!(matches!(open_bytes(&keys, &sealed, 99), Err(AgeError::TooLarge)));
    assert_eq!(open_bytes(&keys, &sealed, 100).unwrap().len(), 100);
    let none = seal_bytes(&[], b"", &mut OsRandom);
    assert!(matches!(none, Err(AgeError::Seal(SealHeaderError::NoRecipients))));
    let many = seal_bytes(&vec![recipient; 129], b"", &mut OsRandom);
    assert!(matches!(many, Err(AgeError::Seal(SealHeaderError::TooManyRecipients))));
    let endless = [b"age-encryption.org/v1\n-> x ".to_vec(), vec![b'a'; 1 << 20]].concat();
    assert!(matches!(Locked::read(&endless[..]), Err(AgeError::Header(HeaderError::TooLarge))));
    let binary = vec![0xff; 1 << 20];
    assert!(Locked::read(&binary[..]).is_err());
}

#[test]
fn keys_have_one_text() {
    for kind in [IdentityKind::X25519, IdentityKind::Hybrid] {
        let (identity, recipient) = identity(kind);
        assert_eq!(recipient.kind(), kind);
        let text = recipient.to_string();
        assert_eq!(text.parse::<Recipient>().unwrap(), recipient);
        assert!(text.to_uppercase().parse::<Recipient>().is_err());
        let secret = identity.dangerous_text().unwrap();
        let again: Identity = secret.parse().unwrap();
        assert_eq!(again.recipient().unwrap(), recipient);
        assert!(secret.to_lowercase().parse::<Identity>().is_err());
        assert!(secret.parse::<Recipient>().is_err());
        for at in 0..text.len() {
            let mut mistyped = text.clone().into_bytes();
            mistyped[at] = if mistyped[at] == b'q' { b'p' } else { b'q' };
            assert!(String::from_utf8(mistyped).unwrap().parse::<Recipient>().is_err(), "{at}");
        }
        assert_eq!(format!("{identity:?}"), "Identity(..)");
        let file = format!("# a comment\n\n{}\n", secret.as_str());
        assert_eq!(parse_identities(&file).unwrap().len(), 1);
    }
    assert_eq!(parse_identities("# nothing\n").unwrap_err(), BadKey::NoIdentity);
    // The example of the age specification.
    let known = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let recipient = known.parse::<Identity>().unwrap().recipient().unwrap();
    assert_eq!(recipient.to_string(), "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj");
}
