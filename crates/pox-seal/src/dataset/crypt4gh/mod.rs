//! Datasets of Crypt4GH files: taken as they are, or made.

mod access;
mod folder;
mod open;
mod seal;

pub use access::decode as decode_access;
pub(crate) use access::{Access, MAX_FILES};
pub use folder::FolderSink;
pub use open::open_lone_file;
pub(super) use open::{content_keys, open};
pub use seal::{Adoption, adopt, seal_files};

use super::b3sums::{B3Sums, ObjectName};

/// Whether a dataset is one of Crypt4GH files: `KEYS`, `access.age`, and at least one `*.c4gh`.
pub fn is_form(b3sums: &B3Sums) -> bool {
    let mut files = 0;
    let known = b3sums.names().all(|name| {
        files += usize::from(is_file(name));
        is_file(name) || *name == ObjectName::keys() || *name == ObjectName::access()
    });
    known && files > 0 && b3sums.names().count() == files + 2
}

/// The Crypt4GH files of a dataset.
fn files(b3sums: &B3Sums) -> impl Iterator<Item = &ObjectName> {
    b3sums.names().filter(|name| is_file(name))
}

fn is_file(name: &ObjectName) -> bool {
    opened_name(name).is_some()
}

/// What the content of a Crypt4GH file is called.
fn opened_name(name: &ObjectName) -> Option<&str> {
    name.as_str().strip_suffix(SUFFIX).filter(|stem| !stem.is_empty())
}

/// What the files of such a dataset end in.
const SUFFIX: &str = ".c4gh";
