//! The nonces of what has failed. Its caller knows, but the chain can take back what used the nonce, and until it is used
//! again, nothing that the account sends later can be in a block.

use super::journal::{Entry, Used};
use super::{Outbox, WaitsFor};
use crate::error::ChainError;
use crate::fees::current_price;
use crate::prepared::{Draft, Prepared};
use alloy_primitives::{Bytes, U256};

impl Outbox {
    /// What it waits for if its nonce is free; `None` if there is nothing to tell.
    pub(super) fn try_tend_over(&self, entry: &Entry) -> Result<Option<WaitsFor>, ChainError> {
        let nonce = entry.nonce();
        if let Some(seen) = entry.seen
            && self.rpc.block(seen.number)?.is_some_and(|block| block.at == seen)
        {
            if self.rpc.newest_final()?.is_some_and(|newest| newest >= seen.number) {
                self.journal.strike(nonce, Used::Yes)?;
            }
            return Ok(None);
        }
        let head = self.rpc.head()?.at;
        if self.rpc.nonce_at(self.address(), head)? > nonce {
            self.journal.note_seen(nonce, Some(head))?;
            return Ok(None);
        }
        // Some pool can still have what used it.
        if self.rpc.pending_nonce(self.address())? > nonce {
            return Ok(None);
        }
        self.fill(entry).map(Some)
    }

    /// Uses the nonce for a transfer of nothing to the account itself. What failed is not sent again: by now it could take
    /// effect, beside what its caller has done instead.
    fn fill(&self, entry: &Entry) -> Result<WaitsFor, ChainError> {
        let nothing = Draft { to: Some(self.address()), value: U256::ZERO, input: Bytes::new() };
        let mut attempts = entry.attempts.clone();
        if entry.latest().draft() != &nothing {
            let (gas, price) = (self.gas_for(&nothing)?, current_price(&self.rpc)?);
            let chain_id = self.rpc.profile().chain_id;
            let filler = Prepared::sign(&self.account, chain_id, entry.nonce(), gas, price, nothing)?;
            self.journal.attempt(&filler)?;
            attempts.push(filler);
        }
        self.push_on(&attempts)
    }
}
