//! What the owner alone knows of a task, and must keep before the request is sent: without the salts nothing opens.

use pox_core::evidence::EvidenceKind;
use pox_core::leaves::{BadLeaves, Leaf, Leaves};
use pox_core::secret::{BadTerms, Terms};
use pox_core::{
    Address, Amount, B256, CodecError, DatasetCommitment, Domain, ImageDigest, Kinds, MetadataRoot, Request,
    Resources, Salt, TaskId, TermsRoot, UnixTime,
};
use pox_verify::Policy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// What it costs.
    pub price: Amount,
    /// The only processor that may run it.
    pub processor: Option<Address>,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// Where the sealed results go.
    pub results: String,
    /// age recipients of the results.
    pub recipients: Vec<String>,
}

/// One input of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedInput {
    /// Folder name under `/in`.
    pub name: String,
    /// Where the sealed dataset is.
    pub location: String,
    /// Which dataset it is.
    pub commitment: DatasetCommitment,
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

/// The owner's file of a task. It holds salts and places, no keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptTask {
    /// Chain and contract.
    pub domain: Domain,
    #[serde(with = "hex::serde")]
    request: Vec<u8>,
    #[serde(with = "hex::serde")]
    terms: Vec<u8>,
    #[serde(with = "hex::serde")]
    metadata: Vec<u8>,
    policy: String,
    /// Where the image is.
    pub image: String,
    /// Where the inputs are, in the order of the request's.
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
    /// The metadata can't be committed to.
    #[error("metadata: {0}")]
    Metadata(#[from] BadLeaves),
    /// The policy is none.
    #[error("the kept policy is damaged: {0}")]
    Policy(#[from] pox_verify::BadPolicy),
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
    let terms = Terms {
        args: plan.args.clone(),
        env: plan.env.clone(),
        inputs: plan.inputs.iter().map(|input| input.name.clone()).collect(),
        accept_missing: plan.accept_missing.clone(),
    };
    let terms = terms.leaves([salt(), salt(), salt(), salt()])?;
    let leaf = |(name, value): (&String, &String)| Leaf {
        salt: salt(),
        name: name.clone(),
        value: value.clone().into_bytes(),
    };
    let metadata = Leaves::new(plan.metadata.iter().map(leaf).collect())?;
    let request = Request {
        owner,
        processor: plan.processor,
        price: plan.price,
        image: plan.image_digest,
        inputs: plan.inputs.iter().map(|input| input.commitment).collect(),
        terms: TermsRoot(terms.root()),
        metadata: if plan.metadata.is_empty() { MetadataRoot::ZERO } else { MetadataRoot(metadata.root()) },
        policy: plan.policy.hash(),
        kinds: plan.kinds,
        resources: plan.resources,
        match_by: plan.deadlines.match_by,
        approve_within: plan.deadlines.approve_within,
        prove_within: plan.deadlines.prove_within,
        salt: Salt(salt()),
    };
    // A request that the contract would refuse is refused here.
    let request = Request::parse(&request.to_bytes())?;
    let kept = KeptTask {
        domain: *domain,
        request: request.to_bytes(),
        terms: terms.to_bytes(),
        metadata: metadata.to_bytes(),
        policy: String::from_utf8_lossy(&plan.policy.canonical_bytes()).into_owned(),
        image: plan.image.clone(),
        inputs: plan.inputs.iter().map(|input| input.location.clone()).collect(),
        results: plan.results.clone(),
        recipients: plan.recipients.clone(),
        from_block,
    };
    Ok((request, kept))
}

impl KeptTask {
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

    /// The metadata with its salts, if there is any.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn metadata(&self) -> Result<Option<Leaves>, BadKept> {
        let leaves = Leaves::parse(&self.metadata)?;
        let is_empty = leaves.iter().next().is_none();
        Ok(if is_empty { None } else { Some(leaves) })
    }

    /// The evidence policy.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn policy(&self) -> Result<Policy, BadKept> {
        Ok(Policy::parse(self.policy.as_bytes())?)
    }
}
