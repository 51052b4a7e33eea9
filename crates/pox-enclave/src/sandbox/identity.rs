//! Who the task is on the host.

use std::fs;

use rustix::{
    process::{getegid, geteuid},
    thread::{CapabilitySet, capabilities},
};

/// The task's user and group in its own user namespace: no root, so that not even a program that asks
/// whether it is root takes itself for it.
pub(super) const INSIDE_ID: u32 = 1000;

/// Who the task is on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// A user and group of its own, which no other program has.
    Other(u32),
    /// The enclave's user and group: it may not choose another.
    Own { user: u32, group: u32 },
}

impl Identity {
    /// Chooses another user where the enclave may.
    pub(super) fn choose() -> Self {
        let own = Self::Own { user: geteuid().as_raw(), group: getegid().as_raw() };
        let needed = CapabilitySet::SETUID
            | CapabilitySet::SETGID
            | CapabilitySet::SYS_ADMIN
            | CapabilitySet::CHOWN
            | CapabilitySet::DAC_OVERRIDE;
        if !capabilities(None).is_ok_and(|c| c.effective.contains(needed)) {
            return own;
        }
        let mapped = |id: u32| {
            ["/proc/self/uid_map", "/proc/self/gid_map"]
                .iter()
                .all(|map| fs::read_to_string(map).is_ok_and(|text| is_mapped(&text, id)))
        };
        let fresh = FIRST_ID.saturating_add(std::process::id());
        [fresh, CONTAINER_ID].into_iter().find(|id| mapped(*id)).map_or(own, Self::Other)
    }

    /// The text for `uid_map` and for `gid_map` of the task's user namespace.
    pub(super) fn maps(self) -> [String; 2] {
        let [user, group] = match self {
            Self::Other(id) => [id, id],
            Self::Own { user, group } => [user, group],
        };
        [user, group].map(|id| format!("{INSIDE_ID} {id} 1\n"))
    }
}

/// Tells whether a map of a user namespace holds an id.
fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        id.checked_sub(first).is_some_and(|offset| offset < count)
    })
}

/// Above every range that distributions hand to people, services and containers; with the enclave's
/// process number added (at most 2^22), enclaves on one host never share a user.
const FIRST_ID: u32 = 0x7000_0000;
/// In a container only few ids exist: one near the end of the usual 65,536.
const CONTAINER_ID: u32 = 65_500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        assert!(is_mapped("         0          0 4294967295\n", 0x7000_0001));
        assert!(is_mapped("0 1000 1\n1 100000 65536\n", 65_500));
        assert!(!is_mapped("0 1000 1\n", 1));
        assert!(!is_mapped("5 1000 1\n", 4));
        assert!(!is_mapped("nonsense\n", 0));
    }

    #[test]
    fn the_task_is_never_root_inside() {
        for identity in [Identity::Other(7), Identity::Own { user: 5, group: 6 }] {
            assert!(identity.maps().iter().all(|map| !map.starts_with("0 ")));
        }
    }
}
