//! The archive of a tree: tar (ustar, with pax records where ustar is too narrow), one byte sequence for each tree.
//!
//! An opener without us sees an ordinary archive. Ours reads the manifest, makes the same headers again and compares, so
//! the two views can't differ.

use super::manifest::Meta;
use super::path::EntryPath;

/// What a header describes.
#[derive(Clone, Copy)]
pub(crate) enum Member<'a> {
    File { meta: &'a Meta, size: u64 },
    Folder { meta: &'a Meta },
    Link { target: &'a [u8] },
}

/// The archive's last bytes.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Bytes that fill up a file's last block.
pub(crate) fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

/// Appends the bytes before an entry's content.
pub(crate) fn write_header(path: &EntryPath, member: Member<'_>, out: &mut Vec<u8>) {
    let folder;
    let mut name = path.as_bytes();
    let (kind, mode, seconds, size, target) = match member {
        Member::File { meta, size } => (b'0', meta.mode, meta.seconds, size, &b""[..]),
        Member::Folder { meta } => {
            folder = [name, b"/"].concat();
            name = &folder;
            (b'5', meta.mode, meta.seconds, 0, &b""[..])
        }
        Member::Link { target } => (b'2', 0o777, 0, 0, target),
    };
    let mut records = Vec::new();
    if name.len() > NAME || !name.is_ascii() {
        record(&mut records, b"path", name);
    }
    if target.len() > NAME || !target.is_ascii() {
        record(&mut records, b"linkpath", target);
    }
    if size > MAX_OCTAL {
        record(&mut records, b"size", size.to_string().as_bytes());
    }
    let ustar_seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds <= MAX_OCTAL);
    if ustar_seconds.is_none() {
        record(&mut records, b"mtime", seconds.to_string().as_bytes());
    }
    if !records.is_empty() {
        block(b"././@PaxHeader", 0o644, records.len() as u64, 0, b'x', b"", out);
        let pad = padding(records.len() as u64);
        out.extend_from_slice(&records);
        out.extend_from_slice(&[0; BLOCK][..pad]);
    }
    let shown = if size > MAX_OCTAL { 0 } else { size };
    block(name, mode, shown, ustar_seconds.unwrap_or(0), kind, target, out);
}

/// Appends one ustar header block; names are cut where a pax record carries them in full.
fn block(name: &[u8], mode: u16, size: u64, seconds: u64, kind: u8, target: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + BLOCK, 0);
    let block = &mut out[start..];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(NAME)]);
    put(100, &octal::<7>(mode.into()));
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, &octal::<11>(size));
    put(136, &octal::<11>(seconds));
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &target[..target.len().min(NAME)]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..154].copy_from_slice(&octal::<6>(sum.into()));
    block[154] = 0;
}

/// A number in so many octal digits, which it must fit.
fn octal<const N: usize>(mut number: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += (number & 7) as u8;
        number >>= 3;
    }
    digits
}

/// A pax record, `<length> <key>=<value>\n`, whose length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    out.extend_from_slice(len.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

const BLOCK: usize = 512;
/// Longest name that fits a ustar header.
const NAME: usize = 100;
/// Largest number in eleven octal digits: 8 GiB less one, or the year 2242.
const MAX_OCTAL: u64 = 0o77_777_777_777;
