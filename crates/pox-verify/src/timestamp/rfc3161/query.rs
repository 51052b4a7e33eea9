//! What an authority is asked.

use super::super::FileHash;

/// Makes a question and its answer belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub(super) [u8; 8]);

impl Nonce {
    /// A nonce of random bytes. Its first bits are set so that it is a positive number of 8 bytes, in its one encoding.
    pub fn new(random: [u8; 8]) -> Self {
        let [first, rest @ ..] = random;
        let [a, b, c, d, e, f, g] = rest;
        Self([first & 0x3f | 0x40, a, b, c, d, e, f, g])
    }
}

/// A query (`TimeStampReq`, DER) for a file's hash, that asks for the authority's certificate.
pub fn query(file: FileHash, nonce: &Nonce) -> Vec<u8> {
    let hash = file.0.0;
    let body = [VERSION_1, IMPRINT_OF_SHA256, &hash, NONCE, &nonce.0, CERTIFICATE_WANTED].concat();
    // A sequence of fewer than 128 bytes.
    [&[0x30, body.len() as u8], body.as_slice()].concat()
}

const VERSION_1: &[u8] = &[0x02, 0x01, 0x01];
/// Sequence of the algorithm SHA-256 (2.16.840.1.101.3.4.2.1, no parameters but NULL) and a string of 32 bytes.
const IMPRINT_OF_SHA256: &[u8] = &[
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];
const NONCE: &[u8] = &[0x02, 0x08];
const CERTIFICATE_WANTED: &[u8] = &[0x01, 0x01, 0xff];
