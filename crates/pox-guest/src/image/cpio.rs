//! Writes the archive that a kernel unpacks as its first root ("newc", Documentation/driver-api/early-userspace/buffer-format).

use std::collections::BTreeMap;

/// What one name in an archive is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'a> {
    Folder,
    File(&'a [u8]),
    /// A character device.
    Device {
        major: u32,
        minor: u32,
    },
}

/// An archive in the making: sorted, of the super-user, from 1970.
#[derive(Debug, Default)]
pub(super) struct Archive<'a> {
    entries: BTreeMap<String, (u32, Node<'a>)>,
}

impl<'a> Archive<'a> {
    /// Adds a name without a leading slash; its folder must be added too.
    pub(super) fn add(&mut self, name: &str, permissions: u32, node: Node<'a>) {
        self.entries.insert(name.to_owned(), (permissions, node));
    }

    /// The archive's bytes. Parents come before their children, because they sort before them.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (inode, (name, (permissions, node))) in (1..).zip(&self.entries) {
            let (mode, links, content, device) = match *node {
                Node::Folder => (FOLDER, 2, &[][..], (0, 0)),
                Node::File(content) => (FILE, 1, content, (0, 0)),
                Node::Device { major, minor } => (CHARACTER_DEVICE, 1, &[][..], (major, minor)),
            };
            put(&mut bytes, name, [inode, mode | permissions, links, device.0, device.1], content);
        }
        put(&mut bytes, "TRAILER!!!", [0, 0, 1, 0, 0], &[]);
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, name: &str, [inode, mode, links, major, minor]: [u32; 5], content: &[u8]) {
    let length = |length: usize| u32::try_from(length).expect("inputs are bounded far below 4 GiB");
    let (size, name_size) = (length(content.len()), length(name.len() + 1));
    // Inode, mode, user, group, links, time, size, device (two), the node's device (two), name's size, checksum.
    let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
    bytes.extend_from_slice(b"070701");
    for field in fields {
        bytes.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    pad(bytes);
    bytes.extend_from_slice(content);
    pad(bytes);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_adding_does_not_matter() {
        let mut one = Archive::default();
        one.add("dev", 0o755, Node::Folder);
        one.add("dev/null", 0o666, Node::Device { major: 1, minor: 3 });
        one.add("init", 0o755, Node::File(b"program"));
        let mut other = Archive::default();
        other.add("init", 0o755, Node::File(b"program"));
        other.add("dev/null", 0o666, Node::Device { major: 1, minor: 3 });
        other.add("dev", 0o755, Node::Folder);
        assert_eq!(one.finish(), other.finish());
    }

    #[test]
    fn an_entry_has_the_documented_form() {
        let mut archive = Archive::default();
        archive.add("init", 0o755, Node::File(b"abcde"));
        let bytes = archive.finish();
        let expected = "07070100000001000081ED00000000000000000000000100000000\
                        0000000500000000000000000000000000000000000000050000\
                        0000init\0\0abcde\0\0\0";
        let expected = expected.replace(char::is_whitespace, "");
        assert_eq!(String::from_utf8_lossy(&bytes[..expected.len()]), expected);
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
