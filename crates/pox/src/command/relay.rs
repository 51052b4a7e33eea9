//! Calls that one account signs and any other sends (spec §4): an owner needs no coins for what its signature says.

use super::task::{Transaction, send};
use crate::cli::Relay;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::home::Overwrite;
use crate::owner::Owner;
use pox_chain::{Draft, TaskView};
use pox_core::refusal::Phase;
use pox_core::signature::Signature;
use pox_core::{Address, B256, Bytes, Call, Party, Request, TaskId, U256};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A signed call as it lies in a file. What it says is in the call alone; chain and contract are those that it was signed for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedCall {
    chain_id: u64,
    contract: Address,
    #[serde(with = "hex::serde")]
    input: Vec<u8>,
}

/// A call that may be relayed, with what its sender has to know.
struct Relayed {
    name: &'static str,
    task: TaskId,
    value: U256,
    /// Whose secret it carries, and whether that one is the only one.
    releases: Option<(Party, bool)>,
    to: Phase,
}

/// Signs a digest with the home's account.
pub(super) fn sign(context: &Context, digest: B256) -> Result<Bytes, Failure> {
    let key = context.home()?.account()?;
    Ok(Signature::sign(&key, digest).to_bytes().to_vec().into())
}

/// Whether the party's secret is in the chain.
pub(super) fn is_released(view: &TaskView, party: Party, alone: bool) -> bool {
    view.phase >= Phase::Approved || (!alone && view.phase == Phase::Matched && !view.missing.contains(party))
}

/// Writes a signed call whole or not at all.
pub(super) fn write(context: &Context, path: &Path, task: TaskId, call: &Call) -> Result<(), Failure> {
    let domain = *context.contract()?.domain();
    let file = SignedCall { chain_id: domain.chain_id, contract: domain.contract, input: call.to_calldata() };
    let text = serde_json::to_vec_pretty(&file).map_err(Failure::machine)?;
    crate::home::write_file(path, &text, 0o644, Overwrite::Replace)
        .map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))?;
    let result = serde_json::json!({ "task": task, "signed": path });
    context.output.result(&result, || format!("task {task}\nsigned {}", path.display()))?;
    context.output.say(format!("next: anyone sends it with `pox relay {}`", path.display()));
    Ok(())
}

/// Sends what somebody else signed.
pub(super) fn run(context: &Context, args: &Relay) -> Result<(), Failure> {
    let shown = args.file.display();
    let text = crate::locate::read_bounded(&args.file, MAX_FILE_BYTES)?;
    let file: SignedCall = serde_json::from_slice(&text)
        .map_err(|error| Failure::usage(format!("{shown} holds no signed call: {error}")))
        .hint("`pox request --sign-only --out FILE` writes one")?;
    let owner = Owner::open(context, &[])?;
    let domain = *owner.contract().domain();
    if (file.chain_id, file.contract) != (domain.chain_id, domain.contract) {
        let (chain, contract) = (file.chain_id, file.contract);
        return Err(Failure::usage(format!(
            "{shown} was signed for the contract {contract} on chain {chain}"
        )))
        .hint("name that chain with --chain, and that contract with --contract");
    }
    let call = Call::parse(&file.input).and_then(|call| relayed(&domain, &call));
    let call = call.ok_or_else(|| Failure::usage(format!("{shown} holds no call that others may send")))?;
    if !call.value.is_zero() {
        context.output.say(format!(
            "paying {} wei for task {}; what is left of it comes back here",
            call.value, call.task
        ));
    }
    let draft = Draft { to: Some(domain.contract), value: call.value, input: file.input.into() };
    let sent = send(&owner, &draft, call.task, |view| match call.releases {
        Some((party, alone)) => is_released(view, party, alone),
        // A rejection leads back to where the task was before, so no phase shows that it happened.
        None if call.to == Phase::Requested && call.name == "reject" => false,
        None => view.phase >= call.to,
    })?;
    let result = Transaction::of(&owner, call.task, call.name, &sent);
    context.output.result(&result, || result.text())
}

fn relayed(domain: &pox_core::Domain, call: &Call) -> Option<Relayed> {
    let plain = |name, task, to| Relayed { name, task, value: U256::ZERO, releases: None, to };
    Some(match call {
        Call::RequestFor { record, .. } => {
            let request = Request::try_from(record.clone()).ok()?;
            let task = request.id(domain);
            Relayed { value: request.price.into(), ..plain("request", task, Phase::Requested) }
        }
        Call::Approve { task, .. } => {
            Relayed { releases: Some((Party::OWNER, true)), ..plain("approve", *task, Phase::Approved) }
        }
        Call::Release { record, party, .. } => {
            let task = Request::try_from(record.clone()).ok()?.id(domain);
            Relayed { releases: Some((Party(*party), false)), ..plain("release", task, Phase::Approved) }
        }
        Call::RejectFor { record, .. } => {
            let task = Request::try_from(record.clone()).ok()?.id(domain);
            plain("reject", task, Phase::Requested)
        }
        Call::CancelFor { task, .. } => plain("cancel", *task, Phase::Cancelled),
        _ => return None,
    })
}

/// A release with the longest secret and the longest record, in hexadecimal.
const MAX_FILE_BYTES: usize = 256 * 1024;
