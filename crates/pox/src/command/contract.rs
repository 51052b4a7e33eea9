//! `pox contract`: deploying the contract, comparing what is deployed, and what explorers verify its source with.

use crate::cli::{Contract as Args, ContractCheck, ContractDeploy, ContractMetadata};
use crate::context::{Context, address};
use crate::error::{Failure, Hint as _};
use crate::home::{Overwrite, write_file};
use pox_chain::{ARTIFACT, Comparison, Contract, Deployment, DeploymentStep, Patience, Sent};
use pox_core::{Address, B256, keccak256};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Serialize)]
struct Deployed {
    contract: Address,
    chain_id: u64,
    /// Whether this is the address that it has on every chain.
    deterministic: bool,
    /// Nothing, if it was there already.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    sent: Option<SentAs>,
    /// Where people see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

#[derive(Serialize)]
struct SentAs {
    block: u64,
    transaction: B256,
    gas_used: u64,
}

#[derive(Serialize)]
struct Checked {
    contract: Address,
    chain_id: u64,
    verdict: &'static str,
    code_hash: B256,
    expected_code_hash: B256,
    deterministic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<String>,
}

#[derive(Serialize)]
struct Written {
    files: Vec<PathBuf>,
    contract_name: &'static str,
    compiler: String,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    match args {
        Args::Deploy(ContractDeploy { deterministic: false }) => deploy(context)?,
        Args::Deploy(ContractDeploy { deterministic: true }) => deploy_deterministically(context)?,
        Args::Check(args) => return check(context, args),
        Args::Metadata(args) => metadata(context, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn deploy(context: &Context) -> Result<(), Failure> {
    if let Ok(there) = context.contract() {
        return Err(Failure::usage(format!("the contract is there already, at {}", there.domain().contract)))
            .hint("use it: one contract serves everybody");
    }
    let outbox = context.outbox()?;
    let rpc = context.rpc()?;
    context.output.say(format!("deploying on {} as {}", rpc.profile().name, outbox.address()));
    let sent = outbox.send(&Contract::deployment(), &patience())?;
    let address = outbox.account().creates(sent.prepared.nonce());
    deployed(context, address, Some(&sent))
}

fn deploy_deterministically(context: &Context) -> Result<(), Failure> {
    let outbox = context.outbox()?;
    let rpc = context.rpc()?;
    let address = Contract::deterministic_address();
    context.output.say(format!("deploying on {} as {}", rpc.profile().name, outbox.address()));
    let sent = outbox
        .deploy_deterministically(rpc, &patience(), &mut |step| context.output.say(told(step)))
        .map_err(Failure::from)
        .hint("where a chain can't have the deployment proxy, deploy without --deterministic")?;
    deployed(context, address, sent.as_ref())
}

fn told(step: DeploymentStep) -> String {
    match step {
        DeploymentStep::PayForProxy { signer, wei } => {
            format!("this chain has no deployment proxy yet: paying {wei} wei to {signer}, which makes it")
        }
        DeploymentStep::MakeProxy => "making the deployment proxy".into(),
        DeploymentStep::Deploy => "deploying through the proxy".into(),
    }
}

/// Checks what is there now, remembers it and says so.
fn deployed(context: &Context, contract: Address, sent: Option<&Sent>) -> Result<(), Failure> {
    let rpc = context.rpc()?;
    // Of one that was there already nobody has said since when.
    let block = sent.map_or(0, |sent| sent.receipt.block.number);
    let place = Deployment { address: contract, block };
    Contract::open(rpc, place)?;
    let deployed = Deployed {
        contract,
        chain_id: rpc.profile().chain_id,
        deterministic: contract == Contract::deterministic_address(),
        sent: sent.map(|sent| SentAs {
            block: sent.receipt.block.number,
            transaction: sent.receipt.transaction,
            gas_used: sent.receipt.gas_used,
        }),
        page: rpc.profile().explorer.as_ref().map(|explorer| explorer.address(contract)),
    };
    context.remember(deployed.chain_id, place)?;
    context.output.result(&deployed, || {
        let sent = deployed.sent.as_ref().map_or_else(
            || "it was there already".into(),
            |sent| {
                format!("transaction  {} in block {}, {} gas", sent.transaction, sent.block, sent.gas_used)
            },
        );
        let page = deployed.page.as_deref().unwrap_or_default();
        format!("contract     {contract}\nchain        {}\n{sent}\n{page}", deployed.chain_id)
    })?;
    context.output.say(format!("this home remembers it; others name it with --contract {contract}"));
    Ok(())
}

/// Exits with 1 if other code or none is there, which is an answer and not a failure.
fn check(context: &Context, args: &ContractCheck) -> Result<ExitCode, Failure> {
    let rpc = context.rpc()?;
    let named = args.address.as_deref().map(address).transpose()?;
    let known = match named {
        Some(address) => vec![address],
        None => context.deployments()?.into_iter().map(|place| place.address).collect(),
    };
    let mut looked = Vec::new();
    for contract in known.into_iter().chain(named.is_none().then(Contract::deterministic_address)) {
        let code = rpc.code(contract)?;
        looked.push((contract, ARTIFACT.compare(&code), keccak256(&code)));
    }
    // Of several places the one where it is counts, else the first.
    let there = looked.iter().position(|(_, comparison, _)| *comparison == Comparison::Same);
    let (contract, comparison, code_hash) = looked.swap_remove(there.unwrap_or_default());
    let checked = Checked {
        contract,
        chain_id: rpc.profile().chain_id,
        verdict: name(comparison),
        code_hash,
        expected_code_hash: ARTIFACT.code_hash,
        deterministic: contract == Contract::deterministic_address(),
        explanation: explain(comparison),
    };
    context.output.result(&checked, || {
        let place = format!("contract   {contract}\nchain      {}", checked.chain_id);
        match &checked.explanation {
            None => format!("{place}\ncode hash  {}: this version's", checked.code_hash),
            Some(words) => format!(
                "{place}\ncode hash  {}\nexpected   {}\nverdict    {words}",
                checked.code_hash, checked.expected_code_hash
            ),
        }
    })?;
    Ok(if comparison == Comparison::Same { ExitCode::SUCCESS } else { ExitCode::from(FALLS_SHORT) })
}

fn name(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Same => "this-version",
        Comparison::NoCode => "no-code",
        Comparison::MetadataOnly { .. } => "metadata-only",
        Comparison::Proxy { .. } => "proxy",
        Comparison::OtherCode { .. } => "other-code",
    }
}

fn explain(comparison: Comparison) -> Option<String> {
    Some(match comparison {
        Comparison::Same => return None,
        Comparison::NoCode => {
            "no code: nothing is deployed at this address on this chain, or this endpoint does not know it yet".into()
        }
        Comparison::MetadataOnly { bytes } => format!(
            "the contract's code with {bytes} bytes of compiler metadata behind it: it does the same, but verifiers compare \
             the code hash, so it serves no proofs"
        ),
        Comparison::Proxy { target } => format!(
            "a proxy that hands every call on to {target}: even if that is the contract, its tasks would not be, and \
             verifiers refuse it"
        ),
        Comparison::OtherCode { bytes, first_difference } => format!(
            "other code: {bytes} bytes where {} are expected, the first difference at byte {first_difference}; another \
             version of the contract, or something else",
            ARTIFACT.runtime.len()
        ),
    })
}

fn metadata(context: &Context, args: &ContractMetadata) -> Result<(), Failure> {
    let failed =
        |path: &PathBuf, error| Failure::machine(format!("cannot write {}: {error}", path.display()));
    fs::create_dir_all(&args.to).map_err(|error| failed(&args.to, error))?;
    let mut files = Vec::new();
    for (name, content) in [("standard-input.json", STANDARD_INPUT), ("metadata.json", METADATA)] {
        let path = args.to.join(name);
        write_file(&path, content.as_bytes(), 0o644, Overwrite::Replace)
            .map_err(|error| failed(&path, error))?;
        files.push(path);
    }
    let parsed: serde_json::Value = serde_json::from_str(METADATA).map_err(Failure::machine)?;
    let compiler = parsed["compiler"]["version"].as_str().unwrap_or_default().to_owned();
    let written = Written { files, contract_name: CONTRACT_NAME, compiler };
    context.output.result(&written, || {
        let files = written.files.iter().map(|path| format!("wrote      {}\n", path.display()));
        let files: String = files.collect();
        format!("{files}contract   {}\ncompiler   {}", written.contract_name, written.compiler)
    })?;
    context.output.say("give an explorer standard-input.json, these two names, and no constructor arguments");
    Ok(())
}

/// Blocks of busy chains take minutes.
fn patience() -> Patience {
    Patience { timeout: Duration::from_secs(600), ..Patience::default() }
}

/// As explorers ask for it: the source, and the contract in it.
const CONTRACT_NAME: &str = "src/ProofOfExecution.sol:ProofOfExecution";
/// What the compiler was given. A test of the contract compiles it, and gets the committed bytecode.
const STANDARD_INPUT: &str = include_str!("../../../../contracts/abi/standard-input.json");
/// What the compiler said of it.
const METADATA: &str = include_str!("../../../../contracts/abi/metadata.json");
const FALLS_SHORT: u8 = 1;
