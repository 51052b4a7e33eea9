//! How a run ended, and what it used.

use std::time::Duration;

use super::{output::Output, protection::Protections};

/// A run that came to its end. Everything of it is gone, except what is held here.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub end: End,
    /// What the task wrote to its standard output.
    pub stdout: Captured,
    /// What the task wrote to its standard error.
    pub stderr: Captured,
    /// The task's output folder; its memory is freed when this is dropped.
    pub output: Output,
    /// What it used.
    pub usage: Usage,
    /// What was in force.
    pub protections: Protections,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Its program ended with this code.
    Exited(u8),
    /// Its program was ended by this signal.
    Signalled(i32),
    /// The kernel ended one of its processes for want of memory, and the task did not succeed.
    OutOfMemory,
    /// It was ended when its time was over.
    TimedOut,
}

/// The beginning of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// What was kept.
    pub bytes: Vec<u8>,
    /// How many bytes came after that, which were read and dropped.
    pub dropped: u64,
}

impl Captured {
    /// Tells whether more was written than was kept.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.dropped > 0
    }
}

/// What a run used, by the kernel's account. It is a measurement, never twice the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in the program and its libraries, of every process that was waited for.
    pub cpu_user: Duration,
    /// Processor time in the kernel, likewise.
    pub cpu_system: Duration,
    /// Processor time of every process; from `cpu_source`.
    pub cpu_total: Duration,
    /// Where `cpu_total` comes from.
    pub cpu_source: Source,
    /// The most memory in use at once, files in memory included; from `memory_source`.
    pub memory_peak_bytes: u64,
    /// Where `memory_peak_bytes` comes from. For [`Source::ProcessUsage`] it is the largest process alone.
    pub memory_source: Source,
    /// The largest resident set of one process.
    pub max_rss_bytes: u64,
    /// How many processes the kernel ended for want of memory, where that is counted.
    pub out_of_memory_kills: u64,
    /// From the release of the task's program to the end of its last process.
    pub wall: Duration,
    /// Bytes read from block devices.
    pub read_bytes: u64,
    /// Bytes written to block devices.
    pub written_bytes: u64,
    /// Bytes that scratch and output held at the end.
    pub disk_bytes: u64,
}

/// Where a measurement comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A version 1 control group: every process of the task.
    CgroupV1,
    /// A version 2 control group: every process of the task.
    CgroupV2,
    /// The process usage that the kernel reports to a waiting parent: misses what nobody waited for.
    ProcessUsage,
}

impl Source {
    /// The stable short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CgroupV1 => "cgroup-v1",
            Self::CgroupV2 => "cgroup-v2",
            Self::ProcessUsage => "rusage",
        }
    }
}
