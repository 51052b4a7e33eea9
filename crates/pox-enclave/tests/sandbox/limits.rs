//! What a task may use, and what happens when it wants more.

use std::{
    fs,
    time::{Duration, Instant},
};

use pox_enclave::sandbox::{End, Protection};

use crate::support::{Trial, answers};

#[test]
fn a_fork_bomb_is_contained() {
    let ended = Trial::new(&["forks"]).run();
    assert_eq!(ended.end, End::Exited(0));
    let forks: u32 = answers(&ended)["forks"].parse().unwrap();
    assert!((10..=20).contains(&forks), "{forks}");
}

#[test]
fn the_disk_is_bounded_and_shared_by_scratch_and_output() {
    for folder in ["/out", "/tmp", "/dev/shm"] {
        let ended = Trial::new(&["fill", folder]).run();
        let seen = answers(&ended);
        assert_eq!(ended.end, End::Exited(0), "{folder}");
        assert_eq!(seen["fill"], "-28", "{folder}");
        let written: u64 = seen["written"].parse().unwrap();
        assert!((6 << 20..=8 << 20).contains(&written), "{folder}: {written}");
        assert!(ended.usage.disk_bytes >= written && ended.usage.disk_bytes <= 8 << 20);
    }
}

#[test]
fn the_number_of_files_is_bounded() {
    let files: i64 = answers(&Trial::new(&["files", "/tmp"]).run())["files"].parse().unwrap();
    assert!((1000..=2048).contains(&files), "{files}");
}

#[test]
fn memory_is_bounded() {
    for kind in ["eat", "shared-eat"] {
        let mut trial = Trial::new(&[kind, "20000"]);
        trial.task.limits.memory_bytes = 32 << 20;
        let ended = trial.run();
        if ended.protections.has(Protection::MemoryLimit) {
            assert_eq!(ended.end, End::OutOfMemory, "{kind}");
            assert!(ended.usage.out_of_memory_kills > 0);
            assert!(ended.usage.memory_peak_bytes <= 40 << 20);
        } else {
            assert_eq!(ended.end, End::Exited(3), "{kind}");
        }
    }
}

#[test]
fn time_ends_every_process() {
    for (kind, expected) in [("daemon", End::TimedOut), ("orphan", End::Exited(0))] {
        let mark = format!("mark-{}-{kind}", std::process::id());
        let mut trial = Trial::new(&[kind, &mark]);
        trial.task.limits.wall = Duration::from_secs(1);
        let begin = Instant::now();
        let ended = trial.run();
        assert_eq!(ended.end, expected, "{kind}");
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
        assert!(!is_running(&mark), "{kind}");
    }
}

/// Looks at the host's processes for one with this argument, besides those that look.
fn is_running(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        arguments.split(|b| *b == 0).any(|a| a == mark.as_bytes())
    })
}

#[test]
fn processor_time_is_bounded() {
    let mut trial = Trial::new(&["spin"]);
    trial.task.limits.cpu_millis = 250;
    trial.task.limits.wall = Duration::from_secs(2);
    let ended = trial.run();
    assert_eq!(ended.end, End::TimedOut);
    if ended.protections.has(Protection::CpuLimit) {
        let share = ended.usage.cpu_total.as_secs_f64() / ended.usage.wall.as_secs_f64();
        assert!(share < 0.4, "{share}");
    }
}

#[test]
fn a_flood_is_drained_and_cut() {
    let mut trial = Trial::new(&["flood", "200"]);
    trial.task.limits.stdout_bytes = 1000;
    let ended = trial.run();
    assert_eq!(ended.end, End::Exited(0));
    assert_eq!(ended.stdout.bytes, vec![b'x'; 1000]);
    assert_eq!(ended.stdout.dropped, (200 << 20) - 1000);
    assert!(ended.stdout.is_truncated() && !ended.stderr.is_truncated());
}
