//! Keys of readers, and keys of files.

use super::{BadEdits, EditList};
use crate::hashing::Blake3Digest;
use crate::keys::{KeyCommitment, Secret};
use crate::random::{NoRandomness, Randomness, draw};
use crate::{age, kdf};
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Most data keys of one file: each may be tried on each segment.
pub const MAX_DATA_KEYS: usize = 64;

/// A reader's secret key. Wiped when dropped, never printed.
pub struct Identity {
    pub(super) secret: StaticSecret,
    pub(super) public: PublicKey,
}

impl Identity {
    /// Takes a key's 32 bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*bytes);
        Self { public: PublicKey::from(&secret), secret }
    }

    /// The Crypt4GH key that belongs to a data identity, so that whoever keeps the one has the other; none for a passphrase.
    ///
    /// `HKDF-SHA-256(ikm = the identity's 32 bytes, salt = "", info = "pox-crypt4gh-x25519-v1")`.
    pub fn of(identity: &crate::Identity) -> Option<Self> {
        let seed = match &identity.0 {
            Secret::X25519(secret) => secret.as_bytes(),
            Secret::Hybrid(seed) => &**seed,
            Secret::Passphrase(_) => return None,
        };
        Some(Self::from_bytes(&kdf::hkdf::<32>(seed, b"", b"pox-crypt4gh-x25519-v1")))
    }

    /// The recipient for which files must be sealed so that this key opens them.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.public)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// A reader's public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Recipient(pub(super) PublicKey);

impl Recipient {
    /// Takes a key's 32 bytes; none if everybody would know what is shared with it.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let key = PublicKey::from(*bytes);
        age::x25519::is_usable(&key).then_some(Self(key))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", hex::encode(self.as_bytes()))
    }
}

/// The key of a body, or of some of its segments. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(pub(super) Zeroizing<[u8; 32]>);

impl DataKey {
    /// Draws a new key.
    pub fn generate(random: &mut dyn Randomness) -> Result<Self, NoRandomness> {
        draw(random).map(Self)
    }

    /// Takes a key that travelled as bytes; none if they aren't 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// Shows the key's bytes, to put them into a sealed message and nowhere else.
    pub fn dangerous_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// What a header tells one of its readers: the data keys, in the header's order, and the edit list.
///
/// Whoever holds it reads that file and no other. An enclave is given the ones of its task's inputs inside the secret, so
/// granting access never rewrites data.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKeys {
    keys: Vec<DataKey>,
    edits: Option<EditList>,
}

impl ContentKeys {
    /// Puts keys and edit list together; none if there are no keys, or more than [`MAX_DATA_KEYS`].
    ///
    /// A key that is there already is left out: it decides nothing, and two such lists would say the same.
    pub fn new(keys: Vec<DataKey>, edits: Option<EditList>) -> Option<Self> {
        let mut distinct: Vec<DataKey> = Vec::with_capacity(keys.len().min(MAX_DATA_KEYS));
        for key in keys {
            if !distinct.contains(&key) {
                distinct.push(key);
            }
        }
        (1..=MAX_DATA_KEYS).contains(&distinct.len()).then_some(Self { keys: distinct, edits })
    }

    /// A new key, and no edits.
    pub fn generate(random: &mut dyn Randomness) -> Result<Self, NoRandomness> {
        Ok(Self { keys: vec![DataKey::generate(random)?], edits: None })
    }

    /// Takes keys and lengths that travelled apart from a header; no lengths mean no edit list.
    ///
    /// # Errors
    /// The lengths are out of their bounds. The result is none if the keys are.
    pub fn from_parts(keys: Vec<DataKey>, lengths: Option<Vec<u64>>) -> Result<Option<Self>, BadEdits> {
        Ok(Self::new(keys, lengths.map(EditList::new).transpose()?))
    }

    /// The data keys, at least one.
    pub fn keys(&self) -> &[DataKey] {
        &self.keys
    }

    /// The edit list.
    pub fn edits(&self) -> Option<&EditList> {
        self.edits.as_ref()
    }

    /// The public commitment to keys and edit list, for the file with this digest.
    ///
    /// `HKDF-SHA-256(ikm, salt = the digest, info = "pox-crypt4gh-commitment-v1")`, 32 bytes, where `ikm` is the plain text of
    /// the packets that the header would have: each key's, in their order, then the edit list's. It binds: other keys, another
    /// order or other edits with the same commitment are a collision in SHA-256. It hides: a key is uniform, and the digest
    /// stops one guess from being tried on all files at once. A segment opens under the first key that it is authentic for, so
    /// digest and commitment together fix the content.
    pub fn commitment(&self, file: &Blake3Digest) -> KeyCommitment {
        let lengths = self.edits.as_ref().map_or(0, |edits| 8 + 8 * edits.lengths().len());
        let mut packets = Zeroizing::new(Vec::with_capacity(40 * self.keys.len() + lengths));
        super::packet::plain_packets(self).for_each(|packet| packets.extend_from_slice(&packet));
        KeyCommitment(*kdf::hkdf(&packets, file.as_bytes(), b"pox-crypt4gh-commitment-v1"))
    }
}

impl fmt::Debug for ContentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKeys({} keys, {:?})", self.keys.len(), self.edits.as_ref().map(EditList::lengths))
    }
}
