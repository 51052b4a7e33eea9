//! The TEE's devices: the enclave's, and never its task's.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    os::{
        fd::AsRawFd,
        unix::fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use pox_devtee::{gramine::Gramine, nsm, tsm::Tsm};
use pox_enclave::runtime::{Attester, Nsm, Patience};
use rustix::mount::{MountFlags, mount, mount_bind};

use crate::support::{Trial, answers, report};

/// Says to the same test that it runs in a mount namespace of its own.
const ALONE: &str = "POX_TEST_ALONE";
/// What a task would try.
const DEVICES: [&str; 11] = [
    "/dev/attestation",
    "/dev/attestation/attestation_type",
    "/dev/attestation/quote",
    "/dev/nsm",
    "/dev/sev-guest",
    "/dev/tdx_guest",
    "/sys/kernel/config",
    "/sys/kernel/config/tsm",
    "/sys/kernel/config/tsm/report",
    "/sys/kernel/config/tsm/report/one/provider",
    "/sys/kernel/config/tsm/report/one/outblob",
];
/// What the sandbox shows to tasks of a machine's own, and what the stand-ins need.
const KEPT: [&str; 6] = ["null", "zero", "full", "random", "urandom", "fuse"];

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn no_device_of_a_tee_is_within_reach() {
    if !rustix::process::geteuid().is_root() {
        // Only root can put the devices where a real machine has them.
        return;
    }
    if std::env::var_os(ALONE).is_none() {
        return run_alone();
    }
    let parent = std::os::unix::process::parent_id();
    assert_ne!(namespace("self"), namespace(&parent.to_string()), "only in a mount namespace of its own");
    let guest = Guest::new();
    // The enclave has them, and keeps one of them open; and nothing but the sandbox is between the task and them.
    let module = Nsm::detect(Path::new("/dev/nsm"), Patience::default()).unwrap().unwrap();
    assert_eq!(module.quote(&[1; 64]).unwrap().quote, b"document");
    for path in DEVICES {
        assert!(fs::metadata(path).is_ok(), "{path}");
        assert!(File::open(path).is_ok(), "{path}");
    }
    assert!(OpenOptions::new().write(true).open("/sys/kernel/config/tsm/report/one/inblob").is_ok());

    let mut paths: Vec<String> = DEVICES.map(str::to_owned).to_vec();
    for root in ["/proc/self/root", "/proc/1/root", "/proc/thread-self/root", "/out/../.."] {
        paths.extend(DEVICES.map(|path| format!("{root}{path}")));
    }
    for attempt in ["read", "write"] {
        let mut args = vec![attempt];
        args.extend(paths.iter().map(String::as_str));
        let results = report(&args);
        assert_eq!(results.len(), paths.len());
        for (what, result) in results {
            assert!(result.parse::<i64>().unwrap() < 0, "{what}: {result}");
        }
    }
    let seen = answers(&Trial::new(&["look"]).run());
    assert_eq!(seen["ls /dev"], ".blank .void fd full null random shm stderr stdin stdout urandom zero");
    assert_eq!((seen["ls /sys"].as_str(), seen["ls /proc/self/fd"].as_str()), ("", "0 1 2 3"));
    // An image that brings folders of these names finds its own, which are empty or hidden.
    let trial = Trial::new(&["read", "/sys/kernel/config/tsm", "/dev/attestation"]);
    for folder in ["sys/kernel/config/tsm", "dev/attestation"] {
        fs::create_dir_all(trial.root.path().join(folder)).unwrap();
    }
    let seen = answers(&trial.run());
    assert_eq!(
        (seen["read /sys/kernel/config/tsm"].as_str(), seen["read /dev/attestation"].as_str()),
        ("0", "-2")
    );
    drop(guest);
}

/// The same test in a process whose mounts nobody else sees, and which are gone with it.
fn run_alone() {
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "devices::no_device_of_a_tee_is_within_reach", "--nocapture", "--ignored"])
        .env(ALONE, "yes")
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
}

fn namespace(process: &str) -> PathBuf {
    fs::read_link(format!("/proc/{process}/ns/mnt")).unwrap()
}

/// This mount namespace, made to look like a guest that has every TEE at once; each is open to all users.
///
/// Everything is in memory file systems of the namespace, and nothing is ever removed: the machine's own `/dev` is below them, and
/// no path leads to it.
struct Guest {
    _tsm: Tsm,
    _gramine: Gramine,
    _nsm: nsm::Nsm,
}

impl Guest {
    fn new() -> Self {
        let kept =
            KEPT.map(|name| (name, File::options().read(true).open(Path::new("/dev").join(name)).unwrap()));
        for folder in ["/dev", "/sys/kernel"] {
            mount("memory", folder, "tmpfs", MountFlags::empty(), Some(c"mode=0755")).unwrap();
        }
        for (name, device) in &kept {
            bind(
                &PathBuf::from(format!("/proc/self/fd/{}", device.as_raw_fd())),
                &Path::new("/dev").join(name),
            );
        }
        for folder in ["/dev/attestation", "/dev/module", "/sys/kernel/config/tsm"] {
            fs::create_dir_all(folder).unwrap();
        }
        let tsm = Tsm::snp(Path::new("/sys/kernel/config/tsm"), |_| b"report".to_vec(), Vec::new()).unwrap();
        let gramine = Gramine::dcap(Path::new("/dev/attestation"), |_| b"quote".to_vec()).unwrap();
        let nsm = nsm::Nsm::mount(Path::new("/dev/module"), |_| b"document".to_vec()).unwrap();
        symlink("/dev/module/nsm", "/dev/nsm").unwrap();
        for path in ["/dev/sev-guest", "/dev/tdx_guest"] {
            fs::write(path, "device").unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
        }
        let entry = Path::new("/sys/kernel/config/tsm/report/one");
        fs::create_dir(entry).unwrap();
        fs::write(entry.join("inblob"), [1; 64]).unwrap();
        Self { _tsm: tsm, _gramine: gramine, _nsm: nsm }
    }
}

fn bind(from: &Path, to: &Path) {
    File::create_new(to).unwrap();
    mount_bind(from, to).unwrap();
}
