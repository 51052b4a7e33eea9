//! The receipts and transactions of a block, checked against the roots in its header.
//!
//! What a block's hash commits to can't be withheld, added or changed by whoever serves it: logs are taken from receipts that
//! hash to the receipts root, and a transaction's place from transactions that hash to the transactions root.

use crate::error::{ChainError, contradiction, unknown_transaction};
use crate::prepared::Prepared;
use crate::profile::Checks;
use crate::rpc::{Block, Log, RawReceipt, Receipt, Rpc};
use crate::transactions;
use alloy_consensus::{Eip658Value, Receipt as ConsensusReceipt};
use alloy_primitives::{Address, B256, keccak256};
use alloy_trie::root::ordered_trie_root_encoded;

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
            check_root::<Vec<u8>>(block, "receipts", block.receipts_root, &[])?;
            return Ok(Vec::new());
        }
        self.first(|one| {
            let raw = one.all_receipts(block)?;
            let encoded: Option<Vec<_>> = raw.iter().map(encode).collect();
            let encoded = encoded.ok_or_else(|| contradiction("a receipt without its status or gas"))?;
            if one.profile().checks == Checks::Hashes {
                check_root(block, "receipts", block.receipts_root, &encoded)?;
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
        check_root(block, "transactions", block.transactions_root, &bodies)?;
        Ok(Established::All)
    }

    fn all_receipts(&self, block: &Block) -> Result<Vec<RawReceipt>, ChainError> {
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

fn check_root<T: AsRef<[u8]>>(
    block: &Block,
    what: &str,
    root: Option<B256>,
    items: &[T],
) -> Result<(), ChainError> {
    let items: Vec<_> = items.iter().map(AsRef::as_ref).collect();
    if root == Some(ordered_trie_root_encoded(&items)) {
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
    let status = match raw.status?.number()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let logs = raw
        .logs
        .iter()
        .flatten()
        .map(|log| alloy_primitives::Log::new(log.address, log.topics.clone(), log.data.clone()));
    let receipt = ConsensusReceipt {
        status: Eip658Value::Eip658(status),
        cumulative_gas_used: raw.cumulative_gas_used?.number()?,
        logs: logs.collect::<Option<Vec<_>>>()?,
    };
    let kind = raw.kind.map_or(Some(0), |kind| u8::try_from(kind.number()?).ok())?;
    let mut out = if kind == 0 { Vec::new() } else { vec![kind] };
    alloy_rlp::Encodable::encode(&receipt.with_bloom(), &mut out);
    Some(out)
}
