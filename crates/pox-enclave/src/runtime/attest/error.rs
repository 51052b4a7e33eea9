//! Why there is no evidence.

use std::io;
use std::path::PathBuf;

/// There is no evidence: the machine's or its operator's fault, never the owner's.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// No interface of a TEE is here, and nobody asked for a simulated enclave.
    #[error("there is no TEE here, and a simulated enclave was not asked for")]
    NoTee,
    /// A simulated enclave was asked for, and there is a TEE that would protect.
    #[error("a simulated enclave was asked for where there is a TEE: {}", .0.display())]
    TeePresent(PathBuf),
    /// Two interfaces are here: which of them measured this program can't be told.
    #[error("more than one TEE: {} and {}", .0.display(), .1.display())]
    Ambiguous(PathBuf, PathBuf),
    /// A TEE is here, and no way to its reports.
    #[error(
        "{} is a TEE's device, but there are no reports at {}: \
         configfs is not mounted there, or the kernel is older than 6.7",
        .device.display(),
        .reports.display()
    )]
    NoReports {
        /// The device that gives the TEE away.
        device: PathBuf,
        /// Where its reports should be.
        reports: PathBuf,
    },
    /// The interface is of a TEE that this runtime does not know.
    #[error("the TEE's driver is `{0}`, which this runtime does not know")]
    UnknownProvider(String),
    /// Gramine runs without DCAP.
    #[error("Gramine's attestation type is `{0}`, not `dcap`: see sgx.remote_attestation in its manifest")]
    NotDcap(String),
    /// The guest runs below the one privilege level that is accepted.
    #[error("reports are given from privilege level {0} on; only level 0 is accepted")]
    PrivilegeLevel(u64),
    /// Somebody else wrote to the same report, each time.
    #[error("another program wrote to the same report")]
    Overtaken,
    /// The interface gave nothing, or nonsense.
    #[error("{0} is empty or malformed")]
    Malformed(&'static str),
    /// The interface gave more than any TEE does.
    #[error("{what} has more than {most} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The bound.
        most: usize,
    },
    /// The kernel refuses or fails.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: &'static str,
        /// How it failed.
        source: io::Error,
    },
    /// The Nitro security module refuses.
    #[error("the Nitro security module refuses to {what}: {error}")]
    Nsm {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        error: NsmError,
    },
    /// The machine has no randomness.
    #[error("no randomness: {0}")]
    Randomness(io::Error),
}

/// The Nitro security module's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NsmError {
    /// An argument is invalid.
    #[error("invalid argument")]
    InvalidArgument,
    /// There is no such register.
    #[error("no such register")]
    InvalidIndex,
    /// The answer belongs to another request.
    #[error("the answer is to another request")]
    InvalidResponse,
    /// The register is locked.
    #[error("the register is locked")]
    ReadOnlyIndex,
    /// The module can't do it.
    #[error("not supported")]
    InvalidOperation,
    /// The answer does not fit.
    #[error("the answer does not fit")]
    BufferTooSmall,
    /// The request is too large.
    #[error("the request is too large")]
    InputTooLarge,
    /// The module failed.
    #[error("internal error")]
    InternalError,
    /// A code that the module's interface does not have.
    #[error("unknown error")]
    Unknown,
}

impl AttestError {
    /// Whether the next attempt may succeed.
    ///
    /// A guest's kernel answers `EBUSY` while the TEE still works on a request that was given up, `EAGAIN` where the report is
    /// stale, `EINTR` where a signal came, `ETIMEDOUT` where the quoting service did not answer in time; and a name that another
    /// entry has (`EEXIST`) is not drawn twice.
    pub(super) fn is_passing(&self) -> bool {
        const PASSING: [i32; 5] = [libc::EBUSY, libc::EAGAIN, libc::EINTR, libc::ETIMEDOUT, libc::EEXIST];
        match self {
            Self::Overtaken => true,
            Self::Io { source, .. } => source.raw_os_error().is_some_and(|code| PASSING.contains(&code)),
            _ => false,
        }
    }

    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
