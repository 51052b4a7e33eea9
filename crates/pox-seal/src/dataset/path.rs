//! Paths inside a dataset.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest path, in bytes: what Linux allows in one call.
pub const MAX_PATH: usize = 4096;
/// Longest component, in bytes: what Linux file systems allow.
pub const MAX_COMPONENT: usize = 255;
/// Deepest nesting: each level holds one open folder while a tree is sealed.
pub const MAX_DEPTH: usize = 128;

/// A relative path that stays inside its dataset: components without `.`, `..`, NUL and emptiness, joined by `/`.
///
/// Bytes, as on Linux; not necessarily UTF-8. Paths order by their components, so that a folder comes right before
/// what it holds.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryPath(Vec<u8>);

/// A path or link target isn't allowed in a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Empty, absolute, or with a component that is empty, `.`, `..` or contains NUL.
    #[error("not a plain relative path")]
    Form,
    /// Over [`MAX_PATH`], [`MAX_COMPONENT`] or [`MAX_DEPTH`].
    #[error("a path that is too long or too deep")]
    Length,
    /// A link points out of the dataset, or climbs after it descended.
    #[error("a link that leaves the dataset, or has `..` after a name")]
    Escape,
}

impl EntryPath {
    /// Checks a path.
    pub fn new(bytes: Vec<u8>) -> Result<Self, BadPath> {
        if bytes.len() > MAX_PATH {
            return Err(BadPath::Length);
        }
        let mut depth = 0;
        for component in bytes.split(|&byte| byte == b'/') {
            depth += 1;
            check_component(component)?;
        }
        if depth > MAX_DEPTH { Err(BadPath::Length) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For use below a folder.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The folder that holds it; none at the top.
    pub fn parent(&self) -> Option<&[u8]> {
        self.0.iter().rposition(|&byte| byte == b'/').map(|at| &self.0[..at])
    }

    /// Number of components, at least one.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/')
    }

    /// Checks the target of a link at this path.
    ///
    /// A target is any number of `..`, at most as many as there are folders above the link, and then names. What holds
    /// the link is a real folder, so the climb ends inside; the names then lead down, or through links that were
    /// checked the same way. Were `..` allowed after a name, that name could be a link and the climb start elsewhere.
    pub(crate) fn check_target(&self, target: &[u8]) -> Result<(), BadPath> {
        if target.len() > MAX_PATH {
            return Err(BadPath::Length);
        }
        if target == b"." {
            return Ok(());
        }
        let mut names = 0;
        let mut climbs = 0;
        for component in target.split(|&byte| byte == b'/') {
            if component == b".." {
                climbs += 1;
                if names > 0 || climbs >= self.depth() {
                    return Err(BadPath::Escape);
                }
            } else {
                check_component(component).map_err(|error| match error {
                    BadPath::Form if target.starts_with(b"/") => BadPath::Escape,
                    other => other,
                })?;
                names += 1;
            }
        }
        Ok(())
    }
}

fn check_component(component: &[u8]) -> Result<(), BadPath> {
    if component.is_empty() || component == b"." || component == b".." || component.contains(&0) {
        return Err(BadPath::Form);
    }
    if component.len() > MAX_COMPONENT { Err(BadPath::Length) } else { Ok(()) }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.components().cmp(other.components())
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryPath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<EntryPath, BadPath> {
        EntryPath::new(text.as_bytes().to_vec())
    }

    #[test]
    fn only_plain_relative_paths_pass() {
        for good in ["a", "a/b", " ", "a b/ü/…", "...", "-x"] {
            assert!(path(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/.", "a\0b"] {
            assert_eq!(path(bad), Err(BadPath::Form), "{bad:?}");
        }
        assert_eq!(path(&"x".repeat(256)), Err(BadPath::Length));
        assert_eq!(path(&["d"; MAX_DEPTH + 1].join("/")), Err(BadPath::Length));
    }

    #[test]
    fn a_folder_comes_right_before_what_it_holds() {
        let sorted = ["a", "a/b", "a/b/c", "a-b", "a.b", "b"].map(|text| path(text).unwrap());
        assert!(sorted.is_sorted());
    }

    #[test]
    fn links_stay_inside() {
        let link = path("a/b/l").unwrap();
        for good in ["x", "../x", "../../x", "../..", "x/y", "."] {
            assert_eq!(link.check_target(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in ["/etc", "../../../x", "x/../y", "..//x", "", "x/..", "./x"] {
            assert!(link.check_target(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(path("l").unwrap().check_target(b"..").is_err());
    }
}
