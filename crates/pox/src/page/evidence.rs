//! The page of one quote, report or document.

use super::{Page, bytes, plain, utc};
use crate::command::{LoggedEvent, Looked, Outcome, ReplayedLog};
use pox_verify::evidence::launch::{Launch, LaunchBinding, Window};

/// The outcome first, then what the quote says of itself, then what hardware vouches for.
pub(crate) fn evidence(looked: &Looked) -> String {
    let mut page = Page::default();
    headline(&mut page, looked);
    page.section("What it says of itself");
    page.row("kind", looked.kind);
    page.row("form", plain(&looked.form));
    page.row("size", bytes(looked.bytes as u64));
    for register in &looked.registers {
        page.row(register.name, format!("0x{}", hex::encode(&register.value)));
    }
    page.row("report data", looked.report_data.as_deref().unwrap_or("none"));
    if let Some(claims) = &looked.claims {
        page.section("What it is bound to");
        page.row("task", claims.task);
        page.row("enclave", claims.enclave);
        page.row("processor", claims.processor);
        page.row("not before", format!("block {}, {}", claims.block_number, claims.block_hash));
        let signed =
            if looked.claims_are_signed == Some(true) { "yes" } else { "NO: these claims are not signed" };
        page.row("signed", signed);
    }
    if let Outcome::Genuine { measurement, hardware, refused } = &looked.outcome {
        page.section("What hardware vouches for");
        page.row("measurement", measurement);
        vouched(&mut page, &hardware.launch);
        if looked.claims.is_some() {
            page.row(
                "launched for",
                match hardware.binding {
                    LaunchBinding::Task => "this task",
                    LaunchBinding::Unbound => "no task: only the report data binds it",
                },
            );
        }
        if let Some(refused) = refused {
            page.row("policy", format!("refuses it: {}", plain(refused)));
        }
    }
    if let Some(log) = &looked.event_log {
        replayed(&mut page, log);
    }
    page.text
}

fn replayed(page: &mut Page, log: &ReplayedLog) {
    page.section("What its event log says");
    if let Some(mismatch) = &log.mismatch {
        page.row("BELIEVE NOTHING", plain(mismatch));
        return;
    }
    page.line("It replays to the quote's registers: these digests were extended, in this order.");
    for LoggedEvent { register, kind, digest, content } in &log.events {
        page.row(register, plain(kind));
        page.row("", format!("0x{digest}"));
        if let Some(content) = content {
            page.row("", plain(content));
        }
    }
    page.line("Text is shown only where the digest is that of the text.");
}

fn headline(page: &mut Page, looked: &Looked) {
    let at = utc(looked.at);
    page.line(&match &looked.outcome {
        Outcome::Genuine { refused: Some(_), .. } => format!("GENUINE at {at}, and refused by the policy"),
        Outcome::Genuine { hardware, .. } if hardware.launch.tcb.status.is_superseded() => {
            format!("GENUINE at {at}, and its platform was out of date")
        }
        Outcome::Genuine { .. } => format!("GENUINE at {at}"),
        Outcome::Unknown { message } => format!("UNKNOWN: {}", plain(message)),
        Outcome::Rejected { reason, message } => format!("REJECTED at {at} ({reason}): {}", plain(message)),
    });
}

fn vouched(page: &mut Page, launch: &Launch) {
    page.row("TCB", format!("{}: {}", launch.tcb.status, plain(&launch.tcb.level)));
    for advisory in &launch.tcb.advisories {
        page.row("advisory", plain(advisory));
    }
    match &launch.platform {
        Some(platform) => page.row("platform", platform),
        None => page.row("platform", "not told"),
    }
    let traits = launch.traits.iter().map(|one| one.to_string()).collect::<Vec<_>>();
    page.row("traits", if traits.is_empty() { "none".to_owned() } else { traits.join(", ") });
    if let Some(Window { from, until }) = launch.endorsed {
        page.row("endorsed", format!("from {} until {}", utc(from), utc(until)));
    }
}
