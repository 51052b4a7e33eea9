//! The owner's side of a task, as the commands use it.

mod batch;
mod desk;
mod offers;
mod plan;

pub(crate) use batch::{completed, rows as member_rows, table as member_table};
pub(crate) use desk::TerminalDesk;
pub(crate) use offers::standing as standing_offers;
pub(crate) use plan::{fits, plan};

use crate::context::Context;
use crate::error::{Culprit, Failure, Hint as _};
use crate::quantity::entries;
use k256::ecdsa::SigningKey;
use pox_chain::{ChainError, Contract, Outbox, Patience};
use pox_core::proof::Proof;
use pox_core::role::owner::Patience as OwnerPatience;
use pox_core::{Party, Request, TaskId, U256};
use pox_node::owner::{Disclosure, KeptTask, Owns, Parts, ShownMember, Shows, collect, fetch_archive};
use pox_seal::Identity;
use pox_store::Access;
use pox_verify::{Anchors, Policy, SimulatedEvidence};
use std::path::Path;

/// What an owner's command acts with, opened once.
pub(crate) struct Owner {
    contract: Contract,
    outbox: Outbox,
    account: SigningKey,
    identity: Identity,
    access: Access,
    anchors: Anchors,
    own_policy: Option<Policy>,
}

impl Owner {
    /// Opens this home's keys and the chain; `tasks` name the places that may be touched.
    pub(crate) fn open<'a>(
        context: &Context,
        tasks: impl IntoIterator<Item = &'a KeptTask>,
    ) -> Result<Self, Failure> {
        let home = context.home()?;
        let places = tasks.into_iter().flat_map(|kept| kept.inputs.iter().chain([&kept.results]));
        Ok(Self {
            contract: context.contract()?,
            outbox: context.outbox()?,
            account: home.account()?,
            identity: home.identity()?,
            access: context.access(places.map(String::as_str)),
            anchors: context.anchors()?,
            own_policy: None,
        })
    }

    /// The same owner, who releases nothing unless the policy in this file, if there is one, accepts the evidence too.
    pub(crate) fn with_own_policy(self, file: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self { own_policy: file.map(crate::command::read_policy).transpose()?, ..self })
    }

    /// The same owner, who pays no more than this for a transaction, value and gas together.
    pub(crate) fn paying_at_most(self, most: Option<U256>) -> Self {
        match most {
            Some(most) => Self { outbox: self.outbox.paying_at_most(most), ..self },
            None => self,
        }
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.contract
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(crate) fn owns(&self) -> Owns<'_> {
        Owns {
            contract: &self.contract,
            outbox: &self.outbox,
            account: &self.account,
            identity: &self.identity,
            access: &self.access,
            anchors: &self.anchors,
            own_policy: self.own_policy.as_ref(),
            patience: Patience::for_a_turn(),
        }
    }
}

/// How patient this owner is; a chain of one authority needs no confirmations.
pub(crate) fn patience(confirmations: Option<u64>) -> OwnerPatience {
    OwnerPatience { confirmations: confirmations.unwrap_or(1), again_after: 30, fetch_within: 3600 }
}

/// Whether a failure of the chain is one that waiting can heal.
pub(crate) fn is_passing(error: &ChainError) -> bool {
    matches!(error.culprit(), pox_chain::Culprit::Endpoint | pox_chain::Culprit::Chain)
}

/// A task as it is typed.
pub(crate) fn task_id(text: &str) -> Result<TaskId, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(error).about(format!("{text:?}")))
        .hint("`pox status` lists this home's tasks")
}

/// What this home kept of a task.
pub(crate) fn kept(context: &Context, task: TaskId) -> Result<KeptTask, Failure> {
    context
        .home()?
        .kept(task)?
        .ok_or_else(|| Failure::usage(format!("task {task} was not requested from this home")))
        .hint("name the home that requested it with --home; only it has the task's salts and places")
}

/// Fetches a proven task's results, checks them against its receipt, and opens them.
pub(crate) fn open_results(
    context: &Context,
    task: TaskId,
    to: &Path,
    member: Option<u16>,
) -> Result<(), Failure> {
    let kept = kept(context, task)?;
    let history = context.contract()?.history(task)?;
    if history.members().is_some() || member.is_some() {
        return batch::open(context, task, &history, to, member);
    }
    let results = batch::results_of(&history)
        .ok_or_else(|| Failure::usage(format!("task {task} is not proven")))
        .hint("`pox status` shows where it stands")?;
    let access = context.access([kept.results.as_str()]);
    let identity = context.home()?.identity()?;
    let opened = pox_node::owner::open_results(&kept.results, results, &identity, to, &access, &mut |_| ())?;
    let result = serde_json::json!({
        "task": task, "results": results, "to": to, "entries": opened.entries, "bytes": opened.bytes,
    });
    context.output.result(&result, || {
        format!("opened {}, {} bytes, into {}", entries(opened.entries), opened.bytes, to.display())
    })
}

/// Collects a task's proof from the chain and its archive, with everything that this home can open.
pub(crate) fn collect_proof(
    context: &Context,
    task: TaskId,
    archive: Option<&str>,
) -> Result<Proof, Failure> {
    let shows = Shown { disclosure: &Disclosure::All, chain: Shows::Auto, member: None };
    collect_showing(context, task, archive, &shows)
}

/// What a proof shows.
pub(crate) struct Shown<'a> {
    /// Which leaves of terms and metadata.
    pub(crate) disclosure: &'a Disclosure,
    /// By what the steps.
    pub(crate) chain: Shows,
    /// Which member of a batch, and whether with its own arguments.
    pub(crate) member: Option<(u16, OpenArgs)>,
}

/// Whether a member's own arguments are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenArgs {
    Yes,
    No,
}

/// Collects a task's proof, showing only what is named.
pub(crate) fn collect_showing(
    context: &Context,
    task: TaskId,
    archive: Option<&str>,
    shown: &Shown<'_>,
) -> Result<Proof, Failure> {
    let contract = context.contract()?;
    let kept = context.home()?.kept(task)?;
    let place = match (archive, &kept) {
        (Some(place), _) => crate::locate::folder(place, Path::new("."))?,
        (None, Some(kept)) if kept.party == Party::OWNER => kept.results.clone(),
        (None, _) => {
            return Err(Failure::usage(format!("task {task} was not requested from this home")))
                .hint("name the place of its archive, beside its sealed results, with --archive");
        }
    };
    let archive = fetch_archive(&place, &context.access([place.as_str()]))?;
    let policy = match &kept {
        Some(kept) => kept.policy()?,
        None => guess_policy(&contract.history(task)?.request)?,
    };
    // A co-owner has nothing to open but its own data.
    let kept = kept.as_ref().filter(|kept| kept.party == Party::OWNER);
    let runs = kept.map(KeptTask::runs).transpose()?.flatten();
    let kept = kept.map(|kept| (kept, shown.disclosure));
    let list = match shown.member {
        Some(_) => Some(batch::list(context, &contract.history(task)?, &place)?),
        None => None,
    };
    let member =
        shown.member.zip(list.as_ref()).map(|((number, open_args), list)| match (open_args, &runs) {
            (OpenArgs::No, _) => Ok(ShownMember { list, number, runs: None }),
            (OpenArgs::Yes, Some(runs)) => Ok(ShownMember { list, number, runs: Some(runs) }),
            (OpenArgs::Yes, None) => {
                Err(Failure::usage("only the home that requested the batch can open arguments"))
            }
        });
    let member = member.transpose()?;
    let anchors = context.anchors()?;
    let rule = anchors.chains.get(&contract.domain().chain_id).and_then(|chain| chain.authorities.aura());
    let parts = Parts { archive, policy: policy.canonical_bytes(), kept, member };
    let collected = collect(&contract, task, parts, rule, shown.chain)?;
    match &collected.built {
        Some(count) if !count.is_final => context.output.say(format!(
            "not final yet: {} of {} authorities have built on it; repeat `pox proof` when more have",
            count.builders.len(),
            count.of
        )),
        Some(_) => {}
        None => context.output.say(
            "no authorities are known for its block: whoever verifies needs `--live`, or a profile that pins them",
        ),
    }
    Ok(collected.proof)
}

/// The policy that a request without a policy file commits to; another one only its owner can show.
pub(crate) fn guess_policy(request: &Request) -> Result<Policy, Failure> {
    let usual = [SimulatedEvidence::Refused, SimulatedEvidence::DangerouslyAllowed]
        .into_iter()
        .filter_map(|simulated| Policy::new(request.kinds.iter(), [], simulated).ok())
        .chain([Policy::default()]);
    usual
        .into_iter()
        .find(|policy| policy.hash() == request.policy)
        .ok_or_else(|| {
            Failure::new(
                Culprit::Usage,
                "the task has a policy of its owner's own, which the chain holds as a hash only",
            )
        })
        .hint("ask the owner for the proof file")
}
