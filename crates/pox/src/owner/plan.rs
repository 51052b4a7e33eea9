//! From a task file to a plan: images and datasets become digests, defaults become decisions.

use super::offers;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::sealed;
use crate::task_file::{Input, TaskFile};
use pox_chain::Contract;
use pox_core::tree::list_path;
use pox_core::{Amount, ImageDigest, Offer, Resources, UnixTime};
use pox_node::owner::{Deadlines, InputSource, Plan, PlannedInput};
use pox_store::Location;
use pox_store::image::{Architecture, ImageSource};
use pox_verify::{Policy, SimulatedEvidence};

/// Decides everything about a task.
///
/// # Errors
/// A part of the file leads nowhere, or no offer fits.
pub(crate) fn plan(context: &Context, contract: &Contract, file: &TaskFile) -> Result<Plan, Failure> {
    let home = context.home()?;
    let (kinds, resources) = (file.kinds(), file.resources()?);
    let own = home.recipient()?.to_string();
    let mut recipients = vec![own.clone()];
    recipients.extend(file.recipients.iter().filter(|recipient| **recipient != own).cloned());
    let prove_within = file.deadlines.prove.to_u32()?.saturating_add(resources.time_limit);
    let match_by = UnixTime(context.now().0.saturating_add(file.deadlines.r#match.0));
    let mut plan = Plan {
        image_digest: image_digest(context, &file.image)?,
        image: file.image.clone(),
        inputs: file
            .inputs
            .iter()
            .map(|(name, given)| input(context, name, given))
            .collect::<Result<_, _>>()?,
        args: file.args.clone(),
        env: file.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        runs: file.runs()?,
        accept_missing: file.accept_missing.clone(),
        metadata: file.metadata.clone(),
        policy: policy(file)?,
        kinds,
        resources,
        delegate: file.owner(home.address()?)?.1,
        price: file.price.unwrap_or(Amount::ZERO),
        processors: file.processors(),
        listed: file.processors.clone(),
        deadlines: Deadlines { match_by, approve_within: file.deadlines.approve.to_u32()?, prove_within },
        results: file.results.clone(),
        recipients,
    };
    if file.price.is_none() {
        plan.price = cheapest(contract, &plan, context.now())?;
    }
    Ok(plan)
}

fn image_digest(context: &Context, image: &str) -> Result<ImageDigest, Failure> {
    let source: ImageSource = image.parse().map_err(|error| Failure::usage(error).about(image))?;
    let opened = source.open(Architecture::native(), &context.access([image]));
    let opened = opened.map_err(|error| Failure::from(error).about(image))?;
    Ok(ImageDigest::from(*opened.manifest_digest().as_bytes()))
}

fn input(context: &Context, name: &str, given: &Input) -> Result<PlannedInput, Failure> {
    let (name, place) = (
        name.to_owned(),
        match given {
            Input::Own(place) => place,
            Input::Theirs(theirs) => {
                let source = InputSource::Theirs(theirs.owner);
                return Ok(PlannedInput { name: name.to_owned(), source, commitment: theirs.commitment });
            }
        },
    );
    let location: Location = place.parse().map_err(|error| Failure::usage(error).about(place))?;
    let commitment = sealed::Source::open(context, &location)
        .and_then(|mut source| source.commitment())
        .map_err(|failure| failure.about(format!("input {name}")))
        .hint("seal it first, with `pox seal`")?;
    Ok(PlannedInput { name, source: InputSource::Own(place.clone()), commitment })
}

/// The file's own policy, or one that accepts the asked kinds with the runtimes that this program knows.
fn policy(file: &TaskFile) -> Result<Policy, Failure> {
    if let Some(path) = &file.policy {
        return crate::command::read_policy(path);
    }
    let kinds: Vec<_> = file.kinds().iter().collect();
    let simulated = match kinds.iter().any(|kind| kind.is_simulated()) {
        true => SimulatedEvidence::DangerouslyAllowed,
        false => SimulatedEvidence::Refused,
    };
    Policy::new(kinds, [], simulated).map_err(Failure::usage)
}

/// The least price for which a standing offer serves this plan.
fn cheapest(contract: &Contract, plan: &Plan, now: UnixTime) -> Result<Amount, Failure> {
    let offers = offers::standing(contract, now)?;
    let prices = offers
        .iter()
        .filter(|(_, offer)| fits(offer, plan))
        .filter_map(|(_, offer)| offer.least_price(plan.resources.time_limit));
    prices.min().ok_or_else(|| Failure::usage("no standing offer fits this task")).hint(
        "`pox offers` lists them; ask for less, or name a price in the task file to post the request anyway",
    )
}

pub(crate) fn fits(offer: &Offer, plan: &Plan) -> bool {
    let has: &Resources = &offer.resources;
    let needs = &plan.resources;
    let path = list_path(&plan.listed, offer.processor);
    plan.processors.allow(offer.processor, path.as_deref())
        && plan.kinds.iter().any(|kind| offer.kinds.contains(kind))
        && has.cpu_millis >= needs.cpu_millis
        && has.memory_mib >= needs.memory_mib
        && has.disk_mib >= needs.disk_mib
        && has.time_limit >= needs.time_limit
}
