//! Runs the task as another, unprivileged user, cut off from everything it was not given.
//!
//! A task sees: its image, read-only, as `/`; the inputs it was given, read-only; `/tmp`, `/dev/shm`
//! and its output folder, which share one bounded file system in memory; five harmless devices; a
//! `/proc` of its own processes. It has no network, no capabilities and no way to gain any, and it
//! ends, with every process it started, when its time is over.
//!
//! It never sees the enclave: not its memory, files, descriptors, environment or processes. Even the
//! task's own process 1, a fork of the enclave, drops every page it inherited before the task's
//! program starts.
//!
//! What a machine cannot give is a named [`Protection`]; [`Sandbox::new`] refuses to work without it
//! unless the caller accepts that by name, and each run says what was in force.
//!
//! Assumed, not established here: the kernel keeps its promises. Side channels between the task and
//! the enclave on the same processor are out of scope.

mod cgroup;
mod child;
mod end;
mod error;
mod harden;
mod identity;
mod machine;
mod mounts;
mod output;
mod plan;
mod protection;
mod run;
mod seccomp;
pub(crate) mod sys;
mod syscalls;
mod task;

pub use end::{Captured, End, Ended, Source, Usage};
pub use error::{Culprit, SandboxError, TaskFault};
pub use harden::harden_self;
pub use machine::Sandbox;
pub use output::{CheckedOutput, MAX_OUTPUT_DEPTH, MAX_OUTPUT_FILES, Output, OutputError};
pub use protection::{Protection, Protections, Required};
pub use task::{InsidePath, Limits, Network, ReadOnlyInput, Task};
