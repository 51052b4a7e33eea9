//! Where events come from.

use alloy_primitives::B256;
use pox_chain::{BlockAt, ChainError, Contract, Log};
use pox_core::UnixTime;

/// A block, as far as an index needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Where it stands.
    pub at: BlockAt,
    /// The block before it; `None` where it was not asked for.
    pub parent: Option<B256>,
    /// Its time.
    pub time: UnixTime,
}

/// A chain with the contract on it. Whatever it tells is checked as far as hashes go, and believed beyond that.
pub trait Source: Sync {
    /// The newest block.
    ///
    /// # Errors
    /// The chain can't be asked.
    fn head(&self) -> Result<Header, ChainError>;

    /// The block of a number, if there is one.
    ///
    /// # Errors
    /// The chain can't be asked.
    fn block(&self, number: u64) -> Result<Option<Header>, ChainError>;

    /// The contract's logs in a range of blocks, both ends included, in the chain's order.
    ///
    /// # Errors
    /// The chain can't be asked.
    fn logs(&self, from: u64, to: u64) -> Result<Vec<Log>, ChainError>;

    /// Blocks on end that can still be taken back, each with the contract's logs in it; fewer where the source has no more.
    ///
    /// # Errors
    /// The chain can't be asked, or was reorganised meanwhile.
    fn near(&self, from: u64, to: u64) -> Result<Vec<(Header, Vec<Log>)>, ChainError> {
        let mut blocks = Vec::new();
        for number in from..=to {
            let Some(header) = self.block(number)? else { break };
            blocks.push((header, Vec::new()));
        }
        let Some((last, _)) = blocks.last() else { return Ok(blocks) };
        for log in self.logs(from, last.at.number)? {
            if let Some((_, logs)) =
                blocks.iter_mut().find(|(header, _)| header.at.number == log.block.number)
            {
                logs.push(log);
            }
        }
        Ok(blocks)
    }

    /// Most blocks to ask for at once.
    fn range(&self) -> u64;

    /// How many blocks below the newest can still be taken back.
    fn unsettled(&self) -> u64;
}

impl Source for Contract {
    fn head(&self) -> Result<Header, ChainError> {
        Ok(header(&self.rpc().head()?))
    }

    fn block(&self, number: u64) -> Result<Option<Header>, ChainError> {
        Ok(self.rpc().block(number)?.as_ref().map(header))
    }

    fn logs(&self, from: u64, to: u64) -> Result<Vec<Log>, ChainError> {
        self.logs_between(from, to)
    }

    fn near(&self, from: u64, to: u64) -> Result<Vec<(Header, Vec<Log>)>, ChainError> {
        let blocks = self.blocks_with_logs(from, to)?;
        Ok(blocks.into_iter().map(|(block, logs)| (header(&block), logs)).collect())
    }

    fn range(&self) -> u64 {
        self.rpc().profile().log_range.into()
    }

    fn unsettled(&self) -> u64 {
        self.rpc().profile().finality.confirmations().max(NEAR)
    }
}

fn header(block: &pox_chain::Block) -> Header {
    Header { at: block.at, parent: Some(block.parent), time: block.time }
}

/// More than chains without a finality rule have ever taken back, but for attacks.
const NEAR: u64 = 128;
