//! The filter on the task's system calls.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::syscalls::{ALLOWED, ALLOWED_HERE, REFUSED, REFUSED_HERE};

/// Both filters, in the order in which they have to be installed.
///
/// The kernel asks the last one first, and takes its answer where both refuse; so the second one says
/// what gives `EPERM`, the first one makes everything that is not listed `ENOSYS`. A call of another
/// architecture (32-bit entry on x86-64) ends the process; the x32 numbers are listed nowhere.
pub(super) struct Filters(pub(super) [BpfProgram; 2]);

impl Filters {
    pub(super) fn new() -> Result<Self, BackendError> {
        Ok(Self([allowing()?, refusing()?]))
    }
}

fn allowing() -> Result<BpfProgram, BackendError> {
    let rules = ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Vec::new())).collect();
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(rules, unknown, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
}

fn refusing() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    // Other families reach the network, or the host (vsock), or are little-tested kernel code.
    let other_family = || argument(0, SeccompCmpOp::Ne, u64::from(libc::AF_UNIX.unsigned_abs())).map(one);
    rules.insert(libc::SYS_socket, other_family()?);
    rules.insert(libc::SYS_socketpair, other_family()?);
    let new_namespace = NAMESPACES.into_iter().map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        argument(0, SeccompCmpOp::MaskedEq(flag), flag)
    });
    rules.insert(libc::SYS_clone, new_namespace.collect::<Result<_, _>>()?);
    // Typing into a terminal that someone else reads.
    let typing = TYPING.into_iter().map(|command| argument(1, SeccompCmpOp::Eq, command));
    rules.insert(libc::SYS_ioctl, typing.collect::<Result<_, _>>()?);
    // Other personalities bring back old kernels' weaknesses. Asking which one it is stays possible.
    let usual = [0, 0xffff_ffff].map(|value| condition(0, SeccompCmpOp::Ne, value));
    let unusual = SeccompRule::new(usual.into_iter().collect::<Result<_, _>>()?)?;
    rules.insert(libc::SYS_personality, one(unusual));
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refused, std::env::consts::ARCH.try_into()?)?.try_into()
}

fn one(rule: SeccompRule) -> Vec<SeccompRule> {
    vec![rule]
}

fn argument(index: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition(index, op, value)?])
}

/// All these arguments are 32 bits to the kernel; comparing 64 would let the upper half evade the rule.
fn condition(index: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value)
}

const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// `TIOCSTI` and `TIOCLINUX`.
const TYPING: [u64; 2] = [0x5412, 0x541c];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_compile_and_fit() {
        // The kernel's BPF_MAXINSNS.
        assert!(Filters::new().unwrap().0.iter().all(|f| (1..=4096).contains(&f.len())));
    }

    #[test]
    fn nothing_is_allowed_and_refused() {
        for call in REFUSED.iter().chain(REFUSED_HERE) {
            assert!(!ALLOWED.contains(call) && !ALLOWED_HERE.contains(call), "{call}");
        }
    }
}
