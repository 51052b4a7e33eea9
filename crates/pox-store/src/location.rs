use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use pox_core::s3;
use url::Url;

use crate::HostPort;
use crate::access::can_exist;
use crate::ipfs::{BadCid, Cid};

/// Where a set of objects lives: a directory, a base URL that names are appended to, a bucket, or what an address is the hash of.
///
/// Spelled `file:///dir`, an absolute path, `http://host/base`, `https://host/base`, `s3://bucket/prefix` or `ipfs://CID/path`.
/// Never holds credentials, a query or a fragment: locations are shown, logged and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Absolute and without `..`.
    Directory(PathBuf),
    /// `http` or `https`, with a host, and without a slash at the end of its path.
    Http(Url),
    /// A bucket, and a prefix without slashes at its ends, which may be empty.
    S3 { bucket: String, prefix: String },
    /// A folder in content-addressed storage, and a path in it without slashes at its ends, which may be empty.
    Ipfs { root: Cid, path: String },
}

/// Why a text isn't a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// Longer than 2,048 bytes.
    #[error("location is longer than {MAX_LOCATION} bytes")]
    TooLong,
    /// Neither a URL nor an absolute path.
    #[error("location is neither an absolute path nor a URL")]
    Malformed,
    /// The scheme is none of those that are known.
    #[error("location has a scheme other than file, http, https, s3 and ipfs")]
    Scheme,
    /// It holds a user name or password.
    #[error("location holds credentials; they belong into the secret or a credentials file")]
    Credentials,
    /// It has a query or fragment.
    #[error("location has a query or fragment")]
    Query,
    /// The bucket's name, or what follows it, isn't what S3 objects are called here.
    #[error("location isn't of the form s3://bucket/prefix, of letters, digits and . _ + @ = -")]
    Bucket,
    /// The address is no content identifier that this program can check.
    #[error("location isn't of the form ipfs://CID/path: {0}")]
    Cid(#[from] BadCid),
    /// The path has a `..`, isn't UTF-8, or is on another host.
    #[error("location has a path that can't be used")]
    Path,
}

impl Location {
    /// Takes a path, made absolute from the current directory.
    ///
    /// # Errors
    /// [`LocationError`] if it has a `..`, isn't UTF-8 or is too long.
    pub fn from_path(path: &Path) -> Result<Self, LocationError> {
        let path = std::path::absolute(path).map_err(|_| LocationError::Path)?;
        let text = path.to_str().ok_or(LocationError::Path)?;
        if text.len() > MAX_LOCATION {
            return Err(LocationError::TooLong);
        }
        if text.contains('\0') || path.components().any(|part| part == Component::ParentDir) {
            return Err(LocationError::Path);
        }
        Self(Kind::Directory(path)).bounded()
    }

    /// Refuses what is too long once it is written out: percent-encoding makes it longer than what was read.
    fn bounded(self) -> Result<Self, LocationError> {
        if self.to_string().len() > MAX_LOCATION { Err(LocationError::TooLong) } else { Ok(self) }
    }

    /// Appends a name.
    pub fn join(&self, name: &Name) -> Self {
        match &self.0 {
            Kind::Directory(path) => Self(Kind::Directory(path.join(&name.0))),
            Kind::Http(url) => Self(Kind::Http(append(url, name))),
            Kind::S3 { bucket, prefix } => {
                Self(Kind::S3 { bucket: bucket.clone(), prefix: s3::key(prefix, name.as_str()) })
            }
            Kind::Ipfs { root, path } => {
                Self(Kind::Ipfs { root: root.clone(), path: s3::key(path, name.as_str()) })
            }
        }
    }

    /// Splits a location that names one object into the set it is in, and its name there.
    ///
    /// # Errors
    /// [`LocationError::Path`] if nothing follows the root, or its last part can't be a [`Name`].
    pub fn split(&self) -> Result<(Self, Name), LocationError> {
        let (parent, last) = match &self.0 {
            Kind::Directory(path) => {
                let parent = path.parent().ok_or(LocationError::Path)?;
                let last = path.file_name().and_then(|name| name.to_str()).ok_or(LocationError::Path)?;
                (Kind::Directory(parent.into()), last.to_owned())
            }
            Kind::Http(url) => {
                let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
                let mut parent = url.clone();
                parent.path_segments_mut().map_err(|()| LocationError::Path)?.pop();
                (Kind::Http(parent), last.to_owned())
            }
            Kind::S3 { bucket, prefix } => {
                let (parent, last) = prefix.rsplit_once('/').unwrap_or(("", prefix));
                (Kind::S3 { bucket: bucket.clone(), prefix: parent.into() }, last.to_owned())
            }
            Kind::Ipfs { root, path } => {
                let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
                (Kind::Ipfs { root: root.clone(), path: parent.into() }, last.to_owned())
            }
        };
        let name = last.parse().map_err(|_| LocationError::Path)?;
        Ok((Self(parent), name))
    }

    /// Tells the host and port that it names; only a URL of HTTP does.
    pub fn host(&self) -> Option<HostPort> {
        match &self.0 {
            Kind::Http(url) => HostPort::of(url),
            Kind::Directory(_) | Kind::S3 { .. } | Kind::Ipfs { .. } => None,
        }
    }

    /// Tells the bucket that it is in, if it is in one.
    pub fn bucket(&self) -> Option<&str> {
        match &self.0 {
            Kind::S3 { bucket, .. } => Some(bucket),
            _ => None,
        }
    }

    pub(crate) fn of_content(root: Cid, path: &str) -> Self {
        Self(Kind::Ipfs { root, path: path.into() })
    }

    /// Tells the directory that it is; none for a URL of a server.
    pub fn directory(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Directory(path) => Some(path),
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0
    }

    fn from_url(url: Url) -> Result<Self, LocationError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LocationError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(LocationError::Query);
        }
        match url.scheme() {
            "file" => Self::from_path(&url.to_file_path().map_err(|()| LocationError::Path)?),
            "http" | "https" => {
                let mut url = url;
                if !url.host().is_some_and(|host| can_exist(&host)) {
                    return Err(LocationError::Malformed);
                }
                while url.path().len() > 1 && url.path().ends_with('/') {
                    url.path_segments_mut().map_err(|()| LocationError::Malformed)?.pop_if_empty();
                }
                Self(Kind::Http(url)).bounded()
            }
            _ => Err(LocationError::Scheme),
        }
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.len() > MAX_LOCATION {
            return Err(LocationError::TooLong);
        }
        if text.starts_with('/') {
            return Self::from_path(Path::new(text));
        }
        // The URL parser would silently drop tabs and line ends, turn backslashes, and resolve a `..` away.
        if text.chars().any(|char| char.is_control() || char == '\\') || text.split('/').any(is_parent) {
            return Err(LocationError::Path);
        }
        // Bucket names and content identifiers aren't hosts, which have no case.
        if text.starts_with("s3://") {
            let trimmed = text.trim_end_matches('/');
            let (bucket, prefix) = s3::split_location(trimmed).ok_or(LocationError::Bucket)?;
            return Ok(Self(Kind::S3 { bucket: bucket.into(), prefix: prefix.into() }));
        }
        if let Some(rest) = text.strip_prefix("ipfs://") {
            let rest = rest.trim_end_matches('/');
            let (root, path) = rest.split_once('/').unwrap_or((rest, ""));
            if !path.is_empty() && path.parse::<Name>().is_err() {
                return Err(LocationError::Path);
            }
            return Ok(Self(Kind::Ipfs { root: root.parse()?, path: path.into() }));
        }
        // It would also add slashes that are missing, and take what is then a host for one.
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        if !scheme.is_some_and(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphabetic())) {
            return Err(LocationError::Malformed);
        }
        Self::from_url(Url::parse(text).map_err(|_| LocationError::Malformed)?)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Http(url) => url.fmt(f),
            Kind::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Kind::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Kind::Ipfs { root, path } if path.is_empty() => write!(f, "ipfs://{root}"),
            Kind::Ipfs { root, path } => write!(f, "ipfs://{root}/{path}"),
            Kind::Directory(path) => match Url::from_file_path(path) {
                Ok(url) => url.fmt(f),
                Err(()) => path.display().fmt(f),
            },
        }
    }
}

/// The name of an object in a set: one to eight parts of `A-Z a-z 0-9 . _ + @ = -`, joined by `/`.
///
/// So narrow that every storage spells it the same way, without any escaping.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// The text can't name an object everywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object name {0:?} isn't made of letters, digits and . _ + @ = - (parts joined by /)")]
pub struct NameError(String);

impl Name {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+@=-".contains(&b);
        let part_ok = |part: &str| {
            !part.is_empty()
                && part.len() <= MAX_PART
                && part != "."
                && part != ".."
                && part.bytes().all(allowed)
        };
        if text.split('/').count() <= MAX_PARTS && text.split('/').all(part_ok) {
            return Ok(Self(text.into()));
        }
        Err(NameError(text.chars().take(SHOWN).collect()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(crate) fn append(base: &Url, name: &Name) -> Url {
    let mut url = base.clone();
    // Always possible, since locations have a host.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(name.parts());
    }
    url
}

/// Tells `..`, also percent-encoded as URL parsers understand it.
fn is_parent(part: &str) -> bool {
    part.to_ascii_lowercase().replace("%2e", ".") == ".."
}

/// What common servers accept as a URL, in bytes.
const MAX_LOCATION: usize = 2048;
/// Below the 255 bytes of file systems, with room for a temporary suffix.
const MAX_PART: usize = 200;
/// Deeper than any layout that this project writes.
const MAX_PARTS: usize = 8;
const SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, LocationError> {
        text.parse()
    }

    #[test]
    fn spells_locations_one_way() {
        for (text, shown) in [
            ("/a/b", "file:///a/b"),
            ("file:///a/b%20c", "file:///a/b%20c"),
            ("https://h.example/x/", "https://h.example/x"),
            ("https://h.example/x//", "https://h.example/x"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("s3://my-data/a/b/", "s3://my-data/a/b"),
            ("s3://my-data/", "s3://my-data"),
            (
                "ipfs://QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn/x/",
                "ipfs://QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn/x",
            ),
        ] {
            let location = parse(text).unwrap();
            assert_eq!(location.to_string(), shown);
            assert_eq!(parse(shown).unwrap(), location);
        }
    }

    #[test]
    fn refuses_what_hides_something() {
        for (text, error) in [
            ("https://user@h/x", LocationError::Credentials),
            ("https://:secret@h/x", LocationError::Credentials),
            ("https://h/x?token=1", LocationError::Query),
            ("https://h/x#y", LocationError::Query),
            ("ftp://h/x", LocationError::Scheme),
            ("s3://key:secret@bucket/x", LocationError::Bucket),
            ("s3://bucket/x?versionId=1", LocationError::Bucket),
            ("s3://Bucket/x", LocationError::Bucket),
            ("ipfs://QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn/a%2fb", LocationError::Path),
            ("relative/path", LocationError::Malformed),
            ("/a/../b", LocationError::Path),
            ("https://h/a/%2e%2e/b", LocationError::Path),
            ("file://host/a", LocationError::Path),
            ("ht\ttp://h/", LocationError::Path),
            ("https://h\\x", LocationError::Path),
            ("https:h/x", LocationError::Malformed),
            ("https://h*/x", LocationError::Malformed),
            ("https://..:/x", LocationError::Malformed),
            ("https:..//h/x", LocationError::Malformed),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        for long in [format!("/{}", "a".repeat(2048)), format!("https://h/{}", "ä".repeat(400))] {
            assert_eq!(parse(&long), Err(LocationError::TooLong));
        }
    }

    #[test]
    fn joins_and_splits() {
        let name: Name = "blobs/sha256/00".parse().unwrap();
        let joined = parse("https://h/x").unwrap().join(&name);
        assert_eq!(joined.to_string(), "https://h/x/blobs/sha256/00");
        let (parent, last) = joined.split().unwrap();
        assert_eq!((parent.to_string().as_str(), last.as_str()), ("https://h/x/blobs/sha256", "00"));
        assert!(parse("https://h").unwrap().split().is_err());
    }

    #[test]
    fn names_need_no_escaping() {
        for bad in
            ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a b", "a%2f", "ä", "a\\b", "1/2/3/4/5/6/7/8/9"]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
