//! Key files as the reference tool writes them: `.pub` and `.sec`, with or without a passphrase.

use super::{Identity, Recipient};
use crate::cipher::AeadKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::pbkdf2;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Largest key file that is parsed: a key and a comment have some hundred bytes.
pub const MAX_KEY_FILE: usize = 64 * 1024;

/// A key file can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyFile {
    /// Larger than any key file.
    #[error("a key file over 64 KiB")]
    TooLarge,
    /// The first or last line, or the base64 between them, isn't a key file's.
    #[error("no Crypt4GH key file")]
    Frame,
    /// A public key where a secret one was asked for, or the other way round.
    #[error("a key file of the other kind")]
    Kind,
    /// An OpenSSH key, which the reference tool takes too.
    #[error("an OpenSSH key, which is not supported here")]
    Ssh,
    /// A field is missing or has another length.
    #[error("a key file with malformed fields")]
    Field,
    /// The key is encrypted in a way that isn't known, or at a cost that nobody asks for.
    #[error("a key file encrypted in an unknown way")]
    Method,
    /// The key is a point of low order.
    #[error("a key that is no usable point")]
    Value,
    /// The passphrase is another.
    #[error("a wrong passphrase, or a damaged key file")]
    Passphrase,
}

/// A secret key file that was read.
#[derive(Debug)]
pub enum SecretKey {
    /// The key lies in it openly.
    Open(Identity),
    /// A passphrase is needed.
    Locked(LockedKey),
}

/// A secret key under a passphrase.
pub struct LockedKey {
    kdf: Kdf,
    salt: Vec<u8>,
    nonce: [u8; 12],
    sealed: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kdf {
    Scrypt,
    Bcrypt { rounds: u32 },
    Pbkdf2 { rounds: NonZeroU32 },
}

impl Recipient {
    /// Reads a `.pub` file.
    ///
    /// # Errors
    /// It is no Crypt4GH public key.
    pub fn from_file(text: &[u8]) -> Result<Self, BadKeyFile> {
        if text.trim_ascii_start().starts_with(b"ssh-") {
            return Err(BadKeyFile::Ssh);
        }
        let bytes = body(text, &["CRYPT4GH PUBLIC KEY"])?;
        let key = bytes.as_slice().try_into().map_err(|_| BadKeyFile::Field)?;
        Self::from_bytes(key).ok_or(BadKeyFile::Value)
    }

    /// The `.pub` file that the reference tool reads.
    pub fn to_file(&self) -> String {
        frame("CRYPT4GH PUBLIC KEY", self.as_bytes())
    }
}

impl Identity {
    /// The `.sec` file that the reference tool reads, without a passphrase.
    pub fn dangerous_file(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        bytes.extend_from_slice(MAGIC);
        for field in [b"none", b"none", &self.secret.as_bytes()[..]] {
            bytes.extend_from_slice(&(field.len() as u16).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        Zeroizing::new(frame("CRYPT4GH PRIVATE KEY", &bytes))
    }
}

impl SecretKey {
    /// Reads a `.sec` file.
    ///
    /// # Errors
    /// It is no Crypt4GH secret key, or protected in a way that isn't known here.
    pub fn from_file(text: &[u8]) -> Result<Self, BadKeyFile> {
        let bytes = body(text, &["CRYPT4GH PRIVATE KEY", "CRYPT4GH ENCRYPTED PRIVATE KEY", OPENSSH])?;
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(match bytes.starts_with(b"openssh-key-v1\0") {
            true => BadKeyFile::Ssh,
            false => BadKeyFile::Field,
        })?;
        let kdf = match field(&mut rest)? {
            b"none" => None,
            name => {
                let (rounds, salt) = field(&mut rest)?.split_first_chunk().ok_or(BadKeyFile::Field)?;
                Some((Kdf::named(name, u32::from_be_bytes(*rounds))?, salt.to_vec()))
            }
        };
        let (cipher, key) = (field(&mut rest)?, field(&mut rest)?);
        // A comment may follow, and nothing else.
        if !rest.is_empty() {
            field(&mut rest)?;
        }
        match (kdf, cipher) {
            _ if !rest.is_empty() => Err(BadKeyFile::Field),
            (None, b"none") => {
                let key = Zeroizing::new(<[u8; 32]>::try_from(key).map_err(|_| BadKeyFile::Field)?);
                Ok(Self::Open(Identity::from_bytes(&key)))
            }
            (Some((kdf, salt)), b"chacha20_poly1305") => {
                let (nonce, sealed) = key.split_first_chunk().ok_or(BadKeyFile::Field)?;
                let fits = sealed.len() == 32 + 16 && !salt.is_empty();
                let locked = LockedKey { kdf, salt, nonce: *nonce, sealed: sealed.to_vec() };
                if fits { Ok(Self::Locked(locked)) } else { Err(BadKeyFile::Field) }
            }
            _ => Err(BadKeyFile::Method),
        }
    }
}

impl LockedKey {
    /// Opens the key. Takes as long as the file asks for: some tenths of a second.
    ///
    /// # Errors
    /// The passphrase is another one, or the file was changed.
    pub fn unlock(&self, passphrase: &str) -> Result<Identity, BadKeyFile> {
        let mut key = Zeroizing::new([0; 32]);
        self.kdf.derive(passphrase.as_bytes(), &self.salt, &mut key)?;
        let mut text = Zeroizing::new([0; 32]);
        let (sealed, tag) = self.sealed.split_last_chunk().ok_or(BadKeyFile::Field)?;
        text.copy_from_slice(sealed.get(..32).ok_or(BadKeyFile::Field)?);
        match AeadKey::new(&key).open(&self.nonce, text.as_mut(), tag) {
            true => Ok(Identity::from_bytes(&text)),
            false => Err(BadKeyFile::Passphrase),
        }
    }
}

impl std::fmt::Debug for LockedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockedKey(..)")
    }
}

impl Kdf {
    fn named(name: &[u8], rounds: u32) -> Result<Self, BadKeyFile> {
        let pbkdf2_rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= MAX_PBKDF2_ROUNDS);
        match name {
            // Its cost is fixed; the file says 0.
            b"scrypt" => Ok(Self::Scrypt),
            b"bcrypt" if (1..=MAX_BCRYPT_ROUNDS).contains(&rounds) => Ok(Self::Bcrypt { rounds }),
            b"pbkdf2_hmac_sha256" => {
                pbkdf2_rounds.map(|rounds| Self::Pbkdf2 { rounds }).ok_or(BadKeyFile::Method)
            }
            _ => Err(BadKeyFile::Method),
        }
    }

    fn derive(self, passphrase: &[u8], salt: &[u8], key: &mut [u8; 32]) -> Result<(), BadKeyFile> {
        match self {
            Self::Scrypt => {
                let params = scrypt::Params::new(14, 8, 1).map_err(|_| BadKeyFile::Method)?;
                scrypt::scrypt(passphrase, salt, &params, key).map_err(|_| BadKeyFile::Method)
            }
            Self::Bcrypt { rounds } => {
                bcrypt_pbkdf::bcrypt_pbkdf(passphrase, salt, rounds, key).map_err(|_| BadKeyFile::Passphrase)
            }
            Self::Pbkdf2 { rounds } => {
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, passphrase, key);
                Ok(())
            }
        }
    }
}

/// The bytes between the first and the last line, if those are of one of these kinds.
fn body(text: &[u8], kinds: &[&str]) -> Result<Zeroizing<Vec<u8>>, BadKeyFile> {
    if text.len() > MAX_KEY_FILE {
        return Err(BadKeyFile::TooLarge);
    }
    let text = std::str::from_utf8(text).map_err(|_| BadKeyFile::Frame)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (first, last) = (lines.next(), lines.next_back());
    let kind = first.and_then(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let end = last.and_then(|line| line.strip_prefix("-----END ")?.strip_suffix("-----"));
    let kind = kind.filter(|kind| end == Some(kind)).ok_or(BadKeyFile::Frame)?;
    if !kinds.contains(&kind) {
        return Err(if kind.starts_with("CRYPT4GH") { BadKeyFile::Kind } else { BadKeyFile::Frame });
    }
    // Room for all of it, so that no part of it is left where it was.
    let mut joined = Zeroizing::new(String::with_capacity(text.len()));
    lines.for_each(|line| joined.push_str(line));
    STANDARD.decode(joined.as_bytes()).map(Zeroizing::new).map_err(|_| BadKeyFile::Frame)
}

fn frame(kind: &str, bytes: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(bytes));
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", *text)
}

/// Takes a field with its length in front, two bytes, big-endian.
fn field<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], BadKeyFile> {
    let (len, bytes) = rest.split_first_chunk().ok_or(BadKeyFile::Field)?;
    let (field, after) =
        bytes.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or(BadKeyFile::Field)?;
    *rest = after;
    Ok(field)
}

const MAGIC: &[u8] = b"c4gh-v1";
const OPENSSH: &str = "OPENSSH PRIVATE KEY";
/// The reference tool writes 100.
const MAX_BCRYPT_ROUNDS: u32 = 1_000;
/// The reference tool would write 100,000.
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8=";
    /// Made by the reference tool, of the key 00 01 02 … 1f; all but the first under the passphrase below.
    const OPEN: &str =
        "YzRnaC12MQAEbm9uZQAEbm9uZQAgAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8ACWEgY29tbWVudA==";
    const LOCKED: [&str; 3] = [
        "YzRnaC12MQAGc2NyeXB0ABQAAAAAJyvHM0GNq9HyAXc5xu7d5AARY2hhY2hhMjBfcG9seTEzMDUAPELifsH53mwA5SQwrGsE2dlUaBTdi+2EV99ND26D8VW5K40RUrVKbI2/NFhgeDaV+s4/jaS2nExa7O4wdA==",
        "YzRnaC12MQAGYmNyeXB0ABQAAABkqquLD0enj+INR7TRTbN2eQARY2hhY2hhMjBfcG9seTEzMDUAPJbKGH2X+qoaVwVH6fqdW/FOM9vATCrIPJ3g17/HDwl/OxOMz+yGY19sgiYEfaU9BTUIemTCHq4KgUYdJAABYw==",
        "YzRnaC12MQAScGJrZGYyX2htYWNfc2hhMjU2ABQAAYag2o2AxMMqPOXCfGua7yVFGgARY2hhY2hhMjBfcG9seTEzMDUAPJK/eAMzA8r5tsGDorN5aY+tBFniNggzyrJewGkQfjX0klOeF2UR48iWW4AVeHk9emfri/nJ0kiURwA4aQ==",
    ];
    const PASSPHRASE: &str = "correct horse";

    fn public(text: &str) -> Result<Recipient, BadKeyFile> {
        Recipient::from_file(text.as_bytes())
    }

    fn secret(base64: &str) -> Result<SecretKey, BadKeyFile> {
        let kind = "CRYPT4GH PRIVATE KEY";
        SecretKey::from_file(format!("-----BEGIN {kind}-----\n{base64}\n-----END {kind}-----\n").as_bytes())
    }

    #[test]
    fn key_files_of_the_reference_tool_are_read() {
        let known = public(&frame("CRYPT4GH PUBLIC KEY", &STANDARD.decode(PUBLIC).unwrap())).unwrap();
        let SecretKey::Open(open) = secret(OPEN).unwrap() else { panic!("it has no passphrase") };
        assert_eq!(open.recipient(), known);
        for locked in LOCKED {
            let SecretKey::Locked(key) = secret(locked).unwrap() else { panic!("it has a passphrase") };
            assert_eq!(key.unlock(PASSPHRASE).unwrap().recipient(), known);
            assert!(matches!(key.unlock("another"), Err(BadKeyFile::Passphrase)));
        }
    }

    #[test]
    fn our_key_files_are_read_again() {
        let identity = Identity::from_bytes(&[9; 32]);
        assert_eq!(public(&identity.recipient().to_file()).unwrap(), identity.recipient());
        let SecretKey::Open(again) = SecretKey::from_file(identity.dangerous_file().as_bytes()).unwrap()
        else {
            panic!("it has no passphrase")
        };
        assert_eq!(again.recipient(), identity.recipient());
    }

    #[test]
    fn what_is_no_key_file_is_refused_by_name() {
        let zero = frame("CRYPT4GH PUBLIC KEY", &[0; 32]);
        assert_eq!(public(&zero), Err(BadKeyFile::Value));
        assert_eq!(public(&frame("CRYPT4GH PUBLIC KEY", &[9; 31])), Err(BadKeyFile::Field));
        assert_eq!(public(&frame("CRYPT4GH PRIVATE KEY", &[9; 32])), Err(BadKeyFile::Kind));
        assert_eq!(public("ssh-ed25519 AAAA"), Err(BadKeyFile::Ssh));
        assert_eq!(public(""), Err(BadKeyFile::Frame));
        assert_eq!(public(&"x".repeat(MAX_KEY_FILE + 1)), Err(BadKeyFile::TooLarge));
        let bytes = STANDARD.decode(LOCKED[0]).unwrap();
        for cut in 0..bytes.len() {
            assert!(secret(&STANDARD.encode(&bytes[..cut])).is_err(), "{cut}");
        }
        let asks_for_hours = STANDARD.decode(LOCKED[1]).unwrap();
        let asks_for_hours: Vec<u8> =
            asks_for_hours.iter().enumerate().map(|(at, byte)| if at == 17 { 0xff } else { *byte }).collect();
        assert!(matches!(secret(&STANDARD.encode(asks_for_hours)), Err(BadKeyFile::Method)));
        let ssh = frame(OPENSSH, b"openssh-key-v1\0rest");
        assert!(matches!(SecretKey::from_file(ssh.as_bytes()), Err(BadKeyFile::Ssh)));
    }
}
