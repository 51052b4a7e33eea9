//! `pox sign`: an owner's signature under a call that its delegate wrote.

use super::relay::{self, SignedCall};
use crate::cli::Sign;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::home::Overwrite;
use pox_chain::Contract;
use pox_core::consent::cancellation;
use pox_core::{Address, B256, Bytes, Call, Request, TaskId, typed_data};
use serde_json::json;
use std::path::Path;

/// What an owner has to agree to.
struct Unsigned {
    task: TaskId,
    owner: Address,
    digest: B256,
    /// The same for a wallet to show.
    typed_data: serde_json::Value,
}

pub(super) fn run(context: &Context, args: &Sign) -> Result<(), Failure> {
    let file = SignedCall::read(&args.file)?;
    let contract = context.contract()?;
    file.check(contract.domain(), &args.file)?;
    let no_such = || Failure::usage(format!("{} needs no owner's signature", args.file.display()));
    let mut call = Call::parse(&file.input).ok_or_else(no_such)?;
    let unsigned = unsigned(&contract, &call)?.ok_or_else(no_such)?;
    if let Some(path) = &args.typed_data {
        return show(context, &args.file, path, &unsigned);
    }
    let bytes = signature(context, &contract, args, &unsigned)?;
    match &mut call {
        Call::RequestFor { signature, .. } | Call::CancelFor { signature, .. } => *signature = bytes,
        _ => return Err(no_such()),
    }
    relay::write(context, &args.file, unsigned.task, &call)
}

/// Writes what a wallet elsewhere has to sign.
fn show(context: &Context, file: &Path, to: &Path, unsigned: &Unsigned) -> Result<(), Failure> {
    let Unsigned { task, owner, typed_data, .. } = unsigned;
    let text = serde_json::to_string_pretty(typed_data).map_err(Failure::machine)?;
    if to == Path::new("-") {
        crate::output::write_out(&text)?;
    } else {
        crate::home::write_file(to, text.as_bytes(), 0o644, Overwrite::Replace)
            .map_err(|error| Failure::machine(format!("cannot write {}: {error}", to.display())))?;
        let result = json!({ "task": task, "owner": owner, "typed_data": to });
        context.output.result(&result, || format!("task {task}\ntyped data {}", to.display()))?;
    }
    context.output.say(format!(
        "next: the wallet of {owner} signs it (eth_signTypedData_v4), and `pox sign {} --signature 0x…` takes that back",
        file.display()
    ));
    Ok(())
}

/// The owner's signature, if it is one.
fn signature(
    context: &Context,
    contract: &Contract,
    args: &Sign,
    unsigned: &Unsigned,
) -> Result<Bytes, Failure> {
    let Unsigned { owner, digest, .. } = unsigned;
    let given = match &args.signature {
        Some(text) => Bytes::from(
            hex::decode(text.trim().trim_start_matches("0x"))
                .map_err(|error| Failure::usage(format!("--signature: {error}")))?,
        ),
        None => relay::sign(context, *digest)?,
    };
    for bytes in [Some(given.clone()), with_usual_parity(&given)].into_iter().flatten() {
        if contract.consents(*owner, *digest, &bytes)? {
            return Ok(bytes);
        }
    }
    Err(Failure::usage(format!("this is no signature of the owner {owner} of {digest}"))).hint(
        "sign in the owner's home, or have its wallet sign what `--typed-data` writes and give the bytes with --signature",
    )
}

/// A signature whose last byte is 0 or 1, as some devices give it, with 27 or 28.
fn with_usual_parity(signature: &[u8]) -> Option<Bytes> {
    match signature {
        [r_and_s @ .., parity @ 0..=1] if r_and_s.len() == 64 => {
            Some([r_and_s, &[27 + parity]].concat().into())
        }
        _ => None,
    }
}

fn unsigned(contract: &Contract, call: &Call) -> Result<Option<Unsigned>, Failure> {
    let domain = contract.domain();
    Ok(match call {
        Call::RequestFor { record, .. } => {
            let typed_data = typed_data::of_request(domain, record);
            let request = Request::try_from(record.clone()).map_err(Failure::usage)?;
            let task = request.id(domain);
            Some(Unsigned { task, owner: request.owner, digest: task.0, typed_data })
        }
        Call::CancelFor { task, .. } => {
            let view = contract.task(*task)?;
            let view = view.ok_or_else(|| Failure::usage(format!("there is no task {task}")))?;
            let (digest, typed_data) =
                (cancellation(domain, *task), typed_data::of_cancellation(domain, *task));
            Some(Unsigned { task: *task, owner: view.owner, digest, typed_data })
        }
        _ => None,
    })
}
