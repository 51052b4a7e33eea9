//! What inputs look like from outside.

use super::seal::SealError;
use super::tree::{Found, FoundFile, Walk, single_file};
use std::path::Path;

/// A digest of the names, kinds, sizes, times, permissions, inodes and link targets of everything that would be sealed, read
/// from folders and not from files.
///
/// Who keeps it with a sealed dataset knows later whether sealing the same inputs again could come to another content.
///
/// # Errors
/// As sealing.
pub fn state(inputs: &[&Path]) -> Result<[u8; 32], SealError> {
    let mut hasher = blake3::Hasher::new_derive_key("pox-seal state of inputs v1");
    if let [one] = inputs
        && let Some(file) = single_file(one)?
    {
        note_file(&mut hasher, &file);
        return Ok(*hasher.finalize().as_bytes());
    }
    let mut walk = Walk::new(inputs)?;
    while let Some(found) = walk.next()? {
        match found {
            Found::File(file) => note_file(&mut hasher, &file),
            Found::Folder { path, meta } => {
                note(&mut hasher, b"folder", path.as_bytes());
                note(&mut hasher, &meta.mode.to_be_bytes(), &meta.seconds.to_be_bytes());
                note(&mut hasher, b"", &meta.nanoseconds.to_be_bytes());
            }
            Found::Link { path, target } => {
                note(&mut hasher, b"link", path.as_bytes());
                note(&mut hasher, b"", &target);
            }
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

fn note_file(hasher: &mut blake3::Hasher, file: &FoundFile) {
    note(hasher, b"file", file.path.as_bytes());
    note(hasher, &file.meta.mode.to_be_bytes(), b"");
    let stamp = &file.stamp;
    for number in [stamp.device, stamp.inode, stamp.size] {
        hasher.update(&number.to_be_bytes());
    }
    for (seconds, nanoseconds) in [stamp.modified, stamp.changed] {
        hasher.update(&seconds.to_be_bytes());
        hasher.update(&nanoseconds.to_be_bytes());
    }
}

/// Two texts, each behind its length, so that no two sequences look the same.
fn note(hasher: &mut blake3::Hasher, one: &[u8], other: &[u8]) {
    for text in [one, other] {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn whatever_sealing_would_see_is_in_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("sub")).unwrap();
        fs::write(tree.join("sub/a"), "a").unwrap();
        let mut seen = vec![state(&[&tree]).unwrap()];
        assert_eq!(state(&[&tree]).unwrap(), seen[0], "nothing changed");
        let mut changed = |what: &str| {
            let now = state(&[&tree]).unwrap();
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::write(tree.join("sub/a"), "b").unwrap();
        changed("content of the same length");
        fs::rename(tree.join("sub/a"), tree.join("sub/b")).unwrap();
        changed("name");
        std::os::unix::fs::symlink("sub/b", tree.join("l")).unwrap();
        changed("link");
        fs::remove_file(tree.join("l")).unwrap();
        std::os::unix::fs::symlink("sub", tree.join("l")).unwrap();
        changed("target");
        fs::create_dir(tree.join("empty")).unwrap();
        changed("folder");
        let file = tree.join("sub/b");
        assert_ne!(state(&[&file]).unwrap(), state(&[&tree]).unwrap());
    }
}
