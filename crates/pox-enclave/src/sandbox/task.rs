//! What to run.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use super::error::TaskFault;

/// One program to run in an image.
#[derive(Clone, Debug)]
pub struct Task {
    /// The folder with the unpacked image; no symbolic link. It becomes `/`, read-only.
    ///
    /// Mount points that the image lacks are created in it as empty folders before the run.
    pub root: PathBuf,
    /// The program and its arguments. A program without `/` is looked for in the `PATH` of `env`.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where the program starts.
    pub cwd: InsidePath,
    /// What it may read beside its image.
    pub inputs: Vec<ReadOnlyInput>,
    /// The folder where it puts its results. It starts out empty.
    pub output: InsidePath,
    /// What it may use.
    pub limits: Limits,
    /// What it may reach.
    pub network: Network,
}

/// A file or folder of the enclave that the task may read.
///
/// The folders above `source` need not be open to anyone but the enclave.
#[derive(Clone, Debug)]
pub struct ReadOnlyInput {
    /// The enclave's path; no symbolic link.
    pub source: PathBuf,
    /// Where the task finds it. Nothing in it can be executed.
    pub target: InsidePath,
}

/// What a task may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all processes together, beside what `disk_bytes` allows in files.
    ///
    /// Scratch and output live in memory too, so the kernel is told the sum of both: a task that fills
    /// its disk gets "no space", not an end for want of memory.
    pub memory_bytes: u64,
    /// Thousandths of a processor: 1500 is one and a half.
    pub cpu_millis: u32,
    /// Processes and threads at once.
    pub pids: u32,
    /// Everything in scratch and output together.
    pub disk_bytes: u64,
    /// From start to end.
    pub wall: Duration,
    /// How much of the standard output is kept.
    pub stdout_bytes: usize,
    /// How much of the standard error is kept.
    pub stderr_bytes: usize,
}

/// What a task may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Network {
    /// Nothing: not even its own loopback device is up.
    #[default]
    None,
}

/// An absolute path inside the task, without `.`, `..`, empty parts and NUL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InsidePath(String);

impl InsidePath {
    /// Parses a path; a trailing `/` is dropped.
    ///
    /// # Errors
    /// [`TaskFault::Path`] if it is anything but absolute and plain, or longer than the kernel takes.
    pub fn new(path: &str) -> Result<Self, TaskFault> {
        let fault = || TaskFault::Path(path.chars().take(MAX_SHOWN).collect());
        let inner = path.strip_prefix('/').ok_or_else(fault)?;
        let inner = inner.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(inner);
        let plain =
            |part: &str| !matches!(part, "" | "." | "..") && part.len() <= MAX_PART && !part.contains('\0');
        if path.len() > MAX_PATH || !(inner.is_empty() || inner.split('/').all(plain)) {
            return Err(fault());
        }
        Ok(Self(format!("/{inner}")))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts below `/`; none for `/` itself.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    pub(super) fn lies_within(&self, other: &Self) -> bool {
        Path::new(&self.0).starts_with(&other.0)
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), TaskFault> {
        let total = self.memory_bytes.checked_add(self.disk_bytes);
        for (name, fine) in [
            ("memory", (MIN_MEMORY..=MAX_BYTES).contains(&self.memory_bytes) && total.is_some()),
            ("processors", (MIN_CPU_MILLIS..=MAX_CPU_MILLIS).contains(&self.cpu_millis)),
            ("processes", (1..=MAX_PIDS).contains(&self.pids)),
            ("disk", (MIN_DISK..=MAX_BYTES).contains(&self.disk_bytes)),
            ("time", !self.wall.is_zero() && self.wall <= MAX_WALL),
            ("standard output", self.stdout_bytes <= MAX_CAPTURE),
            ("standard error", self.stderr_bytes <= MAX_CAPTURE),
        ] {
            if !fine {
                return Err(TaskFault::Limit(name));
            }
        }
        Ok(())
    }
}

/// Kernel limits on paths (`PATH_MAX`, `NAME_MAX`).
const MAX_PATH: usize = 4095;
const MAX_PART: usize = 255;
/// An error shows no more of a hostile path.
const MAX_SHOWN: usize = 200;
/// Less and no program starts.
const MIN_MEMORY: u64 = 1 << 20;
const MIN_DISK: u64 = 1 << 16;
/// Far above any machine, far below where sums overflow: 1 PiB.
const MAX_BYTES: u64 = 1 << 50;
/// The kernel's smallest quota is 1 ms in 100 ms.
const MIN_CPU_MILLIS: u32 = 10;
/// Far above any machine: 65,536 processors.
const MAX_CPU_MILLIS: u32 = 65_536_000;
/// The kernel's own highest (`PID_MAX_LIMIT`).
const MAX_PIDS: u32 = 1 << 22;
/// A year: deadlines on the chain are far shorter.
const MAX_WALL: Duration = Duration::from_secs(366 * 24 * 3600);
/// Kept streams are held in the enclave's memory: 64 MiB each.
const MAX_CAPTURE: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_pass() {
        for (path, parsed) in [("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a/..b/c d", "/a/..b/c d")] {
            assert_eq!(InsidePath::new(path).unwrap().as_str(), parsed);
        }
    }

    #[test]
    fn other_paths_fail() {
        let long = format!("/{}", "a".repeat(256));
        for path in ["", "a", "//", "/a//b", "/a/./b", "/..", "/a/..", "/a\0b", &long] {
            assert!(InsidePath::new(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn containment_is_by_part() {
        let [a, ab, b] = ["/a", "/a/b", "/ab"].map(|p| InsidePath::new(p).unwrap());
        assert!(ab.lies_within(&a) && a.lies_within(&a) && !b.lies_within(&a) && !a.lies_within(&ab));
    }
}
