//! Where plaintext lives while the enclave does: in memory, seen by nobody else where the kernel allows that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The enclave's private folders; gone when this is dropped.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    /// Whether a mount namespace of its own hides it, and takes it away even if the enclave is killed.
    private: bool,
}

impl Workspace {
    /// Makes the folders under `parent`: on a memory file system of its own where the enclave may mount one, or
    /// else as a plain folder that only this user can enter.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn create(parent: &Path) -> io::Result<Self> {
        let private = hide(parent).is_ok();
        let root = parent.join(format!("pox-enclave-{}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&root)?;
        let workspace = Self { root, private };
        for folder in ["image", "inputs", "staging"] {
            builder.create(workspace.root.join(folder))?;
        }
        Ok(workspace)
    }

    /// Takes the unpacked image.
    pub(crate) fn image(&self) -> PathBuf {
        self.root.join("image")
    }

    /// Takes one opened input.
    pub(crate) fn input(&self, index: usize) -> PathBuf {
        self.root.join("inputs").join(index.to_string())
    }

    /// Takes what is on its way to somewhere else.
    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // In a namespace of its own the kernel drops it with the process; doing it here too frees memory early.
        if let Err(error) = fs::remove_dir_all(&self.root)
            && !self.private
        {
            eprintln!("warning: {} could not be removed: {error}", self.root.display());
        }
    }
}

/// Covers `parent` with a memory file system that only this process and its children see.
fn hide(parent: &Path) -> io::Result<()> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    crate::sandbox::sys::new_mount_namespace()?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    mount(
        "pox-enclave",
        parent,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        Some(c"mode=0700,size=90%"),
    )?;
    Ok(())
}
