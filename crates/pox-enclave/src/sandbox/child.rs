//! The new processes: the first one, which sets up and then only waits, and the task's.
//!
//! Runs in a fork of the enclave, where other threads' locks may be held for ever: nothing here
//! allocates, locks or prints. What fails is told to the enclave over the channel.

use std::{
    convert::Infallible,
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, send, sendmsg},
    process::{
        DumpableBehavior, Gid, Pid, Signal, Uid, WaitOptions, chdir, set_dumpable_behavior,
        set_parent_process_death_signal, setrlimit, setsid, umask, wait,
    },
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
    system::sethostname,
    thread::{
        CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
        set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use super::{
    identity::INSIDE_ID,
    mounts,
    plan::{Plan, User},
    sys,
};

/// What the first process tells the enclave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// All is set up; the output folder comes with this.
    Ready,
    /// Something failed before the task's program ran.
    Failed(Fault),
    /// The task's program ended with this wait status.
    Ended(i32),
}

/// A system call that failed in a new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) step: Step,
    /// Which of several, where there are.
    pub(super) index: u16,
    pub(super) errno: Errno,
}

impl Fault {
    pub(super) fn of(self, index: u16) -> Self {
        Self { index, ..self }
    }
}

/// What the new processes do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Channel,
    Maps,
    Identity,
    Private,
    Root,
    Scratch,
    Devices,
    Processes,
    Input,
    InputPoint,
    Enter,
    Name,
    CgroupNamespace,
    OpenWalls,
    Fork,
    Forget,
    Streams,
    Limits,
    Capabilities,
    EnterWalls,
    Filter,
    WorkingFolder,
    Execute,
}

impl Step {
    /// Every step with its description, for the enclave.
    const ALL: [(Self, &str); 23] = [
        (Self::Channel, "talking to the enclave"),
        (Self::Maps, "mapping the task's user"),
        (Self::Identity, "becoming the task's user"),
        (Self::Private, "making mounts private"),
        (Self::Root, "mounting the image"),
        (Self::Scratch, "mounting scratch and output"),
        (Self::Devices, "mounting the devices"),
        (Self::Processes, "mounting the processes"),
        (Self::Input, "mounting an input"),
        (Self::InputPoint, "finding an input's mount point"),
        (Self::Enter, "changing the root"),
        (Self::Name, "setting the host name"),
        (Self::CgroupNamespace, "making a control group namespace"),
        (Self::OpenWalls, "making Landlock rules"),
        (Self::Fork, "starting the task's process"),
        (Self::Forget, "forgetting the enclave's memory"),
        (Self::Streams, "connecting the standard streams"),
        (Self::Limits, "setting limits"),
        (Self::Capabilities, "dropping capabilities"),
        (Self::EnterWalls, "entering Landlock walls"),
        (Self::Filter, "installing the system call filter"),
        (Self::WorkingFolder, "entering the working folder"),
        (Self::Execute, "executing the program"),
    ];

    pub(super) fn description(self) -> &'static str {
        Self::ALL.iter().find(|(step, _)| *step == self).map_or("", |(_, text)| text)
    }
}

/// Says at which step something failed.
pub(super) trait At<T> {
    fn at(self, step: Step) -> Result<T, Fault>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, step: Step) -> Result<T, Fault> {
        self.map_err(|errno| Fault { step, index: 0, errno })
    }
}

impl Message {
    /// Kind, step, index and value, little-endian.
    pub(super) const LENGTH: usize = 8;

    fn encode(self) -> [u8; Self::LENGTH] {
        let (kind, step, index, value) = match self {
            Self::Ready => (0, 0, 0, 0),
            Self::Failed(fault) => (1, fault.step as u8, fault.index, fault.errno.raw_os_error()),
            Self::Ended(status) => (2, 0, 0, status),
        };
        let ([i0, i1], [v0, v1, v2, v3]) = (index.to_le_bytes(), value.to_le_bytes());
        [kind, step, i0, i1, v0, v1, v2, v3]
    }

    /// Only our own code writes messages, but the enclave trusts nothing that comes from there.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let [kind, step, i0, i1, v0, v1, v2, v3] = <[u8; Self::LENGTH]>::try_from(bytes).ok()?;
        let value = i32::from_le_bytes([v0, v1, v2, v3]);
        match kind {
            0 => Some(Self::Ready),
            1 => {
                let (step, _) = *Step::ALL.iter().find(|(s, _)| *s as u8 == step)?;
                let errno = Errno::from_raw_os_error((1..=MAX_ERRNO).contains(&value).then_some(value)?);
                Some(Self::Failed(Fault { step, index: u16::from_le_bytes([i0, i1]), errno }))
            }
            2 => Some(Self::Ended(value)),
            _ => None,
        }
    }
}

/// The first process of the task's namespaces.
pub(super) fn main(plan: &Plan) -> ! {
    sys::close_inherited(plan.enclave_channel);
    let Err(fault) = set_up(plan).and_then(|()| start(plan));
    fail(plan, fault)
}

fn fail(plan: &Plan, fault: Fault) -> ! {
    let _ = send(&plan.channel, &Message::Failed(fault).encode(), SendFlags::NOSIGNAL);
    sys::exit(1)
}

fn set_up(plan: &Plan) -> Result<(), Fault> {
    set_parent_process_death_signal(Some(Signal::KILL)).at(Step::Channel)?;
    wait_for(&plan.channel, MAPPED).at(Step::Channel)?;
    take_identity(plan)?;
    // Changing users has cleared it.
    set_parent_process_death_signal(Some(Signal::KILL)).at(Step::Channel)?;
    umask(Mode::empty());
    let output = mounts::build(plan)?;
    sethostname(HOST_NAME).at(Step::Name)?;
    send_ready(plan, &output).at(Step::Channel)?;
    drop(output);
    // If the enclave died before it could have been noticed, this ends here.
    wait_for(&plan.channel, GO).at(Step::Channel)?;
    if plan.cgroup_namespace {
        sys::new_cgroup_namespace().at(Step::CgroupNamespace)?;
    }
    if let Some(walls) = &plan.walls {
        mounts::open_walls(plan, walls).at(Step::OpenWalls)?;
    }
    Ok(())
}

fn take_identity(plan: &Plan) -> Result<(), Fault> {
    match &plan.user {
        User::Mapped => become_user(INSIDE_ID).at(Step::Identity)?,
        User::MapsItself { user_map, group_map } => map_self(user_map, group_map).at(Step::Maps)?,
        User::Host(_) => {}
    }
    // No one may look into the copy of the enclave that this process still is.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Step::Identity)
}

fn become_user(id: u32) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)
}

/// An unprivileged enclave cannot write its hidden child's maps: the files of a process that is not
/// dumpable are root's. So the child shows itself while it writes them.
fn map_self(user_map: &str, group_map: &str) -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    for (path, text) in [
        (c"/proc/self/oom_score_adj", OUT_OF_MEMORY_FIRST),
        (c"/proc/self/setgroups", "deny"),
        (c"/proc/self/uid_map", user_map),
        (c"/proc/self/gid_map", group_map),
    ] {
        let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, text.as_bytes())?;
    }
    Ok(())
}

fn send_ready(plan: &Plan, output: &OwnedFd) -> Result<(), Errno> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let fds = [output.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    sendmsg(&plan.channel, &[IoSlice::new(&Message::Ready.encode())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn wait_for(channel: &OwnedFd, signal: u8) -> Result<(), Errno> {
    let mut byte = [0_u8; 1];
    loop {
        match recv(channel, &mut byte, RecvFlags::empty()) {
            Ok((1, _)) if byte == [signal] => return Ok(()),
            Ok(_) => return Err(Errno::CONNRESET),
            Err(Errno::INTR) => {}
            Err(other) => return Err(other),
        }
    }
}

/// Starts the task's process, forgets the enclave, and only then lets that process go on.
fn start(plan: &Plan) -> Result<Infallible, Fault> {
    let (hold, release) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).at(Step::Fork)?;
    let maps =
        openat(CWD, c"/proc/self/maps", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(Step::Forget)?;
    let Some(task) = sys::fork().at(Step::Fork)? else {
        drop((release, maps));
        let Err(fault) = become_task(plan, &hold);
        fail(plan, fault)
    };
    drop_capabilities().at(Step::Capabilities)?;
    let (channel, release) = (plan.channel.as_raw_fd(), release.as_raw_fd());
    // Nothing of the plan may be used below.
    sys::forget_memory(maps.as_fd()).at(Step::Forget)?;
    let [channel, release] = sys::close_all_but(channel, release).at(Step::Forget)?;
    reap(task, channel, release)
}

/// Waits until the task's program ends, and for every orphan until then. The kernel ends the rest.
fn reap(task: Pid, channel: BorrowedFd<'_>, release: BorrowedFd<'_>) -> ! {
    if rustix::io::write(release, &[GO]).is_err() {
        sys::exit(1);
    }
    sys::close_inherited(release.as_raw_fd());
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == task => {
                let _ = send(channel, &Message::Ended(status.as_raw()).encode(), SendFlags::NOSIGNAL);
                sys::exit(0);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => sys::exit(1),
        }
    }
}

fn become_task(plan: &Plan, hold: &OwnedFd) -> Result<Infallible, Fault> {
    let mut byte = [0_u8; 1];
    if rustix::io::read(hold, &mut byte) != Ok(1) {
        return Err(Errno::PIPE).at(Step::Fork);
    }
    setsid().at(Step::Streams)?;
    dup2_stdin(&plan.stdin).at(Step::Streams)?;
    dup2_stdout(&plan.stdout).at(Step::Streams)?;
    dup2_stderr(&plan.stderr).at(Step::Streams)?;
    sys::close_on_execute(3).at(Step::Streams)?;
    sys::reset_signals();
    umask(Mode::from_raw_mode(0o022));
    for (resource, limit) in &plan.limits {
        setrlimit(*resource, *limit).at(Step::Limits)?;
    }
    drop_bounding_set().at(Step::Capabilities)?;
    if let User::Host(id) = plan.user {
        become_user(id).at(Step::Identity)?;
    }
    drop_capabilities().at(Step::Capabilities)?;
    set_no_new_privs(true).at(Step::Capabilities)?;
    if let Some(walls) = &plan.walls {
        sys::landlock_enter(walls.ruleset.as_fd()).at(Step::EnterWalls)?;
    }
    chdir(plan.cwd.as_c_str()).at(Step::WorkingFolder)?;
    for filter in &plan.filters.0 {
        seccompiler::apply_filter(filter).map_err(|_| Errno::INVAL).at(Step::Filter)?;
    }
    Err(execute(plan)).at(Step::Execute)
}

/// Tries the program's places in order, as shells do: one that is there but cannot be executed matters
/// more than one that is not there.
fn execute(plan: &Plan) -> Errno {
    let mut result = Errno::NOENT;
    for program in &plan.programs {
        match sys::execute(program, &plan.args, &plan.env) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => result = Errno::ACCESS,
            other => return other,
        }
    }
    result
}

/// Executing a program can never again give a capability.
fn drop_bounding_set() -> Result<(), Errno> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first number that this kernel does not know.
            Err(Errno::INVAL) => break,
            Err(other) => return Err(other),
        }
    }
    let locked = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    set_capabilities_secure_bits(locked)
}

fn drop_capabilities() -> Result<(), Errno> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// The enclave's signals: the maps are written; the limits are in place.
pub(super) const MAPPED: u8 = b'm';
pub(super) const GO: u8 = b'g';
/// If the machine runs out of memory, the task goes first.
pub(super) const OUT_OF_MEMORY_FIRST: &str = "1000";
const HOST_NAME: &[u8] = b"pox";
/// The kernel's highest error number.
const MAX_ERRNO: i32 = 4095;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive() {
        for (step, text) in Step::ALL {
            let fault = Fault { step, index: 513, errno: Errno::NOENT };
            assert_eq!(Message::decode(&Message::Failed(fault).encode()), Some(Message::Failed(fault)));
            assert_eq!(step.description(), text);
        }
        for message in [Message::Ready, Message::Ended(-1), Message::Ended(0x8b)] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
    }

    #[test]
    fn nonsense_is_no_message() {
        for bytes in [
            &[][..],
            &[0; 7],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[1, 99, 0, 0, 2, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(Message::decode(bytes), None);
        }
    }
}
