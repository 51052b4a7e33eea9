//! The enclave's side of a run.

use std::{
    fs, io,
    io::IoSliceMut,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags,
        SocketFlags, SocketType, recvmsg, send, socketpair,
    },
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, pidfd_send_signal},
};

use super::{
    cgroup::Group,
    child::{self, Fault, GO, MAPPED, Message, OUT_OF_MEMORY_FIRST, Step},
    end::{Captured, End, Ended, Source, Usage},
    error::{SandboxError, TaskFault},
    machine::Sandbox,
    output::Output,
    plan::{Ends, Plan, User},
    sys::{self, ProcessUsage},
    task::Task,
};

pub(super) fn run(sandbox: &Sandbox, task: &Task) -> Result<Ended, SandboxError> {
    let (channel, child_channel) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(SandboxError::system("making a channel"))?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(SandboxError::system("making a pipe"));
    let ((stdout, task_stdout), (stderr, task_stderr)) = (pipe()?, pipe()?);
    let ends = Ends {
        channel: child_channel,
        enclave_channel: channel.as_raw_fd(),
        stdout: task_stdout,
        stderr: task_stderr,
    };
    let plan = Plan::new(sandbox, task, ends)?;
    let mut first = First::start(sandbox, &plan)?;
    if matches!(plan.user, User::Mapped | User::Host(_)) {
        first.name(sandbox, &plan)?;
    }
    tell(&channel, MAPPED)?;
    // Ours are closed, so that the streams end when the task's do.
    drop(plan);
    // Made while the first process sets up.
    let group =
        Group::new(&sandbox.hierarchy, &task.limits).map_err(SandboxError::io("making control groups"))?;
    group.attach(first.pid).map_err(SandboxError::io("limiting the task"))?;
    let output = ready(&channel, task)?;
    let begin = Instant::now();
    tell(&channel, GO)?;
    let mut watch = Watch {
        channel,
        stdout: Stream::new(stdout, task.limits.stdout_bytes),
        stderr: Stream::new(stderr, task.limits.stderr_bytes),
        status: None,
        fault: None,
    };
    let timed_out = watch.until(&first, begin + task.limits.wall)?;
    let wall = begin.elapsed();
    let process = first.wait()?;
    if let Some(fault) = watch.fault {
        return Err(blame(fault, task));
    }
    let usage = usage(&group, sandbox, process, wall, &output);
    let end = end(timed_out, watch.status, usage.out_of_memory_kills)?;
    Ok(Ended {
        end,
        stdout: watch.stdout.captured,
        stderr: watch.stderr.captured,
        output,
        usage,
        protections: sandbox.protections.clone(),
    })
}

/// The first process of the task's namespaces; dropping it ends them all.
struct First {
    pid: Pid,
    pidfd: OwnedFd,
    waited: bool,
}

impl First {
    fn start(sandbox: &Sandbox, plan: &Plan) -> Result<Self, SandboxError> {
        let stack = sys::Stack::new().map_err(SandboxError::system("allocating a stack"))?;
        let (pid, pidfd) = sys::spawn(sandbox.namespaces(), &stack, child::main, plan)
            .map_err(SandboxError::io("making the task's namespaces"))?;
        Ok(Self { pid, pidfd, waited: false })
    }

    /// Gives the process its users, and the first place when memory runs out.
    fn name(&self, sandbox: &Sandbox, plan: &Plan) -> Result<(), SandboxError> {
        let process = format!("/proc/{}", self.pid.as_raw_nonzero());
        let write = |file: &str, text: &str| fs::write(format!("{process}/{file}"), text);
        write("oom_score_adj", OUT_OF_MEMORY_FIRST)
            .map_err(SandboxError::io("preferring the task out of memory"))?;
        if matches!(plan.user, User::Mapped) {
            let [users, groups] = sandbox.identity.maps();
            write("uid_map", &users).map_err(SandboxError::io("mapping the task's user"))?;
            write("gid_map", &groups).map_err(SandboxError::io("mapping the task's group"))?;
        }
        Ok(())
    }

    fn kill(&self) -> Result<(), SandboxError> {
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(e) => Err(SandboxError::system("ending the task")(e)),
        }
    }

    fn wait(&mut self) -> Result<ProcessUsage, SandboxError> {
        let usage = sys::wait(self.pid).map_err(SandboxError::io("waiting for the task"))?;
        self.waited = true;
        Ok(usage)
    }
}

impl Drop for First {
    fn drop(&mut self) {
        if !self.waited && self.kill().is_ok() {
            let _ = sys::wait(self.pid);
        }
    }
}

fn tell(channel: &OwnedFd, signal: u8) -> Result<(), SandboxError> {
    send(channel, &[signal], SendFlags::NOSIGNAL)
        .map_err(SandboxError::system("talking to the task's first process"))?;
    Ok(())
}

/// Waits until all is set up. Gives the output folder.
fn ready(channel: &OwnedFd, task: &Task) -> Result<Output, SandboxError> {
    let failed = || SandboxError::system("setting up the task");
    let mut fds = [PollFd::new(channel, PollFlags::IN)];
    let timeout = Timespec { tv_sec: SET_UP_SECONDS, tv_nsec: 0 };
    match poll(&mut fds, Some(&timeout)) {
        Ok(0) => return Err(failed()(Errno::TIMEDOUT)),
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => return Err(failed()(e)),
    }
    match receive(channel).map_err(failed())? {
        (Some(Message::Ready), Some(folder)) => Ok(Output::new(folder)),
        (Some(Message::Failed(fault)), _) => Err(blame(fault, task)),
        _ => Err(failed()(Errno::CONNRESET)),
    }
}

/// One message, if there is a whole one, and the descriptor that came with it.
fn receive(channel: &OwnedFd) -> Result<(Option<Message>, Option<OwnedFd>), Errno> {
    let mut bytes = [0_u8; Message::LENGTH];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let received = loop {
        match recvmsg(channel, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let folder = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .next();
    let whole = !received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    let message = bytes.get(..received.bytes).filter(|_| whole).and_then(Message::decode);
    Ok((message, folder))
}

/// What is read from the task while it runs.
struct Watch {
    channel: OwnedFd,
    stdout: Stream,
    stderr: Stream,
    status: Option<i32>,
    fault: Option<Fault>,
}

impl Watch {
    /// Reads until the last process is gone. Ends them at the deadline, and says whether it had to.
    fn until(&mut self, first: &First, deadline: Instant) -> Result<bool, SandboxError> {
        let mut timed_out = false;
        let mut listening = true;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && !timed_out {
                first.kill()?;
                timed_out = true;
            }
            let mut fds = Vec::with_capacity(4);
            fds.push(PollFd::new(&first.pidfd, PollFlags::IN));
            let open =
                [listening.then_some(&self.channel), self.stdout.pipe.as_ref(), self.stderr.pipe.as_ref()];
            fds.extend(open.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut fds, (!timed_out).then_some(&timeout)) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(e) => return Err(SandboxError::system("waiting for the task")(e)),
            }
            let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
            let gone = ready.next().unwrap_or(false);
            let [message, out, err] = open.map(|fd| fd.is_some() && ready.next().unwrap_or(false));
            drop(fds);
            if message {
                listening = self.listen()?;
            }
            if out {
                self.stdout.read()?;
            }
            if err {
                self.stderr.read()?;
            }
            // With the last process its ends are closed, so what it wrote is all there is.
            if gone && !message && !out && !err {
                return Ok(timed_out);
            }
        }
    }

    /// Takes one message. The first of each kind counts.
    fn listen(&mut self) -> Result<bool, SandboxError> {
        match receive(&self.channel).map_err(SandboxError::system("listening to the task"))?.0 {
            Some(Message::Failed(fault)) => {
                self.fault.get_or_insert(fault);
            }
            Some(Message::Ended(status)) => {
                self.status.get_or_insert(status);
            }
            Some(Message::Ready) | None => return Ok(false),
        }
        Ok(true)
    }
}

/// A stream that is read to its end, and kept up to a bound.
struct Stream {
    pipe: Option<OwnedFd>,
    keep: usize,
    captured: Captured,
}

impl Stream {
    fn new(pipe: OwnedFd, keep: usize) -> Self {
        Self { pipe: Some(pipe), keep, captured: Captured::default() }
    }

    fn read(&mut self) -> Result<(), SandboxError> {
        let Some(pipe) = &self.pipe else { return Ok(()) };
        let mut buffer = [0_u8; CHUNK];
        let count = match rustix::io::read(pipe.as_fd(), &mut buffer) {
            Ok(0) => {
                self.pipe = None;
                return Ok(());
            }
            Ok(count) => count,
            Err(Errno::INTR) => return Ok(()),
            Err(e) => return Err(SandboxError::system("reading the task's streams")(e)),
        };
        let kept = count.min(self.keep - self.captured.bytes.len());
        self.captured.bytes.extend_from_slice(buffer.get(..kept).unwrap_or_default());
        self.captured.dropped += u64::try_from(count - kept).unwrap_or(u64::MAX);
        Ok(())
    }
}

fn end(timed_out: bool, status: Option<i32>, out_of_memory_kills: u64) -> Result<End, SandboxError> {
    let Some(status) = status else {
        // The first process goes with the others when their time or memory is over.
        return match (timed_out, out_of_memory_kills) {
            (true, _) => Ok(End::TimedOut),
            (false, 0) => Err(SandboxError::system("watching the task")(Errno::CHILD)),
            (false, _) => Ok(End::OutOfMemory),
        };
    };
    let end = if libc::WIFSIGNALED(status) {
        End::Signalled(libc::WTERMSIG(status))
    } else {
        End::Exited(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    };
    // A program whose child was killed often ends with an error of its own.
    Ok(if out_of_memory_kills > 0 && end != End::Exited(0) { End::OutOfMemory } else { end })
}

fn usage(group: &Group, sandbox: &Sandbox, process: ProcessUsage, wall: Duration, output: &Output) -> Usage {
    let account = group.account();
    let source = |counted: bool| if counted { sandbox.hierarchy.source() } else { Source::ProcessUsage };
    Usage {
        cpu_user: process.user,
        cpu_system: process.system,
        cpu_total: account.cpu.unwrap_or(process.user + process.system),
        cpu_source: source(account.cpu.is_some()),
        memory_peak_bytes: account.memory_peak.unwrap_or(process.max_rss_bytes),
        memory_source: source(account.memory_peak.is_some()),
        max_rss_bytes: process.max_rss_bytes,
        out_of_memory_kills: account.out_of_memory_kills.unwrap_or(0),
        wall,
        read_bytes: process.read_bytes,
        written_bytes: process.written_bytes,
        disk_bytes: output.used_bytes(),
    }
}

/// Whose fault it is that something failed in a new process.
fn blame(fault: Fault, task: &Task) -> SandboxError {
    let source = io::Error::from(fault.errno);
    match fault.step {
        Step::Execute => {
            let program = task.args.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
            TaskFault::Execute { program, source }.into()
        }
        Step::WorkingFolder => {
            TaskFault::WorkingFolder { folder: task.cwd.as_str().to_owned(), source }.into()
        }
        step => SandboxError::System { call: step.description(), source },
    }
}

/// Setting up takes milliseconds; a machine that needs this long is broken.
const SET_UP_SECONDS: i64 = 60;
/// What a pipe holds.
const CHUNK: usize = 64 << 10;
