//! What came of a batch's members, for its owner and for people.

use super::kept;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::page;
use crate::quantity::entries;
use pox_chain::TaskHistory;
use pox_core::members::member_location;
use pox_core::receipt::Outcome;
use pox_core::{Event, MemberReceipt, MemberReceipts, Members, ResultsCommitment, TaskId};
use pox_node::owner::{fetch_members, open_members};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Members that did not complete and are shown one by one; all are in the list beside the results.
const SHOWN: usize = 20;

/// How many members of a batch completed, as far as its receipt tells.
pub(crate) fn completed(outcome: u8, exit_code: u32, members: Members) -> Option<u32> {
    let count = u32::from(members.count);
    match Outcome::try_from(outcome) {
        Ok(Outcome::Completed) => Some(count),
        Ok(Outcome::Failed) => count.checked_sub(exit_code),
        _ => None,
    }
}

/// The results in a proven task's receipt.
pub(crate) fn results_of(history: &TaskHistory) -> Option<ResultsCommitment> {
    history.steps.iter().find_map(|step| match &step.event {
        Event::Proven { receipt, .. } => Some(ResultsCommitment(receipt.results)),
        _ => None,
    })
}

/// The receipts of a batch's members, from the list at this place, which this home's key has to open.
///
/// # Errors
/// The task is no proven batch, or its list can't be had.
pub(crate) fn list(context: &Context, history: &TaskHistory, place: &str) -> Result<MemberReceipts, Failure> {
    let members = members_of(history)?;
    let results = results_of(history).filter(|results| !results.is_zero());
    let results = results
        .ok_or_else(|| Failure::usage("the list of this batch's members was not stored"))
        .hint("its receipt says why: see `pox verify`")?;
    let identity = context.home()?.identity()?;
    Ok(fetch_members(place, results, &members, &identity, &context.access([place]))?)
}

fn members_of(history: &TaskHistory) -> Result<Members, Failure> {
    let task = history.task;
    history
        .members()
        .ok_or_else(|| Failure::usage(format!("task {task} is no batch that is proven")))
        .hint("`pox status` shows what it is, and where it stands")
}

/// Opens what one member left, or all of them, each into a folder of its number.
///
/// # Errors
/// There is no such member, or what it left can't be had.
pub(crate) fn open(
    context: &Context,
    task: TaskId,
    history: &TaskHistory,
    to: &Path,
    member: Option<u16>,
) -> Result<(), Failure> {
    let kept = kept(context, task)?;
    let (place, access) = (&kept.results, context.access([kept.results.as_str()]));
    let identity = context.home()?.identity()?;
    let Some(number) = member else {
        let members = members_of(history)?;
        let results = results_of(history).unwrap_or_default();
        let opened = open_members(place, results, &members, &identity, to, &access)?;
        let result = serde_json::json!({
            "task": task, "to": to, "entries": opened.entries, "bytes": opened.bytes, "members": rows(&opened.list),
        });
        return context.output.result(&result, || {
            let Members { count, .. } = members;
            format!("{}\nopened {count} members into {}", table(&opened.list), to.display())
        });
    };
    let list = list(context, history, place)?;
    let count = list.members().count;
    let member = list.get(number).ok_or_else(|| {
        Failure::usage(format!("there is no member {number}: the batch has members 1 to {count}"))
    })?;
    let place = member_location(place, number);
    let opened = pox_node::owner::open_results(&place, member.results, &identity, to, &access, &mut |_| ())?;
    let result = serde_json::json!({
        "task": task, "to": to, "entries": opened.entries, "bytes": opened.bytes, "member": member,
    });
    context.output.result(&result, || {
        let (opened, bytes) = (entries(opened.entries), opened.bytes);
        format!("{}\nopened {opened}, {bytes} bytes, into {}", line(member, count), to.display())
    })
}

/// All members, for machines.
pub(crate) fn rows(list: &MemberReceipts) -> Vec<&MemberReceipt> {
    list.iter().collect()
}

/// How many came to what and how long they took; and one by one those that did not complete, up to a number.
pub(crate) fn table(list: &MemberReceipts) -> String {
    let mut outcomes = BTreeMap::<u8, (Outcome, usize, u64)>::new();
    for member in list.iter() {
        let (_, count, wall) = outcomes.entry(member.outcome.code()).or_insert((member.outcome, 0, 0));
        (*count, *wall) = (*count + 1, wall.saturating_add(member.wall_micros));
    }
    let mut text = format!("{:<24}{:>8}{:>16}", "outcome", "members", "mean time");
    for (outcome, count, wall) in outcomes.values() {
        let mean = page::seconds(wall / u64::try_from(*count).unwrap_or(1).max(1));
        let _ = write!(text, "\n{:<24}{count:>8}{mean:>16}", outcome.to_string());
    }
    let count = list.members().count;
    let others = || list.iter().filter(|member| member.outcome != Outcome::Completed);
    for member in others().take(SHOWN) {
        let _ = write!(text, "\n{}", line(member, count));
    }
    match others().count().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text}\nand {more} more"),
    }
}

/// One member in one line.
pub(crate) fn line(member: &MemberReceipt, count: u16) -> String {
    let code =
        if member.exit_code == 0 { String::new() } else { format!(", exit code {}", member.exit_code) };
    let reason =
        if member.reason.is_empty() { String::new() } else { format!(": {}", page::plain(&member.reason)) };
    format!("member {} of {count}: {}{code}{reason}", member.number, member.outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pox_core::{B256, Runs};

    #[test]
    fn a_table_counts_all_and_shows_those_that_did_not_complete() {
        let runs = Runs { seed: B256::ZERO, count: 30, args: None };
        let outcome = |number| if number <= 5 { Outcome::Completed } else { Outcome::Failed };
        let member = |run: pox_core::Run| MemberReceipt {
            wall_micros: 2_000_000,
            exit_code: u32::from(run.number > 5) * 3,
            reason: String::new(),
            ..MemberReceipt::not_begun(&run, outcome(run.number))
        };
        let list = MemberReceipts::new(runs.iter().map(member).collect()).unwrap();
        let table = table(&list);
        assert!(table.contains("completed                      5         2.000 s"), "{table}");
        assert!(table.contains("failed                        25         2.000 s"), "{table}");
        assert!(
            table.contains("member 6 of 30: failed, exit code 3") && table.ends_with("and 5 more"),
            "{table}"
        );
    }

    #[test]
    fn the_receipt_of_a_batch_tells_how_many_completed() {
        let members = Members { root: pox_core::MembersRoot::ZERO, count: 1000 };
        assert_eq!(completed(0, 0, members), Some(1000));
        assert_eq!(completed(1, 3, members), Some(997));
        assert_eq!(completed(3, 0, members), None);
        assert_eq!(completed(1, 1001, members), None);
    }
}
