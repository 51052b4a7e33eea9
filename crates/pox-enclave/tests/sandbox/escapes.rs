//! Ways out that real programs have found elsewhere.

use std::{
    fs,
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{SocketAddr, UnixListener},
        },
    },
};

use pox_enclave::sandbox::{End, Protection};

use crate::support::{Trial, answers, copy, probe, report, sandbox};

const EPERM: i64 = -1;
const EINVAL: i64 = -22;
const ENOSYS: i64 = -38;

#[test]
fn dangerous_calls_are_refused() {
    let results = report(&["calls"]);
    assert!(results.len() > 40, "{results:?}");
    for (name, result) in results {
        let result: i64 = result.parse().unwrap();
        let expected: &[i64] = match name.as_str() {
            "clone3" | "unknown" | "x32-getpid" | "x32-execve" => &[ENOSYS],
            // The kernel's own answers: no such user here; no capability.
            "setuid-root" => &[EINVAL, EPERM],
            _ => &[EPERM],
        };
        assert!(expected.contains(&result), "{name}: {result}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_32_bit_door_is_deadly() {
    assert_eq!(Trial::new(&["int80"]).run().end, End::Signalled(31));
}

#[test]
fn there_is_no_network() {
    let name = format!("pox-test-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    for (what, result) in report(&["sockets", &name]) {
        let passes = result.parse::<i64>().unwrap() >= 0;
        assert_eq!(passes, what == "unix-pair", "{what}: {result}");
    }
    assert!(listener.accept().is_err());
}

#[test]
fn the_enclave_and_the_first_process_cannot_be_read() {
    let own = std::process::id();
    let paths: Vec<String> = [1, own]
        .iter()
        .flat_map(|pid| {
            ["mem", "environ", "maps", "fd", "root", "cwd", "exe", "auxv"].map(|f| format!("/proc/{pid}/{f}"))
        })
        .collect();
    let mut args = vec!["read"];
    args.extend(paths.iter().map(String::as_str));
    let results = report(&args);
    assert_eq!(results.len(), paths.len());
    assert!(results.values().all(|r| r.parse::<i64>().unwrap() < 0), "{results:?}");
}

#[test]
fn other_processes_cannot_be_signalled() {
    let own = std::process::id().to_string();
    let results = report(&["signal-others", "1", &own, "3"]);
    assert_eq!(results.len(), 3);
    // Landlock keeps even the null signal from the first process, which is in reach.
    let walls =
        sandbox().protections().names().iter().any(|n| n.starts_with("landlock-") && n != "landlock-1");
    for (what, result) in results {
        assert!(result.parse::<i64>().unwrap() < 0 || (what == "kill 1" && !walls), "{what}: {result}");
    }
}

#[test]
fn only_scratch_and_output_can_be_written() {
    let outside = [
        "/new",
        "/bin/new",
        "/bin/probe",
        "/in/new",
        "/in/data",
        "/dev/new",
        "/proc/self/exe",
        "/proc/self/mem",
        "/proc/self/oom_score_adj",
        "/proc/self/uid_map",
        "/proc/self/attr/current",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/kcore",
        "/proc/kmsg",
        "/proc/1/mem",
        "/proc/timer_list",
        "/proc/keys",
        "/proc/cpuinfo",
        "/sys/kernel/uevent_helper",
    ];
    let mut args = vec!["write"];
    args.extend(outside);
    for (what, result) in report(&args) {
        assert!(result.parse::<i64>().unwrap() < 0, "{what}: {result}");
    }
    let results = report(&["write", "/tmp/new", "/out/new", "/dev/shm/new", "/dev/null"]);
    assert!(results.values().all(|r| r == "1"), "{results:?}");
}

#[test]
fn the_machine_is_hidden() {
    let hidden = [
        "/proc/cmdline",
        "/proc/kallsyms",
        "/proc/modules",
        "/proc/config.gz",
        "/proc/iomem",
        "/proc/keys",
        "/proc/sys",
        "/proc/irq",
        "/proc/bus",
        "/proc/acpi",
        "/proc/fs",
        "/proc/kcore",
        "/proc/interrupts",
        "/proc/partitions",
        "/proc/swaps",
        "/proc/sysvipc",
        "/sys",
        "/proc/vmcore",
        "/proc/kmsg",
        "/proc/scsi",
    ];
    let mut args = vec!["read"];
    args.extend(hidden);
    for (what, result) in report(&args) {
        assert!(result.parse::<i64>().unwrap() <= 0, "{what}: {result}");
    }
    let results = report(&["read", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self/maps"]);
    assert!(results.values().all(|r| r == "64"), "{results:?}");
}

#[test]
fn set_user_id_means_nothing() {
    let mut trial = Trial::new(&["run", "/bin/set-user", "look"]);
    let path = trial.root.path().join("bin/set-user");
    copy(&probe(), &path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
    let seen = answers(&trial.run());
    assert_eq!(seen["status Uid"], "1000\t1000\t1000\t1000");
    assert_eq!(seen["status CapEff"], "0000000000000000");
    // Nor are inputs programs.
    trial.task.args = ["probe", "run", "/in/program"].map(Into::into).to_vec();
    let program = trial.data.path().join("program");
    copy(&probe(), &program);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(answers(&trial.run())["run"], "-13");
}

#[test]
fn on_the_host_the_task_is_someone_else() {
    let ended = Trial::new(&["results"]).run();
    let checked = ended.output.check(1 << 20).unwrap();
    let folder = checked.folder().unwrap();
    let owner = fs::metadata(format!("/proc/self/fd/{}/flat", folder.as_raw_fd())).unwrap().uid();
    let own = rustix::process::geteuid().as_raw();
    if ended.protections.has(Protection::OtherUser) {
        assert!(owner != own && owner >= 1000, "{owner}");
    } else {
        assert_eq!(owner, own);
    }
}

#[test]
fn no_descriptor_of_the_enclave_comes_along() {
    // Without the close-on-exec mark, as a careless library would leave it.
    let file = fs::File::open("/proc/self/environ").unwrap();
    let left = rustix::io::dup(&file).unwrap();
    assert!(!rustix::io::fcntl_getfd(&left).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    assert_eq!(report(&["look"])["ls /proc/self/fd"], "0 1 2 3");
}
