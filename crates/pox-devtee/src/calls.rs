//! Files that are calls into this process, as the kernel's own pseudo files are calls into the kernel.
//!
//! Nothing is cached: each open, read, write and close of a program arrives here, in its order. Needs `/dev/fuse`, and the
//! right to mount.

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, INodeNo,
    IoctlFlags, LockOwner, MountOption, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyWrite, Request, SessionACL,
};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Folder,
    /// A file that can be read, written, or both.
    File {
        read: bool,
        write: bool,
    },
}

/// A tree of pseudo files. Paths are relative to where it is mounted; the empty path is the mount itself.
pub(crate) trait Tree: Send + Sync + 'static {
    fn node(&self, path: &Path) -> Option<Node>;

    fn names(&self, folder: &Path) -> Vec<String>;

    fn make_folder(&self, _path: &Path) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn remove_folder(&self, _path: &Path) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Opens a file for one of the ways that its node allows.
    fn open(&self, path: &Path) -> Result<Box<dyn Opened>, Errno>;
}

/// One open file.
pub(crate) trait Opened: Send {
    fn read(&mut self, _offset: usize, _most: usize) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    fn write(&mut self, _offset: usize, _bytes: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// The program closes it; an error would reach nobody.
    fn close(&mut self) {}

    /// Takes the argument by value and gives it back, as the kernel copies it in and out.
    fn ioctl(&mut self, _caller: u32, _command: u32, _argument: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTTY)
    }
}

/// A mounted tree; dropping it unmounts. Where it is bound elsewhere too, or a file of it is open, it goes on there.
#[derive(Debug)]
pub(crate) struct Mounted {
    _session: BackgroundSession,
}

impl Mounted {
    pub(crate) fn at(folder: &Path, name: &str, tree: Arc<dyn Tree>) -> io::Result<Self> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName(name.to_owned()), MountOption::NoExec];
        config.acl = SessionACL::All;
        let calls = Calls { tree, paths: Mutex::new(Paths::new()), open: Mutex::new(HashMap::new()) };
        Ok(Self { _session: fuser::spawn_mount(calls, folder, &config)? })
    }
}

/// Reads a part of what a file holds.
pub(crate) fn part(bytes: &[u8], offset: usize, most: usize) -> Vec<u8> {
    let rest = bytes.get(offset..).unwrap_or_default();
    rest[..rest.len().min(most)].to_vec()
}

/// A lock that a panicking test does not take away from the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type SharedFile = Arc<Mutex<Box<dyn Opened>>>;

struct Calls {
    tree: Arc<dyn Tree>,
    paths: Mutex<Paths>,
    open: Mutex<HashMap<u64, SharedFile>>,
}

/// Every path that was ever looked up has a number, which is never used again.
struct Paths {
    numbers: HashMap<PathBuf, u64>,
    paths: Vec<PathBuf>,
}

impl Paths {
    fn new() -> Self {
        Self { numbers: HashMap::from([(PathBuf::new(), 1)]), paths: vec![PathBuf::new()] }
    }

    fn number(&mut self, path: &Path) -> u64 {
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        self.paths.push(path.to_owned());
        let number = self.paths.len() as u64;
        self.numbers.insert(path.to_owned(), number);
        number
    }
}

impl Calls {
    fn path(&self, number: INodeNo) -> Result<PathBuf, Errno> {
        let index = usize::try_from(number.0).ok().and_then(|number| number.checked_sub(1));
        index.and_then(|index| lock(&self.paths).paths.get(index).cloned()).ok_or(Errno::ENOENT)
    }

    fn attributes(&self, path: &Path) -> Result<FileAttr, Errno> {
        let node = self.tree.node(path).ok_or(Errno::ENOENT)?;
        let (kind, perm) = match node {
            Node::Folder => (FileType::Directory, 0o755),
            Node::File { read, write } => {
                (FileType::RegularFile, if read { 0o444 } else { 0 } | if write { 0o200 } else { 0 })
            }
        };
        Ok(FileAttr {
            ino: INodeNo(lock(&self.paths).number(path)),
            size: 0,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        })
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Result<PathBuf, Errno> {
        Ok(self.path(parent)?.join(name))
    }

    /// The kernel asks the file, not only its permission bits: even root can't read what only takes.
    fn start(&self, number: INodeNo, flags: OpenFlags) -> Result<u64, Errno> {
        let path = self.path(number)?;
        let Some(Node::File { read, write }) = self.tree.node(&path) else { return Err(Errno::EISDIR) };
        let allowed = match flags.acc_mode() {
            OpenAccMode::O_RDONLY => read,
            OpenAccMode::O_WRONLY => write,
            OpenAccMode::O_RDWR => read && write,
        };
        if !allowed {
            return Err(Errno::EACCES);
        }
        let file = self.tree.open(&path)?;
        let mut open = lock(&self.open);
        let handle = open.keys().max().map_or(1, |last| last + 1);
        open.insert(handle, Arc::new(Mutex::new(file)));
        Ok(handle)
    }

    fn file(&self, handle: FileHandle) -> Result<SharedFile, Errno> {
        lock(&self.open).get(&handle.0).cloned().ok_or(Errno::EBADF)
    }
}

impl Filesystem for Calls {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.child(parent, name).and_then(|path| self.attributes(&path)) {
            Ok(found) => reply.entry(&NOT_CACHED, &found, fuser::Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.path(number).and_then(|path| self.attributes(&path)) {
            Ok(found) => reply.attr(&NOT_CACHED, &found),
            Err(error) => reply.error(error),
        }
    }

    /// Truncating, as opening for writing often does, changes nothing.
    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<fuser::TimeOrNow>,
        _: Option<fuser::TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match self.path(number).and_then(|path| self.attributes(&path)) {
            Ok(found) => reply.attr(&NOT_CACHED, &found),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made = self.child(parent, name).and_then(|path| {
            self.tree.make_folder(&path)?;
            self.attributes(&path)
        });
        match made {
            Ok(made) => reply.entry(&NOT_CACHED, &made, fuser::Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.child(parent, name).and_then(|path| self.tree.remove_folder(&path)) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let folder = match self.path(number) {
            Ok(folder) => folder,
            Err(error) => return reply.error(error),
        };
        let names = self.tree.names(&folder);
        let before = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, name) in names.iter().enumerate().skip(before) {
            let path = folder.join(name);
            let kind = match self.tree.node(&path) {
                Some(Node::Folder) => FileType::Directory,
                _ => FileType::RegularFile,
            };
            let number = lock(&self.paths).number(&path);
            if reply.add(INodeNo(number), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.start(number, flags) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.file(handle).and_then(|file| lock(&file).read(offset, size as usize)) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: fuser::WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.file(handle).and_then(|file| lock(&file).write(offset, bytes)) {
            // The kernel gave a 32-bit length.
            Ok(count) => reply.written(count as u32),
            Err(error) => reply.error(error),
        }
    }

    /// Closing: the kernel waits for this one, and not for `release`.
    fn flush(&self, _: &Request, _: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        if let Ok(file) = self.file(handle) {
            lock(&file).close();
        }
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.open).remove(&handle.0);
        reply.ok();
    }

    fn ioctl(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: IoctlFlags,
        command: u32,
        argument: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        let answer = self.file(handle).and_then(|file| lock(&file).ioctl(request.pid(), command, argument));
        match answer {
            Ok(argument) => reply.ioctl(0, &argument),
            Err(error) => reply.error(error),
        }
    }
}

const NOT_CACHED: Duration = Duration::ZERO;
