//! ASCII armor, for small files: strict, canonical, in memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Largest armored text that is read; larger files have no use for 7-bit mail.
pub const MAX_ARMORED: usize = 64 * 1024 * 1024;

/// Armored text is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArmorError {
    /// The text exceeds [`MAX_ARMORED`].
    #[error("armored text over 64 MiB")]
    TooLarge,
    /// The first or last line isn't age's.
    #[error("no age armor: the first or last line is another")]
    Frame,
    /// A line is too long, too short or empty.
    #[error("an armor line of the wrong length")]
    Line,
    /// The lines aren't canonical base64.
    #[error("an armor line that isn't canonical base64")]
    Base64,
}

/// Writes bytes as armored text.
pub fn armor(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let mut out = String::with_capacity(text.len() + text.len() / COLUMNS + 80);
    out.push_str(BEGIN);
    out.push('\n');
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(COLUMNS));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(END);
    out.push('\n');
    out
}

/// Reads armored text. Space around the armor and either line end are allowed, and nothing else that isn't canonical:
/// otherwise one file had many texts.
pub fn dearmor(text: &[u8]) -> Result<Vec<u8>, ArmorError> {
    if text.len() > MAX_ARMORED {
        return Err(ArmorError::TooLarge);
    }
    let mut lines =
        text.trim_ascii().split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if lines.next() != Some(BEGIN.as_bytes()) || lines.next_back() != Some(END.as_bytes()) {
        return Err(ArmorError::Frame);
    }
    let mut body = Vec::with_capacity(text.len());
    let mut lines = lines.peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        if line.is_empty() || line.len() > COLUMNS || (!is_last && line.len() != COLUMNS) {
            return Err(ArmorError::Line);
        }
        body.extend_from_slice(line);
    }
    STANDARD.decode(body).map_err(|_| ArmorError::Base64)
}

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
const COLUMNS: usize = 64;
