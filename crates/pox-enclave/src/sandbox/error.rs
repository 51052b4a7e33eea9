//! Why a task could not be run, and whose fault that is.

use std::io;

use super::protection::Protection;

/// A task could not be run. A task that ran and failed is no error, but an [`End`](super::End).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The machine does not give protections that were required.
    #[error("this machine gives no {}", list(.missing))]
    Unavailable {
        /// All of them, in a fixed order.
        missing: Vec<Protection>,
    },
    /// The task cannot be run as it was described.
    #[error("the task cannot be run: {0}")]
    Task(#[from] TaskFault),
    /// A system call failed that should not have.
    #[error("{call} failed")]
    System {
        /// What was being done.
        call: &'static str,
        /// How the system call ended.
        #[source]
        source: io::Error,
    },
}

/// What is wrong with the description of a task.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskFault {
    /// A path inside the task is not absolute and plain.
    #[error("'{0}' is not an absolute path without '.', '..' and empty parts")]
    Path(String),
    /// Two mount points would hide one another.
    #[error("'{0}' and '{1}' lie within one another")]
    Overlap(String, String),
    /// An argument or variable holds a NUL, or a variable's name is empty or holds '='.
    #[error("argument or variable {0} cannot be passed to a program")]
    Text(usize),
    /// There is no program to run, or there is too much text for it.
    #[error("the task has {0}")]
    Arguments(&'static str),
    /// A limit is zero or absurd.
    #[error("the limit on {0} is out of range")]
    Limit(&'static str),
    /// The image's folder, or an input, cannot be used.
    #[error("cannot use {what}")]
    Source {
        /// Which of them.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The image has something at a mount point that is not a plain folder (or file, for a file).
    #[error("the image cannot have '{target}' as a mount point")]
    MountPoint {
        /// The path inside the task.
        target: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The image has no such program, or it cannot be executed.
    #[error("cannot execute '{program}'")]
    Execute {
        /// The first argument.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The image has no such working folder.
    #[error("cannot enter the working folder '{folder}'")]
    WorkingFolder {
        /// The path inside the task.
        folder: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// The machine, or how it is set up: the processor's.
    Machine,
    /// The description of the task or its image: the owner's.
    Task,
}

impl SandboxError {
    /// Says whose doing it is.
    #[must_use]
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Unavailable { .. } | Self::System { .. } => Culprit::Machine,
            Self::Task(_) => Culprit::Task,
        }
    }

    pub(super) fn system(call: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { call, source: errno.into() }
    }

    pub(super) fn io(call: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { call, source }
    }
}

fn list(missing: &[Protection]) -> String {
    missing.iter().map(|p| p.name()).collect::<Vec<_>>().join(", no ")
}
