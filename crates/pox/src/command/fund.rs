//! `pox fund`: coins of the embedded chain, from its public faucet.

use crate::cli::Fund;
use crate::context::{self, Context};
use crate::error::{Failure, Hint as _};
use pox_chain::{Account, ChainError, Draft, EMBEDDED_CHAIN_ID, Effect, Outbox, Patience, Rpc};
use pox_core::{Address, B256, Bytes, U256};
use pox_devchain::AccountKey;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Funded {
    address: Address,
    /// Wei that were sent.
    wei: u128,
    /// Wei that the account has now.
    balance: String,
    transaction: B256,
    block: u64,
}

pub(crate) fn run(context: &Context, args: &Fund) -> Result<(), Failure> {
    let profile = context.profile()?;
    if profile.chain_id != EMBEDDED_CHAIN_ID {
        let name = format!("{} (chain {})", profile.name, profile.chain_id);
        return Err(Failure::usage(format!("{name} has no faucet of ours")))
            .hint("coins of other chains come from their own faucets, or from somebody who has some");
    }
    let address = match &args.address {
        Some(text) => context::address(text)?,
        None => context.home()?.address()?,
    };
    let funded = send(context.rpc()?, address, args.wei)?;
    context.output.result(&funded, || {
        format!(
            "{} has {} wei\ntransaction {} in block {}",
            funded.address, funded.balance, funded.transaction, funded.block
        )
    })
}

pub(super) fn send(rpc: &Rpc, address: Address, wei: u128) -> Result<Funded, Failure> {
    let faucet = Outbox::new(rpc, faucet()?);
    let draft = Draft { to: Some(address), value: U256::from(wei), input: Bytes::new() };
    // The faucet's key is public: when another program uses the nonce first, this begins anew.
    let effect =
        faucet.ensure(&draft, &Patience::default(), &mut || Ok(false)).map_err(|error| match error {
            ChainError::InsufficientFunds(_) => {
                Failure::usage("the faucet has not so many coins").with_hint("ask for less with --wei")
            }
            other => other.into(),
        })?;
    let Effect::Sent(sent) = effect else {
        return Err(Failure::machine("the faucet sent nothing"));
    };
    Ok(Funded {
        address,
        wei,
        balance: rpc.balance(address)?.to_string(),
        transaction: sent.receipt.transaction,
        block: sent.receipt.block.number,
    })
}

/// The account that owns every coin of the embedded chain at first. Its key is public.
pub(crate) fn faucet() -> Result<Account, Failure> {
    Account::from_bytes(&AccountKey::faucet().dangerous_to_bytes()).map_err(Failure::machine)
}
