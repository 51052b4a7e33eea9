//! The guest's one tree of files, all of it in memory.

use super::{GuestError, machine, unless};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};
use rustix::stdio::dup2_stdin;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io;

/// Where the runtime works.
pub(super) const WORK: &str = "/work";

/// Leaves the kernel's first root for a file system of the guest's own, with what runtime and sandbox need.
///
/// The first root can't be put away, so a sandbox made in it could not either; from a mounted one it can.
pub(super) fn enter() -> Result<(), GuestError> {
    fs::create_dir(NEW).map_err(machine("making the root"))?;
    attach("tmpfs", NEW, FIXED, Some(c"mode=0755,size=1m"))?;
    for (kind, folder, flags) in FILE_SYSTEMS {
        let folder = format!("{NEW}{folder}");
        fs::create_dir_all(&folder).map_err(machine(&*folder))?;
        attach(kind, &folder, flags, None)?;
    }
    // It is there if the kernel has the module for it, which TEEs' drivers need.
    let configuration = format!("{NEW}/sys/kernel/config");
    if fs::exists(&configuration).unwrap_or(false) {
        attach("configfs", &configuration, FIXED, None)?;
    }
    fs::create_dir(format!("{NEW}{WORK}")).map_err(machine(WORK))?;
    let step = |result: Result<(), Errno>| {
        result.map_err(|errno| machine("entering the root")(io::Error::from(errno)))
    };
    step(chdir(NEW))?;
    step(mount_move(".", "/"))?;
    step(chroot("."))?;
    step(chdir("/"))?;
    let nothing = File::open("/dev/null").map_err(machine("opening /dev/null"))?;
    step(dup2_stdin(nothing))
}

/// Takes from the kernel what a guest that runs needs no more: more modules, another kernel, keys that a console listens to.
pub(super) fn close_doors() -> Result<(), GuestError> {
    for (setting, value) in [("modules_disabled", "1"), ("kexec_load_disabled", "1"), ("sysrq", "0")] {
        match fs::write(format!("/proc/sys/kernel/{setting}"), value) {
            // A kernel without it has no such door.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(machine(setting))?,
        }
    }
    Ok(())
}

fn attach(kind: &str, folder: &str, flags: MountFlags, options: Option<&CStr>) -> Result<(), GuestError> {
    // The kernel may have mounted its devices by itself.
    unless(Errno::BUSY, mount(kind, folder, kind, flags, options))
        .map_err(|errno| machine(format!("mounting {folder}"))(io::Error::from(errno)))
}

const NEW: &str = "/new";
const FIXED: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const FILE_SYSTEMS: [(&str, &str, MountFlags); 4] = [
    ("proc", "/proc", FIXED),
    ("sysfs", "/sys", FIXED),
    ("devtmpfs", "/dev", MountFlags::NOSUID.union(MountFlags::NOEXEC)),
    ("cgroup2", "/sys/fs/cgroup", FIXED),
];
