//! Step 13: the header stands in the chain, as far as the auditor's anchors can tell.

use super::history::Kept;
use super::parse::Records;
use crate::anchors::{Anchors, Authorities, ChainAnchor, ChainStanding, StepRule};
use crate::chain::aura::{self, BadSeal};
use crate::chain::header::Header;
use crate::grade::Grade;
use crate::reason::Reason;
use crate::rejection::HeaderSeal;
use crate::verified::Verified;
use alloy_primitives::Address;

/// How much vouches for the block.
pub(crate) struct Anchored {
    pub(crate) grade: Grade,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) sealed: Option<Sealed>,
}

/// Which authorities vouch for the block.
#[derive(Clone, Copy)]
pub(crate) struct Sealed {
    /// Who sealed it.
    pub(crate) by: Address,
    /// Distinct authorities that sealed it or a block after it.
    pub(crate) built: usize,
    /// All authorities.
    pub(crate) of: usize,
}

/// Checks the links between the headers, their seals, and the trusted block, as far as there are anchors.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    _history: &Verified<Kept>,
    anchors: &Anchors,
) -> Result<Verified<Anchored>, HeaderSeal> {
    let headers: Vec<&Header> = core::iter::once(&records.header).chain(&records.later).collect();
    check_links(&headers)?;
    let chain_id = records.domain.chain_id;
    let trusted = check_trusted(&headers, chain_id, anchors)?;
    let Some(chain) = anchors.chains.get(&chain_id) else {
        let reasons = [Some(Reason::NoChainAnchor(chain_id)), trusted];
        return Ok(Verified::by_check(Anchored {
            grade: Grade::Asserted,
            reasons: reasons.into_iter().flatten().collect(),
            sealed: None,
        }));
    };
    let sealed = match &chain.authorities {
        Authorities::Unpinned => None,
        Authorities::Aura { validators, steps } => Some(check_seals(&headers, validators, *steps)?),
    };
    Ok(Verified::by_check(weigh(chain, sealed, trusted)))
}

fn check_links(headers: &[&Header]) -> Result<(), HeaderSeal> {
    let follows = |pair: &[&Header]| {
        let [before, after] = pair else { return false };
        after.parent == before.hash
            && Some(after.number) == before.number.checked_add(1)
            && after.time >= before.time
    };
    match headers.windows(2).position(|pair| !follows(pair)) {
        Some(before) => Err(HeaderSeal::Unlinked { position: before + 1 }),
        None => Ok(()),
    }
}

/// Compares the trusted block with the header of its number, if the proof has one.
fn check_trusted(
    headers: &[&Header],
    chain_id: u64,
    anchors: &Anchors,
) -> Result<Option<Reason>, HeaderSeal> {
    let Some(trusted) = anchors.trusted_block.filter(|block| block.chain_id == chain_id) else {
        return Ok(None);
    };
    let number = trusted.number;
    match headers.iter().find(|header| header.number == number) {
        None => Ok(None),
        Some(header) if header.hash == trusted.hash => {
            Ok(Some(Reason::TrustedBlock { number, hash: trusted.hash }))
        }
        Some(header) => Err(HeaderSeal::NotTheTrusted { number, actual: header.hash, trusted: trusted.hash }),
    }
}

fn check_seals(headers: &[&Header], validators: &[Address], steps: StepRule) -> Result<Sealed, HeaderSeal> {
    let at = |position: usize| move |error: BadSeal| HeaderSeal::Seal { position, error };
    for (position, header) in headers.iter().enumerate() {
        aura::check(header, validators, steps).map_err(at(position))?;
    }
    for (position, pair) in headers.windows(2).enumerate() {
        aura::check_succession(pair[0], pair[1]).map_err(at(position + 1))?;
    }
    Ok(Sealed {
        by: headers[0].author,
        built: aura::distinct(headers.iter().map(|header| &header.author)),
        of: aura::distinct(validators),
    })
}

/// A block is final once more than half of the authorities have sealed it or a block after it.
fn weigh(chain: &ChainAnchor, sealed: Option<Sealed>, trusted: Option<Reason>) -> Anchored {
    let mut reasons = Vec::new();
    let mut is_anchored = trusted.is_some();
    match sealed {
        Some(Sealed { by, built, of }) => {
            reasons.push(Reason::Sealed { by, built, of });
            if built > of / 2 {
                is_anchored = true;
            } else {
                reasons.push(Reason::NotFinal { built, of });
            }
        }
        None if trusted.is_none() => reasons.push(Reason::NoAuthorities(chain.name.clone())),
        None => {}
    }
    reasons.extend(trusted);
    let best = match chain.standing {
        ChainStanding::Public => Grade::Hardware,
        ChainStanding::Embedded => {
            reasons.push(Reason::EmbeddedChain(chain.name.clone()));
            Grade::Simulated
        }
    };
    Anchored { grade: if is_anchored { best } else { Grade::Asserted }, reasons, sealed }
}
