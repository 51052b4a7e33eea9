//! The enclave's secrets, while a task runs.

use std::{fs, thread, time::Duration};

use pox_enclave::sandbox::harden_self;

use crate::support::{Trial, sandbox};

/// Built at run time, so that the program's file does not hold it.
fn secret() -> Vec<u8> {
    format!("{}-{}", "secret".repeat(8), std::process::id()).into_bytes()
}

/// The memory of a process that this one may read.
fn memory(pid: u32) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let file = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|l| l.contains(" r") && !l.contains("[v")) {
        let (first, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [first, end] = [first, end].map(|n| u64::from_str_radix(n, 16).unwrap());
        let mut part = vec![0; usize::try_from(end - first).unwrap()];
        if let Ok(count) = file.read_at(&mut part, first) {
            all.extend_from_slice(&part[..count]);
        }
    }
    all
}

fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
    }
    found
}

fn holds(memory: &[u8], what: &[u8]) -> bool {
    memory.windows(what.len()).any(|w| w == what)
}

#[test]
fn the_first_process_keeps_nothing_of_the_enclave() {
    if !rustix::process::geteuid().is_root() {
        // Only root can look into it at all; that others cannot is the point of another test.
        return;
    }
    let on_heap = secret();
    let mut on_stack = [0_u8; 128];
    on_stack[..on_heap.len()].copy_from_slice(&on_heap);
    let mark = format!("mark-{}-memory", std::process::id());
    let mut trial = Trial::new(&["sleep", &mark]);
    trial.task.limits.wall = Duration::from_secs(8);
    let own = std::process::id();
    let run = thread::spawn(move || sandbox().run(&trial.task).map(|ended| ended.end));
    let marked = |pid: &u32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|b| *b == 0).any(|a| a == mark.as_bytes())
    };
    let first = (0..200).find_map(|_| {
        thread::sleep(Duration::from_millis(10));
        children(own).into_iter().find(|first| children(*first).iter().any(marked))
    });
    let first = first.expect("the task started");
    let (left, open) = (memory(first), fs::read_dir(format!("/proc/{first}/fd")).unwrap().count());
    assert!(!left.is_empty() && !holds(&left, &on_heap));
    assert_eq!(open, 1, "only the channel");
    assert!(holds(&memory(own), &on_heap), "the search finds what is there");
    std::hint::black_box(&on_stack);
    run.join().unwrap().unwrap();
}

#[test]
fn a_hardened_enclave_still_runs_tasks() {
    harden_self().unwrap();
    assert_eq!(Trial::new(&["exit", "5"]).run().end, pox_enclave::sandbox::End::Exited(5));
}
