use super::{Extensions, Invalid};

/// Applies a pax extended header to the entry that follows.
pub(super) fn parse(bytes: &[u8], into: &mut Extensions) -> Result<(), Invalid> {
    if std::mem::replace(&mut into.pax, true) {
        return Err(Invalid::Archive("repeats an extension header"));
    }
    for record in Records(bytes) {
        let (key, value) = record?;
        match key {
            b"path" => into.path = Some(value.to_vec()),
            b"linkpath" => into.link = Some(value.to_vec()),
            b"size" => into.size = Some(decimal(value).ok_or(MALFORMED)?),
            b"mtime" => {
                let whole = value.split(|b| *b == b'.').next().unwrap_or_default();
                // Times before 1970 start with a minus sign.
                into.mtime = Some(decimal(whole).unwrap_or(0));
            }
            _ if key.starts_with(b"GNU.sparse.") => return Err(Invalid::Archive("has a sparse file")),
            _ => {}
        }
    }
    Ok(())
}

/// Checks a global header: comments and the like are skipped, but it may not change entries.
pub(super) fn check_global(bytes: &[u8]) -> Result<(), Invalid> {
    for record in Records(bytes) {
        let (key, _) = record?;
        if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
            return Err(Invalid::Archive("has a global header that changes entries"));
        }
    }
    Ok(())
}

/// Iterates over `<length> <key>=<value>\n`, the length counting the whole record.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Invalid>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.split();
        if record.is_none() {
            self.0 = &[];
        }
        Some(record.ok_or(MALFORMED))
    }
}

impl<'a> Records<'a> {
    fn split(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let blank = self.0.iter().position(|b| *b == b' ')?;
        let length = usize::try_from(decimal(&self.0[..blank])?).ok()?;
        let record = self.0.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|b| *b == b'=').filter(|at| *at > 0)?;
        self.0 = &self.0[length..];
        Some((&record[..equals], &record[equals + 1..]))
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

const MALFORMED: Invalid = Invalid::Archive("has a malformed pax header");
