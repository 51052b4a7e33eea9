//! Collecting a proof: from the chain, the archive, and what the owner opens of its own.

use super::kept::{BadKept, KeptTask};
use pox_chain::{Carried, ChainError, Contract, HistoryStep, TaskHistory};
use pox_core::leaves::{Leaves, Opening};
use pox_core::proof::{MatchPart, MembersPart, Proof, ProvePart};
use pox_core::receipt::{MAX_ARCHIVE_BYTES, Receipt, archive_hash};
use pox_core::{Address, Archive, Event, TaskId};
use pox_store::{Access, Location, LocationError, Name, Range, Store};
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

/// Builds the proof of a task that is proven on the chain.
///
/// Every part that the chain commits to was checked against it; whether the whole convinces anybody, only verification says.
///
/// # Errors
/// The task is not proven, or a part of it can't be had.
pub fn collect(
    contract: &Contract,
    task: TaskId,
    archive: Vec<u8>,
    policy: Vec<u8>,
    kept: Option<(&KeptTask, &Disclosure)>,
) -> Result<Proof, ProofError> {
    let history = contract.history(task)?;
    let (receipt, archived, signature, members) = prove_part(&history)?;
    if archive_hash(&archive) != archived {
        return Err(ProofError::OtherArchive);
    }
    let last = history.steps.last().ok_or(ProofError::NotProven(task))?;
    let state = contract.prove_state(task, last.place.block.number)?;
    let mut chain = state.proof;
    chain.later = later_headers(contract, &history, last)?;
    let (terms, metadata) = openings(kept)?;
    Ok(Proof {
        domain: *contract.domain(),
        request: history.request.to_bytes(),
        steps: history.steps.iter().map(|step| step.step).collect(),
        matched: match_part(&history)?,
        secrets: secret_hashes(&history)?,
        proven: ProvePart { receipt: receipt.to_bytes(), signature, archive, members },
        policy,
        chain,
        terms,
        metadata,
    })
}

type Proven = (Receipt, Archive, Vec<u8>, Option<MembersPart>);

fn prove_part(history: &TaskHistory) -> Result<Proven, ProofError> {
    let not_proven = || ProofError::NotProven(history.task);
    let last = history.steps.last().ok_or_else(not_proven)?;
    let Event::Proven { receipt, archive, .. } = &last.event else { return Err(not_proven()) };
    let receipt = Receipt::try_from((**receipt).clone()).map_err(|_| not_proven())?;
    match &last.carried {
        Carried::Prove { signature, members } => {
            let members = members.map(|members| MembersPart { root: members.root, count: members.count });
            Ok((receipt, *archive, signature.to_bytes().to_vec(), members))
        }
        _ => Err(ProofError::Hidden("receipt")),
    }
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

/// A few headers on top: they show who built on the block, where headers are sealed.
fn later_headers(
    contract: &Contract,
    history: &TaskHistory,
    last: &HistoryStep,
) -> Result<Vec<Vec<u8>>, ProofError> {
    let above = history.head.number.saturating_sub(last.place.block.number);
    let count = usize::try_from(above).unwrap_or(MAX_LATER).min(MAX_LATER);
    Ok(contract.headers_after(last.place.block, count)?)
}

type Openings = (Option<Opening>, Option<Opening>);

fn openings(kept: Option<(&KeptTask, &Disclosure)>) -> Result<Openings, ProofError> {
    let Some((kept, disclosure)) = kept else { return Ok((None, None)) };
    let open = |leaves: &Leaves| match disclosure {
        Disclosure::All => Some(leaves.open(|_| true)),
        Disclosure::Nothing => None,
        Disclosure::Only(names) => Some(leaves.open(|name| names.iter().any(|wanted| wanted == name))),
    };
    let metadata = kept.metadata()?;
    Ok((open(&kept.terms()?), metadata.as_ref().and_then(open)))
}

/// Enough to show on the embedded chain that blocks follow; finality under many authorities comes with their sets.
const MAX_LATER: usize = 8;
