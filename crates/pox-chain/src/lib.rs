//! The only crate that talks to a chain.
//!
//! [`Rpc`] speaks JSON-RPC to old and new nodes as a [`Profile`] says, and compares them where there are several; [`doctor`]
//! says how they fit it. [`Contract`] builds the contract's calls and reads its state; an [`Outbox`] keeps them and sends them,
//! once in effect. A [`Follower`] turns the chain into events and takes them back when it is reorganised;
//! [`Contract::history`] rebuilds one task from the chain alone, and [`Contract::prove_state`] captures what an auditor needs
//! of it.
//!
//! It never believes a node where a hash can be checked, never retries what a node has understood and declined, never keeps
//! a key longer than its caller, and never decides what a task may do next: that is `pox-core`'s.

mod account;
mod artifact;
mod authorities;
mod comparison;
mod contract;
mod deterministic;
pub mod doctor;
mod endpoint;
mod error;
mod fees;
mod follower;
mod header;
mod history;
mod logs;
mod outbox;
mod prepared;
mod profile;
mod proven_logs;
mod receipts;
mod rpc;
mod scan;
mod state;
mod transactions;
mod wallet;

pub use account::{Account, BadKey};
pub use artifact::{ARTIFACT, Artifact};
pub use authorities::{Authorities, AuthoritySet};
pub use comparison::Comparison;
pub use contract::{Contract, TaskView};
pub use deterministic::{DEPLOYMENT_PROXY, DeploymentStep};
pub use endpoint::{BadEndpoint, Endpoint};
pub use error::{ChainError, Culprit, Revert};
pub use follower::{Batch, Cursor, Followed, Follower, Place, Progress};
pub use history::{Carried, HistoryStep, TaskHistory};
pub use outbox::{Edit, Effect, FileShelf, Outbox, Patience, Sent, Shelf, Standing, Waiting, WaitsFor};
pub use prepared::{Draft, Prepared};
pub use profile::{
    BadProfile, Checks, Deployment, EMBEDDED_CHAIN_ID, Explorer, Fees, FinalTag, Finality, Hardfork, Profile,
    Transactions,
};
pub use proven_logs::ProvenLog;
pub use rpc::{Block, BlockAt, Dissent, Log, MinedTransaction, Pace, Receipt, Rpc, Succeeded};
pub use state::ProvenState;
