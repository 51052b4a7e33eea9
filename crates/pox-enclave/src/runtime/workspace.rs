//! Where plaintext lives while the enclave does: in memory, seen by nobody else where the kernel allows that.

use crate::sandbox::sys;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{getegid, geteuid};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The enclave's private folders; gone when this is dropped.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Makes the folders under `parent`: on a memory file system in a mount namespace of its own, which goes with the
    /// process however that ends; where the kernel allows none, as a plain folder that only this user can enter, after
    /// those that killed enclaves left there are removed.
    ///
    /// Has to be called before this process hardens itself: as an ordinary user it maps its own ids.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn create(parent: &Path) -> io::Result<Self> {
        if !hide(parent)? {
            sweep(parent);
        }
        let root = parent.join(format!("{PREFIX}{}", std::process::id()));
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(&root)?;
        let workspace = Self { root };
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

    /// Takes what is on its way to somewhere else; what was there before is gone.
    pub(crate) fn fresh_staging(&self) -> io::Result<PathBuf> {
        let staging = self.root.join("staging");
        fs::remove_dir_all(&staging)?;
        DirBuilder::new().mode(0o700).create(&staging)?;
        Ok(staging)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        remove(&self.root);
    }
}

/// Covers `parent` with a memory file system that only this process and its children see, if the kernel lets it.
fn hide(parent: &Path) -> io::Result<bool> {
    if !private_mounts()? {
        return Ok(false);
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let hidden = mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .and_then(|()| mount("pox-enclave", parent, "tmpfs", flags, Some(c"mode=0700,size=90%")));
    Ok(hidden.is_ok())
}

/// Enters a mount namespace of its own; an ordinary user needs a user namespace for that.
fn private_mounts() -> io::Result<bool> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    if sys::new_mount_namespace().is_ok() {
        return Ok(true);
    }
    if sys::new_user_and_mount_namespaces().is_err() {
        return Ok(false);
    }
    // From here on there is no way back: without its ids this process could not go on.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1\n"))?;
    Ok(true)
}

/// Removes what enclaves left that were killed before they could.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(&entry.path());
        }
    }
}

/// Removes a tree, folders without write permission included: inputs are shown to the task like that.
fn remove(root: &Path) {
    if fs::remove_dir_all(root).is_err() {
        make_writable(root);
        if let Err(error) = fs::remove_dir_all(root) {
            eprintln!("warning: {} could not be removed: {error}", root.display());
        }
    }
}

fn make_writable(folder: &Path) {
    // What fails here fails again, and is told, when the tree is removed.
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// Begins the name of every workspace; its process's number follows.
const PREFIX: &str = "pox-enclave-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_written_is_removed_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("pox-enclave-1");
        fs::create_dir_all(root.join("inputs/0/deep")).unwrap();
        fs::write(root.join("inputs/0/deep/file"), "plaintext").unwrap();
        for closed in ["inputs/0/deep", "inputs/0"] {
            fs::set_permissions(root.join(closed), Permissions::from_mode(0o500)).unwrap();
        }
        remove(&root);
        assert!(!root.exists());
    }

    #[test]
    fn only_what_dead_enclaves_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join(format!("{PREFIX}{}", std::process::id()));
        // Linux gives no process a number above 2^22.
        let dead = folder.path().join(format!("{PREFIX}{}", (1 << 22) + 1));
        let other = folder.path().join("other");
        for path in [&alive, &dead, &other] {
            fs::create_dir(path).unwrap();
        }
        sweep(folder.path());
        assert_eq!([alive, dead, other].map(|path| path.exists()), [true, false, true]);
    }
}
