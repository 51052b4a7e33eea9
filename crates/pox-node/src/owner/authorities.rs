//! Who seals an Aura chain now: by the changes since a pinned set, or as the set's contract tells; and by the seals of the last
//! blocks in any case.

use super::chain_proof::{Assembly, ChainProofError, Run};
use pox_chain::{BlockAt, ChainError, Rpc};
use pox_core::proof::MAX_RUN_HEADERS;
use pox_core::{Address, B256, UnixTime};
use pox_verify::anchors::{Aura, PinnedSet};
use pox_verify::chain::authorities::{Count, Timeline};
use std::collections::BTreeSet;

/// The set that seals now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentSet {
    /// The newest block looked at.
    pub at: BlockAt,
    /// Its time.
    pub time: UnixTime,
    /// The set, in the order of its steps.
    pub validators: Vec<Address>,
    /// The contract that tells and announces it, if one is known.
    pub contract: Option<Address>,
    /// From where it is known.
    pub known: Known,
    /// The first of the last blocks all of which it has sealed, each by the authority whose turn it was.
    pub from: u64,
    /// How many of it sealed those.
    pub sealed: usize,
}

/// From where a set is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Announced changes lead to it from a set that the profile pins, each made final by the set before.
    Proven {
        /// How many.
        changes: usize,
    },
    /// The contract tells it, and the endpoints that were asked agree: that it is the right contract is the caller's word.
    Told,
}

/// The set can't be told.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// The chain does not give what is needed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The changes since the pinned set can't be shown.
    #[error(transparent)]
    Proof(#[from] ChainProofError),
    /// No set is pinned for the newest block, and no contract is known that tells one.
    #[error("nothing tells who seals block {0}: no set is pinned for it, and no contract is named")]
    Unknown(u64),
    /// The contract is none that tells a set.
    #[error("{0} tells no set of authorities")]
    NotTheContract(Address),
    /// What the contract tells is not what the announced changes come to.
    #[error("{0} tells another set than its announced changes have made")]
    Differs(Address),
    /// Others seal, or the same ones in another order.
    #[error(
        "this set has not sealed the last blocks: {sealed} of {of} authorities have, each in its turn, since block {from}"
    )]
    NotSealing {
        /// The first of the last blocks that it sealed.
        from: u64,
        /// How many of it.
        sealed: usize,
        /// How many there are.
        of: usize,
    },
}

/// Tells the set that seals the newest blocks, and checks their seals: more than half of it has to have sealed since the last
/// block that it did not.
///
/// # Errors
/// No set is known, the sources disagree, or others seal.
pub fn current_set(
    rpc: &Rpc,
    rule: &Aura,
    contract: Option<Address>,
) -> Result<CurrentSet, AuthoritiesError> {
    let head = rpc.head()?;
    let number = head.at.number;
    let mut assembly = Assembly::new(rpc, Some(rule));
    let proven = match assembly.follow_changes(number) {
        Ok(()) => assembly.set_at(number),
        // The pinned set is too old to prove from: the contract's word is to pin a new one by.
        Err(ChainProofError::TooLarge) => None,
        Err(error) => return Err(error.into()),
    };
    let contract = contract.or(proven.as_ref().and_then(|(term, _)| term.announcer));
    let told = match contract {
        Some(contract) => rpc.validators(contract, head.at)?,
        None => None,
    };
    let (validators, known) = match (proven, told, contract) {
        (Some((term, _)), Some(told), Some(contract)) if told != term.validators => {
            return Err(AuthoritiesError::Differs(contract));
        }
        (Some((term, changes)), ..) => (term.validators, Known::Proven { changes }),
        (None, Some(told), _) => (told, Known::Told),
        (None, None, Some(contract)) => return Err(AuthoritiesError::NotTheContract(contract)),
        (None, None, None) => return Err(AuthoritiesError::Unknown(number)),
    };
    let (from, sealed) = sealing(rpc, rule, &validators, head.at)?;
    Ok(CurrentSet { at: head.at, time: head.time, validators, contract, known, from, sealed })
}

/// A block, and who has built on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltOn {
    /// The block's hash.
    pub hash: B256,
    /// The authorities, whose seals were checked.
    pub count: Count,
}

/// Counts the authorities that have built on a block, until they make it final or there are no more blocks; `None` where no set is
/// known that seals it, or showing it takes more headers than a proof holds.
///
/// # Errors
/// The chain does not give what is needed, or gives blocks that their set has not sealed.
pub fn built_on(rpc: &Rpc, rule: &Aura, block: u64) -> Result<Option<BuiltOn>, ChainProofError> {
    match try_built_on(rpc, rule, block) {
        Err(ChainProofError::TooLarge) => Ok(None),
        built => built,
    }
}

fn try_built_on(rpc: &Rpc, rule: &Aura, block: u64) -> Result<Option<BuiltOn>, ChainProofError> {
    let mut assembly = Assembly::new(rpc, Some(rule));
    assembly.follow_changes(block)?;
    let mut run = Run::default();
    assembly.grow_to_finality(&mut run, block)?;
    let Some((first, timeline)) = run.headers.first().zip(assembly.timeline.as_ref()) else {
        return Ok(None);
    };
    let terms = timeline.check(&run.headers);
    let terms =
        terms.map_err(|fault| ChainError::Contradiction(format!("from block {block} on: {fault}")))?;
    Ok(terms.map(|terms| BuiltOn { hash: first.hash, count: timeline.count(&run.headers, &terms, 0) }))
}

/// The first of the last blocks that a set has sealed without a gap, and how many of it did.
fn sealing(rpc: &Rpc, rule: &Aura, set: &[Address], head: BlockAt) -> Result<(u64, usize), AuthoritiesError> {
    let window = set.len().saturating_mul(TURNS).clamp(1, MAX_RUN_HEADERS);
    let first = (head.number + 1).saturating_sub(u64::try_from(window).unwrap_or(u64::MAX)).max(1);
    let count = usize::try_from((head.number + 1).saturating_sub(first)).unwrap_or(0);
    let mut run = Run::default();
    let found = Assembly::new(rpc, None).extend(&mut run, first, count)?;
    if found != count || run.headers.last().is_some_and(|last| last.hash != head.hash) {
        return Err(ChainError::Reorganised(head.number).into());
    }
    let alone = Aura { sets: vec![pin(set)], ..rule.clone() };
    let timeline = Timeline::pinned(&alone);
    let fits = |from: &usize| matches!(timeline.check(&run.headers[*from..]), Ok(Some(_)));
    // Each step back looks at one more header: a window of some hundred headers is checked in a second.
    let by_one = |at: &usize| matches!(timeline.check(&run.headers[*at..=*at]), Ok(Some(_)));
    let kept = (0..run.headers.len()).rev().take_while(by_one).last().filter(fits);
    let since = kept.map_or(&[][..], |kept| &run.headers[kept..]);
    let authors: BTreeSet<Address> = since.iter().map(|header| header.author).collect();
    let (from, sealed, of) =
        (since.first().map_or(head.number + 1, |header| header.number), authors.len(), set.len());
    match rule.is_enough(sealed, of, head.number) {
        true => Ok((from, sealed)),
        false => Err(AuthoritiesError::NotSealing { from, sealed, of }),
    }
}

fn pin(set: &[Address]) -> PinnedSet {
    let validators = set.to_vec();
    PinnedSet {
        from: 0,
        until: None,
        validators,
        announcer: None,
        as_of: String::new(),
        source: String::new(),
    }
}

/// How many turns of each authority are looked at.
const TURNS: usize = 3;
