//! The age header: strict and bounded.

use super::stanza::{self, Stanza};
use super::{AgeError, HeaderError, hybrid, passphrase, x25519};
use crate::kdf;
use crate::keys::{FileKey, Identity, Public, Recipient, Secret};
use crate::random::{NoRandomness, Randomness};
use std::io::{BufRead, Read};

/// Largest header that is read: room for 128 hybrid stanzas of 1.6 KB, and not for a memory bomb.
pub const MAX_HEADER: usize = 256 * 1024;

/// Most stanzas in a header: each may cost a public key operation.
pub const MAX_STANZAS: usize = 128;

/// A parsed header. Its MAC isn't checked before a file key is known.
#[derive(Clone, Debug)]
pub struct Header {
    stanzas: Vec<Stanza>,
    /// What the MAC covers: everything up to and including `---`.
    covered: Vec<u8>,
    mac: [u8; 32],
}

impl Header {
    /// Parses exactly one header, from its first to its last byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() > MAX_HEADER {
            return Err(HeaderError::TooLarge);
        }
        let body = bytes.strip_suffix(b"\n").ok_or(HeaderError::Truncated)?;
        let mut lines = body.split(|&byte| byte == b'\n');
        if lines.next() != Some(VERSION) {
            return Err(HeaderError::Version);
        }
        let mut stanzas = Vec::new();
        let mac_line = loop {
            let line = lines.next().ok_or(HeaderError::Truncated)?;
            let Some(first) = line.strip_prefix(b"-> ") else { break line };
            if stanzas.len() == MAX_STANZAS {
                return Err(HeaderError::TooLarge);
            }
            stanzas.push(Stanza::parse(first, &mut lines)?);
        };
        let mac = mac_line.strip_prefix(b"--- ").ok_or(HeaderError::MacLine)?;
        let mac = stanza::decode(mac)?.try_into().map_err(|_| HeaderError::MacLine)?;
        if lines.next().is_some() || stanzas.is_empty() {
            return Err(HeaderError::MacLine);
        }
        // A passphrase authenticates its file, which only holds if nobody else can have sealed it.
        if stanzas.len() > 1 && stanzas.iter().any(|stanza| stanza.tag() == passphrase::TAG) {
            return Err(HeaderError::Mixed);
        }
        let covered = bytes[..bytes.len() - mac_line.len() - 1 + MARK.len()].to_vec();
        Ok(Self { stanzas, covered, mac })
    }

    /// Reads one header and not a byte more; gives its length too.
    pub fn read(reader: &mut impl BufRead) -> Result<(Self, u64), AgeError> {
        let mut bytes = Vec::with_capacity(1024);
        loop {
            let start = bytes.len();
            let allowed = (MAX_HEADER - start) as u64;
            reader.take(allowed).read_until(b'\n', &mut bytes).map_err(AgeError::Io)?;
            let line = &bytes[start..];
            if !line.ends_with(b"\n") {
                return Err(if bytes.len() == MAX_HEADER {
                    HeaderError::TooLarge
                } else {
                    HeaderError::Truncated
                }
                .into());
            }
            if start == 0 && line != [VERSION, b"\n"].concat() {
                return Err(HeaderError::Version.into());
            }
            if line.starts_with(MARK) {
                break;
            }
        }
        Ok((Self::parse(&bytes)?, bytes.len() as u64))
    }

    /// Writes the header of a new file.
    pub(crate) fn seal(
        file_key: &FileKey,
        recipients: &[Recipient],
        random: &mut dyn Randomness,
    ) -> Result<Vec<u8>, SealHeaderError> {
        if recipients.is_empty() {
            return Err(SealHeaderError::NoRecipients);
        }
        if recipients.len() > MAX_STANZAS {
            return Err(SealHeaderError::TooManyRecipients);
        }
        let mut out = [VERSION, b"\n"].concat();
        for recipient in recipients {
            match &recipient.0 {
                Public::X25519(key) => x25519::wrap(file_key, key, random)?,
                Public::Hybrid(key) => hybrid::wrap(file_key, key, random)?,
            }
            .write(&mut out);
        }
        out.extend_from_slice(MARK);
        let mac = kdf::header_mac(file_key.0.as_ref(), &out);
        out.push(b' ');
        out.extend_from_slice(stanza::encode(&mac).as_bytes());
        out.push(b'\n');
        Ok(out)
    }

    /// The stanzas, in order.
    pub fn stanzas(&self) -> &[Stanza] {
        &self.stanzas
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = [VERSION, b"\n"].concat();
        for stanza in &self.stanzas {
            stanza.write(&mut out);
        }
        out.extend_from_slice(MARK);
        out.push(b' ');
        out.extend_from_slice(stanza::encode(&self.mac).as_bytes());
        out.push(b'\n');
        out
    }

    /// Finds the file key that one of the identities unwraps, and checks the header's MAC with it.
    pub(crate) fn unlock(&self, identities: &[Identity]) -> Result<FileKey, AgeError> {
        for identity in identities {
            for stanza in &self.stanzas {
                let key = match &identity.0 {
                    Secret::X25519(secret) => x25519::unwrap(stanza, secret)?,
                    Secret::Hybrid(seed) => hybrid::unwrap(stanza, seed)?,
                    Secret::Passphrase(phrase) => passphrase::unwrap(stanza, phrase)?,
                };
                if let Some(key) = key {
                    self.check(&key)?;
                    return Ok(key);
                }
            }
        }
        Err(AgeError::NoMatch)
    }

    /// Checks the header's MAC: that this key sealed this header.
    pub(crate) fn check(&self, key: &FileKey) -> Result<(), AgeError> {
        match kdf::header_mac_matches(key.0.as_ref(), &self.covered, &self.mac) {
            true => Ok(()),
            false => Err(AgeError::Mac),
        }
    }
}

/// A header can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealHeaderError {
    /// Nobody could open the file.
    #[error("no recipient")]
    NoRecipients,
    /// More recipients than a header may name.
    #[error("more than {MAX_STANZAS} recipients")]
    TooManyRecipients,
    /// A recipient's key makes a secret that anybody knows.
    #[error("a recipient's key isn't usable")]
    BadRecipient,
    /// No randomness for the keys.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

const VERSION: &[u8] = b"age-encryption.org/v1";
const MARK: &[u8] = b"---";
