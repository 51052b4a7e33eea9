//! The contract's compiled form, as it is committed.

use alloy_primitives::{B256, Bytes, hex, keccak256};
use std::sync::LazyLock;

const FILE: &str = include_str!("../../../contracts/abi/ProofOfExecution.json");

/// The contract of this version. The file is built by an exact compiler and checked in continuous integration.
pub static ARTIFACT: LazyLock<Artifact> =
    LazyLock::new(|| Artifact::parse(FILE).expect("a test parses the committed file"));

/// What the compiler made of the contract.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The interface, in the JSON of Solidity's ABI.
    pub abi: serde_json::Value,
    /// What a creating transaction carries.
    pub bytecode: Bytes,
    /// What stands at the contract's address afterwards; it has no immutable parts, so this is exact.
    pub runtime: Bytes,
    /// keccak256 of that, as it stands in the account's state.
    pub code_hash: B256,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    abi: serde_json::Value,
    bytecode: String,
    deployed_bytecode: String,
}

impl Artifact {
    fn parse(text: &str) -> Option<Self> {
        let wire: Wire = serde_json::from_str(text).ok()?;
        let runtime = Bytes::from(hex::decode(&wire.deployed_bytecode).ok()?);
        let code_hash = keccak256(&runtime);
        Some(Self { abi: wire.abi, bytecode: hex::decode(&wire.bytecode).ok()?.into(), runtime, code_hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pox_core::abi::IProofOfExecution::IProofOfExecutionEvents;
    use std::collections::BTreeSet;

    #[test]
    fn the_committed_file_parses_and_creates_what_it_says() {
        assert!(!ARTIFACT.runtime.is_empty());
        let found =
            ARTIFACT.bytecode.windows(ARTIFACT.runtime.len()).any(|part| part == &ARTIFACT.runtime[..]);
        assert!(found, "the creating code ends in the runtime code");
    }

    #[test]
    fn its_events_are_those_that_the_records_know() {
        let entries = ARTIFACT.abi.as_array().unwrap();
        let events = entries.iter().filter(|entry| entry["type"] == "event").count();
        let known: BTreeSet<_> = IProofOfExecutionEvents::SELECTORS.iter().collect();
        assert_eq!(events, known.len());
    }
}
