//! The measured runtime as something that can be started: a program of this machine, or a guest.

use crate::vm::{Around, Guest};
use pox_core::channel::MAX_CHUNK_BYTES;
use pox_core::evidence::EvidenceKind;
use pox_core::{Resources, TaskId};
use rustix::pipe::fcntl_setpipe_size;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::Receiver;

/// The runtime in one of its homes; each start serves one task.
#[derive(Debug, Clone)]
pub enum Runtime {
    /// A child process.
    Process(Program),
    /// A guest, on hardware or under plain emulation.
    Vm(Guest),
}

/// A runtime, installed under the hash of its bytes, which is its measurement as a simulated enclave.
#[derive(Debug, Clone)]
pub struct Program {
    program: PathBuf,
    work: PathBuf,
}

/// A runtime that was started.
pub(crate) struct Started {
    pub(crate) process: Child,
    pub(crate) input: ChildStdin,
    pub(crate) output: ChildStdout,
    /// What it printed last, once it has ended.
    pub(crate) last_words: Option<Receiver<String>>,
    /// What has to go after it.
    pub(crate) around: Option<Around>,
}

impl Runtime {
    /// Which kind of evidence its enclaves give.
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Self::Process(_) => EvidenceKind::Simulated,
            Self::Vm(guest) => guest.kind(),
        }
    }

    /// Starts it for a task that may use so much.
    pub(crate) fn start(&self, task: TaskId, resources: &Resources) -> io::Result<Started> {
        match self {
            Self::Process(program) => program.start(),
            Self::Vm(guest) => guest.start(task, resources),
        }
    }
}

impl Program {
    /// Writes the runtime into a folder, unless it stands there already with exactly these bytes.
    ///
    /// # Errors
    /// The folder or the file can't be written.
    pub fn install(bytes: &[u8], folder: &Path) -> io::Result<Self> {
        let work = folder.join("work");
        DirBuilder::new().recursive(true).mode(0o700).create(&work)?;
        let program = folder.join(format!("pox-enclave-{}", hex::encode(&Sha256::digest(bytes)[..8])));
        put(bytes, &program, 0o700)?;
        Ok(Self { program, work })
    }

    /// Starts it as a process that no TEE protects, with an empty environment and a folder for its private files.
    fn start(&self) -> io::Result<Started> {
        let mut command = Command::new(&self.program);
        command.arg(&self.work).arg("--simulated");
        Started::spawn(command)
    }
}

impl Started {
    /// Starts a program whose standard input and output are the channel.
    pub(crate) fn spawn(mut command: Command) -> io::Result<Self> {
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        for pipe in [input.as_fd(), output.as_fd()] {
            // A chunk at a time, if the system lets us; less is slower and nothing else.
            let _ = fcntl_setpipe_size(pipe, MAX_CHUNK_BYTES);
        }
        Ok(Self { process, input, output, last_words: None, around: None })
    }
}

/// Writes a file in one step, unless it stands there already with exactly these bytes.
pub(crate) fn put(bytes: &[u8], path: &Path, mode: u32) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let unfinished = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&unfinished, path)
}
