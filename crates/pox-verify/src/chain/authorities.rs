//! Who may seal which block: the sets that the auditor pins, and the changes of them that a proof shows.
//!
//! Aura's sets change by an event of a contract: `InitiateChange(bytes32 parent, address[] newSet)`. Once the block with it is
//! final under the set before, the new set seals every block after the one that made it final. Whoever follows the changes from a
//! pinned set trusts that more than half of each set sealed no second chain; nothing in a proof can show that.

use super::aura::{self, BadSeal};
use super::header::Header;
use super::receipt::{self, ReceiptFault, ReceiptLog};
use super::trie::lookup_place;
use crate::anchors::Aura;
use alloy_primitives::{Address, B256, Bloom, BloomInput, b256};
use pox_core::proof::ReceiptProof;
use std::collections::BTreeSet;

/// keccak256 of `InitiateChange(bytes32,address[])`.
pub const ANNOUNCEMENT: B256 = b256!("0x55252fa6eee4741b4e24a74a70e9c11fd2c2281df8d6ea13126ff845f7825c89");
/// Most authorities of one set: no public chain has had a tenth of them.
pub const MAX_AUTHORITIES: usize = 1024;

/// The sets by the blocks that they seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline<'a> {
    rule: &'a Aura,
    terms: Vec<Term>,
    /// Number of the newest header that a change was shown with.
    changed: Option<u64>,
}

/// One set, while it seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The first block that it seals.
    pub from: u64,
    /// The last block that it is known to seal; `None` where the next term tells.
    pub until: Option<u64>,
    /// Its authorities, in the order of their steps.
    pub validators: Vec<Address>,
    /// The contract whose event announces the set after it.
    pub announcer: Option<Address>,
    /// Why it is believed.
    pub origin: Origin,
}

/// Why a set is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The auditor pins it: its place among the pinned sets.
    Pinned(usize),
    /// A proof shows the change to it.
    Proven {
        /// The pinned set that the changes began from.
        pin: usize,
        /// How many changes since.
        changes: usize,
        /// The block that announced it.
        announced: u64,
    },
}

/// How many have built on a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Distinct authorities of one set that sealed the block or one after it.
    pub builders: BTreeSet<Address>,
    /// All authorities of that set.
    pub of: usize,
    /// Whether they are enough.
    pub is_final: bool,
    /// The set's place in the timeline.
    pub term: usize,
}

/// A run of headers is not sealed as the sets demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    /// A header's seal; counted from 0.
    #[error("header {position}: {error}")]
    Seal {
        /// Which header.
        position: usize,
        /// Why.
        error: BadSeal,
    },
    /// A block announces a change that these headers make final, and the blocks after it are judged by the set before.
    #[error("block {number} can announce a change of the authorities, which the proof does not show")]
    Skipped {
        /// The announcing block.
        number: u64,
    },
}

/// A change of the authorities is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFault {
    /// The set before is not known, or another begins among these headers.
    #[error("no one known set seals its headers")]
    Unknown,
    /// The set before is one that no contract changes.
    #[error("no contract announces changes of the set before")]
    Fixed,
    /// It is announced before the change before it was final.
    #[error("it does not come after the change before it")]
    Order,
    /// A header is not sealed by the set before.
    #[error(transparent)]
    Seal(#[from] SealFault),
    /// The receipt does not show a log.
    #[error("its announcement: {0}")]
    Receipt(#[from] ReceiptFault),
    /// The log is another contract's.
    #[error("its announcement is of {actual}, not of the contract that announces changes")]
    Emitter {
        /// Who emitted it.
        actual: Address,
    },
    /// The log is another event.
    #[error("its announcement is another event, or malformed")]
    Event,
    /// The log names another parent than the block has.
    #[error("its announcement is for another block")]
    Parent,
    /// The same receipt announces two sets.
    #[error("its receipt announces more than one set")]
    Several,
    /// Nobody, too many, or one of them twice.
    #[error("the new set has nobody, one twice, or too many")]
    Set,
    /// Too few of the set before have built on it.
    #[error("it is not final: {built} of {of} authorities built on it")]
    NotFinal {
        /// Distinct authorities.
        built: usize,
        /// All authorities.
        of: usize,
    },
    /// There are headers after the one that made it final.
    #[error("it has headers after the one that makes it final")]
    Surplus,
}

impl<'a> Timeline<'a> {
    /// The pinned sets alone.
    pub fn pinned(rule: &'a Aura) -> Self {
        let term = |(pin, set): (usize, &crate::anchors::PinnedSet)| Term {
            from: set.from,
            until: set.until,
            validators: set.validators.clone(),
            announcer: set.announcer,
            origin: Origin::Pinned(pin),
        };
        let mut terms: Vec<Term> = rule.sets.iter().enumerate().map(term).collect();
        terms.sort_by_key(|term| term.from);
        Self { rule, terms, changed: None }
    }

    /// The sets, in the order of their blocks.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The place of the set that seals a block, if one is known.
    pub fn term_at(&self, number: u64) -> Option<usize> {
        let place = self.terms.iter().rposition(|term| term.from <= number)?;
        self.terms[place].until.is_none_or(|until| number <= until).then_some(place)
    }

    /// Checks every seal of a run, and that the steps follow each other; gives the place of each header's set, or `None` if the
    /// set of one is not known.
    ///
    /// # Errors
    /// A header is sealed otherwise, or a change is left out.
    pub fn check(&self, run: &[Header]) -> Result<Option<Vec<usize>>, SealFault> {
        let Some(terms) = self.check_seals(run)? else { return Ok(None) };
        for (position, header) in run.iter().enumerate() {
            let term = terms[position];
            if !self.terms[term].announcer.is_some_and(|announcer| can_announce(header, announcer)) {
                continue;
            }
            // Aura looks at no other announcement by that contract before the set of this one seals.
            let after = self.made_final(run, &terms, position).and_then(|end| terms.get(end + 1));
            if after == Some(&term) {
                return Err(SealFault::Skipped { number: header.number });
            }
        }
        Ok(Some(terms))
    }

    fn check_seals(&self, run: &[Header]) -> Result<Option<Vec<usize>>, SealFault> {
        let at = |position: usize| move |error: BadSeal| SealFault::Seal { position, error };
        let terms: Option<Vec<usize>> = run.iter().map(|header| self.term_at(header.number)).collect();
        let Some(terms) = terms else { return Ok(None) };
        for (position, (header, term)) in run.iter().zip(&terms).enumerate() {
            aura::check(header, &self.terms[*term].validators, self.rule.steps).map_err(at(position))?;
        }
        for (position, pair) in run.windows(2).enumerate() {
            aura::check_succession(&pair[0], &pair[1]).map_err(at(position + 1))?;
        }
        Ok(Some(terms))
    }

    /// The header with which enough of a header's own set have built on it, if there is one in the run.
    fn made_final(&self, run: &[Header], terms: &[usize], position: usize) -> Option<usize> {
        let (term, number) = (terms[position], run[position].number);
        let of = self.terms[term].validators.len();
        let mut builders = BTreeSet::new();
        (position..run.len()).take_while(|end| terms[*end] == term).find(|end| {
            builders.insert(run[*end].author);
            self.rule.is_enough(builders.len(), of, number)
        })
    }

    /// Counts who built on a header of a run whose sets [`Self::check`] gave.
    ///
    /// Only authorities of one set are counted together; a block is final too when a later one is that another set has sealed.
    pub fn count(&self, run: &[Header], terms: &[usize], position: usize) -> Count {
        let number = run.get(position).map_or(0, |header| header.number);
        let mut best: Option<Count> = None;
        let mut built = run.iter().zip(terms).skip(position).peekable();
        while let Some((_, term)) = built.peek().copied() {
            let of = self.terms[*term].validators.len();
            let mut builders = BTreeSet::new();
            while let Some((header, _)) = built.next_if(|(_, other)| *other == term) {
                builders.insert(header.author);
            }
            let is_final = self.rule.is_enough(builders.len(), of, number);
            let count = Count { builders, of, is_final, term: *term };
            if is_final {
                return count;
            }
            best.get_or_insert(count);
        }
        best.unwrap_or(Count { builders: BTreeSet::new(), of: 0, is_final: false, term: 0 })
    }

    /// Follows one change: its announcement under the first header, which the others make final under the set before.
    ///
    /// # Errors
    /// The change is not shown; the sets are as they were.
    pub fn follow(&mut self, run: &[Header], announcement: &ReceiptProof) -> Result<(), ChangeFault> {
        let (Some(block), Some(last)) = (run.first(), run.last()) else { return Err(ChangeFault::Unknown) };
        if self.changed.is_some_and(|changed| block.number <= changed) {
            return Err(ChangeFault::Order);
        }
        let terms = self.check_seals(run)?.ok_or(ChangeFault::Unknown)?;
        let place = terms[0];
        if terms.iter().any(|term| *term != place) {
            return Err(ChangeFault::Unknown);
        }
        let announcer = self.terms[place].announcer.ok_or(ChangeFault::Fixed)?;
        let validators = announced(block, announcement, announcer)?;
        let count = self.count(run, &terms, 0);
        if !count.is_final {
            return Err(ChangeFault::NotFinal { built: count.builders.len(), of: count.of });
        }
        let before = run.len() - 1;
        if before > 0 && self.count(&run[..before], &terms[..before], 0).is_final {
            return Err(ChangeFault::Surplus);
        }
        let (pin, changes) = match self.terms[place].origin {
            Origin::Pinned(pin) => (pin, 1),
            Origin::Proven { pin, changes, .. } => (pin, changes + 1),
        };
        let from = last.number.saturating_add(1);
        // A set that is pinned from there on stands for itself.
        if self.terms.iter().all(|term| term.from != from) {
            let origin = Origin::Proven { pin, changes, announced: block.number };
            let term = Term { from, until: None, validators, announcer: Some(announcer), origin };
            self.terms.insert(place + 1, term);
        }
        self.changed = Some(last.number);
        Ok(())
    }
}

/// Whether a block's filter admits the announcement of a change; it can do so by chance.
pub fn can_announce(header: &Header, announcer: Address) -> bool {
    let names: [&[u8]; 3] = [announcer.as_slice(), ANNOUNCEMENT.as_slice(), header.parent.as_slice()];
    let bloom: &Bloom = &header.bloom;
    names.into_iter().all(|name| bloom.contains_input(BloomInput::Raw(name)))
}

/// The set that a receipt of a block announces.
fn announced(block: &Header, proof: &ReceiptProof, announcer: Address) -> Result<Vec<Address>, ChangeFault> {
    let log = receipt::prove(block.receipts_root, proof)?;
    if log.address != announcer {
        return Err(ChangeFault::Emitter { actual: log.address });
    }
    let [event, parent] = log.content.topics() else { return Err(ChangeFault::Event) };
    if *event != ANNOUNCEMENT {
        return Err(ChangeFault::Event);
    }
    if *parent != block.parent {
        return Err(ChangeFault::Parent);
    }
    // Of several, nodes take one by rules of their own; the contract makes none before the last is final.
    let receipt = lookup_place(block.receipts_root, proof.index, &proof.nodes).map_err(ReceiptFault::from)?;
    let logs = receipt::all_logs(receipt).map_err(ReceiptFault::from)?;
    let is_announcement = |other: &&ReceiptLog| {
        other.address == announcer && other.content.topics().first() == Some(&ANNOUNCEMENT)
    };
    if logs.iter().filter(is_announcement).count() != 1 {
        return Err(ChangeFault::Several);
    }
    new_set(&log.content.data).ok_or(ChangeFault::Set)
}

/// The event's data: the ABI encoding of one list of accounts.
fn new_set(data: &[u8]) -> Option<Vec<Address>> {
    let words: Vec<&[u8]> = data.chunks(32).collect();
    let number = |word: &[u8]| -> Option<usize> {
        let (zeros, low) = word.split_at_checked(24)?;
        let low: [u8; 8] = low.try_into().ok()?;
        zeros.iter().all(|byte| *byte == 0).then_some(())?;
        usize::try_from(u64::from_be_bytes(low)).ok()
    };
    let [offset, count, accounts @ ..] = words.as_slice() else { return None };
    let fits = number(offset) == Some(32) && number(count) == Some(accounts.len());
    if !fits || accounts.is_empty() || accounts.len() > MAX_AUTHORITIES {
        return None;
    }
    let account = |word: &&[u8]| -> Option<Address> {
        let (zeros, account) = word.split_at_checked(12)?;
        let is_clean = zeros.iter().all(|byte| *byte == 0);
        Address::try_from(account).ok().filter(|account| is_clean && !account.is_zero())
    };
    let set: Vec<Address> = accounts.iter().map(account).collect::<Option<_>>()?;
    (set.iter().collect::<BTreeSet<_>>().len() == set.len()).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(words: &[&[u8]]) -> Vec<u8> {
        words.iter().flat_map(|word| [&vec![0; 32 - word.len()], *word].concat()).collect()
    }

    #[test]
    fn the_announcement_is_the_event_s_name() {
        assert_eq!(ANNOUNCEMENT, alloy_primitives::keccak256("InitiateChange(bytes32,address[])"));
    }

    #[test]
    fn sets_are_read_in_their_one_encoding() {
        let good = data(&[&[32], &[2], &[1; 20], &[2; 20]]);
        assert_eq!(new_set(&good), Some(vec![Address::repeat_byte(1), Address::repeat_byte(2)]));
        for bad in [
            data(&[]),
            data(&[&[32]]),
            data(&[&[32], &[0]]),
            data(&[&[33], &[1], &[1; 20]]),
            data(&[&[32], &[2], &[1; 20]]),
            data(&[&[32], &[1], &[1; 20], &[2; 20]]),
            data(&[&[32], &[1], &[1; 21]]),
            data(&[&[32], &[1], &[]]),
            data(&[&[32], &[2], &[1; 20], &[1; 20]]),
            data(&[&[1; 32], &[1], &[1; 20]]),
            good[..good.len() - 1].to_vec(),
        ] {
            assert_eq!(new_set(&bad), None, "{}", hex::encode(bad));
        }
        let many: Vec<[u8; 20]> = (0..=MAX_AUTHORITIES as u32)
            .map(|n| std::array::from_fn(|i| if i < 4 { n.to_be_bytes()[i] } else { 9 }))
            .collect();
        let count = (many.len() as u16).to_be_bytes();
        let words: Vec<&[u8]> =
            [&[32][..], &count].into_iter().chain(many.iter().map(|account| &account[..])).collect();
        assert_eq!(new_set(&data(&words)), None);
    }
}
