//! Places as people write them: a path is relative to the file or folder that it is written in.

use crate::error::{Failure, Hint as _};
use pox_store::Location;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A folder: a URL as it is, or a path made absolute.
///
/// # Errors
/// It is neither.
pub(crate) fn folder(text: &str, base: &Path) -> Result<String, Failure> {
    let location = if text.contains("://") {
        text.parse::<Location>()
    } else {
        Location::from_path(&absolute(text, base)?)
    };
    location
        .map(|location| location.to_string())
        .map_err(|error| Failure::usage(format!("{text:?}: {error}")))
}

/// An image: a registry reference as it is, or a layout or archive whose path is made absolute.
///
/// # Errors
/// It is no image reference.
pub(crate) fn image(text: &str, base: &Path) -> Result<String, Failure> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(Failure::usage(format!("{text:?} is not an image"))).hint(IMAGE_FORMS);
    };
    if rest.contains("://") || scheme == "docker" {
        return Ok(text.to_owned());
    }
    if !["oci", "oci-archive", "docker-archive"].contains(&scheme) {
        return Err(Failure::usage(format!("{text:?} is not an image"))).hint(IMAGE_FORMS);
    }
    // A tag follows the last colon, unless that colon is part of a folder's name.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, format!(":{tag}")),
        _ => (rest, String::new()),
    };
    let path = absolute(path, base)?;
    let path = path
        .to_str()
        .ok_or_else(|| Failure::usage(format!("{}: the place of an image has to be UTF-8", path.display())))
        .hint("move it, or the folder in which you are, to a place that is")?;
    Ok(format!("{scheme}:{path}{tag}"))
}

/// A folder of the user's, with `~` for the home folder.
pub(crate) fn home(text: &str) -> Result<PathBuf, Failure> {
    let Some(rest) = text.strip_prefix("~/") else { return Ok(PathBuf::from(text)) };
    let home = std::env::var_os("HOME")
        .ok_or_else(|| Failure::usage("HOME is not set"))
        .hint("name a folder with --home")?;
    Ok(PathBuf::from(home).join(rest))
}

/// Reads a whole file of the user's, if it is not larger than any of its kind.
///
/// # Errors
/// It can't be read, or is larger.
pub(crate) fn read_bounded(path: &Path, most: usize) -> Result<Vec<u8>, Failure> {
    let cannot = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::IsADirectory => "name a file in it",
            io::ErrorKind::PermissionDenied => "this account must be able to read it",
            _ => "name a file that is there",
        };
        Failure::usage(format!("cannot read {}: {error}", path.display())).with_hint(hint)
    };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() > most {
        return Err(Failure::usage(format!("{} has more than {most} bytes", path.display())))
            .hint("nothing of that kind is so large: is it the right file?");
    }
    Ok(bytes)
}

fn absolute(path: &str, base: &Path) -> Result<PathBuf, Failure> {
    let path = base.join(path.trim_end_matches('/'));
    std::path::absolute(&path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

pub(crate) const IMAGE_FORMS: &str =
    "write docker://HOST/NAME@sha256:…, oci:DIR, oci-archive:FILE or docker-archive:FILE";

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn a_place_that_is_not_utf_8_is_refused_and_never_spelt_otherwise() {
        let base = Path::new(OsStr::from_bytes(b"/data/\xff"));
        for text in ["oci:image", "oci-archive:image.tar:tag"] {
            assert!(image(text, base).is_err(), "{text}");
        }
        assert_eq!(image("oci:/image:tag", base).unwrap(), "oci:/image:tag");
        assert!(image("docker://example.org/a", base).is_ok());
        let named = folder("sealed", base).map(|place| place.parse::<Location>().unwrap());
        assert!(named.is_err() || named.is_ok_and(|place| !place.to_string().contains('\u{fffd}')));
    }
}
