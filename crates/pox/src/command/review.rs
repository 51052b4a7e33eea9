//! `pox review`: what a task asks of those whose data it uses.

use crate::cli::Review;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::owner::{guess_policy, task_id};
use crate::sealed;
use pox_core::{Address, Party, Request, TaskId};
use pox_node::owner::{KeptTask, join};
use pox_store::Location;
use pox_verify::Policy;
use serde_json::json;
use std::path::Path;

pub(super) fn run(context: &Context, args: &Review) -> Result<(), Failure> {
    let task = task_id(&args.task)?;
    let contract = context.contract()?;
    let history = contract.history(task)?;
    let request = &history.request;
    let own = context.home()?.address()?;
    let own_policy = args.own_policy.as_deref().map(crate::command::read_policy).transpose()?;
    if let Some(path) = &args.handover {
        take_over(context, path, task, own)?;
    }
    if !args.data.is_empty() {
        let from_block = history.steps.first().map_or(0, |first| first.step.at.number);
        keep(context, args, request, own, own_policy.as_ref(), from_block)?;
    }
    show(context, task, request, own, own_policy.as_ref())?;
    if args.data.is_empty() && args.handover.is_none() {
        context.output.say(format!("next: `pox review {task} --data DIR` says where your sealed data is"));
    } else {
        context.output.say(format!(
            "next: `pox approve {task} --wait 10m`, or `pox reject {task}`; `pox agent` does it for you"
        ));
    }
    Ok(())
}

fn show(
    context: &Context,
    task: TaskId,
    request: &Request,
    own: Address,
    own_policy: Option<&Policy>,
) -> Result<(), Failure> {
    let inputs: Vec<_> = request
        .inputs
        .iter()
        .enumerate()
        .map(|(place, input)| (input, request.account_of(request.owner_of(place)).unwrap_or(request.owner)))
        .collect();
    let text_of = |policy: &Policy| String::from_utf8_lossy(&policy.canonical_bytes()).into_owned();
    let policy = guess_policy(request).ok().as_ref().map(text_of);
    let own_policy = own_policy.map(text_of);
    let listed: Vec<_> =
        inputs.iter().map(|(input, owner)| json!({ "input": input, "owner": owner })).collect();
    let result = json!({
        "task": task,
        "owner": request.owner,
        "processors": request.processors,
        "image": request.image,
        "inputs": listed,
        "policy": request.policy,
        "policy_text": policy,
        "own_policy": own_policy,
        "approve_within": request.approve_within,
    });
    context.output.result(&result, || {
        let mut text = format!("task   {task}\nowner  {}\nimage  {}", request.owner, request.image);
        for (input, owner) in &inputs {
            let whose = if *owner == own { "yours" } else { "of" };
            let owner = if *owner == own { String::new() } else { format!(" {owner}") };
            text = format!("{text}\ninput  {input}  {whose}{owner}");
        }
        let known = policy.as_deref().unwrap_or("its text is the owner's; ask for the file");
        text = format!("{text}\npolicy {}: {known}", request.policy);
        match &own_policy {
            Some(own) => format!("{text}\nyours, beside it: {own}"),
            None => text,
        }
    })
}

/// Keeps what an owner handed over to its delegate.
fn take_over(context: &Context, path: &Path, task: TaskId, own: Address) -> Result<(), Failure> {
    let shown = path.display();
    let text = crate::locate::read_bounded(path, MAX_HANDOVER_BYTES)?;
    let kept: KeptTask = serde_json::from_slice(&text)
        .map_err(|error| Failure::usage(format!("{shown} is no task that was handed over: {error}")))
        .hint("`pox request --handover FILE` writes one")?;
    let (request, contract) = (kept.request()?, context.contract()?);
    let fits = kept.domain == *contract.domain() && kept.task()? == task && kept.party == Party::OWNER;
    // What the delegate is about to release by is what the request commits to.
    let fits = fits && kept.policy()?.hash() == request.policy && kept.terms()?.root() == request.terms.0;
    if !fits {
        return Err(Failure::usage(format!("{shown} is of another task than {task}")));
    }
    if request.signer_of(Party::OWNER) != Some(own) {
        return Err(Failure::usage(format!("this home's account {own} is not the delegate of task {task}")));
    }
    context.home()?.keep(task, &kept)
}

/// Keeps where this account's inputs are, each place checked against the commitment that the request names.
fn keep(
    context: &Context,
    args: &Review,
    request: &Request,
    own: Address,
    own_policy: Option<&Policy>,
    from_block: u64,
) -> Result<(), Failure> {
    let mut sealed = Vec::new();
    for place in &args.data {
        let place = crate::locate::folder(place, Path::new("."))?;
        let location: Location = place.parse().map_err(|error| Failure::usage(error).about(&place))?;
        let commitment = sealed::Source::open(context, &location).and_then(|mut source| source.commitment());
        sealed.push((commitment.map_err(|failure| failure.about(&place))?, place));
    }
    let party = request.party_of(own);
    let inputs =
        party.into_iter().flat_map(|party| request.inputs_of(party)).map(|place| request.inputs[place]);
    let mut places = Vec::new();
    for input in inputs {
        let found = sealed.iter().find(|(commitment, _)| *commitment == input);
        let (_, place) = found
            .ok_or_else(|| Failure::usage(format!("none of these places has the dataset {input}")))
            .hint("name the folder that `pox seal` made of it with --data")?;
        places.push(place.clone());
    }
    let policy = match &args.policy {
        Some(path) => crate::command::read_policy(path)?,
        None => guess_policy(request)?,
    };
    let contract = context.contract()?;
    let mut kept = join(request, own, places, &policy, contract.domain(), from_block)?;
    if let Some(policy) = own_policy {
        kept = kept.with_own_policy(policy);
    }
    context.home()?.keep(request.id(contract.domain()), &kept)
}

/// The leaves at their bounds, in hexadecimal, and places.
const MAX_HANDOVER_BYTES: usize = 4 << 20;
