//! Everything the new process needs, made before it exists: after the fork nothing may be allocated.

use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
};

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use rustix::{
    fs::{CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchown, fstat, mkdirat, openat, openat2},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
    process::{Resource, Rlimit, getrlimit},
};

use super::{
    error::{SandboxError, TaskFault},
    identity::{INSIDE_ID, Identity},
    machine::Sandbox,
    mounts::{READ_ONLY, READ_ONLY_DATA},
    protection::Protection,
    seccomp::Filters,
    sys::{self, CStrings},
    task::{InsidePath, Limits, Task},
};

pub(super) struct Plan {
    /// The child's end of the channel, and the number of the enclave's, which the child closes.
    pub(super) channel: OwnedFd,
    pub(super) enclave_channel: RawFd,
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) user: User,
    pub(super) cgroup_namespace: bool,
    pub(super) root: Source,
    pub(super) inputs: Vec<(Source, CString)>,
    pub(super) output: CString,
    pub(super) scratch: ScratchSize,
    pub(super) walls: Option<Walls>,
    pub(super) filters: Arc<Filters>,
    pub(super) limits: Vec<(Resource, Rlimit)>,
    pub(super) cwd: CString,
    /// Where the program may be, in order.
    pub(super) programs: Vec<CString>,
    pub(super) args: CStrings,
    pub(super) env: CStrings,
}

/// How the new process becomes the task's user.
pub(super) enum User {
    /// It is given its maps, and takes the user in them before setting up.
    Mapped,
    /// It writes its own maps: it stays the enclave's user on the host.
    MapsItself { user_map: String, group_map: String },
    /// There is no user namespace: it sets up as root, and takes this user before executing.
    Host(u32),
}

impl User {
    /// The task's user as the new process sees it while setting up.
    pub(super) fn owner(&self) -> u32 {
        match self {
            Self::Mapped | Self::MapsItself { .. } => INSIDE_ID,
            Self::Host(id) => *id,
        }
    }
}

/// A file or folder of the enclave, pinned: what is mounted is what was looked at.
pub(super) enum Source {
    /// A mount of it, in no namespace yet.
    Tree { mount: OwnedFd, folder: bool },
    /// Its path and what must be found there: an unprivileged enclave cannot make mounts itself.
    Path { path: CString, device: u64, inode: u64, folder: bool },
}

impl Source {
    pub(super) fn is_folder(&self) -> bool {
        match self {
            Self::Tree { folder, .. } | Self::Path { folder, .. } => *folder,
        }
    }

    fn new(sandbox: &Sandbox, path: &Path, handle: &OwnedFd, attributes: u64) -> Result<Self, Errno> {
        let stat = fstat(handle)?;
        let folder = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return Err(Errno::INVAL),
        };
        if matches!(sandbox.identity, Identity::Own { .. }) {
            let path =
                std::path::absolute(path).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::INVAL))?;
            let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
            return Ok(Self::Path { path, device: stat.st_dev, inode: stat.st_ino, folder });
        }
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let mount = open_tree(handle, c"", flags)?;
        sys::mount_setattr(mount.as_fd(), attributes, None)?;
        if let Some(map) = &sandbox.owner_map {
            // Some file systems cannot translate owners; then the task reads what everyone may read.
            let _ = sys::mount_setattr(mount.as_fd(), 0, Some(map.as_fd()));
        }
        Ok(Self::Tree { mount, folder })
    }
}

/// The size of the file system for scratch and output, as mount options have it.
pub(super) struct ScratchSize {
    pub(super) bytes: CString,
    pub(super) files: CString,
}

/// A Landlock ruleset, still without rules, and the rights on files that it handles.
pub(super) struct Walls {
    pub(super) ruleset: OwnedFd,
    pub(super) all: u64,
    pub(super) read_and_execute: u64,
    pub(super) devices: u64,
}

/// The task's standard streams and channel, as the child gets them.
pub(super) struct Ends {
    pub(super) channel: OwnedFd,
    pub(super) enclave_channel: RawFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Plan {
    pub(super) fn new(sandbox: &Sandbox, task: &Task, ends: Ends) -> Result<Self, SandboxError> {
        task.limits.check()?;
        check_overlaps(task)?;
        let (programs, args, env) = texts(task)?;
        let root = pin(&task.root, OFlags::DIRECTORY).map_err(unusable("the image's folder"))?;
        for path in OWN_FOLDERS {
            make_mount_point(&root, &InsidePath::new(path)?, true)?;
        }
        make_mount_point(&root, &task.output, true)?;
        let mut inputs = Vec::with_capacity(task.inputs.len());
        for input in &task.inputs {
            let what = || format!("the input for '{}'", input.target.as_str());
            let handle = pin(&input.source, OFlags::empty()).map_err(unusable(what()))?;
            let source =
                Source::new(sandbox, &input.source, &handle, READ_ONLY_DATA).map_err(unusable(what()))?;
            make_mount_point(&root, &input.target, source.is_folder())?;
            inputs.push((source, relative(&input.target)?));
        }
        let root =
            Source::new(sandbox, &task.root, &root, READ_ONLY).map_err(unusable("the image's folder"))?;
        if let Identity::Other(id) = sandbox.identity {
            // So that the task can open /dev/stdout and /dev/stderr again.
            for stream in [&ends.stdout, &ends.stderr] {
                fchown(stream, Some(Uid::from_raw(id)), Some(Gid::from_raw(id)))
                    .map_err(SandboxError::system("giving the task its streams"))?;
            }
        }
        Ok(Self {
            channel: ends.channel,
            enclave_channel: ends.enclave_channel,
            stdin: File::open("/dev/null").map_err(SandboxError::io("opening /dev/null"))?.into(),
            stdout: ends.stdout,
            stderr: ends.stderr,
            user: user(sandbox),
            cgroup_namespace: sandbox.protections.has(Protection::CgroupNamespace),
            root,
            inputs,
            output: relative(&task.output)?,
            scratch: scratch(&task.limits)?,
            walls: sandbox.protections.landlock_abi.map(walls).transpose()?,
            filters: Arc::clone(&sandbox.filters),
            limits: process_limits(sandbox, &task.limits),
            cwd: text(0, task.cwd.as_str().as_bytes())?,
            programs,
            args,
            env,
        })
    }
}

fn user(sandbox: &Sandbox) -> User {
    match sandbox.identity {
        Identity::Other(id) if !sandbox.protections.has(Protection::UserNamespace) => User::Host(id),
        Identity::Other(_) => User::Mapped,
        Identity::Own { .. } => {
            let [user_map, group_map] = sandbox.identity.maps();
            User::MapsItself { user_map, group_map }
        }
    }
}

fn unusable(what: impl Into<String>) -> impl FnOnce(Errno) -> SandboxError {
    let what = what.into();
    move |errno| TaskFault::Source { what, source: errno.into() }.into()
}

/// Opens a path of the enclave without following a link at its end.
fn pin(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags, Mode::empty())
}

/// Refuses mount points that would hide, or show inside, one another.
fn check_overlaps(task: &Task) -> Result<(), TaskFault> {
    let own = OWN_FOLDERS.into_iter().map(InsidePath::new).collect::<Result<Vec<_>, _>>()?;
    let points: Vec<_> =
        own.iter().chain([&task.output]).chain(task.inputs.iter().map(|i| &i.target)).collect();
    for (index, a) in points.iter().enumerate() {
        if a.parts().next().is_none() {
            return Err(TaskFault::Overlap(a.as_str().to_owned(), "/".to_owned()));
        }
        if let Some(b) = points.iter().skip(index + 1).find(|b| a.lies_within(b) || b.lies_within(a)) {
            return Err(TaskFault::Overlap(a.as_str().to_owned(), b.as_str().to_owned()));
        }
    }
    Ok(())
}

/// Makes sure that the image has a plain folder, or file, at a path. Follows no link in the image.
fn make_mount_point(root: &OwnedFd, target: &InsidePath, folder: bool) -> Result<(), TaskFault> {
    let fault = |e: Errno| TaskFault::MountPoint { target: target.as_str().to_owned(), source: e.into() };
    let mut parts = target.parts().peekable();
    let mut at: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let parent: BorrowedFd<'_> = at.as_ref().unwrap_or(root).as_fd();
        let next = if parts.peek().is_some() || folder {
            make_folder(parent, part)
        } else {
            make_file(parent, part)
        };
        at = Some(next.map_err(fault)?);
    }
    Ok(())
}

fn make_folder(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let open =
        || openat2(parent, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), PLAIN);
    match open() {
        Err(Errno::NOENT) => {
            mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
            open()
        }
        other => other,
    }
}

fn make_file(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let make = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match openat(parent, name, make, Mode::from_raw_mode(0o444)) {
        Err(Errno::EXIST) => {
            let file = openat2(parent, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), PLAIN)?;
            match FileType::from_raw_mode(fstat(&file)?.st_mode) {
                FileType::RegularFile => Ok(file),
                _ => Err(Errno::EXIST),
            }
        }
        other => other,
    }
}

fn relative(target: &InsidePath) -> Result<CString, TaskFault> {
    text(0, target.as_str().trim_start_matches('/').as_bytes())
}

fn text(index: usize, bytes: &[u8]) -> Result<CString, TaskFault> {
    CString::new(bytes).map_err(|_| TaskFault::Text(index))
}

fn texts(task: &Task) -> Result<(Vec<CString>, CStrings, CStrings), TaskFault> {
    let program = task.args.first().filter(|p| !p.is_empty()).ok_or(TaskFault::Arguments("no program"))?;
    if task.args.len() + task.env.len() > MAX_TEXTS {
        return Err(TaskFault::Arguments("too many arguments and variables"));
    }
    let args: Vec<_> =
        task.args.iter().enumerate().map(|(i, a)| text(i, a.as_bytes())).collect::<Result<_, _>>()?;
    let variable = |(i, (name, value)): (usize, &(OsString, OsString))| {
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            return Err(TaskFault::Text(i));
        }
        text(i, &[name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    let env: Vec<_> = task.env.iter().enumerate().map(variable).collect::<Result<_, _>>()?;
    let bytes: usize = args.iter().chain(&env).map(|t| t.as_bytes().len() + 1).sum();
    if bytes > MAX_TEXT_BYTES {
        return Err(TaskFault::Arguments("too long arguments and variables"));
    }
    Ok((programs(program, &task.env)?, CStrings::new(args), CStrings::new(env)))
}

fn programs(program: &OsStr, env: &[(OsString, OsString)]) -> Result<Vec<CString>, TaskFault> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![text(0, program.as_bytes())?]);
    }
    let path = env.iter().rev().find(|(name, _)| name == "PATH").map_or(OsStr::new(DEFAULT_PATH), |(_, v)| v);
    let folders =
        path.as_bytes().split(|b| *b == b':').filter(|f| f.first() == Some(&b'/')).take(MAX_FOLDERS);
    let found: Vec<_> =
        folders.map(|f| text(0, &[f, b"/", program.as_bytes()].concat())).collect::<Result<_, _>>()?;
    if found.is_empty() { Err(TaskFault::Arguments("no absolute folder in its PATH")) } else { Ok(found) }
}

fn scratch(limits: &Limits) -> Result<ScratchSize, TaskFault> {
    let files = (limits.disk_bytes / BYTES_PER_FILE).clamp(MIN_FILES, MAX_FILES);
    Ok(ScratchSize {
        bytes: text(0, limits.disk_bytes.to_string().as_bytes())?,
        files: text(0, files.to_string().as_bytes())?,
    })
}

fn walls(abi: u8) -> Result<Walls, SandboxError> {
    let failed = |e: landlock::RulesetError| SandboxError::io("making Landlock walls")(io::Error::other(e));
    let abi = ABI::from(i32::from(abi));
    let all = AccessFs::from_all(abi);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(all)
        .map_err(failed)?;
    // Nothing of these is ever allowed again.
    let network = AccessNet::from_all(abi);
    if !network.is_empty() {
        ruleset = ruleset.handle_access(network).map_err(failed)?;
    }
    let scope = Scope::from_all(abi);
    if !scope.is_empty() {
        ruleset = ruleset.scope(scope).map_err(failed)?;
    }
    let ruleset: Option<OwnedFd> = ruleset.create().map_err(failed)?.into();
    let ruleset = ruleset
        .ok_or_else(|| SandboxError::io("making Landlock walls")(io::ErrorKind::Unsupported.into()))?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    Ok(Walls {
        ruleset,
        all: all.bits(),
        read_and_execute: ((read | AccessFs::Execute) & all).bits(),
        devices: ((read | AccessFs::WriteFile | AccessFs::IoctlDev) & all).bits(),
    })
}

/// Bounds per process: the only ones on memory and processes where control groups are missing.
fn process_limits(sandbox: &Sandbox, limits: &Limits) -> Vec<(Resource, Rlimit)> {
    let mut wanted = vec![
        (Resource::Core, 0),
        (Resource::Nofile, MAX_OPEN),
        (Resource::Memlock, MAX_LOCKED),
        (Resource::Msgqueue, MAX_QUEUES),
        (Resource::Sigpending, MAX_SIGNALS),
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
        (Resource::Nproc, u64::from(limits.pids) + 1),
    ];
    if !sandbox.protections.has(Protection::MemoryLimit) {
        wanted.push((Resource::Data, limits.memory_bytes));
        wanted.push((Resource::As, limits.memory_bytes.saturating_add(RESERVED)));
    }
    let bounded = |(resource, value): (Resource, u64)| {
        let value = getrlimit(resource).maximum.map_or(value, |hard| hard.min(value));
        (resource, Rlimit { current: Some(value), maximum: Some(value) })
    };
    wanted.into_iter().map(bounded).collect()
}

/// Where the sandbox puts its own file systems.
const OWN_FOLDERS: [&str; 3] = ["/proc", "/dev", "/tmp"];
/// A mount point is reached by plain folders of one file system.
const PLAIN: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
/// As OCI runtimes have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Folders of a PATH that are tried.
const MAX_FOLDERS: usize = 64;
/// Far more than the kernel's own bound on text leaves room for in practice.
const MAX_TEXTS: usize = 1 << 16;
/// The kernel allows a quarter of the stack: 2 MiB of the usual 8.
const MAX_TEXT_BYTES: usize = 2 << 20;
/// Each file costs the kernel about 1 KiB beside its content.
const BYTES_PER_FILE: u64 = 4096;
const MIN_FILES: u64 = 256;
const MAX_FILES: u64 = 1 << 22;
/// Open files of one process: what the usual hard limits are below of.
const MAX_OPEN: u64 = 1 << 16;
/// Locked memory is memory of the control group; libraries ask for a little.
const MAX_LOCKED: u64 = 8 << 20;
/// The kernel's defaults.
const MAX_QUEUES: u64 = 819_200;
const MAX_SIGNALS: u64 = 4096;
/// Address space that run-times of languages reserve without using it, where only that can be bounded.
const RESERVED: u64 = 16 << 30;
