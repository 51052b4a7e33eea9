//! Step 14: what the owner opens is what the request commits to.

use super::parse::Records;
use super::seal::Anchored;
use crate::facts::{Opened, OpenedLeaf};
use crate::rejection::OpeningMismatch;
use crate::verified::Verified;
use alloy_primitives::B256;
use pox_core::leaves::Opening;
use pox_core::secret::{BadTerms, MAX_STRINGS, parse_strings};

/// The terms' leaves, in the order of their positions (spec §7.2).
const TERMS: [&str; 4] = ["accept-missing", "args", "env", "inputs"];

/// What was opened.
pub(crate) struct Openings {
    pub(crate) terms: Option<Opened<Vec<String>>>,
    pub(crate) metadata: Option<Opened<String>>,
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
    let metadata = records.proof.metadata.as_ref();
    let metadata = metadata.map(|opening| check_metadata(opening, request.metadata.0)).transpose()?;
    Ok(Verified::by_check(Openings { terms, metadata }))
}

fn check_terms(opening: &Opening, root: B256, inputs: usize) -> Result<Opened<Vec<String>>, OpeningMismatch> {
    check_root("terms", opening, root)?;
    let count = opening.iter().count() + opening.hidden();
    if count != TERMS.len() {
        return Err(OpeningMismatch::Count(count));
    }
    let mut leaves = Vec::new();
    for (name, value) in opening.iter() {
        let bad = || OpeningMismatch::Terms(BadTerms::Leaf(name.to_owned()));
        let list = parse_strings(value).map_err(|_| bad())?;
        let fits = name != "inputs" || list.len() == inputs;
        let is_plain = list.len() <= MAX_STRINGS && !list.iter().any(|text| text.contains('\0'));
        if !TERMS.contains(&name) || !fits || !is_plain {
            return Err(bad());
        }
        leaves.push(OpenedLeaf { name: name.to_owned(), value: list });
    }
    Ok(Opened { leaves, hidden: opening.hidden() })
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
