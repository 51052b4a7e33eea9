//! Logs proven by their block's receipts: for nodes that prove no state, and for changes of the authorities.
//!
//! The trie over a block's receipts is made again from what the node says of each, and must have the root that the block's header
//! has; so nothing is believed. Any node that knows a transaction's receipt can serve it.

use crate::error::{ChainError, contradiction, unknown_block};
use crate::header;
use crate::rpc::{BlockAt, Quantity, Rpc};
use crate::scan::Width;
use alloy_primitives::{Address, B256, b256};
use pox_core::proof::{MAX_RUN_HEADERS, ReceiptProof};

/// keccak256 of `InitiateChange(bytes32,address[])`: how contracts announce Aura's authorities.
const ANNOUNCEMENT: B256 = b256!("0x55252fa6eee4741b4e24a74a70e9c11fd2c2281df8d6ea13126ff845f7825c89");

/// A log with what shows that it is in its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenLog {
    /// What goes into a proof file.
    pub proof: ReceiptProof,
    /// The block's header, RLP, seal included.
    pub header: Vec<u8>,
}

impl Rpc {
    /// Proves a log by the receipts of its block; `index` is its place among all logs of the block.
    ///
    /// # Errors
    /// The block or a receipt is not known; what the node says of them does not make the header's receipts root.
    pub fn prove_log(&self, block: BlockAt, transaction: B256, index: u64) -> Result<ProvenLog, ChainError> {
        let raw = self.raw_block(block.number)?.ok_or_else(|| unknown_block(block.number))?;
        if raw.hash != block.hash {
            return Err(ChainError::Reorganised(block.number));
        }
        let header = header::encode(&raw)?;
        let block = self.told_block(raw)?;
        let place = block
            .transactions
            .iter()
            .position(|hash| *hash == transaction)
            .ok_or_else(|| contradiction(format!("transaction {transaction} is not in its block")))?;
        let (receipt, nodes) = self.proven_receipt(&block, place)?;
        let log = receipt
            .logs
            .iter()
            .flatten()
            .position(|log| log.log_index.and_then(Quantity::number) == Some(index))
            .ok_or_else(|| contradiction(format!("log {index} is not in its transaction's receipt")))?;
        let small = |place: usize| u32::try_from(place).map_err(|_| contradiction("a block of that size"));
        let proof = ReceiptProof { index: small(place)?, log: small(log)?, nodes };
        Ok(ProvenLog { proof, header })
    }

    /// The header of a block, RLP, seal included, after its hash was checked; `None` if there is no such block yet.
    ///
    /// # Errors
    /// As every call; the fields are not those of the block's hash.
    pub fn header(&self, number: u64) -> Result<Option<(BlockAt, Vec<u8>)>, ChainError> {
        let Some(raw) = self.raw_block(number)? else { return Ok(None) };
        Ok(Some((BlockAt { number, hash: raw.hash }, header::encode(&raw)?)))
    }

    /// Where a contract has announced sets of authorities in a range of blocks, both ends included.
    ///
    /// # Errors
    /// As every call.
    pub fn announcements(
        &self,
        announcer: Address,
        from: u64,
        to: u64,
    ) -> Result<Vec<(BlockAt, B256, u64)>, ChainError> {
        let mut width = Width::new(self.profile().log_range);
        let mut found = Vec::new();
        let mut next = from;
        while next <= to {
            let end = next.saturating_add(width.blocks() - 1).min(to);
            match self.logs(announcer, &[vec![ANNOUNCEMENT]], next, end) {
                Ok(logs) => {
                    found.extend(logs.into_iter().map(|log| (log.block, log.transaction, log.index)));
                    if found.len() > MAX_RUN_HEADERS {
                        return Err(contradiction("more changes of the authorities than a proof holds"));
                    }
                    let Some(after) = end.checked_add(1) else { break };
                    next = after;
                    width.grow();
                }
                Err(error) => width.shrink(error)?,
            }
        }
        Ok(found)
    }
}
