use super::Invalid;

/// A header block whose checksum is right.
pub(super) struct Header([u8; BLOCK]);

impl Header {
    pub(super) fn parse(block: [u8; BLOCK]) -> Result<Self, Invalid> {
        let stated = number(&block[CHECKSUM]).and_then(|n| u32::try_from(n).ok());
        let counted = |i: usize, b: u8| if CHECKSUM.contains(&i) { b' ' } else { b };
        let sum: u32 = block.iter().enumerate().map(|(i, b)| u32::from(counted(i, *b))).sum();
        if stated != Some(sum) {
            return Err(Invalid::Archive("has a header with a wrong checksum"));
        }
        Ok(Self(block))
    }

    pub(super) fn typeflag(&self) -> u8 {
        self.0[156]
    }

    /// Name, with the ustar prefix before it. GNU uses the prefix field for other things, and has another magic.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.0[0..100]);
        let prefix = if &self.0[257..263] == b"ustar\0" { until_nul(&self.0[345..500]) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        until_nul(&self.0[157..257]).to_vec()
    }

    pub(super) fn size(&self) -> Result<u64, Invalid> {
        number(&self.0[124..136]).ok_or(Invalid::Archive("has a malformed size"))
    }

    /// Permission bits; 0 where they are malformed, which grants nothing.
    pub(super) fn mode(&self) -> u32 {
        number(&self.0[100..108]).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }

    /// Seconds since 1970; 0 where it is earlier or malformed.
    pub(super) fn mtime(&self) -> u64 {
        number(&self.0[136..148]).unwrap_or(0)
    }
}

/// Parses octal digits between blanks, or GNU's big-endian binary with the top bit set; negative is nothing.
fn number(field: &[u8]) -> Option<u64> {
    if let [first @ 0x80..=0xff, rest @ ..] = field {
        let high = first & 0x7f;
        return rest.iter().try_fold(u64::from(high), |n, b| {
            n.checked_mul(256).filter(|_| n >> 56 == 0).map(|n| n | u64::from(*b))
        });
    }
    let is_blank = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !is_blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let digits = &digits[..digits.iter().position(is_blank).unwrap_or(digits.len())];
    digits.iter().try_fold(0u64, |n, b| match b {
        b'0'..=b'7' => n.checked_mul(8).map(|n| n | u64::from(b - b'0')),
        _ => None,
    })
}

fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|b| *b == 0).unwrap_or(field.len())]
}

/// The unit of a tar archive, in bytes.
pub(super) const BLOCK: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_spellings() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0 "), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(&[0x80, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), None, "negative or beyond 64 bits");
        assert_eq!(number(b"0000648\0"), None);
        assert_eq!(number(b"-1\0"), None);
        assert_eq!(number(b"7777777777777777777777777"), None);
    }
}
