//! Debian's cloud kernel, from its package, not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A kernel and its modules.
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    pub(crate) modules: PathBuf,
}

/// Downloads and unpacks the kernel once for all tests and runs.
pub(crate) fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let release = release();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kernel-{release}"));
        if !kept.exists() {
            let scratch = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let package = format!("linux-image-{release}");
            run(Command::new("apt-get").args(["download", "-qq", &package]).current_dir(scratch.path()));
            let file = fs::read_dir(scratch.path()).unwrap().next().unwrap().unwrap().path();
            run(Command::new("dpkg-deb").arg("-x").arg(file).arg(scratch.path().join("tree")));
            fs::rename(scratch.path().join("tree"), &kept).unwrap();
        }
        Kernel {
            image: kept.join(format!("boot/vmlinuz-{release}")),
            modules: kept.join(format!("lib/modules/{release}")),
        }
    })
}

/// What the package of the newest kernel depends on: `linux-image-6.1.0-56-cloud-amd64`.
fn release() -> String {
    let known = || Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]).output().unwrap();
    let mut output = known();
    if output.stdout.is_empty() {
        run(Command::new("apt-get").args(["update", "-qq"]));
        output = known();
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let packages = text.split_whitespace().filter_map(|word| word.strip_prefix("linux-image-"));
    let mut releases = packages.filter(|release| release.starts_with(|c: char| c.is_ascii_digit()));
    releases.next().expect("Debian has a cloud kernel").to_owned()
}

/// Copies a folder with other times and another order.
pub(crate) fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-r").arg(from).arg(to));
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
