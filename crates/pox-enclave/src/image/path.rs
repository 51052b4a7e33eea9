use super::{EntryFault, Invalid, Limits};

/// A path inside the root: components only, none of them empty, `.` or `..`; free of NUL; bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RootPath {
    components: Vec<Vec<u8>>,
}

impl RootPath {
    /// Parses a path of an archive. A leading `/` means the root, as it does for every container engine.
    pub(super) fn parse(raw: &[u8], limits: &Limits) -> Result<Self, Invalid> {
        let fault = |fault| Err(Invalid::entry(raw, fault));
        if raw.contains(&0) {
            return fault(EntryFault::Malformed);
        }
        if raw.len() > limits.path_bytes {
            return fault(EntryFault::TooLong);
        }
        let components: Vec<_> = raw
            .split(|b| *b == b'/')
            .filter(|part| !part.is_empty() && *part != b".")
            .map(<[u8]>::to_vec)
            .collect();
        if components.iter().any(|part| part == b"..") {
            return fault(EntryFault::Escapes);
        }
        if components.len() > limits.depth as usize || components.iter().any(|part| part.len() > NAME_MAX) {
            return fault(EntryFault::TooLong);
        }
        Ok(Self { components })
    }

    /// Splits into the parent's components and the last name; nothing for the root itself.
    pub(super) fn split(&self) -> Option<(&[Vec<u8>], &[u8])> {
        self.components.split_last().map(|(name, parent)| (parent, name.as_slice()))
    }
}

/// Longest name that Linux file systems take, in bytes.
const NAME_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &[u8]) -> Result<RootPath, Invalid> {
        RootPath::parse(raw, &Limits::default())
    }

    #[test]
    fn keeps_plain_components() {
        let path = parse(b"/./a//b/c/").unwrap();
        assert_eq!(path.components, [b"a", b"b", b"c"]);
        assert!(parse(b"./").unwrap().split().is_none());
    }

    #[test]
    fn refuses_what_leaves_or_overflows() {
        for bad in [b"..".to_vec(), b"a/../b".to_vec(), b"/..".to_vec()] {
            assert_eq!(parse(&bad), Err(Invalid::entry(&bad, EntryFault::Escapes)));
        }
        for bad in [vec![b'a'; 256], b"a/".repeat(129), b"ab/".repeat(2000)] {
            assert_eq!(parse(&bad), Err(Invalid::entry(&bad, EntryFault::TooLong)));
        }
        assert_eq!(parse(b"a\0b"), Err(Invalid::entry(b"a\0b", EntryFault::Malformed)));
    }
}
