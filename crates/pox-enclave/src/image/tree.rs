use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::{EntryFault, Limits, Owner};

/// A directory that becomes the image's root. Nothing done through it touches anything outside.
///
/// Every path is resolved by the kernel with this directory as root (`openat2` with `RESOLVE_IN_ROOT`, no magic
/// links, no mount points), and every change is made relative to the descriptor so obtained, on a single name that
/// isn't followed. Only this process may write to the directory meanwhile.
pub struct Tree {
    root: OwnedFd,
    owner: Owner,
    max_depth: u32,
    /// Depth of each directory by inode: links could otherwise build deeper trees than any path is long.
    depths: HashMap<u64, u32>,
    /// Names that the current layer has created or touched.
    fresh: HashSet<NameId>,
    /// The last parent, since archives list a directory's entries together.
    last: Option<(Vec<Vec<u8>>, Parent)>,
}

/// An open directory in which names are created.
#[derive(Debug)]
pub(super) struct Parent {
    fd: OwnedFd,
    inode: u64,
    depth: u32,
}

/// Why a change wasn't made: the image's fault, or the file system's.
#[derive(Debug)]
pub(super) enum Failure {
    /// A name isn't there, which the caller judges.
    Missing,
    Fault(EntryFault),
    Local(io::Error),
}

/// Identifies a name in a directory: a hash, so that memory doesn't grow with the length of names.
type NameId = [u8; 16];

impl Tree {
    /// Takes an empty directory.
    ///
    /// # Errors
    /// If the descriptor isn't a readable directory, or it isn't empty.
    pub fn new(dir: BorrowedFd<'_>, limits: &Limits) -> io::Result<Self> {
        let root = fs::openat(dir, c".", READ_DIR, Mode::empty())?;
        let inode = fs::fstat(&root)?.st_ino;
        if !children(&root)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        Ok(Self {
            root,
            owner: limits.owner,
            max_depth: limits.depth,
            depths: HashMap::from([(inode, 0)]),
            fresh: HashSet::new(),
            last: None,
        })
    }

    /// Starts the next layer: what the earlier ones made can now be hidden by whiteouts.
    pub(super) fn begin_layer(&mut self) {
        self.fresh.clear();
    }

    /// Makes the root readable to the task. Called last.
    pub(super) fn seal(&self) -> io::Result<()> {
        self.own(self.root.as_fd())?;
        Ok(fs::fchmod(&self.root, DIR_MODE)?)
    }

    /// Removes everything in the directory.
    ///
    /// # Errors
    /// If the file system refuses; something may then be left.
    pub fn wipe(&mut self) -> io::Result<()> {
        self.last = None;
        self.fresh.clear();
        remove_children(&self.root)
    }

    /// Opens the directory with these components, creating missing ones.
    pub(super) fn make_parent(&mut self, path: &[Vec<u8>]) -> Result<Parent, Failure> {
        if let Some(parent) = self.remembered(path)? {
            return Ok(parent);
        }
        let parent = match self.open_dir(path, Links::Follow) {
            Err(Failure::Missing) => self.make_parents(path)?,
            other => other?,
        };
        self.last = Some((path.to_vec(), parent.try_clone()?));
        Ok(parent)
    }

    fn make_parents(&mut self, path: &[Vec<u8>]) -> Result<Parent, Failure> {
        let mut parent = self.open_dir(&[], Links::Follow)?;
        for end in 1..=path.len() {
            parent = match self.open_dir(&path[..end], Links::Follow) {
                Err(Failure::Missing) => {
                    let name = &path[end - 1];
                    // A dangling link has the name, and is missing all the same.
                    if fs::statat(&parent.fd, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                        return Err(Failure::Fault(EntryFault::NotADirectory));
                    }
                    self.make_dir(&parent, name, DIR_MODE)?;
                    self.open_dir(&path[..end], Links::Follow)?
                }
                other => other?,
            };
        }
        Ok(parent)
    }

    /// Opens the directory with these components; [`Failure::Missing`] if there is none.
    pub(super) fn open_dir(&self, path: &[Vec<u8>], links: Links) -> Result<Parent, Failure> {
        let joined = if path.is_empty() { b".".to_vec() } else { path.join(&b'/') };
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        if links == Links::Refuse {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The kernel asks for another try when it can't rule out a race; nobody else writes here, so one suffices.
        let fd = fs::openat2(&self.root, joined.as_slice(), flags, Mode::empty(), resolve)
            .or_else(|error| match error {
                Errno::AGAIN => fs::openat2(&self.root, joined.as_slice(), flags, Mode::empty(), resolve),
                other => Err(other),
            })
            .map_err(Failure::resolve)?;
        let inode = fs::fstat(&fd)?.st_ino;
        let depth = *self.depths.get(&inode).ok_or(Failure::Fault(EntryFault::NotADirectory))?;
        Ok(Parent { fd, inode, depth })
    }

    /// Creates an empty file that replaces whatever has its name.
    pub(super) fn create_file(&mut self, parent: &Parent, name: &[u8]) -> Result<OwnedFd, Failure> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || fs::openat(&parent.fd, name, flags, Mode::RUSR | Mode::WUSR);
        let file = match create() {
            Err(Errno::EXIST) => {
                self.remove(parent, name)?;
                create()?
            }
            other => other?,
        };
        self.fresh.insert(name_id(parent.inode, name));
        self.own(file.as_fd())?;
        Ok(file)
    }

    /// Creates a symbolic link that replaces whatever has its name. The target is kept as it is.
    pub(super) fn make_symlink(
        &mut self,
        parent: &Parent,
        name: &[u8],
        target: &[u8],
    ) -> Result<(), Failure> {
        if target.is_empty() || target.len() > TARGET_MAX || target.contains(&0) {
            return Err(Failure::Fault(EntryFault::SymlinkTarget));
        }
        self.remove(parent, name)?;
        fs::symlinkat(target, &parent.fd, name)?;
        if let Owner::Ids { uid, gid } = self.owner {
            let (uid, gid) = (fs::Uid::from_raw(uid), fs::Gid::from_raw(gid));
            fs::chownat(&parent.fd, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        self.fresh.insert(name_id(parent.inode, name));
        Ok(())
    }

    /// Gives a file or symbolic link another name, which replaces whatever has it.
    pub(super) fn make_hard_link(
        &mut self,
        parent: &Parent,
        name: &[u8],
        target_dir: &Parent,
        target: &[u8],
    ) -> Result<(), Failure> {
        let missing = |error| match error {
            Errno::NOENT | Errno::MLINK => Failure::Fault(EntryFault::LinkTarget),
            other => other.into(),
        };
        let stat = fs::statat(&target_dir.fd, target, AtFlags::SYMLINK_NOFOLLOW).map_err(missing)?;
        if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Symlink) {
            return Err(Failure::Fault(EntryFault::LinkTarget));
        }
        // Linking a name to itself must not remove it first.
        if (parent.inode, name) != (target_dir.inode, target) {
            self.remove(parent, name)?;
            fs::linkat(&target_dir.fd, target, &parent.fd, name, AtFlags::empty()).map_err(missing)?;
        }
        self.fresh.insert(name_id(parent.inode, name));
        Ok(())
    }

    /// Creates a directory, or keeps the one that has its name; anything else with the name is replaced.
    pub(super) fn make_dir(&mut self, parent: &Parent, name: &[u8], mode: Mode) -> Result<(), Failure> {
        let depth = parent.depth + 1;
        if depth > self.max_depth {
            return Err(Failure::Fault(EntryFault::TooLong));
        }
        let existing = match fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        if existing != Some(FileType::Directory) {
            self.remove(parent, name)?;
            fs::mkdirat(&parent.fd, name, Mode::RWXU)?;
        }
        let dir = fs::openat(&parent.fd, name, READ_DIR | OFlags::NOFOLLOW, Mode::empty())?;
        self.depths.insert(fs::fstat(&dir)?.st_ino, depth);
        self.own(dir.as_fd())?;
        fs::fchmod(&dir, mode)?;
        self.fresh.insert(name_id(parent.inode, name));
        Ok(())
    }

    /// Removes whatever has this name, with all that is in it.
    pub(super) fn remove(&mut self, parent: &Parent, name: &[u8]) -> Result<(), Failure> {
        match fs::unlinkat(&parent.fd, name, AtFlags::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                let dir = fs::openat(&parent.fd, name, READ_DIR | OFlags::NOFOLLOW, Mode::empty())?;
                remove_children(&dir)?;
                fs::unlinkat(&parent.fd, name, AtFlags::REMOVEDIR)?;
            }
            other => other?,
        }
        self.last = None;
        Ok(())
    }

    /// Hides what lower layers have under this name. What the current layer made stays, whatever the order.
    pub(super) fn hide(&mut self, parent: &Parent, name: &[u8]) -> Result<(), Failure> {
        self.last = None;
        let stat = match fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        let fresh = self.fresh.contains(&name_id(parent.inode, name));
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let dir = fs::openat(&parent.fd, name, READ_DIR | OFlags::NOFOLLOW, Mode::empty())?;
            let dir = Parent { fd: dir, inode: stat.st_ino, depth: parent.depth + 1 };
            self.hide_children(&dir)?;
            if !fresh {
                match fs::unlinkat(&parent.fd, name, AtFlags::REMOVEDIR) {
                    // Something of this layer is in it.
                    Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                    other => other?,
                }
            }
        } else if !fresh {
            fs::unlinkat(&parent.fd, name, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Hides everything that lower layers have in this directory.
    pub(super) fn hide_children(&mut self, dir: &Parent) -> Result<(), Failure> {
        for name in children(&dir.fd)? {
            self.hide(dir, &name)?;
        }
        Ok(())
    }

    fn remembered(&self, path: &[Vec<u8>]) -> Result<Option<Parent>, Failure> {
        match &self.last {
            Some((last, parent)) if last == path => Ok(Some(parent.try_clone()?)),
            _ => Ok(None),
        }
    }

    fn own(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        match self.owner {
            Owner::Caller => Ok(()),
            Owner::Ids { uid, gid } => {
                fs::fchown(fd, Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid)))
            }
        }
    }
}

/// Whether symbolic links inside the root may be part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Follow,
    Refuse,
}

impl Parent {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, inode: self.inode, depth: self.depth })
    }
}

impl Failure {
    fn resolve(error: Errno) -> Self {
        match error {
            Errno::LOOP | Errno::NOTDIR | Errno::XDEV => Self::Fault(EntryFault::NotADirectory),
            Errno::NAMETOOLONG => Self::Fault(EntryFault::TooLong),
            Errno::NOENT => Self::Missing,
            other => other.into(),
        }
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::Local(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Local(error)
    }
}

fn children(dir: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = vec![];
    // Opened anew: descriptors that only name a directory can't be read.
    for entry in Dir::new(fs::openat(dir, c".", READ_DIR, Mode::empty())?)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Removes all below a directory. The recursion is as deep as the tree, which [`Limits::depth`] bounds.
fn remove_children(dir: &OwnedFd) -> io::Result<()> {
    for name in children(dir)? {
        match fs::unlinkat(dir, name.as_slice(), AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {
                let below = fs::openat(dir, name.as_slice(), READ_DIR | OFlags::NOFOLLOW, Mode::empty())?;
                remove_children(&below)?;
                fs::unlinkat(dir, name.as_slice(), AtFlags::REMOVEDIR)?;
            }
            other => other?,
        }
    }
    Ok(())
}

fn name_id(directory: u64, name: &[u8]) -> NameId {
    let mut hasher = Sha256::new();
    hasher.update(directory.to_le_bytes());
    hasher.update(name);
    let mut id = NameId::default();
    id.copy_from_slice(&hasher.finalize()[..16]);
    id
}

/// Mode of directories that an archive implies but doesn't list.
pub(super) const DIR_MODE: Mode = Mode::from_raw_mode(0o755);
const READ_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Longest symbolic link target that Linux takes, in bytes.
const TARGET_MAX: usize = 4095;
