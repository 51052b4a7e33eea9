//! Cold start of a program that does nothing: bare, in our sandbox, and in `bwrap` and `crun` if they are there.
//!
//! Rounds go through all of them in turn, so that a busy moment of the machine strikes all alike.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/sandbox/support.rs"]
#[allow(dead_code)]
mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use support::{Trial, copy, probe, sandbox};

/// Runs once, and says whether that worked.
type Run<'a> = Box<dyn FnMut() -> bool + 'a>;

/// Rounds; the first are not counted, they warm the caches.
const ROUNDS: usize = 60;
const WARM_UP: usize = 5;

fn main() {
    let probe = probe();
    let trial = Trial::new(&["exit", "0"]);
    let sandbox = sandbox();
    let bundle = tempfile::tempdir().unwrap();
    write_bundle(bundle.path(), &probe);
    let root = trial.root.path().to_str().unwrap().to_owned();
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]);
    bwrap.args([
        "--ro-bind",
        &root,
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
        "/bin/probe",
        "exit",
        "0",
    ]);
    let mut count = 0;
    let mut runs: Vec<(&str, Run<'_>)> = vec![
        ("fork and exec", {
            let mut bare = Command::new(&probe);
            bare.args(["exit", "0"]);
            Box::new(move || succeeds(&mut bare))
        }),
        ("pox sandbox", Box::new(|| sandbox.run(&trial.task).is_ok())),
        ("bwrap", Box::new(|| succeeds(&mut bwrap))),
        ("crun", {
            let folder = bundle.path().to_owned();
            Box::new(move || {
                count += 1;
                let name = format!("pox-bench-{}-{count}", std::process::id());
                succeeds(Command::new("crun").args(["run", &name]).current_dir(&folder))
            })
        }),
    ];
    runs.retain_mut(|(name, run)| {
        let works = run();
        if !works {
            println!("{name}: does not run here");
        }
        works
    });
    let mut times = vec![Vec::new(); runs.len()];
    for round in 0..ROUNDS + WARM_UP {
        for ((name, run), times) in runs.iter_mut().zip(&mut times) {
            let begin = Instant::now();
            assert!(run(), "{name}");
            if round >= WARM_UP {
                times.push(begin.elapsed());
            }
        }
    }
    println!("in force: {}", sandbox.protections().names().join(" "));
    let mut bare = None;
    println!("{:<15} {:>8} {:>8} {:>8}  {:>6}", "ms", "least", "median", "p90", "ratio");
    for ((name, _), mut times) in runs.iter().zip(times) {
        times.sort_unstable();
        let [least, median, high] =
            [0, times.len() / 2, times.len() * 9 / 10].map(|i| milliseconds(times[i]));
        let ratio = median / *bare.get_or_insert(median);
        println!("{name:<15} {least:>8.2} {median:>8.2} {high:>8.2}  {ratio:>6.1}");
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// What `crun` needs: the same program, the same kinds of walls and limits.
fn write_bundle(folder: &Path, probe: &Path) {
    for name in ["rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/tmp"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    copy(probe, &folder.join("rootfs/bin/probe"));
    let namespaces =
        ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|n| format!(r#"{{"type":"{n}"}}"#)).join(",");
    let config = format!(
        r#"{{"ociVersion":"1.0.2","hostname":"pox","root":{{"path":"rootfs","readonly":true}},
        "process":{{"terminal":false,"noNewPrivileges":true,"cwd":"/","user":{{"uid":65534,"gid":65534}},
        "args":["/bin/probe","exit","0"],"env":["PATH=/bin"]}},
        "mounts":[{{"destination":"/proc","type":"proc","source":"proc"}},
        {{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]}},
        {{"destination":"/tmp","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","size=8m"]}}],
        "linux":{{"namespaces":[{namespaces}],"maskedPaths":["/proc/kcore","/proc/keys"],"readonlyPaths":["/proc/sys"],
        "resources":{{"memory":{{"limit":67108864}},"pids":{{"limit":20}},"cpu":{{"quota":200000,"period":100000}}}}}}}}"#
    );
    fs::write(folder.join("config.json"), config).unwrap();
}
