//! `pox sign`: an owner's signature under a call that its delegate wrote.

use super::relay::{self, SignedCall};
use crate::cli::Sign;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use pox_chain::Contract;
use pox_core::consent::cancellation;
use pox_core::{Address, B256, Call, Request, TaskId};

/// What an owner has to agree to.
struct Unsigned {
    task: TaskId,
    owner: Address,
    digest: B256,
}

pub(super) fn run(context: &Context, args: &Sign) -> Result<(), Failure> {
    let file = SignedCall::read(&args.file)?;
    let contract = context.contract()?;
    file.check(contract.domain(), &args.file)?;
    let no_such = || Failure::usage(format!("{} needs no owner's signature", args.file.display()));
    let mut call = Call::parse(&file.input).ok_or_else(no_such)?;
    let unsigned = unsigned(&contract, &call)?.ok_or_else(no_such)?;
    let Unsigned { task, owner, digest } = unsigned;
    let bytes = match &args.signature {
        Some(text) => hex::decode(text.trim().trim_start_matches("0x"))
            .map_err(|error| Failure::usage(format!("--signature: {error}")))?
            .into(),
        None => relay::sign(context, digest)?,
    };
    if !contract.consents(owner, digest, &bytes)? {
        return Err(Failure::usage(format!("this is no signature of the owner {owner} of {digest}"))).hint(
            "sign in the owner's home; if the owner is a contract, have its wallet sign that digest and give the bytes with --signature",
        );
    }
    match &mut call {
        Call::RequestFor { signature, .. } | Call::CancelFor { signature, .. } => *signature = bytes,
        _ => return Err(no_such()),
    }
    relay::write(context, &args.file, task, &call)
}

fn unsigned(contract: &Contract, call: &Call) -> Result<Option<Unsigned>, Failure> {
    Ok(match call {
        Call::RequestFor { record, .. } => {
            let request = Request::try_from(record.clone()).map_err(Failure::usage)?;
            let task = request.id(contract.domain());
            Some(Unsigned { task, owner: request.owner, digest: task.0 })
        }
        Call::CancelFor { task, .. } => {
            let view = contract.task(*task)?;
            let view = view.ok_or_else(|| Failure::usage(format!("there is no task {task}")))?;
            let digest = cancellation(contract.domain(), *task);
            Some(Unsigned { task: *task, owner: view.owner, digest })
        }
        _ => None,
    })
}
