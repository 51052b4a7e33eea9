use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::image::ImageError;
use crate::net::Fault;
use crate::{IpfsError, LocationError, NameError, SignError};

/// What this crate's calls return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why bytes weren't read or written, by culprit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's location isn't one.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The caller's object name isn't one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// This host's policy forbids it.
    #[error("refused by this host's access policy: {0}")]
    Refused(#[from] Refused),
    /// The storage has no such object.
    #[error("there is no {0}")]
    NotFound(String),
    /// The object exists, and the caller asked not to replace it.
    #[error("{0} exists already")]
    Exists(String),
    /// The storage wants other credentials.
    #[error("the server denies access (status {0})")]
    Denied(u16),
    /// The object was replaced while it was being read.
    #[error("{0} changed while it was being read")]
    Changed(String),
    /// The caller asked for bytes that the object doesn't have.
    #[error("range ends at byte {end}, {name} has {size}")]
    OutOfRange {
        /// The object.
        name: String,
        /// Where the range ends.
        end: u64,
        /// The object's size in bytes.
        size: u64,
    },
    /// The object is bigger than the policy allows.
    #[error("{name} has {size} bytes, the limit is {limit}")]
    TooBig {
        /// The object.
        name: String,
        /// Its size in bytes, as far as known.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The server's answer contradicts itself or HTTP.
    #[error("the server misbehaves: {0}")]
    Protocol(&'static str),
    /// The server answers with an unexpected status.
    #[error("the server answers with status {0}")]
    Status(u16),
    /// The storage answers with an error that has a name.
    #[error("the storage answers with {code} (status {status})")]
    Storage {
        /// HTTP status.
        status: u16,
        /// The storage's own name for it.
        code: String,
    },
    /// Whoever holds the keys to the storage doesn't sign.
    #[error(transparent)]
    Unsigned(#[from] SignError),
    /// Content-addressed storage gave something else than what the address names, or what no address can name.
    #[error(transparent)]
    Ipfs(#[from] IpfsError),
    /// The server can't be reached, or broke off, also after retries.
    #[error("the server can't be reached: {0}")]
    Unreachable(String),
    /// The server went silent, or the whole transfer took too long.
    #[error("no progress for {0:?}")]
    TimedOut(Duration),
    /// The bytes aren't the expected ones.
    #[error("content differs from what was expected: {0}")]
    Corrupt(&'static str),
    /// The storage can't do this.
    #[error("this storage can't {0}")]
    Unsupported(&'static str),
    /// This machine's file system failed.
    #[error("file system: {0}")]
    Local(#[source] io::Error),
    /// The reader that the caller passed failed, or isn't as long as promised.
    #[error("source of the upload: {0}")]
    Source(#[source] io::Error),
    /// An image, or a reference to one, is unusable.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// What the access policy forbids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The path is under none of the allowed directories.
    #[error("{0} is outside the allowed directories")]
    Path(String),
    /// The host isn't one of those allowed.
    #[error("host {0} isn't allowed")]
    Host(String),
    /// The host is, or resolves to, an address inside a private network or this machine.
    #[error("{host} is at {address}, which is not a public address")]
    Address {
        /// Host name or address in the location.
        host: String,
        /// Where it leads.
        address: IpAddr,
    },
    /// A redirect leads from HTTPS to HTTP, to another scheme, or on and on.
    #[error("redirect to {0} isn't followed")]
    Redirect(String),
    /// Credentials would travel in the clear.
    #[error("credentials for {0} are only sent over https")]
    PlainCredentials(String),
}

impl Error {
    /// Recovers this crate's error from one that passed through `std::io::Read`.
    pub fn from_read(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Local)
    }

    /// Wraps itself for a passage through `std::io::Read`.
    pub(crate) fn into_read(self) -> io::Error {
        let kind = match &self {
            Self::NotFound(_) => io::ErrorKind::NotFound,
            Self::TimedOut(_) => io::ErrorKind::TimedOut,
            Self::Refused(_) | Self::Denied(_) => io::ErrorKind::PermissionDenied,
            Self::Unreachable(_) => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }

    pub(crate) fn from_fault(fault: Fault, name: &str) -> Self {
        match fault {
            Fault::Refused(refused) => Self::Refused(refused),
            Fault::NotFound => Self::NotFound(name.into()),
            Fault::Denied(status) => Self::Denied(status),
            Fault::Precondition => Self::Changed(name.into()),
            Fault::RangeIgnored => Self::Protocol("it ignores ranges"),
            Fault::RangeBeyond => Self::Protocol("it refuses a range within the object"),
            Fault::Protocol(what) => Self::Protocol(what),
            Fault::Status(status) | Fault::Busy(status, _) => Self::Status(status),
            Fault::Code { status, code } => Self::Storage { status, code },
            Fault::Ipfs(error) => Self::Ipfs(error),
            Fault::Unsigned(error) => Self::Unsigned(error),
            Fault::Broken(what) => Self::Unreachable(what),
            Fault::Stalled(time) | Fault::Dripped(time) => Self::TimedOut(time),
        }
    }
}
