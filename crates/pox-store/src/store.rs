use std::io::{Read, Seek};
use std::sync::Arc;

use http::header::IF_NONE_MATCH;
use http::{HeaderValue, Method};
use object_store::ObjectStore;
use url::Url;

use crate::directory::Directory;
use crate::ipfs;
use crate::location::{Kind, append};
use crate::net::{Fault, Net};
use crate::reader::{Remote, retry};
use crate::remote::{self, Object};
use crate::s3;
use crate::upload::{self, Stopped, Upload};
use crate::{Access, Error, Location, Name, ObjectReader, Pending, Result};

/// A set of objects at one location.
pub struct Store {
    access: Access,
    backend: Backend,
}

enum Backend {
    Directory(Directory),
    Http { objects: Arc<dyn ObjectStore>, base: Url, net: Net },
    S3(s3::Bucket),
    Ipfs(ipfs::Folder),
}

/// Bytes from `start` up to and without `end`, or the object's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Byte after the last; nothing means the end.
    pub end: Option<u64>,
}

/// What to do if the object is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMode {
    /// Fail with [`Error::Exists`].
    Create,
    /// Put the new one in its place.
    Replace,
}

/// An object that a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Name,
    /// Its size in bytes.
    pub size: u64,
}

impl Range {
    /// The whole object.
    pub const ALL: Self = Self { start: 0, end: None };
}

impl Store {
    /// Opens a location for reading and writing. Nothing is sent yet; a missing directory is created.
    ///
    /// # Errors
    /// [`Error::Refused`] if the policy forbids it.
    pub fn open(location: &Location, access: &Access) -> Result<Self> {
        Self::open_as(location, access, true)
    }

    /// Opens a location for reading: a missing directory is [`Error::NotFound`], and isn't created.
    ///
    /// # Errors
    /// [`Error::Refused`] if the policy forbids it.
    pub fn open_existing(location: &Location, access: &Access) -> Result<Self> {
        Self::open_as(location, access, false)
    }

    fn open_as(location: &Location, access: &Access, create: bool) -> Result<Self> {
        let backend = match location.kind() {
            Kind::Directory(path) => Backend::Directory(Directory::open(path, access, create)?),
            Kind::Http(url) => {
                access.check_url(url)?;
                let net = Net::new(access)?;
                Backend::Http { objects: remote::http(url, &net)?, base: url.clone(), net }
            }
            Kind::S3 { bucket, prefix } => Backend::S3(s3::Bucket::open(Net::new(access)?, bucket, prefix)?),
            Kind::Ipfs { root, path } => {
                Backend::Ipfs(ipfs::Folder::open(Net::new(&access.for_ipfs())?, root, path)?)
            }
        };
        Ok(Self { access: access.clone(), backend })
    }

    /// Opens an object, or a range of it, for reading.
    ///
    /// The reader goes on where a connection broke, as long as the server doesn't say that the object changed. A
    /// server that gives no version can mix two; only a digest tells ([`crate::VerifiedRead`]).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::OutOfRange`], [`Error::TooBig`], or what the network does.
    pub fn get(&self, name: &Name, range: Range) -> Result<ObjectReader> {
        match &self.backend {
            Backend::Directory(directory) => directory.get(name, &range, &self.access),
            Backend::Http { objects, net, .. } => {
                let object = Object::new(objects.clone(), name, net);
                self.remote(Arc::new(object), name, range)
            }
            Backend::S3(bucket) => self.remote(Arc::new(bucket.object(name)), name, range),
            Backend::Ipfs(folder) => self.remote(Arc::new(folder.object(name)?), name, range),
        }
    }

    fn remote(&self, object: Arc<dyn Remote>, name: &Name, range: Range) -> Result<ObjectReader> {
        ObjectReader::remote(object, name.as_str(), range.start, range.end, &self.access)
    }

    /// Returns an object's size in bytes, as the storage states it: a hint, not a fact.
    ///
    /// # Errors
    /// [`Error::NotFound`], or what the network does.
    pub fn size(&self, name: &Name) -> Result<u64> {
        match &self.backend {
            Backend::Directory(directory) => directory.size(name),
            Backend::Http { objects, net, .. } => {
                let object = Object::new(objects.clone(), name, net);
                self.retried(name, || object.size())
            }
            Backend::S3(bucket) => {
                let object = bucket.object(name);
                self.retried(name, || object.size())
            }
            Backend::Ipfs(folder) => Ok(folder.object(name)?.size()),
        }
    }

    fn retried<T>(&self, name: &Name, attempt: impl FnMut() -> std::result::Result<T, Fault>) -> Result<T> {
        retry(self.access.attempts.max(1), attempt).map_err(|fault| Error::from_fault(fault, name.as_str()))
    }

    /// Writes an object of exactly `len` bytes, read from the reader's current position; repeats what fails in passing.
    ///
    /// In a directory and in S3 it appears whole, or not at all; S3 gets what is large in parts, and goes on with those of an
    /// upload that was interrupted. [`PutMode::Create`] asks a server to refuse an existing object, and looks before, since
    /// many servers ignore that.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Source`] if the reader fails or has another length, or what the storage does.
    pub fn put(&self, name: &Name, source: &mut (impl Read + Seek), len: u64, mode: PutMode) -> Result<()> {
        self.check_put(name, len)?;
        let Backend::Http { base, net, .. } = &self.backend else {
            return self.put_once(name, source, len, mode);
        };
        self.look_before(name, mode)?;
        let start = source.stream_position().map_err(Error::Source)?;
        let url = append(base, name);
        for tried in 1.. {
            upload::rewind(source, start)?;
            match put_http(net, &url, source, len, mode) {
                Ok(()) => return Ok(()),
                // It may be our own earlier attempt, whose answer was lost.
                Err(Stopped::Server(Fault::Precondition)) if tried > 1 => {
                    upload::rewind(source, start)?;
                    return if self.holds(name, source, len)? { Ok(()) } else { Err(exists(name)) };
                }
                Err(Stopped::Server(Fault::Precondition)) => return Err(exists(name)),
                Err(Stopped::Server(fault)) if fault.is_transient() && tried < self.access.attempts => {
                    std::thread::sleep(fault.pause(tried));
                }
                Err(stopped) => return Err(stopped.into_error(name.as_str())),
            }
        }
        Err(Error::Unreachable("no attempt was allowed".into()))
    }

    /// Writes an object as [`Self::put`] with [`PutMode::Replace`] does, except that one in a directory appears, and is on disk, only
    /// when `pending` is published.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn put_pending(
        &self,
        name: &Name,
        source: &mut (impl Read + Seek),
        len: u64,
        pending: &mut Pending,
    ) -> Result<()> {
        let Backend::Directory(directory) = &self.backend else {
            return self.put(name, source, len, PutMode::Replace);
        };
        self.check_put(name, len)?;
        pending.push(directory.write(name, source, len)?);
        Ok(())
    }

    /// Writes an object of exactly `len` bytes from a reader that can't be rewound, so in one attempt.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn put_once(&self, name: &Name, source: &mut dyn Read, len: u64, mode: PutMode) -> Result<()> {
        self.check_put(name, len)?;
        match &self.backend {
            Backend::Directory(directory) => directory.put(name, source, len, mode),
            Backend::Http { base, net, .. } => {
                self.look_before(name, mode)?;
                put_http(net, &append(base, name), source, len, mode).map_err(|stopped| match stopped {
                    Stopped::Server(Fault::Precondition) => exists(name),
                    other => other.into_error(name.as_str()),
                })
            }
            Backend::S3(bucket) => {
                self.look_before(name, mode)?;
                bucket.object(name).put(source, len, mode)
            }
            Backend::Ipfs(_) => Err(Error::Unsupported("be written to: its address names its content")),
        }
    }

    /// Lists the objects of a directory, sorted by name.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for anything else: HTTP has no listing that servers agree on, and nobody needs the others'.
    pub fn list(&self) -> Result<Vec<Listed>> {
        match &self.backend {
            Backend::Directory(directory) => directory.list(),
            _ => Err(Error::Unsupported("list objects")),
        }
    }

    /// Tells whether there is such an object.
    ///
    /// # Errors
    /// What the network or the file system does.
    pub fn contains(&self, name: &Name) -> Result<bool> {
        match self.size(name) {
            Ok(_) => Ok(true),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn check_put(&self, name: &Name, len: u64) -> Result<()> {
        if len > self.access.max_object {
            return Err(Error::TooBig { name: name.to_string(), size: len, limit: self.access.max_object });
        }
        Ok(())
    }

    fn look_before(&self, name: &Name, mode: PutMode) -> Result<()> {
        if mode == PutMode::Replace {
            return Ok(());
        }
        match self.contains(name) {
            Ok(true) => Err(exists(name)),
            // S3 doesn't tell keys that may not list that there is nothing. The condition on the write itself has to do.
            Err(Error::Denied(_)) if matches!(self.backend, Backend::S3(_)) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Compares an object with a reader, byte by byte.
    pub(crate) fn holds(&self, name: &Name, source: &mut dyn Read, len: u64) -> Result<bool> {
        let mut stored = self.get(name, Range::ALL)?;
        if stored.object_size() != Some(len) {
            return Ok(false);
        }
        let (mut ours, mut theirs) = (vec![0; COMPARE], vec![0; COMPARE]);
        loop {
            let n = stored.read(&mut theirs).map_err(Error::from_read)?;
            if n == 0 {
                return Ok(true);
            }
            source.read_exact(&mut ours[..n]).map_err(Error::Source)?;
            if ours[..n] != theirs[..n] {
                return Ok(false);
            }
        }
    }
}

fn put_http(
    net: &Net,
    url: &Url,
    source: &mut dyn Read,
    len: u64,
    mode: PutMode,
) -> std::result::Result<(), Stopped> {
    let create = [(IF_NONE_MATCH, HeaderValue::from_static("*"))];
    let headers: &[_] = if mode == PutMode::Create { &create } else { &[] };
    let upload = Upload { method: Method::PUT, url: url.clone(), headers };
    upload::send(net, &upload, source, len).map(|_| ())
}

fn exists(name: &Name) -> Error {
    Error::Exists(name.to_string())
}

const COMPARE: usize = 64 << 10;
