//! The system calls that have no safe wrapper, and nothing else.
//!
//! This is the sandbox's only file with `unsafe` in it.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_long, c_void},
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

use rustix::{
    io::Errno,
    mm::{Advice, MapFlags, MprotectFlags, ProtFlags},
    process::Pid,
    thread::UnshareFlags,
};

/// A stack for a new process, alone in its mapping: an unreadable page on either side.
pub(super) struct Stack {
    base: *mut c_void,
}

impl Stack {
    pub(super) fn new() -> Result<Self, Errno> {
        let whole = STACK + 2 * GUARD;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing of ours.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                whole,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let stack = Self { base };
        // SAFETY: the range lies within the mapping just made, which nothing else refers to.
        unsafe {
            rustix::mm::mprotect(base.byte_add(GUARD), STACK, MprotectFlags::READ | MprotectFlags::WRITE)?;
        }
        Ok(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone; processes that run on it have their own copy of it.
        let _ = unsafe { rustix::mm::munmap(self.base, STACK + 2 * GUARD) };
    }
}

struct Start<'a, T> {
    main: fn(&T) -> !,
    argument: &'a T,
}

extern "C" fn start<T>(start: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a `Start<T>` that lives in its caller's frame, of which this process has a copy.
    let start = unsafe { &*start.cast::<Start<'_, T>>() };
    (start.main)(start.argument)
}

/// Starts a process on its own stack, with a copy of this one's memory, in the new namespaces of `flags`.
///
/// `main` runs where locks of other threads may be held for ever: it must not allocate, nor take any.
pub(super) fn spawn<T>(
    flags: c_int,
    stack: &Stack,
    main: fn(&T) -> !,
    argument: &T,
) -> io::Result<(Pid, OwnedFd)> {
    let arg = Start { main, argument };
    let mut pidfd: c_int = -1;
    // SAFETY: without CLONE_VM the child runs on its own copy of `stack` and of `arg`, whatever we do
    // with ours; the top is 16-byte aligned as page ends are; `pidfd` is where CLONE_PIDFD stores.
    let pid = unsafe {
        libc::clone(
            start::<T>,
            stack.base.byte_add(GUARD + STACK),
            flags | libc::CLONE_PIDFD | libc::SIGCHLD,
            ptr::from_ref(&arg).cast_mut().cast(),
            &raw mut pidfd,
        )
    };
    let pid = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Forks without running any library's fork handlers. `None` in the child.
pub(super) fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: no CLONE_VM and no stack: a plain fork. Both sides go on with their own memory.
    let pid = syscall(unsafe { libc::syscall(libc::SYS_clone, c_long::from(libc::SIGCHLD), 0, 0, 0, 0) })?;
    Ok(c_int::try_from(pid).ok().and_then(Pid::from_raw))
}

/// Ends this process without running any handler.
pub(super) fn exit(code: c_int) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// Text for `execve`: an array of pointers, ending in null.
pub(super) struct CStrings {
    pointers: Vec<*const c_char>,
    _texts: Vec<CString>,
}

impl CStrings {
    pub(super) fn new(texts: Vec<CString>) -> Self {
        let pointers = texts.iter().map(|t| t.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _texts: texts }
    }
}

/// Becomes another program. Returns only if that fails.
pub(super) fn execute(path: &CStr, args: &CStrings, env: &CStrings) -> Errno {
    // SAFETY: both arrays end in null and point to texts that they own.
    let failed = unsafe { libc::execve(path.as_ptr(), args.pointers.as_ptr(), env.pointers.as_ptr()) };
    syscall(c_long::from(failed)).err().unwrap_or(Errno::NOEXEC)
}

/// Gives every signal its default effect and blocks none: ignored ones would outlive `execve`.
///
/// Asks the kernel itself, because the C library keeps two signals to itself, ignored or not.
pub(super) fn reset_signals() {
    // The kernel's `sigaction` is at most four words, and all-zero it means the default; so does an
    // empty set of signals.
    let default = [0_u64; 4];
    let old = ptr::null_mut::<c_void>();
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the kernel reads at most four words. The two signals whose effect is fixed give an
        // error that has no effect.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, SIGNAL_SET) };
    }
    // SAFETY: the kernel reads one word.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, default.as_ptr(), old, SIGNAL_SET) };
}

/// Leaves the mount namespace for a copy of it.
pub(crate) fn new_mount_namespace() -> Result<(), Errno> {
    // SAFETY: only sharing of descriptors and memory between threads makes this call unsafe; a mount
    // namespace has no part in either.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}

/// Leaves user and mount namespace for new ones; until its ids are mapped, this process is nobody there.
pub(crate) fn new_user_and_mount_namespaces() -> Result<(), Errno> {
    // SAFETY: only sharing of descriptors and memory between threads makes this call unsafe; neither
    // namespace has a part in it, and the kernel refuses a process with more than one thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }
}

/// Leaves the control group namespace for one that begins at the current group.
pub(super) fn new_cgroup_namespace() -> Result<(), Errno> {
    // SAFETY: only sharing of descriptors and memory between threads makes this call unsafe; a control
    // group namespace has no part in either.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }
}

/// Closes a descriptor that this process inherited and nothing in it owns.
pub(super) fn close_inherited(number: RawFd) {
    // SAFETY: this process is a fork; the owner lives in its parent and is never dropped here, because
    // this process ends by `exit` or `execute`.
    unsafe { rustix::io::close(number) }
}

/// Marks every descriptor from `first` on to be closed by `execve`.
pub(super) fn close_on_execute(first: c_int) -> Result<(), Errno> {
    close_range(first, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC as c_int)
}

/// Closes every descriptor but two, which stay open until this process ends or closes them as inherited.
pub(super) fn close_all_but(one: RawFd, other: RawFd) -> Result<[BorrowedFd<'static>; 2], Errno> {
    let (low, high) = (one.min(other), one.max(other));
    for (first, last) in [(0, low - 1), (low + 1, high - 1), (high + 1, c_int::MAX)] {
        if first <= last {
            close_range(first, last, 0)?;
        }
    }
    // SAFETY: both are open, and their owners' destructors never run in this process, which does
    // nothing but system calls on these until it exits.
    Ok(unsafe { [BorrowedFd::borrow_raw(one), BorrowedFd::borrow_raw(other)] })
}

fn close_range(first: c_int, last: c_int, flags: c_int) -> Result<(), Errno> {
    // SAFETY: takes no pointer. Callers are processes about to execute or to forget all but two
    // descriptors; no owner of a closed one is dropped after this.
    syscall(unsafe {
        libc::syscall(libc::SYS_close_range, c_long::from(first), c_long::from(last), c_long::from(flags))
    })?;
    Ok(())
}

/// Sets attributes of a mount; with `users`, translates the owners of its files.
pub(super) fn mount_setattr(
    mount: BorrowedFd<'_>,
    set: u64,
    users: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let idmap = if users.is_some() { libc::MOUNT_ATTR_IDMAP } else { 0 };
    let attributes = MountAttributes {
        set: set | idmap,
        clear: 0,
        propagation: 0,
        users: users.map_or(0, |fd| fd.as_raw_fd().unsigned_abs().into()),
    };
    // SAFETY: the pointers are to an empty C string and to a `struct mount_attr` of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    syscall(result)?;
    Ok(())
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    users: u64,
}

/// The kernel's version of the Landlock interface, if Landlock is on.
pub(super) fn landlock_abi() -> Option<i32> {
    // SAFETY: with this flag the kernel takes no pointer.
    let abi =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<c_void>(), 0_usize, 1_u32) };
    i32::try_from(abi).ok().filter(|abi| *abi > 0)
}

/// Allows access below a file or folder.
pub(super) fn landlock_allow(
    ruleset: BorrowedFd<'_>,
    beneath: BorrowedFd<'_>,
    access: u64,
) -> Result<(), Errno> {
    let rule = PathBeneath { access, parent: beneath.as_raw_fd() };
    // SAFETY: the pointer is to a `struct landlock_path_beneath_attr`, which rule type 1 takes.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), 1_u32, &raw const rule, 0_u32)
    };
    syscall(result)?;
    Ok(())
}

/// `struct landlock_path_beneath_attr` of linux/landlock.h.
#[repr(C, packed)]
struct PathBeneath {
    access: u64,
    parent: i32,
}

/// Enters the walls of a ruleset, for ever.
pub(super) fn landlock_enter(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    syscall(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) })?;
    Ok(())
}

/// Makes everything this process inherited in memory unreadable, to itself too: private pages lose
/// their content, shared ones their mapping. Only the current stack and program code stay.
///
/// `maps` is this process's own `/proc/self/maps`. After this only straight system calls can be made:
/// no library call that uses thread-local storage, and no reference to older memory.
pub(super) fn forget_memory(maps: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut lines = [0_u8; MAPS_BUFFER];
    let mut held = 0;
    let here = ptr::from_ref(&lines).addr();
    loop {
        let room = lines.get_mut(held..).unwrap_or_default();
        let count = rustix::io::read(maps, room)?;
        if count == 0 {
            return if held == 0 { Ok(()) } else { Err(Errno::INVAL) };
        }
        held += count;
        let mut start = 0;
        while let Some(length) = lines.get(start..held).unwrap_or_default().iter().position(|b| *b == b'\n') {
            let line = lines.get(start..start + length).unwrap_or_default();
            let mapping = Mapping::parse(line).ok_or(Errno::INVAL)?;
            mapping.forget(here)?;
            start += length + 1;
        }
        lines.copy_within(start..held, 0);
        held -= start;
    }
}

/// A line of `/proc/self/maps`.
struct Mapping {
    first: usize,
    end: usize,
    writable: bool,
    executable: bool,
    private: bool,
    from_file: bool,
    /// Named `[v…]`: the kernel shares it with every process.
    of_kernel: bool,
}

impl Mapping {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|b| *b == b' ').filter(|w| !w.is_empty());
        let (range, rights) = (words.next()?, words.next()?);
        let inode = words.nth(2)?;
        let name = words.next().unwrap_or_default();
        let dash = range.iter().position(|b| *b == b'-')?;
        Some(Self {
            first: hexadecimal(range.get(..dash)?)?,
            end: hexadecimal(range.get(dash + 1..)?)?,
            writable: *rights.get(1)? == b'w',
            executable: *rights.get(2)? == b'x',
            private: *rights.get(3)? == b'p',
            from_file: inode != b"0",
            of_kernel: name.starts_with(b"[v"),
        })
    }

    fn forget(&self, here: usize) -> Result<(), Errno> {
        let keep = self.of_kernel
            || (self.first..self.end).contains(&here)
            || (self.from_file && self.private && !self.writable)
            || (self.executable && !self.writable);
        if keep {
            return Ok(());
        }
        let (start, length) = (ptr::without_provenance_mut::<c_void>(self.first), self.end - self.first);
        // SAFETY: the caller gives up every reference into memory but the current stack, which is not
        // in this range, and code, which is not writable.
        unsafe {
            if self.private {
                rustix::mm::madvise(start, length, Advice::LinuxDontNeed)
            } else {
                rustix::mm::munmap(start, length)
            }
        }
    }
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0_usize, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        value.checked_mul(16)?.checked_add(usize::try_from(digit).ok()?)
    })
}

/// What the kernel says of a process that has ended, and of the children it waited for.
pub(super) struct ProcessUsage {
    pub(super) user: Duration,
    pub(super) system: Duration,
    pub(super) max_rss_bytes: u64,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

/// Waits for a child to end.
pub(super) fn wait(pid: Pid) -> io::Result<ProcessUsage> {
    let mut status = 0;
    // SAFETY: all-zero is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    loop {
        // SAFETY: both pointers are to places of the types that the call fills.
        let ended = unsafe { libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, 0, &raw mut usage) };
        if ended >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let positive = |value: c_long| u64::try_from(value).unwrap_or(0);
    let time = |t: libc::timeval| {
        Duration::from_secs(positive(t.tv_sec)) + Duration::from_micros(positive(t.tv_usec))
    };
    Ok(ProcessUsage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        max_rss_bytes: positive(usage.ru_maxrss).saturating_mul(1024),
        read_bytes: positive(usage.ru_inblock).saturating_mul(BLOCK),
        written_bytes: positive(usage.ru_oublock).saturating_mul(BLOCK),
    })
}

fn syscall(result: c_long) -> Result<c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

/// Setting up needs a few KiB; debug builds several times that.
const STACK: usize = 256 << 10;
/// The largest page in use (64 KiB on some arm64 kernels).
const GUARD: usize = 64 << 10;
/// The kernel's highest real-time signal.
const LAST_SIGNAL: c_int = 64;
/// Bytes in the kernel's set of 64 signals.
const SIGNAL_SET: usize = 8;
/// `getrusage` counts blocks of this size.
const BLOCK: u64 = 512;
/// A line holds a path of at most 4096 bytes and some numbers.
const MAPS_BUFFER: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_understood() {
        let line = b"7ffc0b5f3000-7ffc0b614000 rw-p 00000000 00:00 0                          [stack]";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.first, mapping.end), (0x7ffc_0b5f_3000, 0x7ffc_0b61_4000));
        assert!(mapping.writable && mapping.private && !mapping.executable && !mapping.from_file);
        let line = b"7ffc0b7d1000-7ffc0b7d5000 r--p 00000000 00:00 0 [vvar]";
        assert!(Mapping::parse(line).unwrap().of_kernel);
        assert!(Mapping::parse(b"7ffc0b7d1000 r--p").is_none());
    }
}
