//! The measured runtime as a file that can be started.

use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A runtime, installed under the hash of its bytes, which is its measurement as a simulated enclave.
#[derive(Debug, Clone)]
pub struct Runtime {
    program: PathBuf,
    work: PathBuf,
}

impl Runtime {
    /// Writes the runtime into a folder, unless it stands there already with exactly these bytes.
    ///
    /// # Errors
    /// The folder or the file can't be written.
    pub fn install(bytes: &[u8], folder: &Path) -> io::Result<Self> {
        let work = folder.join("work");
        DirBuilder::new().recursive(true).mode(0o700).create(&work)?;
        let program = folder.join(format!("pox-enclave-{}", hex::encode(&Sha256::digest(bytes)[..8])));
        if fs::read(&program).is_ok_and(|found| found == bytes) {
            return Ok(Self { program, work });
        }
        let unfinished = program.with_extension(format!("new-{}", std::process::id()));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o700).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&unfinished, &program)?;
        Ok(Self { program, work })
    }

    /// How it is started: as a process that no TEE protects, with an empty environment and a folder for its private files.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.work).arg("--simulated").env_clear().stderr(Stdio::inherit());
        command
    }
}
