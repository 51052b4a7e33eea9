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
use pox_core::{Address, B256, Bytes, Call, Domain, Party, Request, TaskId, U256};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A signed call as it lies in a file. What it says is in the call alone; chain and contract are those that it was signed for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedCall {
    chain_id: u64,
    contract: Address,
    #[serde(with = "hex::serde")]
    pub(super) input: Vec<u8>,
}

impl SignedCall {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = crate::locate::read_bounded(path, MAX_FILE_BYTES)?;
        serde_json::from_slice(&text)
            .map_err(|error| Failure::usage(format!("{} holds no signed call: {error}", path.display())))
            .hint("`pox request --sign-only --out FILE` writes one")
    }

    /// Whether it is for this chain and contract.
    pub(super) fn check(&self, domain: &Domain, path: &Path) -> Result<(), Failure> {
        if (self.chain_id, self.contract) == (domain.chain_id, domain.contract) {
            return Ok(());
        }
        let (shown, chain, contract) = (path.display(), self.chain_id, self.contract);
        Err(Failure::usage(format!("{shown} was signed for the contract {contract} on chain {chain}")))
            .hint("name that chain with --chain, and that contract with --contract")
    }
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

/// Writes a call whole or not at all: signed, or for its owner to sign.
pub(super) fn write(context: &Context, path: &Path, task: TaskId, call: &Call) -> Result<(), Failure> {
    let domain = *context.contract()?.domain();
    let file = SignedCall { chain_id: domain.chain_id, contract: domain.contract, input: call.to_calldata() };
    let text = serde_json::to_vec_pretty(&file).map_err(Failure::machine)?;
    crate::home::write_file(path, &text, 0o644, Overwrite::Replace)
        .map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))?;
    let is_signed = is_signed(call);
    let key = if is_signed { "signed" } else { "unsigned" };
    let result = serde_json::json!({ "task": task, key: path });
    context.output.result(&result, || format!("task {task}\n{key} {}", path.display()))?;
    let file = path.display();
    context.output.say(match is_signed {
        true => format!("next: anyone sends it with `pox relay {file}`"),
        false => format!(
            "next: the owner signs it with `pox sign {file}`, and anyone sends it with `pox relay {file}`"
        ),
    });
    Ok(())
}

/// Whether there is a signature in it, whoever's.
fn is_signed(call: &Call) -> bool {
    match call {
        Call::RequestFor { signature, .. } | Call::CancelFor { signature, .. } => !signature.is_empty(),
        _ => true,
    }
}

/// Sends what somebody else signed.
pub(super) fn run(context: &Context, args: &Relay) -> Result<(), Failure> {
    let shown = args.file.display();
    let file = SignedCall::read(&args.file)?;
    let most = args.max_price.map(U256::from);
    let owner = Owner::open(context, [])?.paying_at_most(most);
    let domain = *owner.contract().domain();
    file.check(&domain, &args.file)?;
    let call = Call::parse(&file.input);
    if call.as_ref().is_some_and(|call| !is_signed(call)) {
        return Err(Failure::usage(format!("{shown} is not signed yet")))
            .hint(format!("its owner does that with `pox sign {shown}`"));
    }
    let call = call.and_then(|call| relayed(&domain, &call));
    let call = call.ok_or_else(|| Failure::usage(format!("{shown} holds no call that others may send")))?;
    check_price(&call, most)
        .hint(format!("to sponsor it: `pox relay {shown} --max-price WEI`, its price and gas together"))?;
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

/// Whoever wrote the file chose its price, so whoever pays it has to say that it may be so much.
fn check_price(call: &Relayed, most: Option<U256>) -> Result<(), Failure> {
    let Relayed { value, task, .. } = call;
    match most {
        None if value.is_zero() => Ok(()),
        None => Err(Failure::usage(format!(
            "task {task} has a price of {value} wei, which this account would pay"
        ))),
        Some(most) if *value > most => Err(Failure::usage(format!(
            "task {task} has a price of {value} wei, more than the {most} of --max-price"
        ))),
        Some(_) => Ok(()),
    }
}

fn relayed(domain: &Domain, call: &Call) -> Option<Relayed> {
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
