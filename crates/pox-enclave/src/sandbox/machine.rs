//! What this machine gives, found out by trying.

use std::{
    collections::BTreeSet,
    ffi::c_int,
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::process::{Pid, Signal, getegid, geteuid, pidfd_send_signal};

use super::{
    cgroup::Hierarchy,
    end::Ended,
    error::SandboxError,
    identity::Identity,
    protection::{Protection, Protections, Required},
    run,
    seccomp::Filters,
    sys,
    task::Task,
};

/// A machine on which tasks can be run, with the protections it gives.
///
/// Made once, before the task is known; then a run takes milliseconds.
#[derive(Clone)]
pub struct Sandbox {
    pub(super) protections: Protections,
    pub(super) identity: Identity,
    pub(super) hierarchy: Hierarchy,
    pub(super) filters: Arc<Filters>,
    /// A user namespace in which the enclave's files belong to the task.
    pub(super) owner_map: Option<Arc<OwnedFd>>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("protections", &self.protections).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Finds out what the machine gives.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] with everything that is required and missing.
    pub fn new(required: &Required) -> Result<Self, SandboxError> {
        let (protections, identity, hierarchy) = look()?;
        let missing = required.missing_from(&protections);
        if !missing.is_empty() {
            return Err(SandboxError::Unavailable { missing });
        }
        let filters = Filters::new()
            .map_err(|e| SandboxError::io("compiling the system call filter")(io::Error::other(e)))?;
        // Without it the task still runs, but reads only what everyone may read.
        let owner_map = match identity {
            Identity::Other(id) => owner_map(id).ok(),
            Identity::Own { .. } => None,
        };
        let owner_map = owner_map.map(Arc::new);
        Ok(Self { protections, identity, hierarchy, filters: Arc::new(filters), owner_map })
    }

    /// Says what the machine gives, without requiring anything.
    ///
    /// # Errors
    /// [`SandboxError::System`] if not even a process can be started.
    pub fn probe() -> Result<Protections, SandboxError> {
        look().map(|(protections, _, _)| protections)
    }

    /// What is in force in every run.
    #[must_use]
    pub fn protections(&self) -> &Protections {
        &self.protections
    }

    /// Runs a task to its end. Blocks until every process of it is gone.
    ///
    /// # Errors
    /// [`SandboxError`] if the task's program could not be started. What happens after that is an
    /// [`End`](super::End).
    pub fn run(&self, task: &Task) -> Result<Ended, SandboxError> {
        run::run(self, task)
    }

    /// The namespaces that a task's first process is born into; the control group's comes later.
    pub(super) fn namespaces(&self) -> c_int {
        NAMESPACES
            .into_iter()
            .filter(|(p, _)| *p != Protection::CgroupNamespace && self.protections.has(*p))
            .fold(0, |flags, (_, flag)| flags | flag)
    }
}

fn look() -> Result<(Protections, Identity, Hierarchy), SandboxError> {
    let mut given: BTreeSet<Protection> = namespaces()?.into_iter().collect();
    let identity = Identity::choose();
    if matches!(identity, Identity::Other(_)) {
        given.insert(Protection::OtherUser);
    }
    if fs::exists("/proc/sys/kernel/seccomp/actions_avail").unwrap_or(false) {
        given.insert(Protection::Seccomp);
    }
    let landlock_abi =
        sys::landlock_abi().map(|abi| u8::try_from(abi).unwrap_or(u8::MAX).min(KNOWN_LANDLOCK));
    if landlock_abi.is_some() {
        given.insert(Protection::Landlock);
    }
    let hierarchy = Hierarchy::probe();
    given.extend(hierarchy.protections());
    let cgroup = (hierarchy != Hierarchy::None).then(|| hierarchy.source().name());
    Ok((Protections { given, landlock_abi, cgroup }, identity, hierarchy))
}

/// All at once first: that is the usual answer, and the cheapest question.
fn namespaces() -> Result<Vec<Protection>, SandboxError> {
    let every = NAMESPACES.into_iter().fold(0, |flags, (_, flag)| flags | flag);
    if can_make(every)? {
        return Ok(NAMESPACES.into_iter().map(|(p, _)| p).collect());
    }
    let users = can_make(libc::CLONE_NEWUSER)?;
    let base = if users { libc::CLONE_NEWUSER } else { 0 };
    let mut given = Vec::new();
    for (protection, flag) in NAMESPACES {
        if (flag != libc::CLONE_NEWUSER || users) && can_make(base | flag)? {
            given.push(protection);
        }
    }
    Ok(given)
}

fn can_make(flags: c_int) -> Result<bool, SandboxError> {
    let stack = sys::Stack::new().map_err(SandboxError::system("allocating a stack"))?;
    let Ok((pid, _)) = sys::spawn(flags, &stack, |(): &()| sys::exit(0), &()) else { return Ok(false) };
    sys::wait(pid).map_err(SandboxError::io("waiting for a trial process"))?;
    Ok(true)
}

/// Makes a user namespace that translates the enclave's user to the task's, for files of the enclave.
fn owner_map(host_id: u32) -> io::Result<OwnedFd> {
    fn linger((): &()) -> ! {
        loop {
            rustix::event::pause();
        }
    }
    let stack = sys::Stack::new()?;
    let (pid, pidfd) = sys::spawn(libc::CLONE_NEWUSER, &stack, linger, &())?;
    let namespace = name_owner_map(pid, host_id);
    end(pid, pidfd.as_fd())?;
    namespace
}

fn name_owner_map(pid: Pid, host_id: u32) -> io::Result<OwnedFd> {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    fs::write(format!("{process}/uid_map"), format!("{} {host_id} 1\n", geteuid().as_raw()))?;
    fs::write(format!("{process}/gid_map"), format!("{} {host_id} 1\n", getegid().as_raw()))?;
    Ok(fs::File::open(format!("{process}/ns/user"))?.into())
}

fn end(pid: Pid, pidfd: BorrowedFd<'_>) -> io::Result<()> {
    pidfd_send_signal(pidfd, Signal::KILL)?;
    sys::wait(pid).map(|_| ())
}

const NAMESPACES: [(Protection, c_int); 7] = [
    (Protection::UserNamespace, libc::CLONE_NEWUSER),
    (Protection::MountNamespace, libc::CLONE_NEWNS),
    (Protection::PidNamespace, libc::CLONE_NEWPID),
    (Protection::NetworkNamespace, libc::CLONE_NEWNET),
    (Protection::IpcNamespace, libc::CLONE_NEWIPC),
    (Protection::UtsNamespace, libc::CLONE_NEWUTS),
    (Protection::CgroupNamespace, libc::CLONE_NEWCGROUP),
];

/// The latest Landlock interface whose rights the `landlock` crate knows.
const KNOWN_LANDLOCK: u8 = 9;
