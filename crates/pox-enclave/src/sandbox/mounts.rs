//! The task's file system tree. Runs in the new process: allocates nothing, follows no link of the image.

use std::{
    ffi::CStr,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, Uid, chmodat, chownat, fstat, major,
        minor, mkdirat, openat, openat2, symlinkat,
    },
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
        open_tree, unmount,
    },
    process::{chroot, fchdir, pivot_root},
};

use super::{
    child::{At, Fault, Step},
    plan::{Plan, Source, Walls},
    sys,
};

/// Builds the tree and makes it the only one there is. Gives the output folder.
pub(super) fn build(plan: &Plan) -> Result<OwnedFd, Fault> {
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).at(Step::Private)?;
    let root = mount_of(&plan.root, READ_ONLY).at(Step::Root)?;
    move_mount(&root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).at(Step::Root)?;
    let [shm, output] = scratch(plan, &root).at(Step::Scratch)?;
    let dev = devices(&root, &shm).at(Step::Devices)?;
    processes(&root, &dev).at(Step::Processes)?;
    for (index, (source, target)) in (0_u16..).zip(&plan.inputs) {
        let mount = mount_of(source, READ_ONLY_DATA).at(Step::Input).map_err(|f| f.of(index))?;
        let place = place(&root, target, source.is_folder()).at(Step::InputPoint).map_err(|f| f.of(index))?;
        put(&mount, &place).at(Step::InputPoint).map_err(|f| f.of(index))?;
    }
    enter(&root).at(Step::Enter)?;
    Ok(output)
}

/// Opens the walls where the task has something to do. The task enters them later.
pub(super) fn open_walls(plan: &Plan, walls: &Walls) -> Result<(), Errno> {
    let allow = |path: &CStr, access| {
        let folder = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY, Mode::empty())?;
        sys::landlock_allow(walls.ruleset.as_fd(), folder.as_fd(), access)
    };
    allow(c"/", walls.read_and_execute)?;
    allow(c"/dev", walls.devices)?;
    allow(c"/dev/shm", walls.all)?;
    allow(c"/tmp", walls.all)?;
    // Now that the tree is the root, the relative path is that of the output.
    fchdir(openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)?;
    allow(&plan.output, walls.all)
}

fn mount_of(source: &Source, attributes: u64) -> Result<OwnedFd, Errno> {
    match source {
        Source::Tree { mount, .. } => rustix::io::fcntl_dupfd_cloexec(mount, 0),
        Source::Path { path, device, inode, .. } => {
            let mount = open_tree(CWD, path.as_c_str(), CLONE | OpenTreeFlags::AT_SYMLINK_NOFOLLOW)?;
            let found = fstat(&mount)?;
            if (found.st_dev, found.st_ino) != (*device, *inode) {
                return Err(Errno::STALE);
            }
            sys::mount_setattr(mount.as_fd(), attributes, None)?;
            Ok(mount)
        }
    }
}

/// One file system in memory, seen as `/tmp`, as the output and (later) as `/dev/shm`.
fn scratch(plan: &Plan, root: &OwnedFd) -> Result<[OwnedFd; 2], Errno> {
    let owner = Decimal::new(plan.user.owner());
    let options = [
        (c"size", plan.scratch.bytes.as_c_str()),
        (c"nr_inodes", plan.scratch.files.as_c_str()),
        (c"mode", c"0700"),
        (c"uid", owner.as_c_str()),
        (c"gid", owner.as_c_str()),
    ];
    let whole = new_file_system(c"tmpfs", &options, SCRATCH)?;
    let (user, group) = (Uid::from_raw(plan.user.owner()), Gid::from_raw(plan.user.owner()));
    for (name, mode) in [(c"tmp", 0o1777), (c"shm", 0o1777), (c"output", 0o755)] {
        mkdirat(&whole, name, Mode::empty())?;
        chownat(&whole, name, Some(user), Some(group), AtFlags::empty())?;
        chmodat(&whole, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    // Only parts of an attached mount can be mounted elsewhere.
    let tmp_point = place(root, c"tmp", true)?;
    put(&whole, &tmp_point)?;
    let [tmp, shm, output] = [c"tmp", c"shm", c"output"].map(|name| open_tree(&whole, name, CLONE));
    let (tmp, shm, output) = (tmp?, shm?, output?);
    fchdir(&whole)?;
    unmount(c".", UnmountFlags::DETACH)?;
    put(&tmp, &tmp_point)?;
    put(&output, &place(root, &plan.output, true)?)?;
    let output = openat(&output, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok([shm, output])
}

/// `/dev`, with the host's harmless devices, and with an empty folder and an empty file to hide things with.
fn devices(root: &OwnedFd, shm: &OwnedFd) -> Result<OwnedFd, Errno> {
    let options = [(c"size", c"65536"), (c"nr_inodes", c"32"), (c"mode", c"0755")];
    let dev = new_file_system(c"tmpfs", &options, NO_SET_USER | NO_EXECUTE)?;
    for (name, target) in LINKS {
        symlinkat(target, &dev, name)?;
    }
    for name in [c"shm", VOID] {
        mkdirat(&dev, name, Mode::from_raw_mode(0o555))?;
    }
    for name in DEVICES.iter().map(|(name, _, _)| *name).chain([BLANK]) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(&dev, name, flags, Mode::from_raw_mode(0o444))?;
    }
    put(&dev, &place(root, c"dev", true)?)?;
    for (name, path, number) in DEVICES {
        let device = open_tree(CWD, path, CLONE)?;
        let found = fstat(&device)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if kind != FileType::CharacterDevice || (major(found.st_rdev), minor(found.st_rdev)) != (1, number) {
            return Err(Errno::NODEV);
        }
        sys::mount_setattr(device.as_fd(), libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC, None)?;
        put(&device, &place(&dev, name, false)?)?;
    }
    put(shm, &place(&dev, c"shm", true)?)?;
    // What is cloned from it later is read-only too.
    sys::mount_setattr(dev.as_fd(), READ_ONLY_MOUNT, None)?;
    Ok(dev)
}

/// `/proc` of the task's own processes, read-only; of the machine, only what is listed.
fn processes(root: &OwnedFd, dev: &OwnedFd) -> Result<(), Errno> {
    let attributes =
        NO_SET_USER | NO_EXECUTE | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let proc = new_file_system(c"proc", &[(c"hidepid", c"invisible")], attributes)?;
    put(&proc, &place(root, c"proc", true)?)?;
    let list = openat(&proc, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut room = [MaybeUninit::<u8>::uninit(); 4096];
    let mut entries = RawDir::new(&list, &mut room);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        let of_process = name.to_bytes().iter().all(u8::is_ascii_digit);
        if of_process || VISIBLE.contains(&name) || entry.file_type() == FileType::Symlink {
            continue;
        }
        let folder = entry.file_type() == FileType::Directory;
        if folder && matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let nothing = open_tree(dev, if folder { VOID } else { BLANK }, CLONE)?;
        put(&nothing, &place(&proc, name, folder)?)?;
    }
    Ok(())
}

/// Makes the tree the root, and lets go of the old one.
fn enter(root: &OwnedFd) -> Result<(), Errno> {
    fchdir(root)?;
    match pivot_root(c".", c".") {
        Ok(()) => unmount(c".", UnmountFlags::DETACH)?,
        // The very first root of a machine (an initial ramdisk) cannot be put away. It stays below,
        // where a process without capabilities and descriptors into it cannot reach it.
        Err(Errno::INVAL) => chroot(c".")?,
        Err(other) => return Err(other),
    }
    rustix::process::chdir(c"/")
}

fn new_file_system(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        fsconfig_set_string(context.as_fd(), *name, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Opens a mount point by plain folders only.
fn place(root: &OwnedFd, path: &CStr, folder: bool) -> Result<OwnedFd, Errno> {
    let kind = if folder { OFlags::DIRECTORY } else { OFlags::empty() };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | kind, Mode::empty(), resolve)
}

fn put(mount: &OwnedFd, place: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", place, c"", flags)
}

/// A number as a C string, without allocating.
struct Decimal([u8; 11]);

impl Decimal {
    fn new(mut number: u32) -> Self {
        let mut text = [0; 11];
        let mut digits = 1;
        let mut rest = number / 10;
        while rest > 0 {
            digits += 1;
            rest /= 10;
        }
        for place in text.iter_mut().take(digits).rev() {
            *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
        Self(text)
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);
const NO_SET_USER: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NO_EXECUTE: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const SCRATCH: MountAttrFlags = NO_SET_USER.union(MountAttrFlags::MOUNT_ATTR_NODEV);
/// For the image: programs in it run, devices and set-user-id bits in it mean nothing.
pub(super) const READ_ONLY: u64 = READ_ONLY_MOUNT | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
/// For data: nothing in it runs.
pub(super) const READ_ONLY_DATA: u64 = READ_ONLY | libc::MOUNT_ATTR_NOEXEC;
const READ_ONLY_MOUNT: u64 = libc::MOUNT_ATTR_RDONLY;

const DEVICES: [(&CStr, &CStr, u32); 5] = [
    (c"null", c"/dev/null", 3),
    (c"zero", c"/dev/zero", 5),
    (c"full", c"/dev/full", 7),
    (c"random", c"/dev/random", 8),
    (c"urandom", c"/dev/urandom", 9),
];
const LINKS: [(&CStr, &CStr); 4] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
];
const VOID: &CStr = c".void";
const BLANK: &CStr = c".blank";
/// What programs ask of the machine to choose their number of threads and their buffers. None of it
/// can be written, or names anything of the host beside its hardware and load.
const VISIBLE: [&CStr; 7] =
    [c"cpuinfo", c"meminfo", c"stat", c"uptime", c"loadavg", c"version", c"filesystems"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 1000, 1_879_048_193, u32::MAX] {
            assert_eq!(Decimal::new(number).as_c_str().to_str().unwrap(), number.to_string());
        }
    }
}
