//! What a command is told to trust, or not to, beside what comes with the program.

use crate::cli::Today;
use crate::endorsements;
use crate::error::{Failure, Hint as _};
use crate::locate::read_bounded;
use pox_guest::measure::ReleaseManifest;
use pox_guest::measure::release::MAX_RELEASE_BYTES;
use pox_verify::Fresh;
use pox_verify::anchors::Release;
use std::path::PathBuf;

/// The releases of manifests; whom to believe, the user said by naming them.
pub(crate) fn releases(manifests: &[PathBuf]) -> Result<Vec<Release>, Failure> {
    let mut all = Vec::new();
    for path in manifests {
        let bytes = read_bounded(path, MAX_RELEASE_BYTES)?;
        let manifest = ReleaseManifest::parse(&bytes)
            .map_err(|error| Failure::usage(error).about(path.display()))
            .hint("`pox guest measure --release FILE` writes release manifests")?;
        all.extend(manifest.releases());
    }
    Ok(all)
}

/// What is known today; `None` if the command names nothing of it.
pub(crate) fn fresh(args: &Today) -> Result<Option<Fresh>, Failure> {
    let mut fresh = Fresh { endorsements: endorsements::read(&args.today)?, ..Fresh::default() };
    for path in &args.deny_list {
        let text = read_bounded(path, MAX_DENY_LIST_BYTES)?;
        let text = String::from_utf8(text).map_err(|error| Failure::usage(error).about(path.display()))?;
        for (number, line) in (1..).zip(text.lines()) {
            let named = line.split('#').next().unwrap_or_default().trim();
            if !named.is_empty() {
                fresh.deny(named).map_err(|error| {
                    Failure::usage(error).about(format!("{}, line {number}", path.display()))
                })?;
            }
        }
    }
    for name in args.deny_platform.iter().chain(&args.deny_advisory) {
        fresh.deny(name).map_err(Failure::usage)?;
    }
    let is_asked = fresh != Fresh::default() || !args.today.is_empty() || !args.deny_list.is_empty();
    Ok(is_asked.then_some(fresh))
}

/// Some ten thousand lines.
const MAX_DENY_LIST_BYTES: usize = 1 << 20;
