//! What the owner tells one enclave, sealed: how to run, where the bytes are, with which keys (spec §9).

use crate::abi;
use crate::codec::{CodecError, from_canonical, to_canonical};
use crate::domain::Domain;
use crate::id::{TaskId, TermsRoot};
use crate::leaves::{BadLeaves, Leaf, Leaves};
use crate::party::Party;
use crate::runs::{CommittedRuns, Runs};
use crate::s3::{BucketAccess, split_location};
use crate::signature::{BadSignature, Signature};
use alloy_primitives::{Address, B256, keccak256};
use k256::ecdsa::SigningKey;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Most bytes of a secret before sealing.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;
/// Most bytes of a signed and sealed secret: the signature, an age header, the sealed bytes.
pub const MAX_SEALED_SECRET_BYTES: usize = MAX_SECRET_BYTES + 8 * 1024;
/// Bytes of an age file key.
pub const FILE_KEY_BYTES: usize = 16;
/// Bytes of a data key of a Crypt4GH file.
pub const DATA_KEY_BYTES: usize = 32;
/// Most data keys of one Crypt4GH file.
pub const MAX_DATA_KEYS: usize = 64;
/// Most lengths in the edit list of one Crypt4GH file.
pub const MAX_EDITS: usize = 16_384;
/// Most arguments or environment entries.
pub const MAX_STRINGS: usize = 256;
/// Longest name of an input's folder.
pub const MAX_FOLDER_BYTES: usize = 64;
/// Most objects of one sealed dataset.
pub const MAX_OBJECTS: usize = 64;
/// The terms' leaf that only a batch has.
pub const RUNS_LEAF: &str = "runs";

/// How to run the image: what the terms root commits to (spec §7.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// The program and its arguments; empty to use the image's own.
    pub args: Vec<String>,
    /// Environment entries `NAME=value`, added to the image's own.
    pub env: Vec<String>,
    /// The folder name of each input under `/in`, in the order of the request's inputs.
    pub inputs: Vec<String>,
    /// Protections that the owner does without, by name, if the machine can't give them.
    pub accept_missing: Vec<String>,
    /// The runs, if it is a batch.
    pub runs: Option<CommittedRuns>,
}

/// Where one input is, and the keys of its objects.
#[derive(Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(map)]
pub struct InputAccess {
    /// The folder that holds the sealed dataset's files.
    #[n(0)]
    pub location: String,
    /// Object name and 16-byte file key, in ascending order of the names.
    #[n(1)]
    pub keys: Vec<ObjectKey>,
    /// What opens the Crypt4GH files of a dataset of them, in ascending order of the names; none for other datasets.
    #[n(2)]
    pub crypt4gh: Option<Vec<Crypt4ghAccess>>,
}

/// What opens one Crypt4GH file: what its header says to its readers.
#[derive(Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(map)]
pub struct Crypt4ghAccess {
    /// The file's name.
    #[n(0)]
    pub object: String,
    /// Its data keys, in the order of the header.
    #[n(1)]
    pub keys: Vec<Crypt4ghKey>,
    /// Its edit list; none if it has none.
    #[n(2)]
    pub edits: Option<Vec<u64>>,
}

/// The data key of a Crypt4GH file, 32 bytes.
#[derive(Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(transparent)]
pub struct Crypt4ghKey(#[cbor(n(0), with = "minicbor::bytes")] pub Vec<u8>);

/// The file key of one sealed object.
#[derive(Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(map)]
pub struct ObjectKey {
    /// The object's name.
    #[n(0)]
    pub object: String,
    /// The age file key, 16 bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: Vec<u8>,
}

/// What the enclave learns from the owner (spec §9.2).
#[derive(Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Secret {
    /// The task that this is for.
    #[n(0)]
    pub task: TaskId,
    /// The opened terms.
    #[n(1)]
    pub terms: Leaves,
    /// Where the image's blobs are.
    #[n(2)]
    pub image: String,
    /// Where the owner's own inputs are, in the order of the request's inputs.
    #[n(3)]
    pub inputs: Vec<InputAccess>,
    /// The folder that takes the sealed results.
    #[n(4)]
    pub results: String,
    /// age recipients of the results, the owner's among them.
    #[n(5)]
    pub recipients: Vec<String>,
    /// Keys to the buckets in which inputs are, or to which results go; none rather than an empty list.
    #[n(6)]
    pub buckets: Option<Vec<BucketAccess>>,
    /// The runs of a batch.
    #[n(7)]
    pub runs: Option<Runs>,
}

/// What the enclave learns from a co-owner (spec §9.2).
#[derive(Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct InputSecret {
    /// The task that this is for.
    #[n(0)]
    pub task: TaskId,
    /// Where the co-owner's inputs are, in the order of the request's inputs.
    #[n(3)]
    pub inputs: Vec<InputAccess>,
    /// Keys to the buckets in which they are; none rather than an empty list.
    #[n(6)]
    pub buckets: Option<Vec<BucketAccess>>,
}

/// The keys to buckets that each party gave. They serve what that party gave beside them, and nobody else's: two parties may
/// each have a bucket of one name, and neither can have the other's read.
#[derive(Default)]
pub struct Keyring(Vec<(Party, Vec<BucketAccess>)>);

/// A sealed secret with its party's signature in front, as `approve` and `release` carry it (spec §9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedSecret {
    signature: Signature,
    sealed: Vec<u8>,
}

/// A signed secret is not one that this enclave may take.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadRelease {
    /// Not one for each party.
    #[error("{0} secrets for another number of parties")]
    Count(usize),
    /// Fewer bytes than a signature, or more than the bound.
    #[error("{0} bytes are no signed secret")]
    Length(usize),
    /// The signature is malformed.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Somebody else than the party signed it, or it is for another task or enclave.
    #[error("signed by {0}, not by the one that has to release it, for this task and enclave")]
    NotTheParty(Address),
}

/// Terms are not what the spec says they are.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadTerms {
    /// The leaves are not in order.
    #[error(transparent)]
    Leaves(#[from] BadLeaves),
    /// A leaf is missing, unknown or malformed.
    #[error("leaf {0:?} is missing, unknown or malformed")]
    Leaf(String),
}

impl Terms {
    const NAMES: [&'static str; 4] = ["accept-missing", "args", "env", "inputs"];

    /// The salted leaves; `salts` has one 32-byte random salt for each of four, and a fifth for a batch's runs, in ascending
    /// order of the leaves' names.
    ///
    /// # Errors
    /// A list is too long for a leaf, or holds what spec §7.2 does not allow, or has no salt.
    pub fn leaves(&self, salts: impl IntoIterator<Item = B256>) -> Result<Leaves, BadTerms> {
        self.check()?;
        let lists = [&self.accept_missing, &self.args, &self.env, &self.inputs];
        let lists = Self::NAMES.into_iter().zip(lists.map(to_canonical));
        let runs = self.runs.map(|runs| (RUNS_LEAF, to_canonical(&runs.to_texts())));
        let mut salts = salts.into_iter();
        let leaf = |(name, value): (&str, Vec<u8>)| {
            let salt = salts.next().ok_or_else(|| BadTerms::Leaf(name.to_owned()))?;
            Ok(Leaf { salt, name: name.to_owned(), value })
        };
        Ok(Leaves::new(lists.chain(runs).map(leaf).collect::<Result<_, BadTerms>>()?)?)
    }

    /// Reads the terms from their leaves.
    ///
    /// # Errors
    /// A leaf is missing, unknown or malformed.
    pub fn from_leaves(leaves: &Leaves) -> Result<Self, BadTerms> {
        leaves.check()?;
        let is_known = |name: &str| Self::NAMES.contains(&name) || name == RUNS_LEAF;
        if let Some((name, _)) = leaves.iter().find(|(name, _)| !is_known(name)) {
            return Err(BadTerms::Leaf(name.to_owned()));
        }
        let list = |name: &str| {
            let bad = || BadTerms::Leaf(name.to_owned());
            parse_strings(leaves.value(name).ok_or_else(bad)?).map_err(|_| bad())
        };
        let terms = Self {
            args: list("args")?,
            env: list("env")?,
            inputs: list("inputs")?,
            accept_missing: list("accept-missing")?,
            runs: leaves.value(RUNS_LEAF).map(committed_runs).transpose()?,
        };
        terms.check()?;
        Ok(terms)
    }

    fn check(&self) -> Result<(), BadTerms> {
        let texts =
            |list: &[String]| list.len() <= MAX_STRINGS && !list.iter().any(|text| text.contains('\0'));
        let entry = |text: &String| text.split_once('=').is_some_and(|(name, _)| !name.is_empty());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let folder = |name: &String| {
            (1..=MAX_FOLDER_BYTES).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
        };
        let leaves = [
            ("accept-missing", texts(&self.accept_missing)),
            ("args", texts(&self.args)),
            ("env", texts(&self.env) && self.env.iter().all(entry)),
            ("inputs", texts(&self.inputs) && self.inputs.iter().all(folder)),
        ];
        match leaves.into_iter().find(|(_, holds)| !holds) {
            Some((name, _)) => Err(BadTerms::Leaf(name.to_owned())),
            None => Ok(()),
        }
    }
}

/// Reads the value of the terms' leaf `runs`.
///
/// # Errors
/// It is not what spec §7.2 says.
pub fn committed_runs(value: &[u8]) -> Result<CommittedRuns, BadTerms> {
    let texts = parse_strings(value).ok();
    texts.and_then(|texts| CommittedRuns::from_texts(&texts)).ok_or_else(|| BadTerms::Leaf(RUNS_LEAF.into()))
}

/// Parses the value of one of the terms' leaves: a canonical list of strings.
///
/// # Errors
/// Anything else.
pub fn parse_strings(value: &[u8]) -> Result<Vec<String>, CodecError> {
    from_canonical(value, crate::leaves::MAX_VALUE_BYTES)
}

impl Secret {
    /// The canonical encoding; wiped when dropped.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(to_canonical(self))
    }

    /// Parses the canonical encoding.
    ///
    /// # Errors
    /// Oversized, malformed or not canonical bytes, or a list over its bound.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let secret: Self = from_canonical(bytes, MAX_SECRET_BYTES)?;
        let recipients = (1..=MAX_OBJECTS).contains(&secret.recipients.len());
        let runs = secret.runs.as_ref().is_none_or(|runs| runs.check().is_ok());
        let bounded = recipients && runs && are_bounded(&secret.inputs, secret.buckets.as_deref());
        if bounded { Ok(secret) } else { Err(out_of_bounds()) }
    }

    /// The root that the opened terms belong to.
    pub fn terms_root(&self) -> TermsRoot {
        TermsRoot(self.terms.root())
    }
}

impl InputSecret {
    /// The canonical encoding; wiped when dropped.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(to_canonical(self))
    }

    /// Parses the canonical encoding.
    ///
    /// # Errors
    /// Oversized, malformed or not canonical bytes, or a list over its bound.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        let secret: Self = from_canonical(bytes, MAX_SECRET_BYTES)?;
        let bounded = are_bounded(&secret.inputs, secret.buckets.as_deref());
        if bounded { Ok(secret) } else { Err(out_of_bounds()) }
    }
}

impl Keyring {
    /// Adds what a party gave.
    pub fn add(&mut self, party: Party, buckets: Option<Vec<BucketAccess>>) {
        self.0.extend(buckets.map(|buckets| (party, buckets)));
    }

    /// The keys that a party gave.
    pub fn of(&self, party: Party) -> &[BucketAccess] {
        self.0.iter().find(|(whose, _)| *whose == party).map_or(&[], |(_, buckets)| buckets)
    }

    /// The party's access to the bucket that a location is in; none if it is in no bucket, or in one to which it gave no keys.
    pub fn access(&self, party: Party, location: &str) -> Option<&BucketAccess> {
        let (bucket, _) = split_location(location)?;
        self.of(party).iter().find(|access| access.bucket == bucket)
    }
}

impl core::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(party, buckets)| (party, buckets.len()))).finish()
    }
}

impl core::fmt::Debug for InputSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "InputSecret({}, …)", self.task)
    }
}

fn are_bounded(inputs: &[InputAccess], buckets: Option<&[BucketAccess]>) -> bool {
    let buckets = buckets.is_none_or(|buckets| {
        (1..=MAX_OBJECTS).contains(&buckets.len()) && buckets.iter().all(|bucket| bucket.check().is_ok())
    });
    buckets
        && inputs.iter().all(|input| {
            let files = input.keys.len() <= MAX_OBJECTS
                && input.keys.iter().all(|object| object.key.len() == FILE_KEY_BYTES);
            files && input.crypt4gh.as_deref().is_none_or(|files| input.keys.is_empty() && are_files(files))
        })
}

/// At least one file, each once, in order, with keys and edits within their bounds.
fn are_files(files: &[Crypt4ghAccess]) -> bool {
    (1..=MAX_OBJECTS).contains(&files.len())
        && files.windows(2).all(|pair| pair[0].object < pair[1].object)
        && files.iter().all(|file| {
            (1..=MAX_DATA_KEYS).contains(&file.keys.len())
                && file.keys.iter().all(|key| key.0.len() == DATA_KEY_BYTES)
                && file.edits.as_deref().is_none_or(|edits| (1..=MAX_EDITS).contains(&edits.len()))
        })
}

fn out_of_bounds() -> CodecError {
    CodecError::Malformed { position: 0, reason: "a list or key is out of its bounds".into() }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Secret({}, …)", self.task)
    }
}

impl SignedSecret {
    /// Signs a sealed secret for one task and enclave, with the party's account key.
    pub fn sign(domain: &Domain, task: TaskId, enclave: Address, sealed: Vec<u8>, key: &SigningKey) -> Self {
        let signature = Signature::sign(key, release_digest(domain, task, enclave, &sealed));
        Self { signature, sealed }
    }

    /// Parses the bytes that `approve` carries; says nothing about who signed.
    ///
    /// # Errors
    /// Wrong length or malformed signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRelease> {
        if bytes.len() <= 65 || bytes.len() > MAX_SEALED_SECRET_BYTES {
            return Err(BadRelease::Length(bytes.len()));
        }
        let (signature, sealed) = bytes.split_at(65);
        Ok(Self { signature: Signature::parse(signature)?, sealed: sealed.to_vec() })
    }

    /// The bytes that `approve` carries.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.signature.to_bytes()[..], &self.sealed].concat()
    }

    /// The sealed secret, once the party is known to have signed it for this task and enclave.
    ///
    /// # Errors
    /// Anybody else signed, or for anything else.
    pub fn released_by(
        &self,
        signer: Address,
        domain: &Domain,
        task: TaskId,
        enclave: Address,
    ) -> Result<&[u8], BadRelease> {
        let signed = self.signature.signer(release_digest(domain, task, enclave, &self.sealed))?;
        if signed == signer { Ok(&self.sealed) } else { Err(BadRelease::NotTheParty(signed)) }
    }
}

fn release_digest(domain: &Domain, task: TaskId, enclave: Address, sealed: &[u8]) -> B256 {
    domain.digest(&abi::Release { task: task.0, enclave, secretHash: keccak256(sealed) })
}
