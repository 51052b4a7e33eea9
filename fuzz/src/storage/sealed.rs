//! The age format.

use pox_seal::age::{Header, MAX_ARMORED, Sealer, armor as enarmor, dearmor, open_bytes};
use pox_seal::{Identity, NoRandomness, Randomness, Recipient, parse_identities};
use std::io::Write;

/// Most plaintext that a run opens.
const MOST: usize = 1 << 20;

/// Draws the same bytes each time, so that a crash can be had again.
pub(crate) struct Same;

impl Randomness for Same {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoRandomness> {
        out.fill(7);
        Ok(())
    }
}

/// A key that is in the published test vectors.
pub(crate) fn identity() -> Identity {
    "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0".parse().expect("it is one")
}

pub(crate) fn recipient() -> Recipient {
    identity().recipient().expect("it has a recipient")
}

pub(crate) fn header(input: &[u8]) {
    if let Ok(header) = Header::parse(input) {
        assert_eq!(header.to_bytes(), input);
    }
    if let Ok((header, length)) = Header::read(&mut &input[..]) {
        assert_eq!(header.to_bytes(), input[..length as usize]);
    }
}

pub(crate) fn file(input: &[u8]) {
    // Whatever opens was sealed for this key; whether to the published vectors' text is for the tests.
    let _ = open_bytes(&[identity()], input, MOST);
}

/// The input is sealed, changed in one place that it names itself, and opened.
pub(crate) fn round_trip(mut input: &[u8]) {
    let at = pox_fuzz::take(&mut input, 3).iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let flip = pox_fuzz::byte(&mut input);
    let mut sealer = Sealer::with_randomness(&[recipient()], Vec::new(), &mut Same).expect("memory takes it");
    sealer.write_all(input).expect("memory takes it");
    let mut sealed = sealer.finish().expect("memory takes it");
    let at = at % sealed.len();
    sealed[at] ^= flip;
    match open_bytes(&[identity()], &sealed, MOST) {
        Ok(opened) => assert!(flip == 0 && *opened == input, "byte {at} can be changed"),
        Err(error) => assert!(flip != 0 || input.len() > MOST, "{error}"),
    }
}

pub(crate) fn armor(input: &[u8]) {
    if let Ok(bytes) = dearmor(input) {
        assert_eq!(dearmor(enarmor(&bytes).as_bytes()).as_ref(), Ok(&bytes));
    }
    if input.len() < MAX_ARMORED / 2 {
        assert_eq!(dearmor(enarmor(input).as_bytes()).as_deref(), Ok(input));
    }
}

pub(crate) fn keys(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(recipient) = text.parse::<Recipient>() {
        assert_eq!(recipient.to_string(), text);
    }
    for identity in parse_identities(text).unwrap_or_default() {
        let Some(text) = identity.dangerous_text() else { continue };
        let again: Identity = text.parse().expect("what is written is read");
        assert_eq!(again.recipient(), identity.recipient());
    }
}

/// The published vectors: a test's description, an empty line, the file.
fn vectors() -> Vec<Vec<u8>> {
    let bodies = pox_fuzz::files("crates/pox-seal/tests/vectors/cctv").into_iter().map(|file| {
        let end = file.windows(2).position(|pair| pair == b"\n\n").expect("a description ends");
        file[end + 2..].to_vec()
    });
    bodies.filter(|body| body.len() < 8 * 1024).collect()
}

fn is_armored(file: &[u8]) -> bool {
    file.trim_ascii_start().starts_with(b"-----")
}

pub(crate) fn file_seeds() -> Vec<Vec<u8>> {
    vectors().into_iter().filter(|file| !is_armored(file)).collect()
}

pub(crate) fn header_seeds() -> Vec<Vec<u8>> {
    let headers = file_seeds().into_iter().filter_map(|file| {
        let mac = file.windows(5).position(|window| window == b"\n--- ")?;
        let end = file[mac + 1..].iter().position(|byte| *byte == b'\n')?;
        Some(file[..mac + end + 2].to_vec())
    });
    headers.collect()
}

pub(crate) fn armor_seeds() -> Vec<Vec<u8>> {
    vectors().into_iter().filter(|file| is_armored(file)).collect()
}

pub(crate) fn plain_seeds() -> Vec<Vec<u8>> {
    vec![b"\0\0\0\0some text".to_vec(), b"\0\x01\0\x01some text".to_vec(), vec![0; 4 + 64 * 1024 + 1]]
}

pub(crate) fn key_seeds() -> Vec<Vec<u8>> {
    let text = identity().dangerous_text().expect("it has a text");
    vec![recipient().to_string().into_bytes(), format!("# a comment\n{}\n", text.as_str()).into_bytes()]
}
