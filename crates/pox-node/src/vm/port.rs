//! Our end of a guest's serial port: a Unix socket to which the emulator connects.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

/// A socket on which one emulator is served. Drop it after the emulator has ended.
#[derive(Debug)]
pub(super) struct Port {
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Port {
    /// Listens at a path, and serves the first who connects.
    pub(super) fn listen(
        path: PathBuf,
        serve: impl FnOnce(UnixStream) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(&path)?;
        let thread = thread::Builder::new().name("guest port".into()).spawn(move || {
            // A port that breaks shows in the channel: the guest ends without it.
            let _ = listener.accept().and_then(|(guest, _)| serve(guest));
        })?;
        Ok(Self { path, thread: Some(thread) })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // If nobody ever connected, somebody has to now.
        drop(UnixStream::connect(&self.path));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_to_which_nobody_connects_can_be_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let port = Port::listen(folder.path().join("port"), |_| Ok(())).unwrap();
        drop(port);
    }
}
