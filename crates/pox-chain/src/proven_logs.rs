//! Logs proven by their block's receipts: for nodes that prove no state, and for changes of the authorities.
//!
//! The trie over a block's receipts is made again from what the node says of each, and must have the root that the block's header
//! has; so nothing is believed. Any node that knows a transaction's receipt can serve it.

use crate::error::{ChainError, contradiction, unknown_block, unknown_transaction};
use crate::header;
use crate::rpc::{BlockAt, Quantity, Rpc};
use crate::scan::Width;
use alloy_primitives::{Address, B256, Bloom, Bytes, b256};
use alloy_rlp::{BufMut, Encodable, Header as RlpHeader};
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};
use pox_core::proof::{MAX_RUN_HEADERS, ReceiptProof};
use serde::Deserialize;
use std::collections::BTreeMap;

/// keccak256 of `InitiateChange(bytes32,address[])`: how contracts announce Aura's authorities.
const ANNOUNCEMENT: B256 = b256!("0x55252fa6eee4741b4e24a74a70e9c11fd2c2281df8d6ea13126ff845f7825c89");
/// Most transactions of a block whose receipts are asked for one by one.
const MAX_TRANSACTIONS: usize = 20_000;

/// A log with what shows that it is in its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenLog {
    /// What goes into a proof file.
    pub proof: ReceiptProof,
    /// The block's header, RLP, seal included.
    pub header: Vec<u8>,
}

/// A receipt as nodes give it, with all that its bytes are made of.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReceipt {
    transaction_hash: B256,
    #[serde(rename = "type", default)]
    kind: Option<Quantity>,
    #[serde(default)]
    status: Option<Quantity>,
    /// Of the state before Byzantium.
    #[serde(default)]
    root: Option<Bytes>,
    cumulative_gas_used: Quantity,
    logs_bloom: Box<Bloom>,
    logs: Vec<RawLog>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    log_index: Quantity,
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
        let root = raw.receipts_root.ok_or_else(|| contradiction("a block without receipts root"))?;
        let receipts = self.receipts_of(block.number, raw.transactions.unwrap_or_default())?;
        let place = receipts
            .iter()
            .position(|receipt| receipt.transaction_hash == transaction)
            .ok_or_else(|| contradiction(format!("transaction {transaction} is not in its block")))?;
        let logs = &receipts[place].logs;
        let log = logs
            .iter()
            .position(|log| log.log_index.number() == Some(index))
            .ok_or_else(|| contradiction(format!("log {index} is not in its transaction's receipt")))?;
        let small = |place: usize| u32::try_from(place).map_err(|_| contradiction("a block of that size"));
        let nodes = prove(&receipts, small(place)?, root).ok_or_else(|| {
            contradiction(format!("the receipts of block {} do not make its receipts root", block.number))
        })?;
        let proof = ReceiptProof { index: small(place)?, log: small(log)?, nodes };
        Ok(ProvenLog { proof, header })
    }

    /// All receipts of a block, in one call where the node has it.
    fn receipts_of(&self, number: u64, transactions: Vec<B256>) -> Result<Vec<RawReceipt>, ChainError> {
        if transactions.len() > MAX_TRANSACTIONS {
            return Err(contradiction("more transactions than a block can have"));
        }
        let together = self.ask::<Vec<RawReceipt>>("eth_getBlockReceipts", [format!("{number:#x}")]);
        let is_whole = |receipts: &Vec<RawReceipt>| {
            receipts.iter().map(|receipt| receipt.transaction_hash).eq(transactions.iter().copied())
        };
        if let Ok(Some(receipts)) = together
            && is_whole(&receipts)
        {
            return Ok(receipts);
        }
        let one = |hash: B256| {
            let receipt: Option<RawReceipt> = self.ask("eth_getTransactionReceipt", [hash])?;
            receipt
                .filter(|receipt| receipt.transaction_hash == hash)
                .ok_or_else(|| unknown_transaction(hash))
        };
        transactions.into_iter().map(one).collect()
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

/// The nodes from the root to one receipt; `None` if the receipts have another root.
fn prove(receipts: &[RawReceipt], place: u32, root: B256) -> Option<Vec<Vec<u8>>> {
    let key = |place: u32| Nibbles::unpack(alloy_rlp::encode(place));
    let leaves: BTreeMap<Nibbles, Vec<u8>> =
        (0u32..).zip(receipts).map(|(place, receipt)| (key(place), encode(receipt))).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![key(place)]));
    for (key, receipt) in &leaves {
        builder.add_leaf(*key, receipt);
    }
    (builder.root() == root).then(|| {
        let nodes = builder.take_proof_nodes().into_nodes_sorted();
        nodes.into_iter().map(|(_, node)| node.to_vec()).collect()
    })
}

/// A receipt's bytes, as the trie has them.
fn encode(receipt: &RawReceipt) -> Vec<u8> {
    let mut body = Vec::new();
    match (&receipt.status, &receipt.root) {
        (Some(status), _) => status.0.encode(&mut body),
        (None, Some(root)) => root.encode(&mut body),
        // EIP-98: some chains had neither before Byzantium.
        (None, None) => {}
    }
    receipt.cumulative_gas_used.0.encode(&mut body);
    receipt.logs_bloom.encode(&mut body);
    let mut logs = Vec::new();
    for log in &receipt.logs {
        let mut fields = Vec::new();
        log.address.encode(&mut fields);
        log.topics.encode(&mut fields);
        log.data.encode(&mut fields);
        put_list(&fields, &mut logs);
    }
    put_list(&logs, &mut body);
    // Types stand before a receipt as one byte; only type 0 has none.
    let kind = receipt.kind.and_then(Quantity::number).and_then(|kind| u8::try_from(kind).ok()).unwrap_or(0);
    let mut out = if kind == 0 { Vec::new() } else { vec![kind] };
    put_list(&body, &mut out);
    out
}

fn put_list(payload: &[u8], out: &mut Vec<u8>) {
    RlpHeader { list: true, payload_length: payload.len() }.encode(out);
    out.put_slice(payload);
}
