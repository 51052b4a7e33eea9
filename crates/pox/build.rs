//! Builds what this program carries with it: the measured runtime, and the demo's task, each one static file.
//!
//! A nested cargo builds them with their own flags into their own target folder, so that the bytes, and with them the
//! measurement, do not depend on how `pox` itself is built.

// A build script fails by a panic, whose text cargo shows.
#![allow(clippy::panic)]

#[path = "build_flags.rs"]
mod build_flags;

use build_flags::flags;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let root = manifest_dir().join("../..").canonicalize().expect("the crate stands in its workspace");
    for input in
        ["crates/pox-core", "crates/pox-seal", "crates/pox-enclave", "examples/penguins", "Cargo.lock"]
    {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let target_dir = nested_target_dir();
    for package in ["pox-enclave", "penguins"] {
        build(&root, &target_dir, &target, package);
        let built = target_dir.join(&target).join("release").join(package);
        let name = package.to_uppercase().replace('-', "_");
        println!("cargo::rustc-env=POX_BUILT_{name}={}", built.display());
    }
}

fn build(root: &Path, target_dir: &Path, target: &str, package: &str) {
    let cargo = env::var_os("CARGO").expect("cargo sets CARGO");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--locked", "--package", package, "--target", target, "--target-dir"])
        .arg(target_dir);
    command.current_dir(root);
    // Flags and wrappers meant for this build, clippy's among them, must not reach the measured one.
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "CARGO_MAKEFLAGS",
    ] {
        command.env_remove(name);
    }
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_FEATURE_")
                || name.starts_with("CARGO_CFG_")
                || name.starts_with("CARGO_PROFILE_")
        }) {
            command.env_remove(name);
        }
    }
    command.env("RUSTFLAGS", flags(root));
    let status = command.status().unwrap_or_else(|error| panic!("cargo does not start: {error}"));
    assert!(
        status.success(),
        "the static build of {package} failed; it needs a C library for static linking (Debian: libc6-dev)"
    );
}

/// Beside the profile folders of the outer build, so that debug and release builds share it.
fn nested_target_dir() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target = out.ancestors().nth(4).expect("OUT_DIR is target/<profile>/build/<package>/out");
    target.join("enclave")
}

fn manifest_dir() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
}
