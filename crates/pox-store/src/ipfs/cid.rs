use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A content identifier: the hash of a block, and what kind of block it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cid {
    version: Version,
    codec: Codec,
    hash: Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Version {
    V0,
    V1,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Codec {
    /// Bytes.
    Raw,
    /// A node of folders and files.
    DagPb,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Hash {
    Sha256([u8; 32]),
    Blake3([u8; 32]),
    /// The block itself.
    Identity(Vec<u8>),
}

/// The text or bytes are no content identifier that this program can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadCid {
    /// Not in one of the spellings that identifiers have.
    #[error("the content identifier is misspelled")]
    Spelling,
    /// Cut short, or with bytes left over.
    #[error("the content identifier is malformed")]
    Malformed,
    /// Of a kind of content that isn't files and folders.
    #[error("the content identifier is of a kind that holds no files")]
    Codec,
    /// Of a hash that this program doesn't compute.
    #[error("the content identifier has a hash other than SHA-256 and BLAKE3")]
    Hash,
}

impl Cid {
    /// Whether it is the identifier of these bytes.
    pub fn names(&self, block: &[u8]) -> bool {
        match &self.hash {
            Hash::Sha256(digest) => <[u8; 32]>::from(Sha256::digest(block)) == *digest,
            Hash::Blake3(digest) => blake3::hash(block) == *digest,
            Hash::Identity(content) => content == block,
        }
    }

    /// The block itself, where the identifier holds it.
    pub fn inline(&self) -> Option<&[u8]> {
        match &self.hash {
            Hash::Identity(content) => Some(content),
            _ => None,
        }
    }

    /// Reads an identifier in its binary form from the front of `bytes`, and tells how long it is.
    ///
    /// # Errors
    /// There is none that this program can check.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), BadCid> {
        if let Some(rest) = bytes.strip_prefix(&[0x12, 0x20]) {
            let digest = *rest.first_chunk().ok_or(BadCid::Malformed)?;
            return Ok((Self { version: Version::V0, codec: Codec::DagPb, hash: Hash::Sha256(digest) }, 34));
        }
        let mut rest = bytes;
        if varint(&mut rest) != Some(1) {
            return Err(BadCid::Malformed);
        }
        let codec = match varint(&mut rest).ok_or(BadCid::Malformed)? {
            0x55 => Codec::Raw,
            0x70 => Codec::DagPb,
            _ => return Err(BadCid::Codec),
        };
        let kind = varint(&mut rest).ok_or(BadCid::Malformed)?;
        let len = varint(&mut rest).and_then(|len| usize::try_from(len).ok()).ok_or(BadCid::Malformed)?;
        let digest = rest.get(..len).ok_or(BadCid::Malformed)?;
        let whole = || <[u8; 32]>::try_from(digest).map_err(|_| BadCid::Malformed);
        let hash = match kind {
            0x00 if len <= MAX_INLINE => Hash::Identity(digest.to_vec()),
            0x12 => Hash::Sha256(whole()?),
            0x1e => Hash::Blake3(whole()?),
            _ => return Err(BadCid::Hash),
        };
        let used = bytes.len() - rest.len() + len;
        Ok((Self { version: Version::V1, codec, hash }, used))
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    fn bytes(&self) -> Vec<u8> {
        let (kind, digest): (u8, &[u8]) = match &self.hash {
            Hash::Identity(content) => (0x00, content),
            Hash::Sha256(digest) => (0x12, digest),
            Hash::Blake3(digest) => (0x1e, digest),
        };
        let codec = match self.codec {
            Codec::Raw => 0x55,
            Codec::DagPb => 0x70,
        };
        // Each of these is below 128, and so its own varint: a digest of 32 bytes, or an inline block below the bound.
        let len = u8::try_from(digest.len()).unwrap_or(u8::MAX);
        let head: &[u8] = match self.version {
            Version::V0 => &[kind, len],
            Version::V1 => &[1, codec, kind, len],
        };
        [head, digest].concat()
    }
}

impl FromStr for Cid {
    type Err = BadCid;

    fn from_str(text: &str) -> Result<Self, BadCid> {
        if text.len() > MAX_TEXT || !text.is_ascii() {
            return Err(BadCid::Spelling);
        }
        let bytes = match text.as_bytes().first() {
            Some(b'Q') if text.starts_with("Qm") && text.len() == 46 => base58(text),
            Some(b'b') => base32(&text[1..]),
            Some(b'z') => base58(&text[1..]),
            Some(b'f') => {
                hex::decode(&text[1..]).ok().filter(|_| !text.bytes().any(|b| b.is_ascii_uppercase()))
            }
            _ => None,
        };
        let bytes = bytes.ok_or(BadCid::Spelling)?;
        match Self::read(&bytes)? {
            (cid, used) if used == bytes.len() && (cid.version == Version::V0) == text.starts_with("Qm") => {
                Ok(cid)
            }
            _ => Err(BadCid::Malformed),
        }
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        match self.version {
            Version::V0 => f.write_str(&to_base58(&bytes)),
            Version::V1 => write!(f, "b{}", to_base32(&bytes)),
        }
    }
}

/// Reads a number of seven bits a byte, in its shortest form.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 {
                return None;
            }
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

fn base58(text: &str) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    for digit in text.bytes() {
        let mut carry = BASE58.iter().position(|char| *char == digit)?;
        for byte in bytes.iter_mut() {
            carry += usize::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push((carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    bytes.extend(text.bytes().take_while(|digit| *digit == b'1').map(|_| 0));
    bytes.reverse();
    Some(bytes)
}

fn to_base58(bytes: &[u8]) -> String {
    let mut digits: Vec<usize> = Vec::new();
    for byte in bytes {
        let mut carry = usize::from(*byte);
        for digit in digits.iter_mut() {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).map(|_| &0);
    zeros.chain(digits.iter().rev()).map(|digit| char::from(BASE58[*digit])).collect()
}

fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0u32, 0);
    for digit in text.bytes() {
        buffer = buffer << 5 | u32::try_from(BASE32.iter().position(|char| *char == digit)?).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits & 0xff) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    // What is left over is less than a digit, and nothing.
    (bits < 5 && buffer == 0).then_some(bytes)
}

fn to_base32(bytes: &[u8]) -> String {
    let (mut text, mut buffer, mut bits) = (String::new(), 0u32, 0);
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(buffer >> bits & 31) as usize]));
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(BASE32[(buffer << (5 - bits) & 31) as usize]));
    }
    text
}

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Longest block inside an identifier; below 128, so that its length takes one byte.
const MAX_INLINE: usize = 127;
/// An inline block of that length, in the longest spelling.
const MAX_TEXT: usize = 2 * (MAX_INLINE + 4) + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_identifier_agree() {
        // "hello world" as a raw block; pairs from the multiformats' own descriptions.
        let v1 = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
        let cid: Cid = v1.parse().unwrap();
        assert!(cid.names(b"hello world") && !cid.names(b"hello world\n"));
        assert_eq!(cid.to_string(), v1);
        let hex = format!("f{}", hex::encode(cid.bytes()));
        assert_eq!(hex.parse::<Cid>().unwrap(), cid);
        assert_eq!(format!("z{}", to_base58(&cid.bytes())).parse::<Cid>().unwrap(), cid);
        // The empty folder.
        let v0 = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
        let cid: Cid = v0.parse().unwrap();
        assert!(cid.names(&[0x0a, 0x02, 0x08, 0x01]));
        assert_eq!(cid.to_string(), v0);
    }

    #[test]
    fn what_can_not_be_checked_is_refused() {
        for (text, error) in [
            ("", BadCid::Spelling),
            ("Qm", BadCid::Spelling),
            ("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3N0", BadCid::Spelling),
            ("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5", BadCid::Spelling),
            ("BAFKREIFZJUT3TE2NHYEKKLSS27NH3K72YSCO7Y32KOAO5EEI66WOF36N5E", BadCid::Spelling),
            ("f017112200000000000000000000000000000000000000000000000000000000000000000", BadCid::Codec),
            ("f015513200000000000000000000000000000000000000000000000000000000000000000", BadCid::Hash),
            ("f0155122000", BadCid::Malformed),
            ("f1220", BadCid::Malformed),
        ] {
            assert_eq!(text.parse::<Cid>(), Err(error), "{text}");
        }
    }

    #[test]
    fn numbers_have_one_form() {
        assert_eq!(varint(&mut [0x7f].as_slice()), Some(127));
        assert_eq!(varint(&mut [0x80, 0x01].as_slice()), Some(128));
        assert_eq!(
            varint(&mut [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01].as_slice()),
            Some(u64::MAX)
        );
        for bad in [&[0x80, 0x00][..], &[0x80], &[], &[0xff; 10]] {
            assert_eq!(varint(&mut &bad[..]), None);
        }
    }
}
