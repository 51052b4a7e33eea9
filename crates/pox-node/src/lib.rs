//! The processor's service, which offers, boots, matches, delivers and proves; and the owner's agent, which judges and approves.
//!
//! Both drive the state machines of `pox-core`, which decide; here is only doing. Nothing on the processor's host ever runs
//! what an owner wrote, sees a key or a byte of plaintext: only the enclave unpacks, opens and runs.

mod clock;
pub mod doctor;
pub mod endorsements;
mod endorser;
pub mod host;
mod journal;
mod line;
mod objects;
pub mod owner;
mod runtime;
pub mod service;
mod timestamps;
mod vm;

pub use endorser::{Endorser, NoEndorsements};
pub use journal::{Journal, JournalError};
pub use objects::StoreSource;
pub use runtime::{Program, Runtime};
pub use timestamps::{TimestampServiceError, TimestampServices};
pub use vm::{Guest, GuestHost, Platform, emulator};
