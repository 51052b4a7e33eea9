//! Keys and their text forms.

use crate::age::{hybrid, x25519};
use crate::kdf;
use crate::memory::Kept;
use crate::random::{NoRandomness, Randomness, draw};
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Checksum, Hrp};
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Largest identity file that is parsed: far above what anybody keeps by hand, small enough to hold in memory.
pub const MAX_IDENTITY_FILE: usize = 256 * 1024;

/// The key of one sealed file: 16 random bytes, used for that file only.
///
/// Whoever holds it reads that file and no other. An enclave is given the file keys of its task's inputs inside the
/// secret, so granting access never rewrites data. Wiped when dropped, never printed, not `Clone`.
pub struct FileKey(pub(crate) Kept<Zeroizing<[u8; 16]>>);

impl FileKey {
    /// Draws a new key.
    pub fn generate(random: &mut dyn Randomness) -> Result<Self, NoRandomness> {
        draw(random).map(Self::keep)
    }

    /// Takes a key that travelled as bytes.
    ///
    /// The length names the format of the sealed file; 16 bytes mean age v1, and nothing else is accepted yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadKey> {
        let mut key = Zeroizing::new([0; 16]);
        if bytes.len() != key.len() {
            return Err(BadKey::Length);
        }
        key.copy_from_slice(bytes);
        Ok(Self::keep(key))
    }

    pub(crate) fn keep(key: Zeroizing<[u8; 16]>) -> Self {
        Self(Kept::new(key))
    }

    /// The same key once more, for somebody with a lifetime of their own.
    pub(crate) fn again(&self) -> Self {
        Self::keep(self.0.clone())
    }

    /// Shows the key's bytes, to put them into a sealed message and nowhere else.
    pub fn dangerous_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// Computes the public commitment to this key, for the file with this payload nonce.
    ///
    /// `HKDF-SHA-256(ikm = file key, salt = payload nonce, info = "pox-key-commitment-v1")`, 32 bytes. It binds: two
    /// keys with one commitment are a collision in SHA-256. It hides: the key is uniform, and the nonce, which is
    /// different in each file, stops one guess from being tried on all files at once. The nonce lies in the
    /// ciphertext, so ciphertext digest and commitment together fix the plaintext.
    pub(crate) fn commitment(&self, nonce: &[u8; 16]) -> KeyCommitment {
        KeyCommitment(*kdf::hkdf(self.0.as_ref(), nonce, b"pox-key-commitment-v1"))
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// A public, binding, hiding commitment to a file key; compared in constant time.
#[derive(Clone, Copy, Eq)]
pub struct KeyCommitment(pub(crate) [u8; 32]);

impl KeyCommitment {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for KeyCommitment {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for KeyCommitment {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for KeyCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCommitment({self})")
    }
}

/// A text or byte string isn't a key. Never repeats the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The text isn't Bech32, or its checksum is wrong.
    #[error("not a key: the text is no Bech32 or was mistyped")]
    Text,
    /// The text is Bech32 of another kind.
    #[error("not a key of a kind that is known here")]
    Kind,
    /// The key is too long or too short for its kind.
    #[error("a key with the wrong length")]
    Length,
    /// The bytes are no point or polynomial of the algorithm.
    #[error("a key that its algorithm doesn't allow")]
    Value,
    /// An identity file holds no identity.
    #[error("no identity in the file")]
    NoIdentity,
    /// An identity file is larger than anybody's.
    #[error("an identity file over 256 KiB")]
    TooLarge,
}

/// Which algorithm a new identity uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityKind {
    /// X25519 and ML-KEM-768 together: safe while either is. Needs age 1.3 or later on the other side.
    #[default]
    Hybrid,
    /// X25519 alone: for age clients older than 1.3.
    X25519,
}

/// A secret key that opens files sealed for its recipient. Wiped when dropped, never printed.
pub struct Identity(pub(crate) Secret);

/// What an identity is made of.
pub(crate) enum Secret {
    X25519(Kept<x25519_dalek::StaticSecret>),
    Hybrid(Kept<Zeroizing<[u8; 32]>>),
    Passphrase(Zeroizing<String>),
}

impl Identity {
    /// Draws a new identity.
    pub fn generate(kind: IdentityKind, random: &mut dyn Randomness) -> Result<Self, NoRandomness> {
        let seed = draw::<32>(random)?;
        Ok(Self::from_seed(kind, seed))
    }

    /// Takes a passphrase, which opens files that `age -p` sealed. It has no recipient and no text form.
    pub fn from_passphrase(passphrase: Zeroizing<String>) -> Self {
        Self(Secret::Passphrase(passphrase))
    }

    /// The recipient to which files must be sealed so that this identity opens them; none for a passphrase.
    pub fn recipient(&self) -> Option<Recipient> {
        match &self.0 {
            Secret::X25519(secret) => Some(Recipient(Public::X25519((&**secret).into()))),
            Secret::Hybrid(seed) => {
                hybrid::public_key(seed).map(|key| Recipient(Public::Hybrid(Box::new(key))))
            }
            Secret::Passphrase(_) => None,
        }
    }

    /// The secret's text: `AGE-SECRET-KEY-…` or `AGE-SECRET-KEY-PQ-…`; none for a passphrase.
    pub fn dangerous_text(&self) -> Option<Zeroizing<String>> {
        let (hrp, bytes) = match &self.0 {
            Secret::X25519(secret) => (X25519_SECRET, secret.as_bytes()),
            Secret::Hybrid(seed) => (HYBRID_SECRET, &***seed),
            Secret::Passphrase(_) => return None,
        };
        Some(Zeroizing::new(to_bech32(hrp, bytes).to_ascii_uppercase()))
    }

    fn from_seed(kind: IdentityKind, seed: Zeroizing<[u8; 32]>) -> Self {
        Self(match kind {
            IdentityKind::X25519 => Secret::X25519(Kept::new(x25519_dalek::StaticSecret::from(*seed))),
            IdentityKind::Hybrid => Secret::Hybrid(Kept::new(seed)),
        })
    }
}

impl FromStr for Identity {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        // age writes secrets in upper case only, which keeps them apart from recipients at a glance.
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(BadKey::Kind);
        }
        let (hrp, bytes) = from_bech32(text)?;
        let kind = match hrp.as_str() {
            X25519_SECRET => IdentityKind::X25519,
            HYBRID_SECRET => IdentityKind::Hybrid,
            _ => return Err(BadKey::Kind),
        };
        let mut seed = Zeroizing::new([0; 32]);
        if bytes.len() != seed.len() {
            return Err(BadKey::Length);
        }
        seed.copy_from_slice(&bytes);
        Ok(Self::from_seed(kind, seed))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Reads an identity file as `age-keygen` writes it: one identity a line, `#` starts a comment line.
pub fn parse_identities(text: &str) -> Result<Vec<Identity>, BadKey> {
    if text.len() > MAX_IDENTITY_FILE {
        return Err(BadKey::TooLarge);
    }
    let identities = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::parse)
        .collect::<Result<Vec<Identity>, _>>()?;
    if identities.is_empty() { Err(BadKey::NoIdentity) } else { Ok(identities) }
}

/// A public key for which files are sealed. Its text form is `age1…` or `age1pq1…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(pub(crate) Public);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Public {
    X25519(x25519_dalek::PublicKey),
    Hybrid(Box<hybrid::PublicKey>),
}

impl Recipient {
    /// Which algorithm it uses.
    pub fn kind(&self) -> IdentityKind {
        match &self.0 {
            Public::X25519(_) => IdentityKind::X25519,
            Public::Hybrid(_) => IdentityKind::Hybrid,
        }
    }

    /// The public key's bytes: 32 for X25519, 1,216 for a hybrid one (ML-KEM-768's, then X25519's).
    pub fn public_key(&self) -> Vec<u8> {
        match &self.0 {
            Public::X25519(key) => key.as_bytes().to_vec(),
            Public::Hybrid(key) => hybrid::public_key_bytes(key),
        }
    }

    /// Takes a hybrid recipient from its public key's 1,216 bytes.
    ///
    /// # Errors
    /// The bytes are no public key.
    pub fn from_hybrid_public_key(bytes: &[u8]) -> Result<Self, BadKey> {
        hybrid::parse_public_key(bytes).map(|key| Self(Public::Hybrid(Box::new(key))))
    }
}

impl FromStr for Recipient {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(BadKey::Kind);
        }
        let (hrp, bytes) = from_bech32(text)?;
        match hrp.as_str() {
            X25519_PUBLIC => {
                let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| BadKey::Length)?;
                let key = x25519_dalek::PublicKey::from(bytes);
                if !x25519::is_usable(&key) {
                    return Err(BadKey::Value);
                }
                Ok(Self(Public::X25519(key)))
            }
            HYBRID_PUBLIC => hybrid::parse_public_key(&bytes).map(|key| Self(Public::Hybrid(Box::new(key)))),
            _ => Err(BadKey::Kind),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match &self.0 {
            Public::X25519(key) => to_bech32(X25519_PUBLIC, key.as_bytes()),
            Public::Hybrid(key) => to_bech32(HYBRID_PUBLIC, &hybrid::public_key_bytes(key)),
        })
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

/// Bech32 without its length limit, as age uses it: a hybrid recipient has almost 2,000 characters.
enum LongBech32 {}

impl Checksum for LongBech32 {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32 as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32::ROOT_GENERATOR;
    const ROOT_EXPONENTS: std::ops::RangeInclusive<usize> = Bech32::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = 4096;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [Self::MidstateRepr; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: Self::MidstateRepr = Bech32::TARGET_RESIDUE;
}

/// Gives the lower-case human-readable part and the bytes.
fn from_bech32(text: &str) -> Result<(String, Zeroizing<Vec<u8>>), BadKey> {
    let checked = CheckedHrpstring::new::<LongBech32>(text).map_err(|_| BadKey::Text)?;
    // Left-over bits are padding: fewer than a symbol has, and zero.
    checked.validate_segwit_padding().map_err(|_| BadKey::Text)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    bytes.extend(checked.byte_iter());
    Ok((checked.hrp().to_lowercase(), bytes))
}

fn to_bech32(hrp: &str, bytes: &[u8]) -> String {
    let hrp = Hrp::parse_unchecked(hrp);
    bech32::encode::<LongBech32>(hrp, bytes).expect("every key is far shorter than the code's 4096 symbols")
}

const X25519_PUBLIC: &str = "age";
const X25519_SECRET: &str = "age-secret-key-";
const HYBRID_PUBLIC: &str = "age1pq";
const HYBRID_SECRET: &str = "age-secret-key-pq-";
