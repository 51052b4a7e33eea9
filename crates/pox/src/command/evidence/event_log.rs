//! The event log beside a TDX quote: what was extended into its registers, once the log replays to them.

use crate::error::{Failure, Hint as _};
use crate::locate::read_bounded;
use pox_core::evidence::EvidenceKind;
use pox_guest::measure::Digest384;
use pox_guest::measure::event_log::{Event, EventLog, MAX_LOG_BYTES, REGISTERS};
use pox_verify::evidence::launch::Register;
use serde::Serialize;
use std::path::Path;

/// A log, held against the registers of a quote. Whether the quote is genuine, it does not say.
#[derive(Serialize)]
pub(crate) struct ReplayedLog {
    /// The first register that its events do not give; `None` if it replays.
    pub(crate) mismatch: Option<String>,
    pub(crate) events: Vec<LoggedEvent>,
}

/// One extension of a register.
#[derive(Serialize)]
pub(crate) struct LoggedEvent {
    pub(crate) register: String,
    pub(crate) kind: String,
    pub(crate) digest: String,
    /// What the log says of it, if that is text and the digest is the text's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
}

pub(super) fn replay(path: &Path, kind: EvidenceKind, stated: &[Register]) -> Result<ReplayedLog, Failure> {
    let registers: Vec<Digest384> = (0..REGISTERS)
        .filter_map(|index| {
            let name = format!("RTMR{index}");
            let register = stated.iter().find(|register| register.name == name)?;
            Some(Digest384(register.value.as_slice().try_into().ok()?))
        })
        .collect();
    let signed: [Digest384; REGISTERS] = registers
        .try_into()
        .map_err(|_| {
            Failure::usage(format!("evidence of kind {kind} has no registers that a log replays to"))
        })
        .hint("--event-log is for TDX quotes")?;
    let area = read_bounded(path, MAX_LOG_BYTES)?;
    let log = EventLog::parse(&area)
        .map_err(|error| Failure::usage(error).about(path.display()))
        .hint("in a TDX guest the log is /sys/firmware/acpi/tables/data/CCEL")?;
    Ok(ReplayedLog {
        mismatch: log.check(&signed).err().map(|mismatch| mismatch.to_string()),
        events: log.events().iter().map(logged).collect(),
    })
}

fn logged(event: &Event<'_>) -> LoggedEvent {
    LoggedEvent {
        register: format!("RTMR{}", event.register),
        kind: event.kind_name().map_or_else(|| format!("event of kind {:#x}", event.kind), str::to_owned),
        digest: event.digest.to_string(),
        content: event.is_of_content().then(|| text(event.content)).flatten(),
    }
}

/// ASCII, or UTF-16 of it, with or without final zeros.
fn text(content: &[u8]) -> Option<String> {
    let is_text = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let narrow = std::str::from_utf8(content).ok().map(|text| text.trim_end_matches('\0').to_owned());
    let wide = || {
        let units: Vec<u16> =
            content.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok().map(|text| text.trim_end_matches('\0').to_owned())
    };
    narrow.filter(|text| is_text(text)).or_else(|| wide().filter(|text| is_text(text)))
}
