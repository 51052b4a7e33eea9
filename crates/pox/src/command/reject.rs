//! `pox reject`: refuses the evidence of a match.

use super::relay;
use super::task::Transaction;
use crate::cli::Reject;
use crate::context::Context;
use crate::error::Failure;
use crate::owner::{Owner, task_id};
use pox_chain::{Effect, Patience};
use pox_core::Call;
use pox_core::consent::refusal;

pub(super) fn run(context: &Context, args: &Reject) -> Result<(), Failure> {
    let task = task_id(&args.task)?;
    let owner = Owner::open(context, [])?;
    let history = owner.contract().history(task)?;
    let (request, reason) = (history.request, args.reason);
    if let Some(path) = &args.sign.out {
        let own = context.home()?.address()?;
        let party = request
            .party_of(own)
            .ok_or_else(|| Failure::usage(format!("{own} is no party of task {task}")))?;
        let enclave = history.view.enclave;
        let enclave = enclave.ok_or_else(|| Failure::usage(format!("task {task} is not matched")))?;
        let digest = refusal(owner.contract().domain(), task, enclave, reason);
        let (record, party, signature) = (request.to_abi(), party.0, relay::sign(context, digest)?);
        let call = Call::RejectFor { record, party, enclave, reason, signature };
        return relay::write(context, path, task, &call);
    }
    let draft = owner.contract().reject(&request, reason);
    let sent = owner.outbox().send(&draft, &Patience::default())?;
    let result = Transaction::of(&owner, task, "reject", &Effect::Sent(Box::new(sent)));
    context.output.result(&result, || result.text())
}
