//! Records, encodings, ids, commitments, the lifecycle and the roles' state machines.
//!
//! This crate decides what every byte means and what may follow what. It never reads a clock, a file, a socket, the
//! environment or a random source: time and randomness are arguments. The normative text is `spec/pox.md`.

pub mod abi;
pub mod bytes;
pub mod call;
pub mod channel;
mod codec;
pub mod consent;
pub mod domain;
pub mod endorsement;
pub mod event;
pub mod evidence;
pub mod history;
pub mod id;
pub mod leaves;
pub mod ledger;
pub mod members;
pub mod oci;
pub mod party;
pub mod proof;
pub mod receipt;
pub mod record;
pub mod refusal;
pub mod replay;
pub mod role;
pub mod runs;
pub mod s3;
pub mod secret;
pub mod signature;
pub mod task;
pub mod tree;
pub mod typed_data;

pub use alloy_primitives::{Address, B256, Bytes, U256, keccak256};

pub use call::Call;
pub use codec::{CodecError, from_canonical, to_canonical};
pub use domain::Domain;
pub use event::{BadEvent, Event};
pub use id::{
    Archive, ArchivedBatchId, ArchivedReceiptId, DatasetCommitment, History, ImageDigest, ListRoot,
    MembersRoot, MetadataRoot, OfferId, PolicyHash, ReceiptId, ReportHash, ResultsCommitment, RunsRoot, Salt,
    TaskId, TermsRoot,
};
pub use ledger::Ledger;
pub use members::{MemberReceipt, MemberReceipts, Members};
pub use party::{CoOwner, Parties, Party};
pub use record::{Amount, BadRecord, Kinds, Offer, Processors, Request, Resources, UnixTime};
pub use refusal::{Phase, Refusal};
pub use runs::{Run, Runs};
pub use task::{Origin, Sent, Task};
