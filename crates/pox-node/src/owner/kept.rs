//! What the owner alone knows of a task, and must keep before the request is sent: without the salts nothing opens.

use pox_core::evidence::EvidenceKind;
use pox_core::leaves::{BadLeaves, Leaf, Leaves};
use pox_core::runs::{BadRuns, MAX_RUNS_BYTES};
use pox_core::secret::{BadTerms, MAX_SECRET_BYTES, Terms};
use pox_core::{
    Address, Amount, B256, CoOwner, CodecError, DatasetCommitment, Domain, ImageDigest, Kinds, MetadataRoot,
    Party, Processors, Request, Resources, Runs, Salt, TaskId, TermsRoot, UnixTime, from_canonical,
    to_canonical,
};
use pox_verify::Policy;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that the owner decides about a task.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the image is.
    pub image: String,
    /// Which image it is.
    pub image_digest: ImageDigest,
    /// What it reads, in order.
    pub inputs: Vec<PlannedInput>,
    /// Program and arguments; empty for the image's own.
    pub args: Vec<String>,
    /// Environment entries, `NAME=value`.
    pub env: Vec<String>,
    /// The runs, if it is a batch.
    pub runs: Option<PlannedRuns>,
    /// Protections that it does without.
    pub accept_missing: Vec<String>,
    /// Catalogue metadata.
    pub metadata: BTreeMap<String, String>,
    /// Which evidence is accepted.
    pub policy: Policy,
    /// Which kinds of TEE are asked for.
    pub kinds: Kinds,
    /// What it may use.
    pub resources: Resources,
    /// Whose key approves in the owner's stead.
    pub delegate: Option<Address>,
    /// What it costs.
    pub price: Amount,
    /// Who may run it.
    pub processors: Processors,
    /// The accounts of that list, if it is one.
    pub listed: BTreeSet<Address>,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// Where the sealed results go.
    pub results: String,
    /// age recipients of the results.
    pub recipients: Vec<String>,
}

/// The runs of a batch, as its owner plans them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedRuns {
    /// So many, which differ by their number alone.
    Count(u16),
    /// One for each list, with these arguments of its own.
    Lists(Vec<Vec<String>>),
}

/// One input of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedInput {
    /// Folder name under `/in`.
    pub name: String,
    /// Whose it is.
    pub source: InputSource,
    /// Which dataset it is.
    pub commitment: DatasetCommitment,
}

/// Who gives an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSource {
    /// The owner, from this place.
    Own(String),
    /// A co-owner, who alone knows where it is.
    Theirs(Address),
}

/// From one step to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Last second in which the task can be matched.
    pub match_by: UnixTime,
    /// Seconds to approve or reject.
    pub approve_within: u32,
    /// Seconds to prove.
    pub prove_within: u32,
}

/// A party's file of a task: the owner's, or a co-owner's, who knows neither terms nor places but its own. It holds no keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptTask {
    /// Chain and contract.
    pub domain: Domain,
    /// Which party's file this is.
    #[serde(default)]
    pub party: Party,
    #[serde(with = "hex::serde")]
    request: Vec<u8>,
    #[serde(with = "hex::serde")]
    terms: Vec<u8>,
    /// Empty where it is no batch.
    #[serde(with = "hex::serde", default, skip_serializing_if = "Vec::is_empty")]
    runs: Vec<u8>,
    #[serde(with = "hex::serde")]
    metadata: Vec<u8>,
    policy: String,
    /// A policy of the party's own, which nobody else knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own_policy: Option<String>,
    /// Where the image is.
    pub image: String,
    /// Where the party's own inputs are, in the order of the request's.
    pub inputs: Vec<String>,
    /// Where the sealed results go.
    pub results: String,
    /// age recipients of the results.
    pub recipients: Vec<String>,
    /// A block before the request: where following the task begins.
    pub from_block: u64,
}

/// A kept task is damaged, or a plan can't become one.
#[derive(Debug, thiserror::Error)]
pub enum BadKept {
    /// The request is none.
    #[error("the request is out of its bounds: {0}")]
    Request(#[from] pox_core::record::BadRecordBytes),
    /// The leaves are none.
    #[error("the kept leaves are damaged: {0}")]
    Leaves(#[from] CodecError),
    /// The terms can't be committed to.
    #[error(transparent)]
    Terms(#[from] BadTerms),
    /// The runs can't be.
    #[error(transparent)]
    Runs(#[from] BadRuns),
    /// Terms and runs leave too little room in the secret for places and keys.
    #[error("terms and runs take {0} bytes of the secret, which has {MAX_SECRET_BYTES} for everything")]
    TooLarge(usize),
    /// The metadata can't be committed to.
    #[error("metadata: {0}")]
    Metadata(#[from] BadLeaves),
    /// The policy is none.
    #[error("the kept policy is damaged: {0}")]
    Policy(#[from] pox_verify::BadPolicy),
    /// The account is no party of the request.
    #[error("the request names {0} neither as its owner nor as a co-owner")]
    NoParty(Address),
    /// The places given are not one for each of the party's inputs.
    #[error("the request has {needed} inputs of this account, and {given} places are given")]
    Places {
        /// How many inputs the request has of the account.
        needed: usize,
        /// How many places were given.
        given: usize,
    },
    /// The policy is not the one that the request commits to.
    #[error("the policy is not the one that the request commits to")]
    OtherPolicy,
    /// The plan asks for a kind that its policy does not accept.
    #[error("the task asks for {0}, which its policy does not accept")]
    Kinds(EvidenceKind),
}

/// Turns a plan into a request and what the owner must keep of it. `from_block` is the newest block now; `salt` gives fresh
/// random words.
///
/// # Errors
/// A part of the plan is out of its bounds.
pub fn prepare(
    plan: &Plan,
    owner: Address,
    domain: &Domain,
    from_block: u64,
    salt: &mut dyn FnMut() -> B256,
) -> Result<(Request, KeptTask), BadKept> {
    if let Some(kind) = plan.kinds.iter().find(|kind| !plan.policy.kinds().contains(*kind)) {
        return Err(BadKept::Kinds(kind));
    }
    let runs = plan.runs.as_ref().map(|planned| planned.seeded(salt())).transpose()?;
    let terms = plan.terms(runs.as_ref()).leaves(std::iter::repeat_with(&mut *salt))?;
    let runs = runs.map(|runs| to_canonical(&runs)).unwrap_or_default();
    let size = terms.to_bytes().len() + runs.len();
    if size > MAX_SECRET_BYTES - ROOM_FOR_PLACES {
        return Err(BadKept::TooLarge(size));
    }
    let metadata = plan.metadata_leaves(salt)?;
    let request = plan.request(owner, &terms, &metadata, Salt(salt()));
    // A request that the contract would refuse is refused here.
    let request = Request::parse(&request.to_bytes())?;
    let own = |input: &PlannedInput| match &input.source {
        InputSource::Own(place) => Some(place.clone()),
        InputSource::Theirs(_) => None,
    };
    let kept = KeptTask {
        domain: *domain,
        party: Party::OWNER,
        request: request.to_bytes(),
        terms: terms.to_bytes(),
        runs,
        metadata: metadata.to_bytes(),
        policy: text_of(&plan.policy),
        own_policy: None,
        image: plan.image.clone(),
        inputs: plan.inputs.iter().filter_map(own).collect(),
        results: plan.results.clone(),
        recipients: plan.recipients.clone(),
        from_block,
    };
    Ok((request, kept))
}

impl Plan {
    fn terms(&self, runs: Option<&Runs>) -> Terms {
        Terms {
            runs: runs.and_then(Runs::committed),
            args: self.args.clone(),
            env: self.env.clone(),
            inputs: self.inputs.iter().map(|input| input.name.clone()).collect(),
            accept_missing: self.accept_missing.clone(),
        }
    }

    fn metadata_leaves(&self, salt: &mut dyn FnMut() -> B256) -> Result<Leaves, BadLeaves> {
        let leaf = |(name, value): (&String, &String)| Leaf {
            salt: salt(),
            name: name.clone(),
            value: value.clone().into_bytes(),
        };
        Leaves::new(self.metadata.iter().map(leaf).collect())
    }

    fn request(&self, owner: Address, terms: &Leaves, metadata: &Leaves, salt: Salt) -> Request {
        Request {
            owner,
            processors: self.processors,
            price: self.price,
            image: self.image_digest,
            inputs: self.inputs.iter().map(|input| input.commitment).collect(),
            terms: TermsRoot(terms.root()),
            metadata: match self.metadata.is_empty() {
                true => MetadataRoot::ZERO,
                false => MetadataRoot(metadata.root()),
            },
            policy: self.policy.hash(),
            kinds: self.kinds,
            resources: self.resources,
            match_by: self.deadlines.match_by,
            approve_within: self.deadlines.approve_within,
            prove_within: self.deadlines.prove_within,
            salt,
            delegate: self.delegate,
            co_owners: co_owners(&self.inputs),
        }
    }
}

impl PlannedRuns {
    fn seeded(&self, seed: B256) -> Result<Runs, BadRuns> {
        let runs = match self {
            Self::Count(count) => Runs { seed, count: *count, args: None },
            Self::Lists(lists) => {
                let count = u16::try_from(lists.len()).map_err(|_| BadRuns::Count)?;
                let differ = lists.iter().any(|list| !list.is_empty());
                Runs { seed, count, args: differ.then(|| lists.clone()) }
            }
        };
        runs.check()?;
        Ok(runs)
    }
}

/// What a secret needs besides terms and runs: places and file keys of all inputs, recipients, keys to buckets.
const ROOM_FOR_PLACES: usize = 8 * 1024;

/// The inputs of others, by their accounts in ascending order.
fn co_owners(inputs: &[PlannedInput]) -> Vec<CoOwner> {
    let mut others = BTreeMap::<Address, u32>::new();
    for (place, input) in (0u32..).zip(inputs) {
        if let InputSource::Theirs(account) = input.source {
            *others.entry(account).or_default() |= 1u32.checked_shl(place).unwrap_or(0);
        }
    }
    others.into_iter().map(|(account, inputs)| CoOwner { account, inputs }).collect()
}

/// What a co-owner keeps of a task that somebody asked for: where its inputs are, in the order of the request's, and the policy,
/// whose hash the request commits to.
///
/// # Errors
/// The account is no co-owner, or places or policy don't fit.
pub fn join(
    request: &Request,
    account: Address,
    places: Vec<String>,
    policy: &Policy,
    domain: &Domain,
    from_block: u64,
) -> Result<KeptTask, BadKept> {
    let party = request.party_of(account).filter(|party| *party != Party::OWNER);
    let party = party.ok_or(BadKept::NoParty(account))?;
    let (needed, given) = (request.inputs_of(party).count(), places.len());
    if needed != given {
        return Err(BadKept::Places { needed, given });
    }
    if policy.hash() != request.policy {
        return Err(BadKept::OtherPolicy);
    }
    Ok(KeptTask {
        domain: *domain,
        party,
        request: request.to_bytes(),
        terms: Leaves::default().to_bytes(),
        runs: Vec::new(),
        metadata: Leaves::default().to_bytes(),
        policy: text_of(policy),
        own_policy: None,
        image: String::new(),
        inputs: places,
        results: String::new(),
        recipients: Vec::new(),
        from_block,
    })
}

fn text_of(policy: &Policy) -> String {
    String::from_utf8_lossy(&policy.canonical_bytes()).into_owned()
}

impl KeptTask {
    /// The same task, to whose enclave nothing is released unless this policy accepts its evidence too.
    #[must_use]
    pub fn with_own_policy(self, policy: &Policy) -> Self {
        Self { own_policy: Some(text_of(policy)), ..self }
    }

    /// Whether all of it can be read: better to know now than when it is needed.
    ///
    /// # Errors
    /// A part is damaged.
    pub fn check(&self) -> Result<(), BadKept> {
        self.request()?;
        self.terms()?;
        self.runs()?;
        self.metadata()?;
        self.policy()?;
        self.own_policy().map(drop)
    }

    /// The request.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn request(&self) -> Result<Request, BadKept> {
        Ok(Request::parse(&self.request)?)
    }

    /// The task's id.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn task(&self) -> Result<TaskId, BadKept> {
        Ok(self.request()?.id(&self.domain))
    }

    /// The terms with their salts.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn terms(&self) -> Result<Leaves, BadKept> {
        Ok(Leaves::parse(&self.terms)?)
    }

    /// The runs with the seed of their salts, if it is a batch.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn runs(&self) -> Result<Option<Runs>, BadKept> {
        if self.runs.is_empty() {
            return Ok(None);
        }
        let runs: Runs = from_canonical(&self.runs, MAX_RUNS_BYTES)?;
        runs.check()?;
        Ok(Some(runs))
    }

    /// The metadata with its salts, if there is any.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn metadata(&self) -> Result<Option<Leaves>, BadKept> {
        let leaves = Leaves::parse(&self.metadata)?;
        let is_empty = leaves.iter().next().is_none();
        Ok(if is_empty { None } else { Some(leaves) })
    }

    /// The evidence policy that the request commits to.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn policy(&self) -> Result<Policy, BadKept> {
        Ok(Policy::parse(self.policy.as_bytes())?)
    }

    /// The party's own, if it has one.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn own_policy(&self) -> Result<Option<Policy>, BadKept> {
        Ok(self.own_policy.as_ref().map(|text| Policy::parse(text.as_bytes())).transpose()?)
    }
}
