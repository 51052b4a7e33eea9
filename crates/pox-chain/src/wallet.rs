//! Whether an account agrees to a digest, as the contract asks it: by its key, or as its code says (spec §3.3).

use crate::contract::Contract;
use crate::error::ChainError;
use crate::rpc::CallParams;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use pox_core::consent::Consent;

sol! {
    function isValidSignature(bytes32 digest, bytes signature) external view returns (bytes4 magic);
}

impl Contract {
    /// Whether this is the account's signature of the digest, on the newest state.
    ///
    /// The contract asks an account with code under a limit of gas; that a wallet keeps to it is not established here.
    ///
    /// # Errors
    /// The chain can't be asked.
    pub fn consents(&self, account: Address, digest: B256, signature: &Bytes) -> Result<bool, ChainError> {
        let consent = match self.rpc().code(account)?.is_empty() {
            true => Consent::Signature(signature.clone()),
            false => Consent::ByCode(self.code_consents(account, digest, signature)?),
        };
        Ok(consent.is_of(account, digest))
    }

    fn code_consents(&self, account: Address, digest: B256, signature: &Bytes) -> Result<bool, ChainError> {
        let data = isValidSignatureCall { digest, signature: signature.clone() }.abi_encode().into();
        let call = CallParams {
            from: Some(self.domain().contract),
            to: Some(account),
            value: U256::ZERO,
            data: &data,
        };
        let mut magic = [0; 32];
        magic[..4].copy_from_slice(&isValidSignatureCall::SELECTOR);
        match self.rpc().call(&call) {
            Ok(answer) => Ok(answer.get(..32) == Some(&magic)),
            Err(ChainError::Reverted(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
