//! Where a contract lives: what every id and every signature is bound to.

use alloy_primitives::{Address, B256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain};

/// One deployment of the contract on one chain.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
pub struct Domain {
    /// EIP-155 chain id.
    #[n(0)]
    pub chain_id: u64,
    /// The contract's address.
    #[cbor(n(1), with = "crate::bytes::address")]
    pub contract: Address,
}

impl Domain {
    /// The EIP-712 digest of a record in this domain (spec §2).
    pub fn digest<S: SolStruct>(&self, record: &S) -> B256 {
        record.eip712_signing_hash(&self.eip712())
    }

    pub(crate) fn eip712(&self) -> Eip712Domain {
        eip712_domain! {
            name: "ProofOfExecution",
            version: "1",
            chain_id: self.chain_id,
            verifying_contract: self.contract,
        }
    }
}
