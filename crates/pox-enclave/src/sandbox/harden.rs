//! The enclave's protection of itself.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use super::error::SandboxError;

/// Makes this process's memory unreadable for every unprivileged process: no core dump, no tracer,
/// no `/proc/<pid>/mem`, `environ`, `fd` for others of the same user.
///
/// Call it first, before there is a secret. It does not hold off a privileged user of the host; only
/// a TEE does. Children that execute a program lose it; those of the sandbox do so on purpose.
///
/// # Errors
/// [`SandboxError::System`] if the kernel refuses.
pub fn harden_self() -> Result<(), SandboxError> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(SandboxError::system("forbidding core dumps"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(SandboxError::system("forbidding tracers"))
}
