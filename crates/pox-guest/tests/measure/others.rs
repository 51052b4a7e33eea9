//! The same values by other people's programs, asked now; they come from package registries, so only where `POX_APT_TOOLS` is set.

use crate::{made, snp};
use pox_guest::measure::firmware::FirmwareError;
use pox_guest::measure::kernel::{authenticode, knows_cc_measurement};
use pox_guest::measure::snp::{CpuSignature, SnpFirmware};
use pox_guest::measure::tdx::{PageOrder, Tdvf};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Debian's OVMF of 2022.11-6+deb12u2, and what dstack-mr at 312dc605 says of it.
const OVMF_SHA256: &str = "7b456907dd0786d415999e801a1ac4637b8ed4d7cf5378cfc6edbe5e574dd773";
const OVMF_MRTD: &str =
    "4c7206f0f483c524f12c366c711e9049030a8d47c471ee5aa9c4999a08de4057fb887fed0744d5631a212967fb231c47";
/// Debian's cloud kernel of 6.1.192-2, and the same program's digest of it, header written for 4 GiB and 50,000 bytes.
const KERNEL_SHA256: &str = "51349501a3d1ff83836437d2b365fd2d57f2feb8642d315e5181dec23d4c3275";
const KERNEL_DIGEST: &str =
    "41e359ee8d6be37d788b42095b1911314ad188d9136cece91996e752445cd682e76884c61d7dda847d22736abbad20f3";

#[test]
#[ignore = "needs POX_PYTHON: run by .ci/run"]
fn launch_digests_are_those_that_sev_snp_measure_says_now() {
    let scratch = scratch();
    let folder = scratch.path();
    let programs = std::env::var_os("POX_PYTHON").expect("POX_PYTHON names the folder of programs from PyPI");
    for (name, bytes) in
        [("kernel", made::kernel()), ("initramfs", made::initramfs()), ("firmware", made::firmware())]
    {
        fs::write(folder.join(name), bytes).unwrap();
    }
    for cpu in CpuSignature::NAMED.map(|(_, cpu)| cpu) {
        for (vcpus, features) in [(1, 0x1), (2, 0x21), (64, 0x1)] {
            let mut command = Command::new(Path::new(&programs).join("sev-snp-measure"));
            command.args([
                "--mode",
                "snp",
                "--ovmf",
                "firmware",
                "--kernel",
                "kernel",
                "--initrd",
                "initramfs",
            ]);
            command.args(["--append", made::COMMAND_LINE, "--vcpus", &vcpus.to_string()]);
            command.args([
                "--vcpu-sig",
                &format!("{:#x}", cpu.0),
                "--guest-features",
                &format!("{features:#x}"),
            ]);
            let said = run(command.current_dir(folder));
            let digest = snp::launch_digest(&made::firmware(), vcpus, cpu, features);
            assert_eq!(said.trim().parse(), Ok(digest), "{vcpus} {cpu} {features:#x}");
        }
    }
}

/// Debian's firmware is a build for TDX, and not one that checks a kernel on SNP.
#[test]
#[ignore = "needs Debian's packages"]
fn a_distribution_s_firmware_is_understood() {
    let scratch = scratch();
    let folder = unpacked(scratch.path(), "ovmf");
    let firmware = fs::read(folder.join("usr/share/ovmf/OVMF.fd")).unwrap();
    assert_eq!(SnpFirmware::parse(&firmware).map(|_| ()), Err(FirmwareError::NoKernelHashes));
    let mrtd = Tdvf::parse(&firmware).unwrap().mrtd(PageOrder::PageByPage);
    // Another version has another value, which nobody has told us.
    if hex::encode(Sha256::digest(&firmware)) == OVMF_SHA256 {
        assert_eq!(OVMF_MRTD.parse(), Ok(mrtd));
    }
}

/// Debian's kernel of bookworm is an EFI program; its stub is too old to measure command line and initramfs on TDX.
#[test]
#[ignore = "needs Debian's packages"]
fn a_distribution_s_kernel_is_understood() {
    let scratch = scratch();
    let depends = run(Command::new("apt-cache").args(["depends", "--important", "linux-image-cloud-amd64"]));
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image")).unwrap();
    let folder = unpacked(scratch.path(), &format!("linux-image{package}"));
    let mut files = fs::read_dir(folder.join("boot")).unwrap().map(|entry| entry.unwrap().path());
    let kernel = files.find(|path| path.to_string_lossy().contains("vmlinuz")).unwrap();
    let old = kernel.to_string_lossy().contains("vmlinuz-6.1.");
    let kernel = fs::read(kernel).unwrap();
    assert_eq!(knows_cc_measurement(&kernel), !old);
    let written = pox_guest::measure::kernel::with_loader_header(&kernel, 50_000, "quiet", 4 << 30).unwrap();
    let digest = authenticode(&written).unwrap();
    assert_ne!(digest, authenticode(&kernel).unwrap());
    if hex::encode(Sha256::digest(&kernel)) == KERNEL_SHA256 {
        assert_eq!(KERNEL_DIGEST.parse(), Ok(digest));
    }
}

/// Downloads a Debian package and takes it apart; installs nothing.
fn unpacked(folder: &Path, package: &str) -> PathBuf {
    run(Command::new("apt-get").args(["download", package]).current_dir(folder));
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let archive = files.find(|path| path.extension().is_some_and(|kind| kind == "deb")).unwrap();
    let content = folder.join("content");
    run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&content));
    content
}

fn scratch() -> TempDir {
    let set = std::env::var("POX_APT_TOOLS");
    assert_eq!(set.as_deref(), Ok("1"), "set POX_APT_TOOLS=1 where packages can be fetched");
    TempDir::new().unwrap()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
