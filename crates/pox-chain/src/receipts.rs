//! The receipts and transactions of a block, checked against the roots in its header.
//!
//! What a block's hash commits to can't be withheld, added or changed by whoever serves it: logs are taken from receipts that
//! hash to the receipts root, and a transaction's place from transactions that hash to the transactions root.

use crate::error::{ChainError, contradiction, unknown_transaction};
use crate::prepared::Prepared;
use crate::profile::Checks;
use crate::rpc::{Block, Log, RawReceipt, Receipt, Rpc};
use crate::transactions;
use alloy_primitives::{Address, B256, Log as PlainLog, keccak256, logs_bloom};
use alloy_rlp::{Encodable, Header};
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};
use std::collections::BTreeMap;

/// Most transactions of a block whose receipts are looked at.
const MAX_TRANSACTIONS: usize = 20_000;

/// What the check of a receipt has established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Established {
    /// The block commits to the transaction at its place, and to what became of it.
    All,
    /// The block commits to a receipt like it; that it is of this transaction is the endpoint's word, since other transactions
    /// of the block are of a kind that this program can't hash.
    Outcome,
    /// Nothing: the profile has nothing checked.
    Nothing,
}

impl Rpc {
    /// The logs of an address in a block, as the block commits to them.
    pub(crate) fn committed_logs(&self, block: &Block, address: Address) -> Result<Vec<Log>, ChainError> {
        let receipts = self.committed_receipts(block)?;
        Ok(receipts
            .into_iter()
            .flat_map(|receipt| receipt.logs)
            .filter(|log| log.address == address)
            .collect())
    }

    /// Every receipt of a block, in order, as the block commits to them. That each is of the transaction that it names is not
    /// established.
    pub(crate) fn committed_receipts(&self, block: &Block) -> Result<Vec<Receipt>, ChainError> {
        if block.transactions.is_empty() {
            // The block commits to that too, by the root of no receipts.
            check_root(block, "receipts", block.receipts_root, &Trie::new::<Vec<u8>>(&[], None))?;
            return Ok(Vec::new());
        }
        self.first(|one| {
            let raw = one.all_receipts(block)?;
            if one.profile().checks == Checks::Hashes {
                check_receipts(block, &raw, None)?;
            }
            raw.into_iter()
                .map(|raw| {
                    let hash = raw.transaction_hash;
                    match one.receipt_from("eth_getBlockReceipts", raw)? {
                        Some(receipt) if receipt.block == block.at => Ok(receipt),
                        Some(_) => Err(ChainError::Reorganised(block.at.number)),
                        None => Err(unknown_transaction(hash)),
                    }
                })
                .collect()
        })
    }

    /// The receipt in one place of a block, with the nodes of the trie from its root to it.
    pub(crate) fn proven_receipt(
        &self,
        block: &Block,
        place: usize,
    ) -> Result<(RawReceipt, Vec<Vec<u8>>), ChainError> {
        self.first(|one| {
            let raw = one.all_receipts(block)?;
            let nodes = check_receipts(block, &raw, Some(place))?;
            let receipt = raw.into_iter().nth(place);
            let none = || contradiction(format!("block {} has no place {place}", block.at.number));
            Ok((receipt.ok_or_else(none)?, nodes))
        })
    }

    /// Checks what endpoints told about one of our transactions against the block that they say it is in.
    pub(crate) fn check_receipt(
        &self,
        prepared: &Prepared,
        receipt: &Receipt,
        block: &Block,
    ) -> Result<Established, ChainError> {
        if self.profile().checks == Checks::DangerouslyNone {
            return Ok(Established::Nothing);
        }
        let place = block.transactions.iter().position(|hash| *hash == prepared.hash());
        let place = place.ok_or_else(|| {
            contradiction(format!("block {} has no transaction {}", block.at.number, prepared.hash()))
        })?;
        let receipts = self.committed_receipts(block)?;
        // Whose a receipt is, it does not say itself.
        let committed = receipts
            .get(place)
            .filter(|committed| (committed.succeeded, &committed.logs) == (receipt.succeeded, &receipt.logs));
        if committed.is_none() {
            return Err(contradiction(format!(
                "block {} does not commit to the receipt of {}",
                block.at.number,
                prepared.hash()
            )));
        }
        let bodies = if block.transactions.len() == 1 {
            Some(vec![prepared.raw().clone()])
        } else {
            self.first(|one| transactions::of_block(one, block))?
        };
        let Some(bodies) = bodies else { return Ok(Established::Outcome) };
        if bodies.get(place).is_none_or(|body| keccak256(body) != prepared.hash()) {
            return Err(contradiction(format!(
                "block {} has another transaction in the place of {}",
                block.at.number,
                prepared.hash()
            )));
        }
        check_root(block, "transactions", block.transactions_root, &Trie::new(&bodies, None))?;
        Ok(Established::All)
    }

    fn all_receipts(&self, block: &Block) -> Result<Vec<RawReceipt>, ChainError> {
        if block.transactions.len() > MAX_TRANSACTIONS {
            return Err(contradiction("more transactions than a block can have"));
        }
        let receipts = match self.block_receipts(block.at.number)? {
            Some(receipts) => receipts,
            None => {
                let one = |hash: &B256| self.raw_receipt(*hash)?.ok_or_else(|| unknown_transaction(*hash));
                block.transactions.iter().map(one).collect::<Result<_, _>>()?
            }
        };
        if receipts.first().is_some_and(|receipt| receipt.block_hash != Some(block.at.hash)) {
            return Err(ChainError::Reorganised(block.at.number));
        }
        if receipts.len() != block.transactions.len() {
            return Err(contradiction(format!("block {} has not so many receipts", block.at.number)));
        }
        Ok(receipts)
    }
}

/// The trie over a block's receipts or transactions, by their places.
struct Trie {
    root: B256,
    /// From the root to the place that was asked for.
    nodes: Vec<Vec<u8>>,
}

impl Trie {
    fn new<T: AsRef<[u8]>>(items: &[T], prove: Option<usize>) -> Self {
        let key = |place: usize| Nibbles::unpack(alloy_rlp::encode(place));
        let leaves: BTreeMap<Nibbles, &T> = (0..).map(key).zip(items).collect();
        let retainer = ProofRetainer::new(prove.into_iter().map(key).collect());
        let mut builder = HashBuilder::default().with_proof_retainer(retainer);
        for (key, item) in leaves {
            builder.add_leaf(key, item.as_ref());
        }
        let root = builder.root();
        let nodes = builder.take_proof_nodes().into_nodes_sorted();
        Self { root, nodes: nodes.into_iter().map(|(_, node)| node.to_vec()).collect() }
    }
}

/// The nodes from the root to one place's receipt, where one is asked for.
fn check_receipts(
    block: &Block,
    receipts: &[RawReceipt],
    prove: Option<usize>,
) -> Result<Vec<Vec<u8>>, ChainError> {
    let encoded: Option<Vec<_>> = receipts.iter().map(encode).collect();
    let encoded = encoded.ok_or_else(|| contradiction("a receipt without its gas, or with other logs"))?;
    let trie = Trie::new(&encoded, prove);
    check_root(block, "receipts", block.receipts_root, &trie)?;
    Ok(trie.nodes)
}

fn check_root(block: &Block, what: &str, root: Option<B256>, trie: &Trie) -> Result<(), ChainError> {
    if root == Some(trie.root) {
        Ok(())
    } else {
        Err(contradiction(format!(
            "the {what} of block {} are not those that it commits to",
            block.at.number
        )))
    }
}

/// A receipt as the trie holds it: after its type, if it has one. `None` if a part is missing.
fn encode(raw: &RawReceipt) -> Option<Vec<u8>> {
    let logs = raw.logs.iter().flatten();
    let logs: Option<Vec<_>> =
        logs.map(|log| PlainLog::new(log.address, log.topics.clone(), log.data.clone())).collect();
    let logs = logs?;
    let mut fields = Vec::new();
    match (raw.status, &raw.root) {
        (Some(status), _) => status.0.encode(&mut fields),
        (None, Some(root)) => root.encode(&mut fields),
        // EIP-98: some chains had neither before Byzantium.
        (None, None) => {}
    }
    raw.cumulative_gas_used?.0.encode(&mut fields);
    logs_bloom(&logs).encode(&mut fields);
    logs.encode(&mut fields);
    let kind = raw.kind.map_or(Some(0), |kind| u8::try_from(kind.number()?).ok())?;
    let mut out = if kind == 0 { Vec::new() } else { vec![kind] };
    Header { list: true, payload_length: fields.len() }.encode(&mut out);
    out.extend_from_slice(&fields);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{Eip658Value, Receipt as ConsensusReceipt};
    use alloy_primitives::Bytes;
    use alloy_trie::proof::verify_proof;
    use alloy_trie::root::ordered_trie_root_encoded;
    use serde_json::json;

    #[test]
    fn receipts_of_every_age_are_encoded() {
        let (hash, root) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let log =
            PlainLog::new(Address::repeat_byte(3), vec![hash, root], Bytes::from_static(b"data")).unwrap();
        let read = |fields: serde_json::Value| {
            let mut whole = json!({
                "transactionHash": hash, "cumulativeGasUsed": "0x5208",
                "logs": [{"address": log.address, "topics": log.data.topics(), "data": log.data.data}],
            });
            whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            encode(&serde_json::from_value(whole).unwrap())
        };
        let expected = |status: Eip658Value| {
            let logs = vec![log.clone()];
            alloy_rlp::encode(ConsensusReceipt { status, cumulative_gas_used: 21_000, logs }.with_bloom())
        };
        let succeeded = expected(Eip658Value::Eip658(true));
        assert_eq!(read(json!({"status": "0x1"})).unwrap(), succeeded);
        assert_eq!(read(json!({"status": "0x1", "type": "0x0"})).unwrap(), succeeded);
        assert_eq!(read(json!({"status": "0x1", "type": "0x2"})).unwrap(), [&[2], &succeeded[..]].concat());
        assert_eq!(read(json!({"status": "0x0"})).unwrap(), expected(Eip658Value::Eip658(false)));
        let before_byzantium = expected(Eip658Value::PostState(root));
        assert_eq!(read(json!({"root": root, "status": null})).unwrap(), before_byzantium);
        // The state's root and its length byte are not there.
        assert_eq!(read(json!({})).unwrap()[3..], before_byzantium[3 + 33..]);
        assert_eq!(read(json!({"status": "0x1", "cumulativeGasUsed": null})), None);
        assert_eq!(read(json!({"status": "0x1", "type": "0x100"})), None);
    }

    #[test]
    fn a_place_is_proven_to_the_root_that_others_compute() {
        for count in [0, 1, 2, 127, 128, 129, 300_u16] {
            // Longer than what a trie holds inside another node, as all receipts and transactions are.
            let items: Vec<_> = (0..count).map(|at| vec![1; usize::from(at) % 40 + 33]).collect();
            assert_eq!(Trie::new(&items, None).root, ordered_trie_root_encoded(&items), "{count}");
            for (place, item) in items.iter().enumerate() {
                let Trie { root, nodes } = Trie::new(&items, Some(place));
                let nodes: Vec<Bytes> = nodes.into_iter().map(Into::into).collect();
                let key = Nibbles::unpack(alloy_rlp::encode(place));
                verify_proof(root, key, Some(item.clone()), &nodes).unwrap();
            }
        }
    }
}
