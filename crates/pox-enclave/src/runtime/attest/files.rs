//! Kernel interfaces that are files: each is read whole within a bound, and written at once.

use super::error::AttestError;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

/// Reads a file to its end. `what` names it in errors.
pub(super) fn read(path: &Path, what: &'static str, most: usize) -> Result<Vec<u8>, AttestError> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(AttestError::io(what))?.take(most as u64 + 1);
    match file.read_to_end(&mut bytes) {
        Ok(count) if count <= most => Ok(bytes),
        Err(error) if error.raw_os_error() != Some(libc::EFBIG) => {
            Err(AttestError::Io { what, source: error })
        }
        // The kernel has a bound of its own.
        Ok(_) | Err(_) => Err(AttestError::TooLarge { what, most }),
    }
}

/// Reads a line of text; it may end in a line feed.
pub(super) fn read_line(path: &Path, what: &'static str) -> Result<String, AttestError> {
    let text = String::from_utf8(read(path, what, MAX_LINE_BYTES)?);
    let text = text.map_err(|_| AttestError::Malformed(what))?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// Reads a decimal number.
pub(super) fn read_number(path: &Path, what: &'static str) -> Result<u64, AttestError> {
    read_line(path, what)?.parse().map_err(|_| AttestError::Malformed(what))
}

/// Hands bytes over with a single write, as such files want it, to a file that exists; closing it makes them count.
pub(super) fn write(path: &Path, what: &'static str, bytes: &[u8]) -> Result<(), AttestError> {
    let mut file = OpenOptions::new().write(true).open(path).map_err(AttestError::io(what))?;
    let count = file.write(bytes).map_err(AttestError::io(what))?;
    if count == bytes.len() { Ok(()) } else { Err(AttestError::Malformed(what)) }
}

/// Names and numbers are far shorter.
const MAX_LINE_BYTES: usize = 256;
