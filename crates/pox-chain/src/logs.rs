//! The contract's logs, complete, however wide the range and however shy the node.

use crate::contract::Contract;
use crate::error::{ChainError, unknown_transaction};
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
        let mut logs = self.logs_between(from, last)?;
        let mut with_logs = Vec::with_capacity(blocks.len());
        for block in blocks {
            let rest = logs.split_off(logs.partition_point(|log| log.block.number <= block.at.number));
            let of_block = self.every_log(&block, std::mem::replace(&mut logs, rest))?;
            with_logs.push((block, of_block));
        }
        Ok(with_logs)
    }

    /// The block's logs, or those of a second look if it should have some and came without.
    pub(crate) fn every_log(&self, block: &Block, logs: Vec<Log>) -> Result<Vec<Log>, ChainError> {
        let (rpc, address, number) = (self.rpc(), self.domain().contract, block.at.number);
        if !logs.is_empty() || !block.can_have_logs_of(address) {
            return Ok(logs);
        }
        let again = rpc.logs(address, &[], number, number)?;
        if !again.is_empty() {
            return Ok(again);
        }
        // The filter can be wrong about a block, receipts can't.
        for hash in &block.transactions {
            let receipt = rpc.receipt(*hash)?.ok_or_else(|| unknown_transaction(*hash))?;
            if receipt.block != block.at {
                return Err(ChainError::Reorganised(number));
            }
            if receipt.logs.iter().any(|log| log.address == address) {
                return Err(ChainError::Lagging(format!("the logs of block {number}")));
            }
        }
        Ok(Vec::new())
    }
}
