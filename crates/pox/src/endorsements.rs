//! Endorsements in files: a folder that `pox evidence fetch-collateral` wrote, or single files of their kinds.

use crate::error::{Failure, Hint as _};
use crate::home::{Overwrite, write_file};
use crate::locate::read_bounded;
use pox_core::endorsement::{Endorsement, EndorsementKind, MAX_ENDORSEMENT_BYTES, MAX_ENDORSEMENTS};
use pox_verify::evidence::dcap::{Collateral, PckChain};
use std::fs;
use std::path::{Path, PathBuf};

/// Endorsements from `KIND=FILE`, or from folders.
pub(crate) fn read(given: &[String]) -> Result<Vec<Endorsement>, Failure> {
    let mut all = Vec::new();
    for text in given {
        if let Some((name, file)) = text.split_once('=') {
            let (kind, ..) = FILES
                .into_iter()
                .find(|(_, known, _)| *known == name)
                .ok_or_else(|| Failure::usage(format!("{name:?} is no kind of endorsement")))
                .hint("the kinds are dcap-collateral, snp-key, snp-issuer, snp-crl and nitro-crl")?;
            all.push(one(kind, Path::new(file))?);
            continue;
        }
        let before = all.len();
        for (kind, ..) in FILES {
            for path in numbered(kind, Path::new(text)).take_while(|path| path.is_file()) {
                all.push(one(kind, &path)?);
            }
        }
        if all.len() == before {
            return Err(Failure::usage(format!("{text} has no endorsements")))
                .hint("name a folder that `pox evidence fetch-collateral` wrote, or KIND=FILE, such as dcap-collateral=FILE");
        }
    }
    Ok(all)
}

/// Writes them into a folder, in the place of those of the same kinds that are there.
pub(crate) fn write(all: &[Endorsement], folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::machine(format!("{}: {error}", folder.display())))?;
    let mut written = Vec::new();
    for (kind, ..) in FILES {
        let mut of_kind = all.iter().filter(|one| one.kind == kind.code()).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        for path in numbered(kind, folder) {
            let done = match of_kind.next() {
                Some(one) => write_file(&path, &one.content, 0o644, Overwrite::Replace),
                // Of an earlier time, and no longer true beside the new ones.
                None if path.is_file() => fs::remove_file(&path),
                None => break,
            };
            done.map_err(|error| Failure::machine(format!("cannot write {}: {error}", path.display())))?;
            if path.is_file() {
                written.push(path);
            }
        }
    }
    Ok(written)
}

fn one(kind: EndorsementKind, file: &Path) -> Result<Endorsement, Failure> {
    let bytes = read_bounded(file, 2 * MAX_ENDORSEMENT_BYTES)?;
    let content = match kind {
        // What Intel's libraries exchange; anything else is taken as it is, and judged later.
        EndorsementKind::DcapCollateral => match Collateral::from_json(&bytes, PckChain::Drop) {
            Ok(collateral) => collateral.to_bytes(),
            Err(_) => bytes,
        },
        _ => der(bytes),
    };
    Ok(Endorsement::new(kind, content))
}

/// The content of a PEM text's first block; other bytes as they are.
fn der(bytes: Vec<u8>) -> Vec<u8> {
    match pem::parse(&bytes) {
        Ok(block) => block.into_contents(),
        Err(_) => bytes,
    }
}

/// The files of a kind in a folder: `snp-crl.der`, `snp-crl-2.der` and so on.
fn numbered(kind: EndorsementKind, folder: &Path) -> impl Iterator<Item = PathBuf> {
    let (_, stem, extension) = FILES.into_iter().find(|(known, ..)| *known == kind).unwrap_or(FILES[0]);
    (1..=MAX_ENDORSEMENTS).map(move |number| match number {
        1 => folder.join(format!("{stem}.{extension}")),
        _ => folder.join(format!("{stem}-{number}.{extension}")),
    })
}

/// The files of a folder of endorsements.
const FILES: [(EndorsementKind, &str, &str); 5] = [
    (EndorsementKind::DcapCollateral, "dcap-collateral", "cbor"),
    (EndorsementKind::SnpKey, "snp-key", "der"),
    (EndorsementKind::SnpIssuer, "snp-issuer", "der"),
    (EndorsementKind::SnpCrl, "snp-crl", "der"),
    (EndorsementKind::NitroCrl, "nitro-crl", "der"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_older() {
        let folder = tempfile::tempdir().unwrap();
        let of = |kind, content: &str| Endorsement::new(kind, content.into());
        let list = |content| of(EndorsementKind::NitroCrl, content);
        let given = [folder.path().display().to_string()];
        let three = [of(EndorsementKind::SnpKey, "key"), list("a"), list("b"), list("c")];
        assert_eq!(write(&three, folder.path()).unwrap().len(), 4);
        assert_eq!(read(&given).unwrap(), three);
        // Of a kind that is not written again nothing is known, so it stays.
        let two = [list("d"), list("e")];
        assert_eq!(write(&two, folder.path()).unwrap().len(), 2);
        assert_eq!(read(&given).unwrap(), [&three[..1], &two].concat());
        let single = [format!("nitro-crl={}", folder.path().join("nitro-crl-2.der").display())];
        assert_eq!(read(&single).unwrap(), two[1..]);
        assert!(read(&["snp-cow=x".to_owned()]).is_err());
        assert!(read(&[folder.path().join("none").display().to_string()]).is_err());
    }
}
