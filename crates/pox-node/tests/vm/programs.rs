//! The two static programs: the runtime, and a task.

#[path = "../../../pox/build_flags.rs"]
mod build_flags;

use build_flags::flags;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The runtime, built as `pox` builds it and into the same folder, so that a workspace's tests build it once.
pub(crate) fn runtime() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("enclave");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "pox-enclave",
        "--target",
        TARGET,
        "--target-dir",
    ]);
    cargo.arg(&folder).current_dir(&root);
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    cargo.env("RUSTFLAGS", flags(&root));
    assert!(cargo.status().unwrap().success());
    folder.join(TARGET).join("release/pox-enclave")
}

/// A task that adds numbers, and looks around.
pub(crate) fn task() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let built = folder.join("sum");
    let scratch = TempDir::new_in(folder).unwrap();
    let (file, binary) = (scratch.path().join("sum.rs"), scratch.path().join("sum"));
    fs::write(&file, TASK).unwrap();
    let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compiler.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "panic=abort", "-o"]);
    assert!(compiler.args([&binary, &file]).status().unwrap().success());
    // Another test may do the same: each puts a whole file in place.
    fs::rename(&binary, &built).unwrap();
    built
}

const TARGET: &str = "x86_64-unknown-linux-gnu";
const TASK: &str = include_str!("sum.rs");
