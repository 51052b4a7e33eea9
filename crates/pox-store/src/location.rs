use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use url::Url;

use crate::HostPort;
use crate::access::can_exist;

/// Where a set of objects lives: a directory, or a base URL that names are appended to.
///
/// Spelled `file:///dir`, an absolute path, `http://host/base` or `https://host/base`. Never holds credentials, a query or a
/// fragment: locations are shown, logged and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Absolute and without `..`.
    Directory(PathBuf),
    /// `http` or `https`, with a host, and without a slash at the end of its path.
    Http(Url),
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
    /// The scheme isn't `file`, `http` or `https`.
    #[error("location has a scheme other than file, http and https")]
    Scheme,
    /// It holds a user name or password.
    #[error("location holds credentials; they belong into the secret or a credentials file")]
    Credentials,
    /// It has a query or fragment.
    #[error("location has a query or fragment")]
    Query,
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
        };
        let name = last.parse().map_err(|_| LocationError::Path)?;
        Ok((Self(parent), name))
    }

    /// Tells the host and port that it leads to; none for a directory.
    pub fn host(&self) -> Option<HostPort> {
        match &self.0 {
            Kind::Directory(_) => None,
            Kind::Http(url) => HostPort::of(url),
        }
    }

    /// Tells the directory that it is; none for a URL of a server.
    pub fn directory(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Directory(path) => Some(path),
            Kind::Http(_) => None,
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
