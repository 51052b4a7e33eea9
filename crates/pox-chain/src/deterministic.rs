//! One address for the contract on every chain: CREATE2 through the deployment proxy that has one address on every chain too.
//!
//! The proxy's only transaction was signed by choosing the signature, so nobody has the key of the account that it creates the
//! proxy from, and it names no chain, so it is valid on each. It offers a gas price of 100 Gwei, which that account must be able
//! to pay even where gas costs nothing; a chain or endpoint that takes only transactions that name it can't have the proxy.
//! The contract's address follows from its bytecode, so nobody can put anything else there, and it does not matter who deploys.

use crate::artifact::ARTIFACT;
use crate::contract::Contract;
use crate::error::ChainError;
use crate::outbox::{Outbox, Patience, Sent};
use crate::prepared::Draft;
use crate::rpc::Rpc;
use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use std::thread::sleep;
use std::time::Instant;

/// Where the deployment proxy is.
pub const DEPLOYMENT_PROXY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// A step of a deterministic deployment, told before it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentStep {
    /// Sends wei to the account that makes the proxy.
    PayForProxy {
        /// To whom.
        signer: Address,
        /// How many wei.
        wei: U256,
    },
    /// Hands the proxy's one transaction to the chain.
    MakeProxy,
    /// Calls the proxy.
    Deploy,
}

impl Contract {
    /// The contract's address on every chain where it was deployed by [`Outbox::deploy_deterministically`].
    pub fn deterministic_address() -> Address {
        DEPLOYMENT_PROXY.create2(SALT, keccak256(&ARTIFACT.bytecode))
    }
}

impl Outbox {
    /// Deploys the contract at [`Contract::deterministic_address`], and before it the proxy where that is missing. `None` if the
    /// contract is there already.
    ///
    /// # Errors
    /// The chain can't have the proxy; the account can't pay; or the chain can't be asked.
    pub fn deploy_deterministically(
        &self,
        rpc: &Rpc,
        patience: &Patience,
        tell: &mut dyn FnMut(DeploymentStep),
    ) -> Result<Option<Sent>, ChainError> {
        let there = Contract::deterministic_address();
        if rpc.code(there)? == ARTIFACT.runtime {
            return Ok(None);
        }
        if !has_proxy(rpc)? {
            self.make_proxy(rpc, patience, tell)?;
        }
        tell(DeploymentStep::Deploy);
        let input = [&SALT[..], &ARTIFACT.bytecode].concat().into();
        let sent = self.send(&to(DEPLOYMENT_PROXY, U256::ZERO, input), patience)?;
        // A replica can have estimated and answered as if the proxy were not there yet.
        wait_for(rpc, patience, "the contract's deployment", || Ok(rpc.code(there)? == ARTIFACT.runtime))?;
        Ok(Some(sent))
    }

    fn make_proxy(
        &self,
        rpc: &Rpc,
        patience: &Patience,
        tell: &mut dyn FnMut(DeploymentStep),
    ) -> Result<(), ChainError> {
        // Somebody may have paid already.
        let wei = PROXY_COST.saturating_sub(rpc.balance(PROXY_SIGNER)?);
        if !wei.is_zero() {
            tell(DeploymentStep::PayForProxy { signer: PROXY_SIGNER, wei });
            if rpc.balance(self.address())? < wei {
                return Err(ChainError::InsufficientFunds(self.address()));
            }
            self.send(&to(PROXY_SIGNER, wei, Bytes::new()), patience)?;
            wait_for(rpc, patience, "the payment for the proxy", || {
                Ok(rpc.balance(PROXY_SIGNER)? >= PROXY_COST || has_proxy(rpc)?)
            })?;
        }
        tell(DeploymentStep::MakeProxy);
        let raw = Bytes::from_static(&PROXY_TRANSACTION);
        // That it is known already, or its nonce used, is what another deployer's haste looks like. Whether the proxy is there in
        // the end decides.
        rpc.send_raw(&raw, keccak256(&raw))?;
        wait_for(rpc, patience, "the deployment proxy", || has_proxy(rpc))
    }
}

fn has_proxy(rpc: &Rpc) -> Result<bool, ChainError> {
    Ok(rpc.code(DEPLOYMENT_PROXY)? == PROXY_TRANSACTION[PROXY_CODE])
}

fn to(address: Address, value: U256, input: Bytes) -> Draft {
    Draft { to: Some(address), value, input }
}

fn wait_for(
    rpc: &Rpc,
    patience: &Patience,
    what: &str,
    mut done: impl FnMut() -> Result<bool, ChainError>,
) -> Result<(), ChainError> {
    let deadline = Instant::now() + patience.timeout;
    while !done()? {
        if Instant::now() >= deadline {
            return Err(ChainError::TimedOut(what.into()));
        }
        sleep(rpc.poll_interval());
    }
    Ok(())
}

/// No salt is needed: the bytecode alone decides.
const SALT: B256 = B256::ZERO;
const PROXY_SIGNER: Address = address!("3fAB184622Dc19b6109349B94811493BF2a45362");
/// 100,000 gas at 100 Gwei.
const PROXY_COST: U256 = U256::from_limbs([10_000_000_000_000_000, 0, 0, 0]);
const PROXY_TRANSACTION: [u8; 167] = hex!(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba022222222222222222222222222222222222222"
    "22222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
);
/// Where the proxy's own code stands in it.
const PROXY_CODE: std::ops::Range<usize> = 31..100;

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::transaction::SignerRecoverable as _;
    use alloy_consensus::{Transaction as _, TxEnvelope};
    use alloy_eips::eip2718::Decodable2718 as _;

    /// The recipe that another program made with another library.
    #[test]
    fn the_committed_recipe_is_this_one() {
        let text = include_str!("../../../contracts/abi/deployment.json");
        let recipe: serde_json::Value = serde_json::from_str(text).unwrap();
        let proxy = &recipe["proxy"];
        assert_eq!(proxy["address"], DEPLOYMENT_PROXY.to_checksum(None));
        assert_eq!(proxy["code"], hex::encode_prefixed(&PROXY_TRANSACTION[PROXY_CODE]));
        assert_eq!(proxy["signer"], PROXY_SIGNER.to_checksum(None));
        assert_eq!(proxy["cost"], PROXY_COST.to_string());
        assert_eq!(proxy["transaction"], hex::encode_prefixed(PROXY_TRANSACTION));
        assert_eq!(recipe["salt"], SALT.to_string());
        assert_eq!(recipe["initCodeHash"], keccak256(&ARTIFACT.bytecode).to_string());
        assert_eq!(recipe["contract"], Contract::deterministic_address().to_checksum(None));
    }

    #[test]
    fn the_proxys_transaction_is_what_the_constants_say() {
        let envelope = TxEnvelope::decode_2718(&mut &PROXY_TRANSACTION[..]).unwrap();
        assert_eq!(envelope.chain_id(), None, "it is valid on every chain");
        let signer = envelope.recover_signer().unwrap();
        assert_eq!(signer, PROXY_SIGNER);
        assert_eq!(signer.create(envelope.nonce()), DEPLOYMENT_PROXY);
        let price = envelope.gas_price().unwrap();
        assert_eq!(U256::from(price) * U256::from(envelope.gas_limit()), PROXY_COST);
    }
}
