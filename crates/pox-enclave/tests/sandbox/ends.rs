//! How tasks end, and what comes back.

use pox_enclave::sandbox::{End, Protection, Required, Sandbox, SandboxError, Source};

use crate::support::{Trial, answers, sandbox};

#[test]
fn exit_codes_and_signals_come_back() {
    for code in ["0", "1", "77", "255"] {
        assert_eq!(Trial::new(&["exit", code]).run().end, End::Exited(code.parse().unwrap()));
    }
    for signal in ["6", "9", "10", "15"] {
        assert_eq!(Trial::new(&["signal", signal]).run().end, End::Signalled(signal.parse().unwrap()));
    }
}

#[test]
fn the_task_gets_what_it_was_given_and_nothing_else() {
    let ended = Trial::new(&["look"]).run();
    assert_eq!(ended.end, End::Exited(0), "{}", String::from_utf8_lossy(&ended.stderr.bytes));
    let seen = answers(&ended);
    let expect = |name: &str, value: &str| assert_eq!(seen[name], value, "{name}");
    expect("ls /", "bin dev in out proc tmp");
    expect("ls /in", "data");
    expect("ls /out", "");
    expect("ls /tmp", "");
    expect("ls /dev/shm", "");
    expect("ls /sys", "");
    expect("ls /dev", ".blank .void fd full null random shm stderr stdin stdout urandom zero");
    // The three streams, and the one that lists them.
    expect("ls /proc/self/fd", "0 1 2 3");
    expect("cwd", "/out");
    expect("tty", "false");
    expect("interfaces", "lo");
    expect("host", "");
    let environment: Vec<_> = seen.iter().filter(|(name, _)| name.starts_with("env ")).collect();
    assert_eq!(environment.len(), 2, "{environment:?}");
    expect("env GIVEN", "yes");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        expect(&format!("status {set}"), "0000000000000000");
    }
    expect("status NoNewPrivs", "1");
    expect("status Seccomp", "2");
    expect("status Seccomp_filters", "2");
    expect("status Uid", "1000\t1000\t1000\t1000");
    // Only what the probe's own run-time ignores: a broken pipe.
    expect("status SigIgn", "0000000000001000");
    expect("status SigBlk", "0000000000000000");
    // Its own process; the first one is hidden.
    expect("pids", "2");
}

#[test]
fn protections_are_reported_as_found() {
    let ended = Trial::new(&["exit", "0"]).run();
    assert_eq!(ended.protections, Sandbox::probe().unwrap());
    assert_eq!(&ended.protections, sandbox().protections());
    assert!(ended.protections.names().contains(&"seccomp".to_owned()));
}

#[test]
fn what_is_missing_is_refused_by_name() {
    let missing = Sandbox::probe().unwrap().missing();
    match Sandbox::new(&Required::all()) {
        Ok(_) => assert_eq!(missing, []),
        Err(SandboxError::Unavailable { missing: named }) => {
            assert_eq!(named, missing);
            assert!(named.iter().all(|p: &Protection| p.can_be_waived()), "{named:?}");
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn usage_is_measured() {
    let ended = Trial::new(&["eat", "40"]).run();
    assert_eq!(ended.end, End::Exited(0));
    let usage = ended.usage;
    assert!((40 << 20..128 << 20).contains(&usage.memory_peak_bytes), "{usage:?}");
    assert!(usage.max_rss_bytes >= 40 << 20, "{usage:?}");
    assert!(!usage.cpu_total.is_zero() && !usage.wall.is_zero(), "{usage:?}");
    let counted = ended.protections.has(Protection::MemoryLimit);
    assert_eq!(usage.memory_source == Source::ProcessUsage, !counted);
}
