//! Follows the contract into a database, and answers from it: who ran what, on what, when, and who was first.
//!
//! [`Indexer`] reads a [`Source`] from the contract's first block on, and keeps every event with its block in an [`Index`]:
//! SQLite in a file, or PostgreSQL for many users. A crash loses nothing and repeats nothing, because each batch and how far
//! reading has come are one transaction; a reorganisation takes back what is no longer in the chain. What a task's events come
//! to is [`pox_core::replay::Replay`]'s to say, and a task whose events contradict each other is flagged.
//!
//! This crate is where the database engines are, and nothing else of ours links them. It never decides whether a task is
//! genuine: an index says where to look, a proof shows what is so (spec §16). It never holds what the chain does not.

mod engine;
mod entry;
mod error;
mod follow;
mod index;
mod query;
mod rows;
mod schema;
mod source;
mod target;

pub use error::IndexError;
pub use follow::{Indexer, Progress, Step};
pub use index::{Chunk, Index, LocatedEvent, Status, Totals};
pub use query::{
    Answer, BadPosition, Filter, InputUse, MAX_PAGE, Page, Position, Priority, StepDetail, StepRow, TaskRow,
    Uses,
};
pub use source::{Header, Source};
pub use target::{BadTarget, Passwords, Target};
