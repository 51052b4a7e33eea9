//! `pox reject`: refuses the evidence of one enclave.

use super::relay;
use super::task::{Transaction, phase_name};
use crate::cli::Reject;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::owner::{Owner, task_id};
use pox_chain::{Effect, Patience, TaskView};
use pox_core::consent::refusal;
use pox_core::{Address, Call, TaskId};

pub(super) fn run(context: &Context, args: &Reject) -> Result<(), Failure> {
    let task = task_id(&args.task)?;
    let owner = Owner::open(context, [])?;
    let history = owner.contract().history(task)?;
    let (request, reason) = (history.request, args.reason);
    let enclave = refused_enclave(task, args.enclave.as_deref(), &history.view)?;
    if let Some(path) = &args.sign.out {
        let own = context.home()?.address()?;
        let party = request
            .party_of(own)
            .ok_or_else(|| Failure::usage(format!("{own} is no party of task {task}")))?;
        let digest = refusal(owner.contract().domain(), task, enclave, reason);
        let (record, party, signature) = (request.to_abi(), party.0, relay::sign(context, digest)?);
        let call = Call::RejectFor { record, party, enclave, reason, signature };
        return relay::write(context, path, task, &call);
    }
    let draft = owner.contract().reject(&request, enclave, reason);
    let sent = owner.outbox().send(&draft, &Patience::default())?;
    let result = Transaction::of(&owner, task, "reject", &Effect::Sent(Box::new(sent)));
    context.output.result(&result, || result.text())
}

/// The enclave to refuse: the one that is named, which has to be the matched one still, or else whichever is.
fn refused_enclave(task: TaskId, named: Option<&str>, view: &TaskView) -> Result<Address, Failure> {
    let named = named.map(crate::context::address).transpose()?;
    let matched =
        view.enclave.ok_or_else(|| Failure::usage(format!("task {task} is {}", phase_name(view.phase))))?;
    match named.filter(|named| *named != matched) {
        None => Ok(matched),
        Some(named) => {
            Err(Failure::usage(format!("task {task} is matched with enclave {matched}, not {named}")))
                .hint("that match is over; `pox approve` checks the evidence of this one")
        }
    }
}
