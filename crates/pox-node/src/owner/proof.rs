//! Collecting a proof: from the chain, the archive, and what the owner opens of its own.

use super::chain_proof::{ChainProofError, Shows, show};
use super::kept::{BadKept, KeptTask};
use pox_chain::{Carried, ChainError, Contract, TaskHistory};
use pox_core::leaves::{Leaves, Opening};
use pox_core::proof::{MatchPart, MemberPart, Proof, ProvePart, RunPart};
use pox_core::receipt::{MAX_ARCHIVE_BYTES, Receipt, archive_hash};
use pox_core::secret::RUNS_LEAF;
use pox_core::{Address, Archive, Event, MemberReceipts, Members, Runs, TaskId};
use pox_store::{Access, Location, LocationError, Name, Range, Store};
use pox_verify::anchors::Aura;
use pox_verify::chain::authorities::Count;
use std::io::Read;

/// What the owner opens of its salted leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disclosure {
    /// All of them.
    All,
    /// None of them.
    Nothing,
    /// Those with these names.
    Only(Vec<String>),
}

/// A proof can't be collected.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The chain does not give what is needed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain's part can't be made.
    #[error(transparent)]
    Shown(#[from] ChainProofError),
    /// The task has no receipt.
    #[error("task {0} is not proven")]
    NotProven(TaskId),
    /// A call went through another contract, and the chain does not keep what it carried.
    #[error("what the {0} carried is hidden behind another contract")]
    Hidden(&'static str),
    /// What the owner kept is damaged.
    #[error(transparent)]
    Kept(#[from] BadKept),
    /// The place of the archive is none.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The archive can't be had.
    #[error("the archive: {0}")]
    Storage(#[from] pox_store::Error),
    /// A member is to be shown, and the receipt closes no batch.
    #[error("this task is no batch, and has no members")]
    NotABatch,
    /// There is no such member.
    #[error("there is no member {number}: the batch has members 1 to {count}")]
    NoSuchMember {
        /// Which was asked for.
        number: u16,
        /// How many there are.
        count: u16,
    },
    /// The list of members is not the one that was proven.
    #[error("the list of members is not the one that was proven")]
    OtherMembers,
    /// The archive is not the one that was proven.
    #[error("the archive at this place is not the one that was proven")]
    OtherArchive,
}

/// Fetches a task's archive from beside its results; whether it is the proven one, [`collect`] checks.
///
/// # Errors
/// The storage does not give it.
pub fn fetch_archive(location: &str, access: &Access) -> Result<Vec<u8>, ProofError> {
    let location: Location = location.parse()?;
    let name: Name = "ARCHIVE".parse().expect("a plain name");
    let reader = Store::open_existing(&location, access)?.get(&name, Range::ALL)?;
    let mut bytes = Vec::new();
    // One byte over the bound is enough to see that this is no archive.
    let most = MAX_ARCHIVE_BYTES as u64 + 1;
    reader.take(most).read_to_end(&mut bytes).map_err(pox_store::Error::from_read)?;
    Ok(bytes)
}

/// What a proof is made of besides the chain.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The archive that stands beside the results.
    pub archive: Vec<u8>,
    /// The owner's policy, canonical.
    pub policy: Vec<u8>,
    /// What the owner kept of the task, and what of it is opened.
    pub kept: Option<(&'a KeptTask, &'a Disclosure)>,
    /// The member that is shown.
    pub member: Option<ShownMember<'a>>,
}

/// A member of a batch that a proof shows.
#[derive(Debug, Clone, Copy)]
pub struct ShownMember<'a> {
    /// The receipts of all members.
    pub list: &'a MemberReceipts,
    /// Its number, from 1.
    pub number: u16,
    /// All runs, if its own is opened.
    pub runs: Option<&'a Runs>,
}

/// A proof, and how far its blocks are vouched for.
#[derive(Debug)]
pub struct Collected {
    /// The proof.
    pub proof: Proof,
    /// Who has built on the block that fewest have built on; `None` where no authorities are known.
    pub built: Option<Count>,
}

/// Builds the proof of a task that is proven on the chain, whose authorities `rule` pins.
///
/// Every part that the chain commits to was checked against it; whether the whole convinces anybody, only verification says.
///
/// # Errors
/// The task is not proven, or a part of it can't be had.
pub fn collect(
    contract: &Contract,
    task: TaskId,
    parts: Parts<'_>,
    rule: Option<&Aura>,
    shows: Shows,
) -> Result<Collected, ProofError> {
    let history = contract.history(task)?;
    let (receipt, archived, signature, members) = prove_part(&history)?;
    let Parts { archive, policy, kept, member } = parts;
    let member = member.map(|shown| member_part(&shown, members)).transpose()?;
    if archive_hash(&archive) != archived {
        return Err(ProofError::OtherArchive);
    }
    let shown = show(contract, &history, rule, shows)?;
    let runs_opened = member.as_ref().is_some_and(|member| member.run.is_some());
    let (terms, metadata) = openings(kept, runs_opened)?;
    let proof = Proof {
        domain: *contract.domain(),
        request: history.request.to_bytes(),
        steps: history.steps.iter().map(|step| step.step).collect(),
        matched: match_part(&history)?,
        secrets: secret_hashes(&history)?,
        proven: ProvePart { receipt: receipt.to_bytes(), signature, archive, members },
        policy,
        chain: shown.proof,
        terms,
        metadata,
        member,
    };
    Ok(Collected { proof, built: shown.built })
}

type Proven = (Receipt, Archive, Vec<u8>, Option<Members>);

fn prove_part(history: &TaskHistory) -> Result<Proven, ProofError> {
    let not_proven = || ProofError::NotProven(history.task);
    let last = history.steps.last().ok_or_else(not_proven)?;
    let Event::Proven { receipt, archive, .. } = &last.event else { return Err(not_proven()) };
    let receipt = Receipt::try_from((**receipt).clone()).map_err(|_| not_proven())?;
    match &last.carried {
        Carried::Prove { signature, members } => {
            Ok((receipt, *archive, signature.to_bytes().to_vec(), *members))
        }
        _ => Err(ProofError::Hidden("receipt")),
    }
}

/// A member that leads to the root that was proven, as does its run to that of the terms.
fn member_part(shown: &ShownMember<'_>, members: Option<Members>) -> Result<MemberPart, ProofError> {
    let ShownMember { list, number, runs } = shown;
    let members = members.ok_or(ProofError::NotABatch)?;
    if list.members() != members {
        return Err(ProofError::OtherMembers);
    }
    let no_such = || ProofError::NoSuchMember { number: *number, count: members.count };
    let receipt = list.get(*number).ok_or_else(no_such)?.to_bytes();
    let path = list.path(*number).ok_or_else(no_such)?;
    let run = match runs {
        None => None,
        Some(runs) => {
            let run = runs.run(*number).ok_or_else(no_such)?;
            Some(RunPart { run, path: runs.path(*number).ok_or_else(no_such)? })
        }
    };
    Ok(MemberPart { receipt, path, run })
}

fn match_part(history: &TaskHistory) -> Result<MatchPart, ProofError> {
    let matched = history.steps.iter().rev().find_map(|step| match (&step.event, &step.carried) {
        (Event::Matched { enclave, .. }, Carried::Match { offer, evidence, path }) => Some(MatchPart {
            offer: offer.to_bytes(),
            enclave: *enclave,
            evidence: evidence.to_vec(),
            path: path.clone(),
        }),
        _ => None,
    });
    matched.ok_or(ProofError::Hidden("match"))
}

/// The hash of each party's secret to the last match, the owner's first.
fn secret_hashes(history: &TaskHistory) -> Result<Vec<pox_core::B256>, ProofError> {
    let last_of = |account: Address| {
        history.steps.iter().rev().find_map(|step| match &step.event {
            Event::Approved { secret, .. } => Some(*secret),
            Event::Released { account: of, secret, .. } if *of == account => Some(*secret),
            _ => None,
        })
    };
    let hashes = history.request.parties().map(|(_, account)| last_of(account));
    hashes.collect::<Option<_>>().ok_or(ProofError::NotProven(history.task))
}

type Openings = (Option<Opening>, Option<Opening>);

/// A run that is opened needs the leaf that commits to it beside it.
fn openings(kept: Option<(&KeptTask, &Disclosure)>, runs_opened: bool) -> Result<Openings, ProofError> {
    let Some((kept, disclosure)) = kept else { return Ok((None, None)) };
    let open = |leaves: &Leaves| match disclosure {
        Disclosure::All => Some(leaves.open(|_| true)),
        Disclosure::Nothing => None,
        Disclosure::Only(names) => Some(leaves.open(|name| names.iter().any(|wanted| wanted == name))),
    };
    let metadata = kept.metadata()?;
    let terms = kept.terms()?;
    let terms = match disclosure {
        Disclosure::All => Some(terms.open(|_| true)),
        Disclosure::Nothing if !runs_opened => None,
        Disclosure::Nothing => Some(terms.open(|name| name == RUNS_LEAF)),
        Disclosure::Only(names) => {
            let named = |name: &str| names.iter().any(|wanted| wanted == name);
            Some(terms.open(|name| named(name) || (runs_opened && name == RUNS_LEAF)))
        }
    };
    Ok((terms, metadata.as_ref().and_then(open)))
}
