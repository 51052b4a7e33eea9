//! The page of a machine: which TEEs it has, which it lacks and why.

use super::{Page, plain};
use pox_node::doctor::{Check, Diagnosis, Finding, Presence, Tee};

/// The answer for each kind first, then everything that was looked at.
pub(crate) fn diagnosis(diagnosis: &Diagnosis) -> String {
    let mut page = Page::default();
    page.line(&format!("Linux {}", plain(&diagnosis.kernel)));
    if let Some(kind) = diagnosis.inside {
        page.line(&format!("this machine is itself inside a TEE of kind {kind}"));
    }
    page.section("Which TEEs this machine has");
    for tee in &diagnosis.tees {
        page.row(tee.kind.name(), answer(tee));
    }
    for tee in &diagnosis.tees {
        page.section(&format!("What {} needs", tee.kind));
        // What another machine would have to be like beside is of no use to anybody here.
        let of_use = if tee.presence == Presence::Absent { 1 } else { tee.checks.len() };
        tee.checks.iter().take(of_use).for_each(|check| row(&mut page, check));
    }
    page.section("What the sandbox needs");
    diagnosis.sandbox.iter().for_each(|check| row(&mut page, check));
    page.text
}

fn answer(tee: &Tee) -> String {
    let presence = match (tee.presence, tee.missing()) {
        (Presence::Present, _) => "present".to_owned(),
        (Presence::Incomplete, Some(check)) => format!("not ready: {}: {}", check.what, plain(&check.seen)),
        (_, Some(check)) => format!("not here: {}: {}", check.what, plain(&check.seen)),
        (_, None) => "not here".to_owned(),
    };
    let note = match (tee.presence, tee.is_served, tee.kind.is_simulated()) {
        (Presence::Present, _, true) => "; PROTECTS NOTHING",
        (Presence::Present, false, _) => "; `pox node` does not start enclaves of this kind yet",
        _ => "",
    };
    format!("{presence}{note}")
}

fn row(page: &mut Page, check: &Check) {
    let mark = match check.finding {
        Finding::Good => "yes",
        Finding::Missing => "NO",
        Finding::Unknown => "?",
    };
    page.line(&format!("{mark:<4}{}: {}", check.what, plain(&check.seen)));
    if let Some(next) = check.next {
        page.line(&format!("      next: {next}"));
    }
}
