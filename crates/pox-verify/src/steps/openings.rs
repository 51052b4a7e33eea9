//! Step 14: what the owner opens is what the request commits to.

use super::parse::Records;
use super::seal::Anchored;
use crate::facts::{Opened, OpenedLeaf};
use crate::rejection::OpeningMismatch;
use crate::verified::Verified;
use alloy_primitives::B256;
use pox_core::leaves::Opening;
use pox_core::runs::CommittedRuns;
use pox_core::secret::{BadTerms, MAX_STRINGS, RUNS_LEAF, committed_runs, parse_strings};

/// The leaves that all terms have, in the order of their positions; a batch's have one more (spec §7.2).
const TERMS: [&str; 4] = ["accept-missing", "args", "env", "inputs"];

/// What was opened.
pub(crate) struct Openings {
    /// What the terms say of a batch's runs.
    pub(crate) runs: TermsRuns,
    pub(crate) terms: Option<Opened<Vec<String>>>,
    pub(crate) metadata: Option<Opened<String>>,
}

/// What the terms say of runs.
pub(crate) enum TermsRuns {
    /// The terms are not opened at all.
    Unknown,
    /// There are none.
    None,
    /// There are some, and their leaf stays hidden.
    Hidden,
    /// There are these.
    Opened(CommittedRuns),
}

/// Checks both openings, where they are.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    _anchored: &Verified<Anchored>,
) -> Result<Verified<Openings>, OpeningMismatch> {
    let request = &records.request;
    let terms = records.proof.terms.as_ref();
    let terms =
        terms.map(|opening| check_terms(opening, request.terms.0, request.inputs.len())).transpose()?;
    let runs = terms_runs(records.proof.terms.as_ref())?;
    let metadata = records.proof.metadata.as_ref();
    let metadata = metadata.map(|opening| check_metadata(opening, request.metadata.0)).transpose()?;
    Ok(Verified::by_check(Openings { runs, terms, metadata }))
}

fn check_terms(opening: &Opening, root: B256, inputs: usize) -> Result<Opened<Vec<String>>, OpeningMismatch> {
    check_root("terms", opening, root)?;
    let count = opening.iter().count() + opening.hidden();
    if count != TERMS.len() && count != TERMS.len() + 1 {
        return Err(OpeningMismatch::Count(count));
    }
    let mut leaves = Vec::new();
    for (name, value) in opening.iter() {
        let bad = || OpeningMismatch::Terms(BadTerms::Leaf(name.to_owned()));
        let list = parse_strings(value).map_err(|_| bad())?;
        let fits = name != "inputs" || list.len() == inputs;
        let is_plain = list.len() <= MAX_STRINGS && !list.iter().any(|text| text.contains('\0'));
        let is_known = TERMS.contains(&name) || (name == RUNS_LEAF && count > TERMS.len());
        if !is_known || !fits || !is_plain {
            return Err(bad());
        }
        leaves.push(OpenedLeaf { name: name.to_owned(), value: list });
    }
    Ok(Opened { leaves, hidden: opening.hidden() })
}

/// Five leaves are those of a batch.
fn terms_runs(opening: Option<&Opening>) -> Result<TermsRuns, OpeningMismatch> {
    let Some(opening) = opening else { return Ok(TermsRuns::Unknown) };
    if opening.iter().count() + opening.hidden() == TERMS.len() {
        return Ok(TermsRuns::None);
    }
    match opening.iter().find(|(name, _)| *name == RUNS_LEAF) {
        Some((_, value)) => Ok(TermsRuns::Opened(committed_runs(value).map_err(OpeningMismatch::Terms)?)),
        None if opening.hidden() > 0 => Ok(TermsRuns::Hidden),
        None => Err(OpeningMismatch::Count(opening.iter().count())),
    }
}

fn check_metadata(opening: &Opening, root: B256) -> Result<Opened<String>, OpeningMismatch> {
    check_root("metadata", opening, root)?;
    let text = |value: &[u8]| match core::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("0x{}", hex::encode(value)),
    };
    let leaf = |(name, value): (&str, &[u8])| OpenedLeaf { name: name.to_owned(), value: text(value) };
    Ok(Opened { leaves: opening.iter().map(leaf).collect(), hidden: opening.hidden() })
}

fn check_root(which: &'static str, opening: &Opening, committed: B256) -> Result<(), OpeningMismatch> {
    let actual = opening.root().map_err(|error| OpeningMismatch::Leaves { which, error })?;
    if actual == committed { Ok(()) } else { Err(OpeningMismatch::Root { which, actual, committed }) }
}
