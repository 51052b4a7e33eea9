//! Step 7: the run report in the archive is the receipt's. That the archive is the one proven is step 6's.

use super::parse::Records;
use super::receipt::Signed;
use crate::rejection::ArchiveMismatch;
use crate::verified::Verified;
use pox_core::receipt::report_hash;

/// The archive's parts are those that the receipt means.
pub(crate) struct Archived;

/// Checks the run report's hash.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    _receipt: &Verified<Signed>,
) -> Result<Verified<Archived>, ArchiveMismatch> {
    let (actual, stated) = (report_hash(&records.archive.report), records.receipt.report);
    if actual == stated { Ok(Verified::by_check(Archived)) } else { Err(ArchiveMismatch { actual, stated }) }
}
