//! Checking a match, and releasing the secret to its enclave.

use super::kept::{BadKept, KeptTask};
use crate::endorsements::{FetchError, Sources, fetch};
use crate::objects::StoreSource;
use k256::ecdsa::SigningKey;
use pox_core::endorsement::Endorsement;
use pox_core::evidence::Evidence;
use pox_core::history::At;
use pox_core::s3::{BucketAccess, split_location};
use pox_core::secret::{
    Crypt4ghAccess, Crypt4ghKey, InputAccess, InputSecret, MAX_SECRET_BYTES, ObjectKey, Secret, SignedSecret,
};
use pox_core::signature::address_of;
use pox_core::{Address, Party, TaskId, UnixTime};
use pox_seal::age::{AgeError, seal_bytes};
use pox_seal::dataset::{OpenError, file_keys};
use pox_seal::{BadKey, Identity, OsRandom, Recipient};
use pox_store::{Access, Location, SignError, Store};
use pox_verify::evidence::{KeyEvidence, KeyEvidenceRejection, KeyExpectation, check_key_evidence};
use pox_verify::{Anchors, Policy, Verified};
use std::collections::BTreeSet;
use std::ops::Deref;

/// A secret can't be released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// What the owner kept is damaged.
    #[error(transparent)]
    Kept(#[from] BadKept),
    /// The evidence is not one that the owner's policy accepts.
    #[error(transparent)]
    Evidence(#[from] KeyEvidenceRejection),
    /// What endorses the evidence can't be had now.
    #[error(transparent)]
    Endorsements(#[from] FetchError),
    /// An input is not where it was, or not readable.
    #[error("input at {location}: {source}")]
    Storage {
        /// Where it should be.
        location: String,
        /// Why it can't be read.
        source: pox_store::Error,
    },
    /// A place is none.
    #[error("{0:?} is no location")]
    Location(String),
    /// An input does not open with the owner's identity.
    #[error("input at {location}: {source}")]
    Input {
        /// Where it is.
        location: String,
        /// Why.
        source: OpenError,
    },
    /// The enclave's recipient is no key.
    #[error("the enclave's recipient: {0}")]
    Recipient(#[from] BadKey),
    /// Arguments, keys and edit lists together are more than a secret has room for.
    #[error("the secret has {0} bytes, and no enclave takes more than {MAX_SECRET_BYTES}")]
    TooLarge(usize),
    /// A place is in a bucket, and there are no keys to give to the enclave.
    #[error(transparent)]
    Keys(#[from] SignError),
    /// Another key than the party's, or its delegate's.
    #[error("only {needed} can release here, and this account is {actual}")]
    Signer {
        /// Whose signature enclave and contract take.
        needed: Address,
        /// Whose key is at hand.
        actual: Address,
    },
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] AgeError),
}

/// A match whose evidence the owner's policy accepts: the only thing to which a secret is released.
///
/// It holds on to the kept task that it was checked for, and that one's secret is all that it releases.
///
/// ```no_run
/// # use pox_node::owner::{FoundMatch, KeptTask, ReleaseError, check_match};
/// # fn f(mut kept: KeptTask, other: KeptTask, found: FoundMatch<'_>, key: &k256::ecdsa::SigningKey, identity: &pox_seal::Identity,
/// # access: &pox_store::Access, anchors: &pox_verify::Anchors) -> Result<Vec<u8>, ReleaseError> {
/// let checked = check_match(&kept, &found, &[], pox_core::UnixTime(0), anchors, None)?;
/// checked.release(identity, key, access)
/// # }
/// ```
///
/// No other can take its place in between:
///
/// ```compile_fail,E0506
/// # use pox_node::owner::{FoundMatch, KeptTask, ReleaseError, check_match};
/// # fn f(mut kept: KeptTask, other: KeptTask, found: FoundMatch<'_>, key: &k256::ecdsa::SigningKey, identity: &pox_seal::Identity,
/// # access: &pox_store::Access, anchors: &pox_verify::Anchors) -> Result<Vec<u8>, ReleaseError> {
/// let checked = check_match(&kept, &found, &[], pox_core::UnixTime(0), anchors, None)?;
/// kept = other;
/// checked.release(identity, key, access)
/// # }
/// ```
#[derive(Debug)]
pub struct CheckedMatch<'a> {
    kept: &'a KeptTask,
    enclave: Address,
    evidence: Verified<KeyEvidence>,
}

impl ReleaseError {
    /// The code to reject the match with, if the match is at fault.
    pub fn reject_reason(&self) -> Option<u8> {
        match self {
            Self::Evidence(rejection) => rejection.reason.map(|reason| reason.code()),
            _ => None,
        }
    }
}

/// A match, as the owner finds it in the chain.
#[derive(Debug, Clone, Copy)]
pub struct FoundMatch<'a> {
    /// The processor that matched.
    pub processor: Address,
    /// The enclave that it names.
    pub enclave: Address,
    /// The evidence that it carries.
    pub evidence: &'a [u8],
    /// Where the request stands in the chain.
    pub requested: At,
    /// Where the match does.
    pub matched: At,
}

/// Fetches what the vendors say now of the platform of an evidence: nothing for simulated kinds, and for bytes that are none.
///
/// # Errors
/// A vendor's service can't be asked: that says nothing about the evidence.
pub fn endorsed(evidence: &[u8], sources: &Sources) -> Result<Vec<Endorsement>, ReleaseError> {
    match Evidence::parse(evidence) {
        Ok(evidence) => Ok(fetch(evidence.kind, &[evidence.quote], &[], sources)?),
        // The check says what is wrong with it.
        Err(_) => Ok(Vec::new()),
    }
}

/// Checks a match's evidence as the owner must before it releases anything.
///
/// `endorsements` are what the vendors say of the platform now; simulated kinds need none. The evidence has to pass the request's
/// policy, the party's own that it kept with the task, and `own`.
///
/// # Errors
/// The evidence is not of this task, processor and enclave, or the policy does not accept it; the rejection names the code for `reject`.
pub fn check_match<'a>(
    kept: &'a KeptTask,
    found: &FoundMatch<'_>,
    endorsements: &[Endorsement],
    now: UnixTime,
    anchors: &Anchors,
    own: Option<&Policy>,
) -> Result<CheckedMatch<'a>, ReleaseError> {
    let (request, policy, kept_own) = (kept.request()?, kept.policy()?, kept.own_policy()?);
    let own_policies: Vec<_> = kept_own.iter().chain(own).collect();
    let domain = &kept.domain;
    let expected = KeyExpectation {
        domain,
        request: &request,
        policy: &policy,
        own_policies: &own_policies,
        processor: found.processor,
        enclave: found.enclave,
        requested: found.requested,
        matched: found.matched,
        endorsements,
        now,
        anchors,
    };
    let evidence = check_key_evidence(found.evidence, &expected)?;
    Ok(CheckedMatch { kept, enclave: found.enclave, evidence })
}

impl CheckedMatch<'_> {
    /// What the evidence shows.
    pub fn evidence(&self) -> &Verified<KeyEvidence> {
        &self.evidence
    }

    /// Makes the party's signed and sealed secret for the enclave: `approve` or `release` carries it.
    ///
    /// # Errors
    /// An input's keys can't be had, or sealing fails.
    pub fn release(
        &self,
        identity: &Identity,
        account: &SigningKey,
        access: &Access,
    ) -> Result<Vec<u8>, ReleaseError> {
        let (kept, task) = (self.kept, self.kept.task()?);
        let actual = address_of(account.verifying_key());
        if let Some(needed) = kept.request()?.signer_of(kept.party).filter(|needed| *needed != actual) {
            return Err(ReleaseError::Signer { needed, actual });
        }
        let secret = secret_of(kept, task, identity, access)?;
        if secret.len() > MAX_SECRET_BYTES {
            return Err(ReleaseError::TooLarge(secret.len()));
        }
        let recipient = Recipient::from_hybrid_public_key(&self.evidence.recipient)?;
        let sealed = seal_bytes(&[recipient], &secret, &mut OsRandom)?;
        Ok(SignedSecret::sign(&kept.domain, task, self.enclave, sealed, account).to_bytes())
    }
}

/// What the party tells the enclave: its places and keys, and the owner the terms beside them. Wiped when it is dropped.
fn secret_of(
    kept: &KeptTask,
    task: TaskId,
    identity: &Identity,
    access: &Access,
) -> Result<impl Deref<Target = Vec<u8>>, ReleaseError> {
    let inputs = kept.inputs.iter().map(|location| input_access(location, identity, access));
    let inputs = inputs.collect::<Result<_, _>>()?;
    let buckets = buckets(kept, access)?;
    if kept.party != Party::OWNER {
        return Ok(InputSecret { task, inputs, buckets }.to_bytes());
    }
    let secret = Secret {
        task,
        terms: kept.terms()?,
        image: kept.image.clone(),
        inputs,
        results: kept.results.clone(),
        recipients: kept.recipients.clone(),
        buckets,
        runs: kept.runs()?,
    };
    Ok(secret.to_bytes())
}

/// The keys to every bucket that the party's places are in; a co-owner has none for results.
fn buckets(kept: &KeptTask, access: &Access) -> Result<Option<Vec<BucketAccess>>, ReleaseError> {
    let places = kept.inputs.iter().chain([&kept.results]);
    let names: BTreeSet<_> = places.filter_map(|place| Some(split_location(place)?.0)).collect();
    let buckets = names.into_iter().map(|name| access.dangerous_keys(name)).collect::<Result<Vec<_>, _>>()?;
    Ok(if buckets.is_empty() { None } else { Some(buckets) })
}

fn input_access(location: &str, identity: &Identity, access: &Access) -> Result<InputAccess, ReleaseError> {
    let parsed: Location = location.parse().map_err(|_| ReleaseError::Location(location.to_owned()))?;
    let store = Store::open_existing(&parsed, access)
        .map_err(|source| ReleaseError::Storage { location: location.to_owned(), source })?;
    let keys = file_keys(&mut StoreSource::new(store), std::slice::from_ref(identity))
        .map_err(|source| ReleaseError::Input { location: location.to_owned(), source })?;
    let files = keys.contents().map(|(name, content)| Crypt4ghAccess {
        object: name.as_str().to_owned(),
        keys: content.keys().iter().map(|key| Crypt4ghKey(key.dangerous_bytes().to_vec())).collect(),
        edits: content.edits().map(|edits| edits.lengths().to_vec()),
    });
    let files: Vec<_> = files.collect();
    let crypt4gh = if files.is_empty() { None } else { Some(files) };
    let keys = keys.iter().map(|(name, key)| ObjectKey {
        object: name.as_str().to_owned(),
        key: key.dangerous_bytes().to_vec(),
    });
    Ok(InputAccess { location: location.to_owned(), keys: keys.collect(), crypt4gh })
}
