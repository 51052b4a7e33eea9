//! The owner's side: what it keeps of a task, what it releases to an enclave, and what it makes of the end.

mod agent;
mod authorities;
mod chain_proof;
mod kept;
mod members;
mod proof;
mod release;
mod results;

pub use agent::{AgentError, Desk, Note, Owns, Tended, sent_note};
pub use authorities::{AuthoritiesError, BuiltOn, CurrentSet, Known, built_on, current_set};
pub use chain_proof::{ChainProofError, Shown, Shows, show};
pub use kept::{BadKept, Deadlines, InputSource, KeptTask, Plan, PlannedInput, PlannedRuns, join, prepare};
pub use members::{MembersError, OpenedMembers, fetch_members, open_members, read_list};
pub use proof::{Collected, Disclosure, Parts, ProofError, ShownMember, collect, fetch_archive};
pub use release::{CheckedMatch, FoundMatch, ReleaseError, check_match, endorsed};
pub use results::{ResultsError, open_results};
