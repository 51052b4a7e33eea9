//! A task that runs the probe in an image that holds nothing else.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use pox_enclave::sandbox::{
    Ended, InsidePath, Limits, Network, ReadOnlyInput, Required, Sandbox, SandboxError, Task,
};
use tempfile::TempDir;

/// Names the folder of the probe to the same tests under another user.
pub(crate) const PROBE: &str = "POX_TEST_PROBE";

pub(crate) fn inside(path: &str) -> InsidePath {
    InsidePath::new(path).unwrap()
}

/// Whatever this machine and user give.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new(&Required::all().dangerous_accept_all_missing()).unwrap()
}

pub(crate) struct Trial {
    pub(crate) root: TempDir,
    pub(crate) data: TempDir,
    pub(crate) task: Task,
}

impl Trial {
    pub(crate) fn new(args: &[&str]) -> Self {
        let (root, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        fs::create_dir(root.path().join("bin")).unwrap();
        copy(&probe(), &root.path().join("bin/probe"));
        fs::write(data.path().join("data"), "given").unwrap();
        let args = ["probe"].iter().chain(args).map(OsString::from).collect();
        let task = Task {
            root: root.path().to_owned(),
            args,
            env: vec![("PATH".into(), "/nowhere:/bin".into()), ("GIVEN".into(), "yes".into())],
            cwd: inside("/out"),
            inputs: vec![ReadOnlyInput { source: data.path().to_owned(), target: inside("/in") }],
            output: inside("/out"),
            limits: Limits {
                memory_bytes: 64 << 20,
                cpu_millis: 2000,
                pids: 20,
                disk_bytes: 8 << 20,
                wall: Duration::from_secs(20),
                stdout_bytes: 1 << 20,
                stderr_bytes: 1 << 20,
            },
            network: Network::None,
        };
        Self { root, data, task }
    }

    pub(crate) fn try_run(&self) -> Result<Ended, SandboxError> {
        sandbox().run(&self.task)
    }

    pub(crate) fn run(&self) -> Ended {
        self.try_run().unwrap()
    }
}

/// Copies a program in another process: were it open for writing here, a sandbox that another test
/// starts just then would inherit that, and nothing could execute it ("text file busy").
pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success());
}

/// Runs the probe, and reads its `name=result` lines.
pub(crate) fn report(args: &[&str]) -> BTreeMap<String, String> {
    answers(&Trial::new(args).run())
}

pub(crate) fn answers(ended: &Ended) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(&ended.stdout.bytes);
    text.lines().filter_map(|l| l.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// The static probe, built once for all test processes.
pub(crate) fn probe() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| std::env::var_os(PROBE).map_or_else(build_probe, PathBuf::from)).clone()
}

fn build_probe() -> PathBuf {
    let source = include_str!("probe.rs");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let hash = source
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let built = folder.join(format!("probe-{hash:016x}"));
    if !built.exists() {
        let scratch = TempDir::new_in(folder).unwrap();
        let (file, binary) = (scratch.path().join("probe.rs"), scratch.path().join("probe"));
        fs::write(&file, source).unwrap();
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(compiler)
            .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "panic=abort", "-o"])
            .args([&binary, &file])
            .status()
            .unwrap();
        assert!(status.success());
        // Another test process may do the same: each puts a whole file in place.
        fs::rename(&binary, &built).unwrap();
    }
    built
}
