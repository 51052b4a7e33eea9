//! Proof of a task's whole history by the state of one block (spec §10.2), checked before it is handed out.

use crate::artifact::ARTIFACT;
use crate::contract::Contract;
use crate::error::{ChainError, contradiction, unknown_block};
use crate::header;
use crate::rpc::RawProof;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_trie::proof::verify_proof;
use alloy_trie::{Nibbles, TrieAccount};
use pox_core::history::At;
use pox_core::proof::{MAX_TRIE_NODES, StateProof};
use pox_core::{History, TaskId, UnixTime};

/// The mapping of tasks is the contract's slot 0, the history a task's fourth slot (spec §5.3).
const TASKS_SLOT: U256 = U256::ZERO;
const HISTORY_OFFSET: U256 = U256::from_limbs([3, 0, 0, 0]);

/// A state proof that holds under its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenState {
    /// What goes into a proof file.
    pub proof: StateProof,
    /// The block's header, RLP, seal included.
    pub header: Vec<u8>,
    /// The block's hash.
    pub hash: B256,
    /// Number and time of the block.
    pub at: At,
    /// The running commitment that it proves.
    pub history: History,
}

impl Contract {
    /// Fetches the proof of a task's history at the end of a block, and checks it: the header hashes to the block's hash, the
    /// account is under its state root and has this contract's code, the word is under the account's storage root.
    ///
    /// That the block is final, or sealed by anybody, is not checked here.
    ///
    /// # Errors
    /// The node can't prove this block any more (capture proofs when tasks end), does not know it yet, or its proof does not hold;
    /// the task is unknown at that block.
    pub fn prove_state(&self, task: TaskId, block: u64) -> Result<ProvenState, ChainError> {
        let raw = self.rpc().raw_block(block)?.ok_or_else(|| unknown_block(block))?;
        let state_root = raw.state_root.ok_or_else(|| contradiction("a block without state root"))?;
        let time = raw.timestamp.number().ok_or_else(|| contradiction("a block's time beyond 64 bits"))?;
        let header = header::encode(&raw)?;
        let slot = history_slot(task);
        let proof = self.rpc().proof(self.domain().contract, slot, block)?;
        let history = self.check(&proof, state_root, slot)?;
        if history.is_zero() {
            return Err(ChainError::NoSuchTask(task));
        }
        let RawProof { account_proof, mut storage_proof, .. } = proof;
        let nodes = |nodes: Vec<Bytes>| nodes.into_iter().map(|node| node.to_vec()).collect();
        let storage = storage_proof.pop().map(|slot| slot.proof).unwrap_or_default();
        let proof = StateProof { account: nodes(account_proof), storage: nodes(storage) };
        Ok(ProvenState {
            proof,
            header,
            hash: raw.hash,
            at: At { number: block, time: UnixTime(time) },
            history,
        })
    }

    fn check(&self, proof: &RawProof, state_root: B256, slot: B256) -> Result<History, ChainError> {
        let [storage] = proof.storage_proof.as_slice() else {
            return Err(self.rpc().malformed("eth_getProof", "not the proof of one slot"));
        };
        if proof.account_proof.len() > MAX_TRIE_NODES || storage.proof.len() > MAX_TRIE_NODES {
            return Err(self.rpc().malformed("eth_getProof", "more nodes than a trie is deep"));
        }
        if proof.code_hash != ARTIFACT.code_hash {
            return Err(ChainError::NotTheContract(self.domain().contract));
        }
        let nonce = proof.nonce.number().ok_or_else(|| contradiction("a nonce beyond 64 bits"))?;
        let account = TrieAccount {
            nonce,
            balance: proof.balance.0,
            storage_root: proof.storage_hash,
            code_hash: proof.code_hash,
        };
        let key = Nibbles::unpack(keccak256(self.domain().contract));
        verify_proof(state_root, key, Some(alloy_rlp::encode(account)), &proof.account_proof)
            .map_err(|_| contradiction("the account proof does not hold under the block's state root"))?;
        let word = storage.value.0;
        let expected = (!word.is_zero()).then(|| alloy_rlp::encode(word));
        verify_proof(proof.storage_hash, Nibbles::unpack(keccak256(slot)), expected, &storage.proof)
            .map_err(|_| {
                contradiction("the storage proof does not hold under the contract's storage root")
            })?;
        Ok(History(word.into()))
    }
}

/// The slot of a task's history word.
fn history_slot(task: TaskId) -> B256 {
    let base = keccak256([task.0.as_slice(), &TASKS_SLOT.to_be_bytes::<32>()].concat());
    (U256::from_be_bytes(base.0).wrapping_add(HISTORY_OFFSET)).into()
}
