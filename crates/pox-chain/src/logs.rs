//! The contract's logs, complete, however wide the range and however shy the node.

use crate::contract::Contract;
use crate::error::ChainError;
use crate::profile::Checks;
use crate::rpc::{Block, Log};
use crate::scan::Width;

impl Contract {
    /// The contract's logs in a range of blocks, both ends included; asked for in parts that the profile allows and the node
    /// bears.
    ///
    /// # Errors
    /// The chain can't be asked, or answers what was not asked for.
    pub fn logs_between(&self, from: u64, to: u64) -> Result<Vec<Log>, ChainError> {
        let mut width = Width::new(self.rpc().profile().log_range);
        let (mut next, mut all) = (from, Vec::new());
        while next <= to {
            let end = to.min(next.saturating_add(width.blocks() - 1));
            match self.rpc().logs(self.domain().contract, &[], next, end) {
                Ok(mut logs) => {
                    all.append(&mut logs);
                    next = end + 1;
                    width.grow();
                }
                Err(error) => width.shrink(error)?,
            }
        }
        Ok(all)
    }

    /// Blocks on end that can still be taken back, each with the contract's logs in it; fewer where the replica that answers
    /// has no more. That each is the child of the one before is the caller's to check.
    ///
    /// # Errors
    /// The chain can't be asked, was reorganised meanwhile, or keeps logs back that its own filter or receipts show.
    pub fn blocks_with_logs(&self, from: u64, to: u64) -> Result<Vec<(Block, Vec<Log>)>, ChainError> {
        let mut blocks = Vec::new();
        for number in from..=to {
            let Some(block) = self.rpc().block(number)? else { break };
            blocks.push(block);
        }
        let Some(last) = blocks.last().map(|block| block.at.number) else { return Ok(Vec::new()) };
        let believed = match self.rpc().profile().checks {
            Checks::Hashes => None,
            Checks::DangerouslyNone => Some(self.logs_between(from, last)?),
        };
        let mut with_logs = Vec::with_capacity(blocks.len());
        for block in blocks {
            let logs = self.logs_of(&block, believed.as_deref())?;
            with_logs.push((block, logs));
        }
        Ok(with_logs)
    }

    /// The contract's logs in a block: out of those that are believed, or else as the block's header commits to them.
    pub(crate) fn logs_of(&self, block: &Block, believed: Option<&[Log]>) -> Result<Vec<Log>, ChainError> {
        let address = self.domain().contract;
        match believed {
            Some(logs) => {
                Ok(logs.iter().filter(|log| log.block.number == block.at.number).cloned().collect())
            }
            // The header commits to the filter, and the filter to there being none.
            None if !block.can_have_logs_of(address) => Ok(Vec::new()),
            None => self.rpc().committed_logs(block, address),
        }
    }
}
