//! What the task's sandbox needs of a kernel; the runtime tries it all before each task, and says what is missing in its receipt.

use super::Check;
use super::machine::Machine;

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    vec![
        user_namespaces(machine),
        seccomp(machine),
        landlock(machine),
        control_groups(machine),
        owners(machine),
    ]
}

fn user_namespaces(machine: &Machine) -> Check {
    const WHAT: &str = "user namespaces";
    let number = |path: &str| machine.text(path).and_then(|text| text.parse::<u64>().ok());
    if !machine.has("proc/self/ns/user") {
        return Check::missing(WHAT, "the kernel has none", "use a kernel with CONFIG_USER_NS");
    }
    if number("proc/sys/user/max_user_namespaces") == Some(0) {
        let next = "raise it: sysctl user.max_user_namespaces=10000";
        return Check::missing(WHAT, "user.max_user_namespaces is 0", next);
    }
    let switches = [
        ("proc/sys/kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone is 0"),
        (
            "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            1,
            "kernel.apparmor_restrict_unprivileged_userns is 1",
        ),
    ];
    let closed = switches.into_iter().find(|(path, closed, _)| number(path) == Some(*closed));
    match closed {
        Some((_, _, seen)) if !machine.is_root() => Check::missing(
            WHAT,
            format!("{seen}, and this user is not root"),
            "turn that sysctl round, or run the node as root",
        ),
        _ => Check::good(WHAT, "allowed"),
    }
}

fn seccomp(machine: &Machine) -> Check {
    const WHAT: &str = "seccomp";
    match machine.text("proc/sys/kernel/seccomp/actions_avail") {
        Some(actions) if actions.split_whitespace().any(|action| action == "errno") => {
            Check::good(WHAT, "the kernel filters system calls")
        }
        _ => Check::missing(
            WHAT,
            "the kernel has no filters",
            "use a kernel with CONFIG_SECCOMP_FILTER; no task runs without",
        ),
    }
}

fn landlock(machine: &Machine) -> Check {
    const WHAT: &str = "Landlock";
    match machine.text("sys/kernel/security/lsm") {
        Some(modules) if modules.split(',').any(|module| module == "landlock") => {
            Check::good(WHAT, "among the kernel's security modules")
        }
        Some(modules) => Check::missing(
            WHAT,
            format!("the security modules are {modules}"),
            "use Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK, and landlock in the lsm= argument",
        ),
        None => Check::unknown(
            WHAT,
            "/sys/kernel/security is not mounted",
            "a task's receipt says whether it was in force",
        ),
    }
}

fn control_groups(machine: &Machine) -> Check {
    const WHAT: &str = "control groups";
    let needed = ["memory", "pids", "cpu"];
    if let Some(controllers) = machine.text("sys/fs/cgroup/cgroup.controllers") {
        let lacks: Vec<&str> = needed
            .into_iter()
            .filter(|name| !controllers.split_whitespace().any(|controller| controller == *name))
            .collect();
        if lacks.is_empty() {
            return Check::good(WHAT, "version 2, with memory, pids and cpu");
        }
        let next = "delegate them to the node's service: systemd's Delegate=yes";
        return Check::missing(WHAT, format!("version 2 lacks {}", lacks.join(", ")), next);
    }
    if needed.iter().all(|name| machine.has(&format!("sys/fs/cgroup/{name}"))) {
        return Check::good(WHAT, "version 1, with memory, pids and cpu");
    }
    let next = "mount cgroup2 at /sys/fs/cgroup; without, limits hold for each process alone";
    Check::missing(WHAT, "none that can be used", next)
}

fn owners(machine: &Machine) -> Check {
    const WHAT: &str = "files under another owner";
    if machine.kernel_since((6, 3)) {
        Check::good(WHAT, format!("Linux {}", machine.kernel))
    } else {
        Check::missing(
            WHAT,
            format!("Linux {}", machine.kernel),
            "use Linux 6.3 or later: before, a task reads only those files of its image that everyone may read",
        )
    }
}
