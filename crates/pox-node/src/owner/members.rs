//! A batch's members, as its owner gets them: the list of what came of each run, and what each left.

use super::results::{ResultsError, open_results};
use pox_core::members::{MAX_MEMBERS_BYTES, MEMBERS_NAME, member_location};
use pox_core::{CodecError, MemberReceipts, Members, ResultsCommitment};
use pox_seal::Identity;
use pox_store::Access;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The members of a batch can't be had.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    /// Their list, or what one of them left, can't be opened.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// What one member left can't be.
    #[error("member {number}: {source}")]
    Member {
        /// Which.
        number: u16,
        /// Why.
        source: ResultsError,
    },
    /// The list is none.
    #[error("the list of members: {0}")]
    Malformed(#[from] CodecError),
    /// The list is another than the one that the receipt commits to.
    #[error("the list of members is not the one that was proven")]
    OtherMembers,
    /// A file of ours can't be read or made.
    #[error("the list of members: {0}")]
    Local(#[from] io::Error),
}

/// What was opened.
#[derive(Debug)]
pub struct OpenedMembers {
    /// What came of each run.
    pub list: MemberReceipts,
    /// Files, folders and links of all members.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Fetches the list of a batch's members from its results, and checks it against the root that was proven.
///
/// # Errors
/// The storage does not give it, or it is another.
pub fn fetch_members(
    place: &str,
    results: ResultsCommitment,
    members: &Members,
    identity: &Identity,
    access: &Access,
) -> Result<MemberReceipts, MembersError> {
    let folder = tempfile::tempdir()?;
    let to = folder.path().join("list");
    open_results(place, results, identity, &to, access, &mut |_| ())?;
    read_list(&to, members)
}

/// Opens a batch into a folder: the list of its members, and what each of them left into a folder of its number. What an earlier
/// call has opened there is left as it is.
///
/// # Errors
/// The storage does not give all of it, or something of it is not what was proven; what was opened before that stays.
pub fn open_members(
    place: &str,
    results: ResultsCommitment,
    members: &Members,
    identity: &Identity,
    to: &Path,
    access: &Access,
) -> Result<OpenedMembers, MembersError> {
    // The folder comes with the list in it, or not at all.
    if to.symlink_metadata().is_err() {
        open_results(place, results, identity, to, access, &mut |_| ())?;
    }
    let list = read_list(to, members)?;
    let (mut entries, mut bytes) = (0, 0);
    for member in list.iter().filter(|member| !member.results.is_zero()) {
        let (number, folder) = (member.number, to.join(member.number.to_string()));
        if folder.symlink_metadata().is_ok() {
            continue;
        }
        let place = member_location(place, number);
        let opened = open_results(&place, member.results, identity, &folder, access, &mut |_| ())
            .map_err(|source| MembersError::Member { number, source })?;
        entries += opened.entries;
        bytes += opened.bytes;
    }
    Ok(OpenedMembers { list, entries, bytes })
}

/// Reads the list in an opened batch, and checks it against the root that was proven.
///
/// # Errors
/// It can't be read, or is another.
pub fn read_list(folder: &Path, members: &Members) -> Result<MemberReceipts, MembersError> {
    let mut bytes = Vec::new();
    File::open(folder.join(MEMBERS_NAME))?.take(MAX_MEMBERS_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    let list = MemberReceipts::parse(&bytes)?;
    if list.members() == *members { Ok(list) } else { Err(MembersError::OtherMembers) }
}
