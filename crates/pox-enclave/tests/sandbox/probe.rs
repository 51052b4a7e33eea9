//! The program that the sandbox's tests run inside: it tries to get out, and says how far it came.
//!
//! One file without dependencies, so that a test can build it static with `rustc` alone and run it in
//! an image that holds nothing else. Each attempt prints `name=result`; a result is `0` or more where
//! it came through, and a negative error number where it was stopped.
#![allow(unsafe_code, missing_docs)]

use std::{
    env,
    ffi::{OsStr, c_char, c_int, c_long, c_void},
    fs,
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::Path,
    process::{self, Command},
    thread,
    time::Duration,
};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn fork() -> c_int;
    fn setsid() -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn mmap(
        at: *mut c_void,
        length: usize,
        rights: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn mknod(path: *const c_char, mode: u32, device: u64) -> c_int;
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["exit", code] => process::exit(code.parse().unwrap()),
        ["signal", number] => {
            unsafe { kill(process::id().cast_signed(), number.parse().unwrap()) };
            thread::sleep(Duration::from_secs(5));
        }
        ["look"] => look(),
        ["read", paths @ ..] => paths.iter().for_each(|p| say(&format!("read {p}"), read(p))),
        ["write", paths @ ..] => paths.iter().for_each(|p| say(&format!("write {p}"), write(p))),
        ["calls"] => calls(),
        ["sockets", host_name] => sockets(host_name),
        ["signal-others", pids @ ..] => {
            for pid in pids {
                say(&format!("kill {pid}"), code(unsafe { kill(pid.parse().unwrap(), 0) }.into()));
            }
        }
        ["forks"] => forks(),
        ["fill", folder] => fill(folder),
        ["files", folder] => files(folder),
        ["eat", mebibytes] => eat(mebibytes.parse().unwrap()),
        ["shared-eat", mebibytes] => shared_eat(mebibytes.parse().unwrap()),
        ["spin"] => loop {
            std::hint::spin_loop();
        },
        ["sleep", ..] => thread::sleep(Duration::from_secs(100)),
        ["daemon", mark] => daemon(mark, true),
        ["orphan", mark] => daemon(mark, false),
        ["flood", mebibytes] => flood(mebibytes.parse().unwrap()),
        ["run", program, rest @ ..] => {
            let error = Command::new(program).args(rest).exec();
            say("run", Err(error));
        }
        ["results"] => results(),
        ["hostile-results", kind] => hostile_results(kind),
        #[cfg(target_arch = "x86_64")]
        ["int80"] => say("int80", Ok(int80())),
        _ => process::exit(99),
    }
}

fn say(name: &str, result: io::Result<i64>) {
    let number = match result {
        Ok(number) => number.max(0),
        Err(e) => -i64::from(e.raw_os_error().unwrap_or(1)),
    };
    println!("{name}={number}");
}

fn code(result: c_long) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn list(folder: &str) -> String {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|d| d.flatten().map(|e| e.file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names.join(" ")
}

fn look() {
    for folder in ["/", "/dev", "/proc", "/proc/self/fd", "/sys", "/tmp", "/dev/shm", "/in", "/out"] {
        println!("ls {folder}={}", list(folder));
    }
    for variable in env::vars() {
        println!("env {}={}", variable.0, variable.1);
    }
    for line in fs::read_to_string("/proc/self/status").unwrap_or_default().lines() {
        println!("status {}", line.replacen(":\t", "=", 1));
    }
    println!("cwd={}", env::current_dir().unwrap().display());
    println!("host={}", fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default());
    println!("cgroup={}", fs::read_to_string("/proc/self/cgroup").unwrap_or_default().replace('\n', " "));
    let interfaces = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    println!(
        "interfaces={}",
        interfaces
            .lines()
            .filter_map(|l| l.split_once(':'))
            .map(|l| l.0.trim())
            .collect::<Vec<_>>()
            .join(" ")
    );
    println!("tty={}", fs::File::open("/dev/tty").is_ok());
    for limit in fs::read_to_string("/proc/self/limits").unwrap_or_default().lines() {
        println!("limit {limit}");
    }
    let pids: Vec<_> =
        (1..100).filter(|pid| fs::metadata(format!("/proc/{pid}")).is_ok()).map(|p| p.to_string()).collect();
    println!("pids={}", pids.join(" "));
}

fn read(path: &str) -> io::Result<i64> {
    let mut bytes = [0; 64];
    if fs::metadata(path)?.is_dir() {
        return Ok(fs::read_dir(path)?.count().try_into().unwrap());
    }
    fs::File::open(path)?.read(&mut bytes).map(|n| n.try_into().unwrap())
}

fn write(path: &str) -> io::Result<i64> {
    let existed = fs::symlink_metadata(path).is_ok();
    let mut file = fs::OpenOptions::new().write(true).create(!existed).open(path)?;
    file.write(b"x").map(|n| n.try_into().unwrap())
}

fn calls() {
    let none = 0_usize;
    let root = c"/".as_ptr();
    let tmp = c"/tmp".as_ptr();
    let try_call = |name: &str, number: c_long, a: [usize; 5]| {
        say(name, code(unsafe { syscall(number, a[0], a[1], a[2], a[3], a[4]) }));
    };
    let (root, tmp) = (root.addr(), tmp.addr());
    let own = process::id() as usize;
    for (name, number, args) in [
        ("mount", nr::MOUNT, [tmp, tmp, c"tmpfs".as_ptr().addr(), 0, none]),
        ("remount", nr::MOUNT, [none, root, none, 32, none]),
        ("umount2", nr::UMOUNT2, [tmp, 2, 0, 0, 0]),
        ("pivot_root", nr::PIVOT_ROOT, [tmp, tmp, 0, 0, 0]),
        ("chroot", nr::CHROOT, [tmp, 0, 0, 0, 0]),
        ("unshare-user", nr::UNSHARE, [0x1000_0000, 0, 0, 0, 0]),
        ("unshare-mount", nr::UNSHARE, [0x0002_0000, 0, 0, 0, 0]),
        ("setns", nr::SETNS, [0, 0, 0, 0, 0]),
        ("clone-user", nr::CLONE, [0x1000_0000 | 17, 0, 0, 0, 0]),
        ("clone-net", nr::CLONE, [0x4000_0000 | 17, 0, 0, 0, 0]),
        ("clone3", 435, [none, 0, 0, 0, 0]),
        ("ptrace-traceme", nr::PTRACE, [0, 0, 0, 0, 0]),
        ("ptrace-attach", nr::PTRACE, [16, 1, 0, 0, 0]),
        ("process_vm_readv", nr::PROCESS_VM_READV, [1, none, 0, none, 0]),
        ("pidfd_getfd", 438, [0, 0, 0, 0, 0]),
        ("kcmp", nr::KCMP, [1, own, 0, 0, 0]),
        ("bpf", nr::BPF, [0, none, 0, 0, 0]),
        ("perf_event_open", nr::PERF_EVENT_OPEN, [none, 0, 0, 0, 0]),
        ("userfaultfd", nr::USERFAULTFD, [0, 0, 0, 0, 0]),
        ("io_uring_setup", 425, [1, none, 0, 0, 0]),
        ("io_uring_enter", 426, [0, 0, 0, 0, 0]),
        ("keyctl", nr::KEYCTL, [0, 0, 0, 0, 0]),
        ("add_key", nr::ADD_KEY, [none, none, none, 0, 0]),
        ("init_module", nr::INIT_MODULE, [none, 0, none, 0, 0]),
        ("kexec_load", nr::KEXEC_LOAD, [0, 0, none, 0, 0]),
        ("reboot", nr::REBOOT, [0, 0, 0, 0, 0]),
        ("syslog", nr::SYSLOG, [10, 0, 0, 0, 0]),
        ("sethostname", nr::SETHOSTNAME, [root, 1, 0, 0, 0]),
        ("open_tree", 428, [usize::MAX - 99, root, 1, 0, 0]),
        ("move_mount", 429, [0, root, 0, root, 0]),
        ("fsopen", 430, [c"tmpfs".as_ptr().addr(), 0, 0, 0, 0]),
        ("mount_setattr", 442, [usize::MAX - 99, root, 0, none, 0]),
        ("open_by_handle_at", nr::OPEN_BY_HANDLE_AT, [0, none, 0, 0, 0]),
        ("fanotify_init", nr::FANOTIFY_INIT, [0, 0, 0, 0, 0]),
        ("personality", nr::PERSONALITY, [0x0040_0000, 0, 0, 0, 0]),
        ("tiocsti", nr::IOCTL, [0, 0x5412, root, 0, 0]),
        ("tiocsti-high", nr::IOCTL, [0, 0x1_0000_5412, root, 0, 0]),
        ("setuid-root", nr::SETUID, [0, 0, 0, 0, 0]),
        ("setgroups", nr::SETGROUPS, [0, none, 0, 0, 0]),
        ("unknown", 9999, [0, 0, 0, 0, 0]),
    ] {
        try_call(name, number, args);
    }
    #[cfg(target_arch = "x86_64")]
    for (name, number) in [("x32-getpid", 39), ("x32-execve", 520)] {
        try_call(name, 0x4000_0000 | number, [0; 5]);
    }
    #[cfg(target_arch = "x86_64")]
    for (name, number) in [("iopl", 172), ("modify_ldt", 154)] {
        try_call(name, number, [3, 0, 0, 0, 0]);
    }
    for (name, kind) in [("mknod-block", 0o060_000), ("mknod-char", 0o020_000)] {
        say(name, code(unsafe { mknod(c"/tmp/node".as_ptr(), kind | 0o666, 0x0101) }.into()));
    }
}

fn sockets(host_name: &str) {
    for (name, family, kind) in [
        ("inet", 2_i64, 1),
        ("inet-raw", 2, 3),
        ("inet6", 10, 2),
        ("netlink", 16, 3),
        ("packet", 17, 3),
        ("alg", 38, 5),
        ("vsock", 40, 1),
        // The kernel looks at the lower half only, and so must the filter.
        ("inet-high", 0x1_0000_0002, 1),
    ] {
        say(name, code(unsafe { syscall(nr::SOCKET, family, kind, 0_usize) }));
    }
    let abstract_name =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(host_name)
            .unwrap();
    say("abstract", std::os::unix::net::UnixStream::connect_addr(&abstract_name).map(|_| 0));
    say("unix-pair", std::os::unix::net::UnixStream::pair().map(|_| 0));
}

fn forks() {
    let mut count = 0;
    loop {
        match unsafe { fork() } {
            0 => thread::sleep(Duration::from_secs(60)),
            -1 => break,
            _ => count += 1,
        }
        if count > 5000 {
            break;
        }
    }
    println!("forks={count}");
}

fn fill(folder: &str) {
    let mut file = fs::File::create(format!("{folder}/full")).unwrap();
    let mut written = 0_i64;
    let result = loop {
        match file.write(&[7; 65536]) {
            Ok(count) => written += i64::try_from(count).unwrap(),
            Err(e) => break e,
        }
        if written > 1 << 32 {
            break io::Error::from_raw_os_error(0);
        }
    };
    println!("written={written}");
    say("fill", Err(result));
}

fn files(folder: &str) {
    let failed =
        (0..10_000_000).find_map(|n| fs::File::create(format!("{folder}/{n}")).err().map(|e| (n, e)));
    println!("files={}", failed.as_ref().map_or(-1, |f| f.0));
}

fn eat(mebibytes: usize) {
    let mut held = Vec::new();
    for _ in 0..mebibytes {
        let mut block: Vec<u8> = Vec::new();
        if block.try_reserve_exact(1 << 20).is_err() {
            println!("refused-after={}", held.len());
            process::exit(3);
        }
        block.resize(1 << 20, 1);
        held.push(std::hint::black_box(block));
    }
    println!("eaten={}", held.len());
}

fn shared_eat(mebibytes: usize) {
    let length = mebibytes << 20;
    let at = unsafe { mmap(std::ptr::null_mut(), length, 3, 0x21, -1, 0) };
    if at.addr() == usize::MAX {
        println!("refused");
        process::exit(3);
    }
    for page in (0..length).step_by(4096) {
        unsafe { at.cast::<u8>().add(page).write_volatile(1) };
    }
    println!("eaten={mebibytes}");
}

/// Forks twice and leaves its session; the last one lives on, with a mark in its arguments.
fn daemon(mark: &str, wait: bool) {
    if unsafe { fork() } == 0 {
        unsafe { setsid() };
        if unsafe { fork() } == 0 {
            let error = Command::new("/proc/self/exe").args(["sleep", mark]).exec();
            say("exec", Err(error));
        }
        process::exit(0);
    }
    if wait {
        thread::sleep(Duration::from_secs(100));
    }
    thread::sleep(Duration::from_millis(100));
}

fn flood(mebibytes: usize) {
    let mut out = io::stdout().lock();
    for _ in 0..mebibytes {
        out.write_all(&[b'x'; 1 << 20]).unwrap();
    }
}

fn results() {
    fs::create_dir_all("/out/a/b").unwrap();
    fs::write("/out/a/b/deep", "deep").unwrap();
    fs::write("/out/flat", "flat!").unwrap();
    fs::write("/dev/stdout", "to stdout\n").unwrap();
    fs::copy("/in/data", "/out/copy").unwrap();
}

fn hostile_results(kind: &str) {
    match kind {
        "link" => symlink("/etc/passwd", "/out/link").unwrap(),
        "pipe" => {
            code(unsafe { mknod(c"/out/pipe".as_ptr(), 0o010_666, 0) }.into()).unwrap();
        }
        "holes" => fs::File::create("/out/holes").unwrap().set_len(1 << 22).unwrap(),
        "modes" => modes(),
        "names" => {
            // No UTF-8, a line's end, and a link's and a whiteout's name.
            for name in [&b"\xff\xfe"[..], b"a\nb", b".wh.x", b"-rf"] {
                fs::write(Path::new("/out").join(OsStr::from_bytes(name)), name).unwrap();
            }
            fs::create_dir("/out/empty").unwrap();
        }
        "hard" => {
            fs::write("/out/one", [7; 1 << 20]).unwrap();
            fs::hard_link("/out/one", "/out/two").unwrap();
        }
        "sparse" => {
            let file = fs::File::create("/out/sparse").unwrap();
            file.write_all_at(b"begin", 0).unwrap();
            file.write_all_at(b"end", (64 << 20) - 3).unwrap();
        }
        "deep" => fs::create_dir_all(format!("/out{}", "/d".repeat(100))).unwrap(),
        _ => process::exit(99),
    }
}

/// What the task's own user can't read, what others could write to, and what would run as somebody else.
fn modes() {
    let set = |path: &str, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (name, mode) in [("closed", 0), ("open", 0o666), ("program", 0o6755), ("write-only", 0o222)] {
        fs::write(format!("/out/{name}"), name).unwrap();
        set(&format!("/out/{name}"), mode);
    }
    fs::create_dir("/out/dark").unwrap();
    fs::write("/out/dark/inner", "inner").unwrap();
    set("/out/dark/inner", 0o400);
    set("/out/dark", 0);
    fs::create_dir("/out/shared").unwrap();
    set("/out/shared", 0o1777);
    set("/out", 0);
}

/// `getpid` through the 32-bit door.
#[cfg(target_arch = "x86_64")]
fn int80() -> i64 {
    let result: i64;
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => result, lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    result
}

#[cfg(target_arch = "x86_64")]
mod nr {
    pub const CLONE: i64 = 56;
    pub const MOUNT: i64 = 165;
    pub const UMOUNT2: i64 = 166;
    pub const PIVOT_ROOT: i64 = 155;
    pub const CHROOT: i64 = 161;
    pub const UNSHARE: i64 = 272;
    pub const SETNS: i64 = 308;
    pub const PTRACE: i64 = 101;
    pub const PROCESS_VM_READV: i64 = 310;
    pub const KCMP: i64 = 312;
    pub const BPF: i64 = 321;
    pub const PERF_EVENT_OPEN: i64 = 298;
    pub const USERFAULTFD: i64 = 323;
    pub const KEYCTL: i64 = 250;
    pub const ADD_KEY: i64 = 248;
    pub const INIT_MODULE: i64 = 175;
    pub const KEXEC_LOAD: i64 = 246;
    pub const REBOOT: i64 = 169;
    pub const SYSLOG: i64 = 103;
    pub const SETHOSTNAME: i64 = 170;
    pub const OPEN_BY_HANDLE_AT: i64 = 304;
    pub const FANOTIFY_INIT: i64 = 300;
    pub const PERSONALITY: i64 = 135;
    pub const IOCTL: i64 = 16;
    pub const SETUID: i64 = 105;
    pub const SETGROUPS: i64 = 116;
    pub const SOCKET: i64 = 41;
}

#[cfg(target_arch = "aarch64")]
mod nr {
    pub const CLONE: i64 = 220;
    pub const MOUNT: i64 = 40;
    pub const UMOUNT2: i64 = 39;
    pub const PIVOT_ROOT: i64 = 41;
    pub const CHROOT: i64 = 51;
    pub const UNSHARE: i64 = 97;
    pub const SETNS: i64 = 268;
    pub const PTRACE: i64 = 117;
    pub const PROCESS_VM_READV: i64 = 270;
    pub const KCMP: i64 = 272;
    pub const BPF: i64 = 280;
    pub const PERF_EVENT_OPEN: i64 = 241;
    pub const USERFAULTFD: i64 = 282;
    pub const KEYCTL: i64 = 219;
    pub const ADD_KEY: i64 = 217;
    pub const INIT_MODULE: i64 = 105;
    pub const KEXEC_LOAD: i64 = 104;
    pub const REBOOT: i64 = 142;
    pub const SYSLOG: i64 = 116;
    pub const SETHOSTNAME: i64 = 161;
    pub const OPEN_BY_HANDLE_AT: i64 = 265;
    pub const FANOTIFY_INIT: i64 = 262;
    pub const PERSONALITY: i64 = 92;
    pub const IOCTL: i64 = 29;
    pub const SETUID: i64 = 146;
    pub const SETGROUPS: i64 = 159;
    pub const SOCKET: i64 = 198;
}
