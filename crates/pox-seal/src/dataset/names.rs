//! The names in a folder, in one piece of memory: a folder may have millions.

/// Names that are taken in the order of their bytes.
#[derive(Default)]
pub(super) struct Names {
    /// Each name behind its length, two bytes.
    bytes: Vec<u8>,
    /// Where each begins; the first name last.
    starts: Vec<usize>,
}

impl Names {
    /// Adds a name, wherever its place is. No system has one of 64 KiB: of such a name, the beginning is kept.
    pub(super) fn push(&mut self, name: &[u8]) {
        let len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&name[..usize::from(len)]);
    }

    /// Puts them in order; gives a name that is there twice.
    pub(super) fn sort(&mut self) -> Option<&[u8]> {
        let bytes = &self.bytes;
        self.starts.sort_unstable_by(|&one, &other| name(bytes, other).cmp(name(bytes, one)));
        let pair = self.starts.windows(2).find(|pair| name(bytes, pair[0]) == name(bytes, pair[1]))?;
        Some(name(bytes, pair[0]))
    }

    /// The next name.
    pub(super) fn pop(&mut self) -> Option<&[u8]> {
        self.starts.pop().map(|start| name(&self.bytes, start))
    }
}

fn name(bytes: &[u8], start: usize) -> &[u8] {
    let (len, rest) = bytes[start..].split_first_chunk().unwrap_or((&[0; 2], &[]));
    &rest[..usize::from(u16::from_ne_bytes(*len))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_the_order_of_their_bytes() {
        let long = [b'y'; 300];
        let mut names = Names::default();
        [&b"b"[..], b"\xff", b"a.b", b"", &long, b"a"].into_iter().for_each(|name| names.push(name));
        assert_eq!(names.sort(), None);
        for wanted in [&b""[..], b"a", b"a.b", b"b", &long, b"\xff"] {
            assert_eq!(names.pop(), Some(wanted));
        }
        assert_eq!(names.pop(), None);
        ["x", "y", "x"].iter().for_each(|name| names.push(name.as_bytes()));
        assert_eq!(names.sort(), Some(&b"x"[..]));
    }
}
