//! Limits and accounts of all the task's processes together, by control groups of either version.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use super::{end::Source, protection::Protection, task::Limits};

/// Where this process may make groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// One folder a controller.
    V1 { memory: Option<PathBuf>, cpu: Option<PathBuf>, cpuacct: Option<PathBuf>, pids: Option<PathBuf> },
    /// One folder for all.
    V2(PathBuf),
    /// Nowhere.
    None,
}

impl Hierarchy {
    /// Finds where this process may make groups, by making one.
    pub(super) fn probe() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let found = Self::locate(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
        found.sweep();
        found.usable()
    }

    /// Reads the kernel's description of the current process's groups.
    fn locate(groups: &str, mounts: &str) -> Self {
        let folder = |controller: &str| {
            let path = groups.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                let matches = match controller {
                    "" => controllers.is_empty(),
                    name => controllers.split(',').any(|c| c == name),
                };
                matches.then_some(path)
            })?;
            mounts.lines().find_map(|line| mounted_group(line, controller, path))
        };
        let v1 = ["memory", "cpu", "cpuacct", "pids"].map(folder);
        match (v1, folder("")) {
            ([None, None, None, None], None) => Self::None,
            ([None, None, None, None], Some(base)) => Self::V2(without_leaf(base)),
            ([memory, cpu, cpuacct, pids], _) => Self::V1 { memory, cpu, cpuacct, pids },
        }
    }

    /// Forgets what does not work here.
    fn usable(self) -> Self {
        let try_out = |base: PathBuf| {
            let trial = base.join(fresh_name());
            let works = fs::create_dir(&trial).is_ok();
            let _ = fs::remove_dir(&trial);
            works.then_some(base)
        };
        match self {
            Self::V1 { memory, cpu, cpuacct, pids } => {
                let [memory, cpu, cpuacct, pids] = [memory, cpu, cpuacct, pids].map(|b| b.and_then(try_out));
                if [&memory, &cpu, &cpuacct, &pids].iter().all(|base| base.is_none()) {
                    return Self::None;
                }
                Self::V1 { memory, cpu, cpuacct, pids }
            }
            Self::V2(base) => match enable_controllers(&base)
                .and_then(|()| try_out(base).ok_or(io::ErrorKind::Other.into()))
            {
                Ok(base) => Self::V2(base),
                Err(_) => Self::None,
            },
            Self::None => Self::None,
        }
    }

    pub(super) fn protections(&self) -> Vec<Protection> {
        match self {
            Self::V1 { memory, cpu, pids, .. } => [
                memory.as_ref().map(|_| Protection::MemoryLimit),
                cpu.as_ref().map(|_| Protection::CpuLimit),
                pids.as_ref().map(|_| Protection::PidsLimit),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Self::V2(_) => vec![Protection::MemoryLimit, Protection::CpuLimit, Protection::PidsLimit],
            Self::None => Vec::new(),
        }
    }

    pub(super) fn source(&self) -> Source {
        match self {
            Self::V1 { .. } => Source::CgroupV1,
            Self::V2(_) => Source::CgroupV2,
            Self::None => Source::ProcessUsage,
        }
    }

    fn bases(&self) -> Vec<&Path> {
        match self {
            Self::V1 { memory, cpu, cpuacct, pids } => {
                let mut bases: Vec<_> =
                    [memory, cpu, cpuacct, pids].into_iter().flatten().map(PathBuf::as_path).collect();
                // Controllers that are mounted together share their folder.
                bases.sort_unstable();
                bases.dedup();
                bases
            }
            Self::V2(base) => vec![base],
            Self::None => Vec::new(),
        }
    }

    /// Removes empty groups of processes that were killed before they could.
    fn sweep(&self) {
        for base in self.bases() {
            for entry in fs::read_dir(base).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let owner =
                    name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.split('-').next());
                let Some(owner) = owner.and_then(|o| o.parse::<u32>().ok()) else { continue };
                if !Path::new(&format!("/proc/{owner}")).exists() {
                    let _ = fs::remove_dir(entry.path());
                }
            }
        }
    }
}

/// The groups of one run; they are removed when this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    hierarchy: Hierarchy,
}

impl Group {
    /// Makes groups with these limits.
    pub(super) fn new(hierarchy: &Hierarchy, limits: &Limits) -> io::Result<Self> {
        let name = fresh_name();
        let below = |base: &Option<PathBuf>| base.as_ref().map(|b| b.join(&name));
        let group = Self {
            hierarchy: match hierarchy {
                Hierarchy::V1 { memory, cpu, cpuacct, pids } => Hierarchy::V1 {
                    memory: below(memory),
                    cpu: below(cpu),
                    cpuacct: below(cpuacct),
                    pids: below(pids),
                },
                Hierarchy::V2(base) => Hierarchy::V2(base.join(&name)),
                Hierarchy::None => Hierarchy::None,
            },
        };
        for folder in group.hierarchy.bases() {
            fs::create_dir(folder)?;
        }
        group.limit(limits)?;
        Ok(group)
    }

    fn limit(&self, limits: &Limits) -> io::Result<()> {
        let memory_bytes = limits.memory_bytes.saturating_add(limits.disk_bytes).to_string();
        // Process 1, which only waits, is the enclave's and not counted against the task.
        let pids_max = (limits.pids.saturating_add(1)).to_string();
        let quota = u64::from(limits.cpu_millis) * PERIOD_MICROS / 1000;
        match &self.hierarchy {
            Hierarchy::V1 { memory, cpu, pids, .. } => {
                if let Some(folder) = memory {
                    fs::write(folder.join("memory.limit_in_bytes"), &memory_bytes)?;
                    // Absent where swap is not accounted; then swapping is only discouraged.
                    let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), &memory_bytes);
                    let _ = fs::write(folder.join("memory.swappiness"), "0");
                }
                if let Some(folder) = cpu {
                    fs::write(folder.join("cpu.cfs_period_us"), PERIOD_MICROS.to_string())?;
                    fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string())?;
                }
                if let Some(folder) = pids {
                    fs::write(folder.join("pids.max"), &pids_max)?;
                }
            }
            Hierarchy::V2(folder) => {
                fs::write(folder.join("memory.max"), &memory_bytes)?;
                // Absent where the kernel has no swap.
                let _ = fs::write(folder.join("memory.swap.max"), "0");
                fs::write(folder.join("cpu.max"), format!("{quota} {PERIOD_MICROS}"))?;
                fs::write(folder.join("pids.max"), &pids_max)?;
            }
            Hierarchy::None => {}
        }
        Ok(())
    }

    /// Puts a process, and all it will start, under the limits.
    pub(super) fn attach(&self, pid: Pid) -> io::Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        self.hierarchy.bases().into_iter().try_for_each(|folder| fs::write(folder.join("cgroup.procs"), &pid))
    }

    /// Reads the accounts.
    pub(super) fn account(&self) -> Account {
        match &self.hierarchy {
            Hierarchy::V1 { memory, cpuacct, .. } => Account {
                cpu: cpuacct
                    .as_ref()
                    .and_then(|f| number(&f.join("cpuacct.usage")))
                    .map(Duration::from_nanos),
                memory_peak: memory.as_ref().and_then(|f| number(&f.join("memory.max_usage_in_bytes"))),
                out_of_memory_kills: memory
                    .as_ref()
                    .and_then(|f| field(&f.join("memory.oom_control"), "oom_kill")),
            },
            Hierarchy::V2(folder) => Account {
                cpu: field(&folder.join("cpu.stat"), "usage_usec").map(Duration::from_micros),
                memory_peak: number(&folder.join("memory.peak")),
                out_of_memory_kills: field(&folder.join("memory.events"), "oom_kill"),
            },
            Hierarchy::None => Account::default(),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let deadline = Instant::now() + REMOVAL_PATIENCE;
        for folder in self.hierarchy.bases() {
            // Processes that have ended leave their group a moment later.
            while fs::remove_dir(folder).is_err_and(|e| e.kind() == io::ErrorKind::ResourceBusy)
                && Instant::now() < deadline
            {
                thread::sleep(REMOVAL_PAUSE);
            }
        }
    }
}

/// What the control groups counted, where they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) cpu: Option<Duration>,
    pub(super) memory_peak: Option<u64>,
    pub(super) out_of_memory_kills: Option<u64>,
}

/// The folder of group `path`, if this line of `mountinfo` mounts its controller (none for version 2).
fn mounted_group(line: &str, controller: &str, path: &str) -> Option<PathBuf> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let mut kind = kind.split(' ');
    let (kind, options) = (kind.next()?, kind.nth(1)?);
    let matches = match controller {
        "" => kind == "cgroup2",
        name => kind == "cgroup" && options.split(',').any(|option| option == name),
    };
    let relative = Path::new(path).strip_prefix(root).ok()?;
    matches.then(|| Path::new(point).join(relative))
}

/// Version 2 allows no processes beside groups with controllers: if it must, this process moves into a
/// group of its own.
fn enable_controllers(base: &Path) -> io::Result<()> {
    let control = base.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control)?;
    if CONTROLLERS.iter().all(|c| enabled.split_whitespace().any(|e| e == *c)) {
        return Ok(());
    }
    let wanted = CONTROLLERS.map(|c| format!("+{c}")).join(" ");
    match fs::write(&control, &wanted) {
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
            let leaf = base.join(OWN_LEAF);
            match fs::create_dir(&leaf) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())?,
            }
            fs::write(&control, &wanted)
        }
        other => other,
    }
}

fn without_leaf(base: PathBuf) -> PathBuf {
    match base.parent() {
        Some(parent) if base.ends_with(OWN_LEAF) => parent.to_owned(),
        _ => base,
    }
}

fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().filter_map(|line| line.split_once(' ')).find(|(n, _)| *n == name)?.1.trim().parse().ok()
}

/// Group names: `pox-task-<enclave's process>-<count>`.
const PREFIX: &str = "pox-task-";
/// Where the enclave itself goes if version 2 demands it.
const OWN_LEAF: &str = "pox-enclave";
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// The kernel's default period: short enough that a throttled task stays responsive.
const PERIOD_MICROS: u64 = 100_000;
/// Far longer than the kernel needs to forget an ended process.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(2);
const REMOVAL_PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_GROUPS: &str = "8:pids:/\n4:memory:/api/1\n2:cpu,cpuacct:/a b\n0::/\n";
    const HYBRID_MOUNTS: &str = "\
        30 20 0:1 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        31 20 0:2 /api /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory\n\
        32 20 0:3 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 20 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    fn limits() -> Limits {
        Limits {
            memory_bytes: 1000 << 20,
            cpu_millis: 1500,
            pids: 20,
            disk_bytes: 24 << 20,
            wall: Duration::from_secs(1),
            stdout_bytes: 0,
            stderr_bytes: 0,
        }
    }

    #[test]
    fn version_1_is_found_with_its_mount_roots() {
        let Hierarchy::V1 { memory, cpu, cpuacct, pids } = Hierarchy::locate(HYBRID_GROUPS, HYBRID_MOUNTS)
        else {
            panic!("not version 1");
        };
        assert_eq!(memory.unwrap(), Path::new("/sys/fs/cgroup/memory/1"));
        assert_eq!(pids.unwrap(), Path::new("/sys/fs/cgroup/pids"));
        assert_eq!(cpu, cpuacct);
        assert_eq!(cpu.unwrap(), Path::new("/sys/fs/cgroup/cpu,cpuacct/a b"));
    }

    #[test]
    fn version_2_is_found_and_the_own_leaf_left() {
        let mounts = "33 20 0:4 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let expected = Hierarchy::V2("/sys/fs/cgroup/user/1".into());
        assert_eq!(Hierarchy::locate("0::/user/1\n", mounts), expected);
        assert_eq!(Hierarchy::locate("0::/user/1/pox-enclave\n", mounts), expected);
        assert_eq!(Hierarchy::locate("", ""), Hierarchy::None);
    }

    /// This machine may have version 1 only, so version 2 is played by plain files.
    #[test]
    fn version_2_limits_and_accounts() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        let hierarchy = Hierarchy::V2(base.path().to_owned()).usable();
        assert_eq!(hierarchy.protections().len(), 3);
        let group = Group::new(&hierarchy, &limits()).unwrap();
        let Hierarchy::V2(folder) = group.hierarchy.clone() else { panic!("not version 2") };
        for (file, text) in [
            ("memory.max", "1073741824"),
            ("cpu.max", "150000 100000"),
            ("pids.max", "21"),
            ("memory.swap.max", "0"),
        ] {
            assert_eq!(fs::read_to_string(folder.join(file)).unwrap(), text, "{file}");
        }
        group.attach(Pid::from_raw(77).unwrap()).unwrap();
        assert_eq!(fs::read_to_string(folder.join("cgroup.procs")).unwrap(), "77");
        fs::write(folder.join("memory.peak"), "4096\n").unwrap();
        fs::write(folder.join("memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        fs::write(folder.join("cpu.stat"), "usage_usec 1500\nuser_usec 1000\n").unwrap();
        let expected = Account {
            cpu: Some(Duration::from_micros(1500)),
            memory_peak: Some(4096),
            out_of_memory_kills: Some(2),
        };
        assert_eq!(group.account(), expected);
    }

    #[test]
    fn version_2_without_delegation_is_unusable() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(Hierarchy::V2(base.path().to_owned()).usable(), Hierarchy::None);
    }
}
