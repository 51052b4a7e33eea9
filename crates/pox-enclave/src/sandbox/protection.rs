//! What a machine can put between the task and everything else.

use std::{collections::BTreeSet, fmt};

/// One protection that a run can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// The task's capabilities, even while it is set up, mean nothing outside.
    UserNamespace,
    /// The task has its own file system tree.
    MountNamespace,
    /// The task sees and signals only its own processes, and all of them end together.
    PidNamespace,
    /// The task has no network device that is up, and no abstract socket of the host.
    NetworkNamespace,
    /// The task shares no System V objects or message queues.
    IpcNamespace,
    /// The task does not learn the host's name.
    UtsNamespace,
    /// The task does not learn where it is in the control groups.
    CgroupNamespace,
    /// The task's user on the host is not the enclave's.
    OtherUser,
    /// Only listed system calls pass.
    Seccomp,
    /// A second, path-based wall around files, abstract sockets and signals.
    Landlock,
    /// Memory of all the task's processes together is bounded.
    MemoryLimit,
    /// Processor time of all the task's processes together is bounded.
    CpuLimit,
    /// The number of all the task's processes together is bounded.
    PidsLimit,
}

impl Protection {
    /// Every protection.
    pub const ALL: [Self; 13] = [
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::CgroupNamespace,
        Self::OtherUser,
        Self::Seccomp,
        Self::Landlock,
        Self::MemoryLimit,
        Self::CpuLimit,
        Self::PidsLimit,
    ];

    /// Tells whether a task can be run at all without this one.
    ///
    /// Without the others there would be no place to put the task, so nobody can waive them.
    #[must_use]
    pub fn can_be_waived(self) -> bool {
        matches!(
            self,
            Self::UserNamespace
                | Self::CgroupNamespace
                | Self::OtherUser
                | Self::Landlock
                | Self::MemoryLimit
                | Self::CpuLimit
                | Self::PidsLimit
        )
    }

    /// The stable short name, as receipts and messages have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserNamespace => "user-namespace",
            Self::MountNamespace => "mount-namespace",
            Self::PidNamespace => "pid-namespace",
            Self::NetworkNamespace => "network-namespace",
            Self::IpcNamespace => "ipc-namespace",
            Self::UtsNamespace => "uts-namespace",
            Self::CgroupNamespace => "cgroup-namespace",
            Self::OtherUser => "other-user",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::MemoryLimit => "memory-limit",
            Self::CpuLimit => "cpu-limit",
            Self::PidsLimit => "pids-limit",
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The protections that are in force, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protections {
    pub(super) given: BTreeSet<Protection>,
    pub(super) landlock_abi: Option<u8>,
    pub(super) cgroup: Option<&'static str>,
}

impl Protections {
    /// Tells whether one protection is in force.
    #[must_use]
    pub fn has(&self, protection: Protection) -> bool {
        self.given.contains(&protection)
    }

    /// The protections that are not in force, in a fixed order.
    #[must_use]
    pub fn missing(&self) -> Vec<Protection> {
        Protection::ALL.into_iter().filter(|p| !self.has(*p)).collect()
    }

    /// Stable short names of what is in force, for a receipt: `landlock-6`, `memory-limit-cgroup-v1`…
    ///
    /// Limits that only hold per process, where control groups are missing, are named with `-rlimit`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        Protection::ALL.into_iter().filter_map(|p| self.name_in_force(p)).collect()
    }

    fn name_in_force(&self, protection: Protection) -> Option<String> {
        match protection {
            Protection::MemoryLimit | Protection::CpuLimit | Protection::PidsLimit => {
                match (self.has(protection), self.cgroup) {
                    (true, Some(version)) => Some(format!("{protection}-{version}")),
                    (true, None) => Some(protection.to_string()),
                    (false, _) if protection == Protection::CpuLimit => None,
                    (false, _) => Some(format!("{protection}-rlimit")),
                }
            }
            _ if !self.has(protection) => None,
            Protection::Landlock => Some(
                self.landlock_abi.map_or_else(|| protection.to_string(), |abi| format!("{protection}-{abi}")),
            ),
            _ => Some(protection.to_string()),
        }
    }
}

/// The protections without which no task may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    waived: BTreeSet<Protection>,
}

impl Required {
    /// Requires every protection. The default.
    #[must_use]
    pub fn all() -> Self {
        Self { waived: BTreeSet::new() }
    }

    /// Runs the task even where this protection is missing. It is still used where it is there.
    ///
    /// Has no effect for protections that cannot be waived.
    #[must_use]
    pub fn dangerous_accept_missing(mut self, protection: Protection) -> Self {
        if protection.can_be_waived() {
            self.waived.insert(protection);
        }
        self
    }

    /// Runs the task with whatever the machine gives, down to the protections nobody can waive.
    #[must_use]
    pub fn dangerous_accept_all_missing(self) -> Self {
        Protection::ALL.into_iter().fold(self, Self::dangerous_accept_missing)
    }

    /// What is required, but not there.
    #[must_use]
    pub fn missing_from(&self, protections: &Protections) -> Vec<Protection> {
        protections.missing().into_iter().filter(|p| !self.waived.contains(p)).collect()
    }
}

impl Default for Required {
    fn default() -> Self {
        Self::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protections(given: &[Protection]) -> Protections {
        Protections {
            given: given.iter().copied().collect(),
            landlock_abi: Some(6),
            cgroup: Some("cgroup-v2"),
        }
    }

    #[test]
    fn all_missing_are_listed_at_once() {
        let given = protections(&[Protection::Seccomp]);
        assert_eq!(Required::all().missing_from(&given).len(), Protection::ALL.len() - 1);
    }

    #[test]
    fn only_what_can_be_waived_is_waived() {
        let given = protections(&[]);
        let missing = Required::all().dangerous_accept_all_missing().missing_from(&given);
        assert!(missing.contains(&Protection::PidNamespace));
        assert!(missing.iter().all(|p| !p.can_be_waived()));
    }

    #[test]
    fn names_tell_the_form() {
        let given = protections(&[Protection::Landlock, Protection::MemoryLimit, Protection::CpuLimit]);
        assert_eq!(
            given.names(),
            ["landlock-6", "memory-limit-cgroup-v2", "cpu-limit-cgroup-v2", "pids-limit-rlimit"]
        );
    }
}
