//! Fetching, checking and opening what came out.

use crate::objects::StoreSource;
use pox_core::ResultsCommitment;
use pox_seal::Identity;
use pox_seal::dataset::{self, DatasetCommitment, Limits, Modes, OpenError, Opened, Progress, file_keys};
use pox_store::{Access, Location, LocationError, Store};
use std::path::Path;

/// Results can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The receipt says that there are none.
    #[error("this task has no results")]
    None,
    /// The place is none.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The storage does not give them.
    #[error(transparent)]
    Storage(#[from] pox_store::Error),
    /// They are not what the receipt says, or not for this identity.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Fetches sealed results, checks them against the receipt's commitment, and opens them into a new folder.
///
/// # Errors
/// There are none, the storage fails, or they are not those of the receipt; then nothing is left in the folder.
pub fn open_results(
    location: &str,
    commitment: ResultsCommitment,
    identity: &Identity,
    to: &Path,
    access: &Access,
    progress: Progress<'_>,
) -> Result<Opened, ResultsError> {
    if commitment.is_zero() {
        return Err(ResultsError::None);
    }
    let location: Location = location.parse()?;
    let mut source = StoreSource::new(Store::open_existing(&location, access)?);
    let keys = file_keys(&mut source, std::slice::from_ref(identity))?;
    let commitment = DatasetCommitment::from(*commitment.as_bytes());
    Ok(dataset::open(&mut source, &commitment, &keys, to, Limits::NONE, Modes::AsSealed, progress)?)
}
