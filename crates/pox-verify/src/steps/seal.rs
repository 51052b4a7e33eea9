//! Step 13: the blocks stand in the chain, as far as the auditor's anchors can tell.

use super::history::{Form, Kept};
use super::parse::Records;
use crate::anchors::{Anchors, Aura, Authorities, ChainAnchor, ChainStanding};
use crate::chain::authorities::{Count, Origin, Timeline};
use crate::chain::header::Header;
use crate::grade::Grade;
use crate::reason::Reason;
use crate::rejection::{AuthorityChange, HeaderSeal, Rejection};
use crate::verified::Verified;
use alloy_primitives::Address;
use pox_core::UnixTime;
use std::collections::BTreeMap;

/// Steps that a public chain's block may be ahead of the auditor's clock: what Aura's nodes let pass.
const STEPS_AHEAD: u64 = 4;

/// How much vouches for the blocks.
pub(crate) struct Anchored {
    pub(crate) grade: Grade,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) sealed: Option<Sealed>,
}

/// Which authorities vouch for the block that fewest vouch for.
pub(crate) struct Sealed {
    /// Who sealed it.
    pub(crate) by: Address,
    /// Distinct authorities that sealed it or a block after it.
    pub(crate) builders: Vec<Address>,
    /// All authorities.
    pub(crate) of: usize,
}

/// What is known of one block that the history rests on.
struct Standing {
    author: Address,
    count: Option<Count>,
    trusted: Option<Reason>,
}

/// Checks the seals, the changes of the authorities and the trusted blocks, as far as there are anchors.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    kept: &Verified<Kept>,
    anchors: &Anchors,
    now: UnixTime,
) -> Result<Verified<Anchored>, Rejection> {
    check_consistent(records)?;
    let chain_id = records.domain.chain_id;
    let trusted = check_trusted(records, anchors)?;
    let Some(chain) = anchors.chains.get(&chain_id) else {
        let mut reasons = vec![Reason::NoChainAnchor(chain_id)];
        reasons.extend(trusted.values().cloned());
        reasons.extend(seconds_ahead(records, now).map(|seconds| Reason::AheadOfClock { seconds }));
        return Ok(Verified::by_check(Anchored { grade: Grade::Asserted, reasons, sealed: None }));
    };
    let (terms, timeline) = match &chain.authorities {
        Authorities::Unpinned => (vec![None; records.runs.len()], None),
        Authorities::Aura(rule) => {
            let (terms, timeline) = check_seals(records, rule)?;
            (terms, Some((rule, timeline)))
        }
    };
    let standings: Vec<Standing> = kept
        .blocks
        .iter()
        .filter_map(|number| {
            let (run, position) = records.place(*number)?;
            let headers = &records.runs[run];
            let count = timeline.as_ref().zip(terms[run].as_ref());
            Some(Standing {
                author: headers[position].author,
                count: count.map(|((_, timeline), terms)| timeline.count(headers, terms, position)),
                trusted: trusted
                    .range((run, *number)..=(run, u64::MAX))
                    .next()
                    .map(|(_, reason)| reason.clone()),
            })
        })
        .collect();
    Ok(Verified::by_check(weigh(records, kept, chain, timeline.as_ref(), &standings, now)))
}

/// No two headers of one number differ, and later blocks are not earlier; runs alone are linked already.
fn check_consistent(records: &Records<'_>) -> Result<(), HeaderSeal> {
    let mut known: BTreeMap<u64, &Header> = BTreeMap::new();
    for header in records.runs.iter().chain(&records.changes).flatten() {
        let other = known.entry(header.number).or_insert(header);
        if other.hash != header.hash {
            return Err(HeaderSeal::Fork { number: header.number });
        }
    }
    let pairs = known.values().zip(known.values().skip(1));
    match pairs.into_iter().find(|(before, after)| after.time < before.time) {
        Some((_, after)) => Err(HeaderSeal::Fork { number: after.number }),
        None => Ok(()),
    }
}

/// Compares trusted blocks with the headers of their numbers: which are there, by run and number.
fn check_trusted(
    records: &Records<'_>,
    anchors: &Anchors,
) -> Result<BTreeMap<(usize, u64), Reason>, HeaderSeal> {
    let chain_id = records.domain.chain_id;
    let mut found = BTreeMap::new();
    for block in anchors.trusted_blocks.iter().filter(|block| block.chain_id == chain_id) {
        let (number, hash) = (block.number, block.hash);
        let Some((run, position)) = records.place(number) else { continue };
        let actual = records.runs[run][position].hash;
        if actual != hash {
            return Err(HeaderSeal::NotTheTrusted { number, actual, trusted: hash });
        }
        found.insert((run, number), Reason::TrustedBlock { number, hash });
    }
    Ok(found)
}

type Terms = Vec<Option<Vec<usize>>>;

/// Follows the changes, then checks every run; what no known set seals stays unchecked.
fn check_seals<'a>(records: &Records<'_>, rule: &'a Aura) -> Result<(Terms, Timeline<'a>), Rejection> {
    let mut timeline = Timeline::pinned(rule);
    let last = records.runs.last().and_then(|run| run.last()).map_or(0, |header| header.number);
    for (position, (run, change)) in records.changes.iter().zip(&records.proof.chain.changes).enumerate() {
        timeline
            .follow(run, &change.announcement)
            .map_err(|fault| AuthorityChange::Fault { position, fault })?;
        if run.last().is_none_or(|header| header.number >= last) {
            return Err(AuthorityChange::Unneeded { position }.into());
        }
    }
    let mut terms = Vec::with_capacity(records.runs.len());
    for (position, run) in records.runs.iter().enumerate() {
        let checked = timeline.check(run).map_err(|fault| HeaderSeal::Seal { run: position, fault })?;
        terms.push(checked);
    }
    Ok((terms, timeline))
}

fn weigh(
    records: &Records<'_>,
    kept: &Kept,
    chain: &ChainAnchor,
    timeline: Option<&(&Aura, Timeline<'_>)>,
    standings: &[Standing],
    now: UnixTime,
) -> Anchored {
    let mut reasons = Vec::new();
    let mut is_anchored = standings.iter().all(|standing| {
        standing.trusted.is_some() || standing.count.as_ref().is_some_and(|count| count.is_final)
    });
    let weakest = weakest(standings);
    if let (Some((standing, count)), Some((rule, timeline))) = (weakest, timeline) {
        let (built, of) = (count.builders.len(), count.of);
        reasons.push(Reason::Sealed { by: standing.author, built, of });
        reasons.extend(whence(rule, timeline, count));
        if !count.is_final {
            reasons.push(Reason::NotFinal { built, of });
        }
    }
    if standings.iter().any(|standing| standing.count.is_none() && standing.trusted.is_none()) {
        reasons.push(Reason::NoAuthorities(chain.name.clone()));
    }
    reasons.extend(standings.iter().filter_map(|standing| standing.trusted.clone()));
    if kept.form == Form::Receipts {
        reasons.push(Reason::ByReceipts);
        let contract = records.domain.contract;
        if !chain.deployments.contains(&contract) {
            reasons.push(Reason::UnknownContract(contract));
            is_anchored = false;
        }
    }
    let best = match chain.standing {
        ChainStanding::Public => Grade::Hardware,
        ChainStanding::Embedded => {
            reasons.push(Reason::EmbeddedChain(chain.name.clone()));
            Grade::Simulated
        }
    };
    if let Some(seconds) = seconds_ahead(records, now) {
        let step = timeline.map_or(1, |(rule, _)| rule.steps.seconds.get());
        // Nodes refuse such blocks. A development chain runs ahead of the clock where blocks are made at once.
        is_anchored &= seconds <= step.saturating_mul(STEPS_AHEAD) || chain.standing != ChainStanding::Public;
        reasons.push(Reason::AheadOfClock { seconds });
    }
    let sealed = weakest.map(|(standing, count)| Sealed {
        by: standing.author,
        builders: count.builders.iter().copied().collect(),
        of: count.of,
    });
    Anchored { grade: if is_anchored { best } else { Grade::Asserted }, reasons, sealed }
}

/// The block that fewest authorities built on, of those whose authorities are known.
fn weakest(standings: &[Standing]) -> Option<(&Standing, &Count)> {
    let counted = standings.iter().filter_map(|standing| Some((standing, standing.count.as_ref()?)));
    counted.min_by_key(|(_, count)| (count.is_final, count.builders.len()))
}

/// What the set that was counted rests on.
fn whence(rule: &Aura, timeline: &Timeline<'_>, count: &Count) -> Option<Reason> {
    let term = timeline.terms().get(count.term)?;
    let pin = match term.origin {
        Origin::Pinned(pin) | Origin::Proven { pin, .. } => rule.sets.get(pin)?,
    };
    let (as_of, source) = (pin.as_of.clone(), pin.source.clone());
    Some(match term.origin {
        Origin::Pinned(_) => Reason::AuthoritiesPinned { from: pin.from, as_of, source },
        Origin::Proven { changes, announced, .. } => {
            Reason::AuthoritiesProven { from: pin.from, as_of, source, changes, announced }
        }
    })
}

/// How far the newest block is ahead of the auditor's clock. Not a rejection: that clock can be wrong.
fn seconds_ahead(records: &Records<'_>, now: UnixTime) -> Option<u64> {
    let newest = records.runs.iter().flatten().map(|header| header.time.0).max()?;
    newest.checked_sub(now.0).filter(|seconds| *seconds > 0)
}
