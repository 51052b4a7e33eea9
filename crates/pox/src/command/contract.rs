//! `pox contract`: deploying and checking the contract.

use crate::cli::Contract as Args;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use pox_chain::{ARTIFACT, Contract, Deployment, Patience};
use pox_core::{Address, B256};
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
struct Deployed {
    contract: Address,
    chain_id: u64,
    block: u64,
    transaction: B256,
    gas_used: u64,
    /// Where people see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

#[derive(Serialize)]
struct Checked {
    contract: Address,
    chain_id: u64,
    code_hash: B256,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    match args {
        Args::Deploy => deploy(context),
        Args::Check => check(context),
    }
}

fn deploy(context: &Context) -> Result<(), Failure> {
    if let Ok(there) = context.contract() {
        return Err(Failure::usage(format!("the contract is there already, at {}", there.domain().contract)))
            .hint("use it: one contract serves everybody");
    }
    let outbox = context.outbox()?;
    let rpc = context.rpc()?;
    context.output.say(format!("deploying on {} as {}", rpc.profile().name, outbox.address()));
    let patience = Patience { timeout: DEPLOYMENT, ..Patience::default() };
    let sent = outbox.send(&Contract::deployment(), &patience)?;
    let address = outbox.account().creates(sent.prepared.nonce());
    let place = Deployment { address, block: sent.receipt.block.number };
    let contract = Contract::open(rpc, place)?;
    let deployed = Deployed {
        contract: address,
        chain_id: contract.domain().chain_id,
        block: place.block,
        transaction: sent.receipt.transaction,
        gas_used: sent.receipt.gas_used,
        page: rpc.profile().explorer.as_ref().map(|explorer| explorer.address(address)),
    };
    context.remember(deployed.chain_id, place)?;
    context.output.result(&deployed, || {
        format!(
            "contract     {}\nchain        {}\ntransaction  {} in block {}, {} gas\n{}",
            deployed.contract,
            deployed.chain_id,
            deployed.transaction,
            deployed.block,
            deployed.gas_used,
            deployed.page.as_deref().unwrap_or_default()
        )
    })?;
    context.output.say(format!("this home remembers it; others name it with --contract {address}"));
    Ok(())
}

fn check(context: &Context) -> Result<(), Failure> {
    let contract = context.contract()?;
    let domain = contract.domain();
    let checked =
        Checked { contract: domain.contract, chain_id: domain.chain_id, code_hash: ARTIFACT.code_hash };
    context.output.result(&checked, || {
        format!(
            "contract   {}\nchain      {}\ncode hash  {}: this version's",
            checked.contract, checked.chain_id, checked.code_hash
        )
    })
}

/// Blocks of busy chains take minutes.
const DEPLOYMENT: Duration = Duration::from_secs(600);
