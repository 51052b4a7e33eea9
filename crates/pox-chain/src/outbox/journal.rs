//! What an outbox must not forget: every transaction that it signed, until the chain has it for good, and which nonces are used.

use super::shelf::Shelf;
use crate::error::ChainError;
use crate::prepared::{Draft, Prepared};
use crate::rpc::BlockAt;
use alloy_primitives::{Bytes, U256};
use serde::{Deserialize, Serialize};
use std::io;

/// Most transactions that wait at once. A chain that is away for a week must not fill the disk.
const MAX_ENTRIES: usize = 1024;
const VERSION: u32 = 1;

/// The journal of one account on one chain.
#[derive(Debug)]
pub(super) struct Journal {
    shelf: Box<dyn Shelf>,
    chain_id: u64,
}

/// One thing to be brought about: the transactions of one nonce, of which one takes effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The first and its replacements, each dearer than the one before. Never empty.
    pub(super) attempts: Vec<Prepared>,
    /// Where one of them was seen in the chain, not finally yet; of one that is over, a block at whose end the nonce was used.
    pub(super) seen: Option<BlockAt>,
    /// Whether it came to nothing, and its caller knows. It stays for its nonce alone, until that is used for good.
    pub(super) over: bool,
    /// Most wei that any of them may cost, if there is a bound of its own.
    pub(super) most: Option<U256>,
}

#[derive(Debug, Default)]
struct Kept {
    /// All nonces below were used by transactions that were seen in blocks, whatever a lagging replica counts.
    floor: u64,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    chain_id: u64,
    floor: u64,
    entries: Vec<FileEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    attempts: Vec<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<BlockAt>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    over: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    most: Option<U256>,
}

impl Entry {
    fn new(first: Prepared) -> Self {
        Self { attempts: vec![first], seen: None, over: false, most: None }
    }

    pub(super) fn nonce(&self) -> u64 {
        self.first().nonce()
    }

    pub(super) fn draft(&self) -> &Draft {
        self.first().draft()
    }

    pub(super) fn latest(&self) -> &Prepared {
        self.attempts.last().expect("an entry has an attempt from its making on")
    }

    fn first(&self) -> &Prepared {
        self.attempts.first().expect("an entry has an attempt from its making on")
    }
}

impl Journal {
    pub(super) fn new(shelf: Box<dyn Shelf>, chain_id: u64) -> Self {
        Self { shelf, chain_id }
    }

    /// Everything that waits, by nonce.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, ChainError> {
        let mut entries = Vec::new();
        self.edit(|kept| {
            entries.clone_from(&kept.entries);
            Ok(Edited::No)
        })?;
        entries.sort_by_key(Entry::nonce);
        Ok(entries)
    }

    /// The entry that is to bring a draft about, if there is one.
    pub(super) fn of(&self, draft: &Draft) -> Result<Option<Entry>, ChainError> {
        Ok(self.entries()?.into_iter().find(|entry| !entry.over && entry.draft() == draft))
    }

    /// Takes the lowest free nonce that is not below what nodes count, signs with it, and writes the result down.
    pub(super) fn enter(
        &self,
        counted: u64,
        most: Option<U256>,
        sign: impl Fn(u64) -> Result<Prepared, ChainError>,
    ) -> Result<Prepared, ChainError> {
        let mut made = None;
        self.edit(|kept| {
            if kept.entries.len() >= MAX_ENTRIES {
                return Err(ChainError::BadPrepared("the outbox is full: too many wait already"));
            }
            let is_held = |nonce: &u64| kept.entries.iter().any(|entry| entry.nonce() == *nonce);
            let nonce = (counted.max(kept.floor)..u64::MAX).find(|nonce| !is_held(nonce));
            let prepared = sign(nonce.ok_or(ChainError::BadPrepared("no nonce is left"))?)?;
            kept.entries.push(Entry { most, ..Entry::new(prepared.clone()) });
            made = Some(prepared);
            Ok(Edited::Yes)
        })?;
        made.ok_or(ChainError::BadPrepared("the journal kept nothing"))
    }

    /// The bound on what an entry may cost.
    pub(super) fn most(&self, nonce: u64) -> Result<Option<U256>, ChainError> {
        Ok(self.entries()?.into_iter().find(|entry| entry.nonce() == nonce).and_then(|entry| entry.most))
    }

    /// Changes the bound on what an entry may cost from now on.
    pub(super) fn bound(&self, nonce: u64, most: Option<U256>) -> Result<(), ChainError> {
        self.edit(|kept| {
            match kept.entry(nonce).filter(|entry| entry.most != most) {
                None => return Ok(Edited::No),
                Some(entry) => entry.most = most,
            }
            Ok(Edited::Yes)
        })
    }

    /// Adds a transaction that somebody waits for, also one that was over.
    pub(super) fn add(&self, prepared: &Prepared) -> Result<(), ChainError> {
        self.edit(|kept| {
            match kept.entry(prepared.nonce()) {
                Some(entry) if entry.over => *entry = Entry::new(prepared.clone()),
                _ => return Ok(kept.attempt(prepared)),
            }
            Ok(Edited::Yes)
        })
    }

    /// Adds another attempt for its nonce.
    pub(super) fn attempt(&self, prepared: &Prepared) -> Result<(), ChainError> {
        self.edit(|kept| Ok(kept.attempt(prepared)))
    }

    /// Notes that the nonce was used in a block, or that its block was taken back.
    pub(super) fn note_seen(&self, nonce: u64, seen: Option<BlockAt>) -> Result<(), ChainError> {
        self.edit(|kept| {
            if seen.is_some() {
                kept.floor = kept.floor.max(nonce.saturating_add(1));
            }
            match kept.entry(nonce) {
                Some(entry) if entry.seen != seen => entry.seen = seen,
                _ if seen.is_none() => return Ok(Edited::No),
                _ => {}
            }
            Ok(Edited::Yes)
        })
    }

    /// Notes that an entry has come to nothing though its nonce is used: in this block, or nobody knows where yet.
    pub(super) fn note_over(&self, nonce: u64, seen: Option<BlockAt>) -> Result<(), ChainError> {
        self.edit(|kept| {
            kept.floor = kept.floor.max(nonce.saturating_add(1));
            if let Some(entry) = kept.entry(nonce) {
                entry.over = true;
                entry.seen = seen.or(entry.seen);
            }
            Ok(Edited::Yes)
        })
    }

    /// Forgets an entry: its nonce is used for good, or it was never handed to anybody.
    pub(super) fn strike(&self, nonce: u64, used: Used) -> Result<(), ChainError> {
        self.edit(|kept| {
            kept.entries.retain(|entry| entry.nonce() != nonce);
            if used == Used::Yes {
                kept.floor = kept.floor.max(nonce.saturating_add(1));
            }
            Ok(Edited::Yes)
        })
    }

    fn edit(
        &self,
        mut change: impl FnMut(&mut Kept) -> Result<Edited, ChainError>,
    ) -> Result<(), ChainError> {
        let mut refused = None;
        let written = self.shelf.edit(&mut |bytes| {
            let mut kept = self.parse(bytes)?;
            match change(&mut kept) {
                Ok(Edited::Yes) => Ok(Some(self.to_bytes(&kept)?)),
                Ok(Edited::No) => Ok(None),
                Err(error) => {
                    refused = Some(error);
                    Ok(None)
                }
            }
        });
        written.map_err(ChainError::Journal)?;
        refused.map_or(Ok(()), Err)
    }

    fn parse(&self, bytes: &[u8]) -> io::Result<Kept> {
        if bytes.is_empty() {
            return Ok(Kept::default());
        }
        let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let file: File = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if (file.version, file.chain_id) != (VERSION, self.chain_id) || file.entries.len() > MAX_ENTRIES {
            return Err(damaged("it is of another version or chain".into()));
        }
        let entries = file.entries.into_iter().map(|entry| {
            let parse =
                |raw: Bytes| Prepared::parse(&raw, self.chain_id).map_err(|error| damaged(error.to_string()));
            let attempts: Vec<_> = entry.attempts.into_iter().map(parse).collect::<Result<_, _>>()?;
            let first = attempts.first().ok_or_else(|| damaged("an entry without a transaction".into()))?;
            if attempts
                .iter()
                .any(|attempt| (attempt.nonce(), attempt.from()) != (first.nonce(), first.from()))
            {
                return Err(damaged("an entry with two nonces".into()));
            }
            Ok(Entry { attempts, seen: entry.seen, over: entry.over, most: entry.most })
        });
        Ok(Kept { floor: file.floor, entries: entries.collect::<io::Result<_>>()? })
    }

    fn to_bytes(&self, kept: &Kept) -> io::Result<Vec<u8>> {
        let entries = kept.entries.iter().map(|entry| FileEntry {
            attempts: entry.attempts.iter().map(|attempt| attempt.raw().clone()).collect(),
            seen: entry.seen,
            over: entry.over,
            most: entry.most,
        });
        let file =
            File { version: VERSION, chain_id: self.chain_id, floor: kept.floor, entries: entries.collect() };
        Ok(serde_json::to_vec(&file)?)
    }
}

impl Kept {
    fn entry(&mut self, nonce: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.nonce() == nonce)
    }

    fn attempt(&mut self, prepared: &Prepared) -> Edited {
        match self.entry(prepared.nonce()) {
            Some(entry) if entry.attempts.contains(prepared) => return Edited::No,
            Some(entry) => entry.attempts.push(prepared.clone()),
            None => self.entries.push(Entry::new(prepared.clone())),
        }
        Edited::Yes
    }
}

/// Whether the chain has used an entry's nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Used {
    Yes,
    No,
}

enum Edited {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::super::shelf::{FileShelf, MemoryShelf};
    use super::*;
    use crate::account::Account;
    use crate::prepared::Price;
    use alloy_primitives::{Address, U256};

    fn sign(nonce: u64, price: u128) -> Result<Prepared, ChainError> {
        let account = Account::from_bytes(&[7; 32]).unwrap();
        let draft = Draft { to: Some(Address::ZERO), value: U256::from(nonce), input: Bytes::new() };
        Prepared::sign(&account, 1, nonce, 21_000, Price::Legacy { gas_price: price }, draft)
    }

    #[test]
    fn no_nonce_is_taken_twice_and_gaps_are_filled() {
        let journal = Journal::new(Box::<MemoryShelf>::default(), 1);
        let take =
            |counted| journal.enter(counted, None, |nonce| sign(nonce, 1)).map(|prepared| prepared.nonce());
        journal.add(&sign(6, 1).unwrap()).unwrap();
        assert_eq!([take(5), take(5), take(5)].map(Result::unwrap), [5, 7, 8]);
        journal.strike(7, Used::No).unwrap();
        assert_eq!(take(5).unwrap(), 7);
        journal.note_seen(5, Some(BlockAt { number: 1, hash: Default::default() })).unwrap();
        assert_eq!(take(0).unwrap(), 9, "a replica that lags by five");
        assert!(take(u64::MAX).is_err());
    }

    #[test]
    fn a_file_keeps_everything_and_two_programs_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.json");
        let open = || Journal::new(Box::new(FileShelf::new(&path)), 1);
        let most = Some(U256::from(90_000));
        let first = open().enter(3, most, |nonce| sign(nonce, 1)).unwrap();
        assert_eq!(open().enter(3, None, |nonce| sign(nonce, 1)).unwrap().nonce(), 4);
        let dearer = sign(3, 2).unwrap();
        open().add(&dearer).unwrap();
        open().add(&dearer).unwrap();
        let seen = BlockAt { number: 9, hash: Default::default() };
        open().note_seen(3, Some(seen)).unwrap();
        let entry = open().of(first.draft()).unwrap().unwrap();
        let attempts = vec![first.clone(), dearer];
        assert_eq!(entry, Entry { attempts, seen: Some(seen), over: false, most });
        open().bound(3, None).unwrap();
        assert_eq!(open().most(3).unwrap(), None);
        open().note_over(3, None).unwrap();
        assert_eq!(open().of(first.draft()).unwrap(), None, "nobody waits for it");
        let over = &open().entries().unwrap()[0];
        assert_eq!((over.over, over.seen, over.attempts.len()), (true, Some(seen), 2));
        assert_eq!(
            open().enter(3, None, |nonce| sign(nonce, 1)).unwrap().nonce(),
            5,
            "its nonce stays taken"
        );
        open().add(&first).unwrap();
        assert_eq!(open().of(first.draft()).unwrap(), Some(Entry::new(first)), "somebody waits for it again");
        open().strike(3, Used::Yes).unwrap();
        assert_eq!(open().entries().unwrap().len(), 2);
        assert!(Journal::new(Box::new(FileShelf::new(&path)), 2).entries().is_err(), "another chain's");
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(open().entries(), Err(ChainError::Journal(_))));
    }
}
