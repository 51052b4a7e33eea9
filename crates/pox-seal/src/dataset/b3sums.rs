//! The public text files of a dataset, and its commitment.

use crate::hashing::Blake3Digest;
use crate::keys::KeyCommitment;
use ring::digest;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Most objects in a dataset: today's have four; a larger number is somebody's trick.
pub const MAX_OBJECTS: usize = 64;
/// Longest public text file: [`MAX_OBJECTS`] lines of 64 hex digits, two spaces and a name of 64 characters.
pub const MAX_TEXT: usize = MAX_OBJECTS * (64 + 2 + 64 + 1);

/// The commitment to a sealed dataset: the SHA-256 of its `B3SUMS` file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatasetCommitment([u8; 32]);

impl DatasetCommitment {
    /// Computes the commitment from the bytes of a `B3SUMS` file.
    pub fn of(b3sums: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, b3sums).as_ref());
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for DatasetCommitment {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<DatasetCommitment> for [u8; 32] {
    fn from(commitment: DatasetCommitment) -> Self {
        commitment.0
    }
}

impl FromStr for DatasetCommitment {
    type Err = BadText;

    /// Reads the 64 hex digits that `sha256sum` prints.
    fn from_str(text: &str) -> Result<Self, BadText> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for DatasetCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DatasetCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatasetCommitment({self})")
    }
}

/// The name of a public file: 1 to 64 of `A-Z a-z 0-9 . _ -`, starting with a letter or digit.
///
/// So it is never a path, an option, a hidden file, or in need of the escapes that `b3sum` has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectName(String);

impl ObjectName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, BadText> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        match starts && name.len() <= 64 && name.bytes().all(plain) {
            true => Ok(Self(name.into())),
            false => Err(BadText::Name),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn data() -> Self {
        Self("data.age".into())
    }

    pub(crate) fn manifest() -> Self {
        Self("manifest.age".into())
    }

    pub(crate) fn access() -> Self {
        Self("access.age".into())
    }

    pub(crate) fn keys() -> Self {
        Self("KEYS".into())
    }

    pub(crate) fn root() -> Self {
        Self("ROOT".into())
    }

    pub(crate) fn journal() -> Self {
        Self("journal".into())
    }

    pub(crate) fn sha256sums() -> Self {
        Self("SHA256SUMS".into())
    }

    pub(crate) fn b3sums() -> Self {
        Self("B3SUMS".into())
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public text file or name is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// The text is too long.
    #[error("the text is too long")]
    TooLong,
    /// A line isn't 64 lower-case hex digits, two spaces and a name, or doesn't end.
    #[error("a line that isn't a digest and a name")]
    Line,
    /// A digest isn't 64 lower-case hex digits.
    #[error("a digest that isn't 64 lower-case hex digits")]
    Hex,
    /// A name has characters that it mustn't have.
    #[error("a name with other characters than letters, digits, `.`, `_` and `-`")]
    Name,
    /// Names are repeated or out of order.
    #[error("names that are repeated or out of order")]
    Order,
}

/// The `B3SUMS` file: the BLAKE3 digest of each other public file, sorted by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct B3Sums(BTreeMap<ObjectName, Blake3Digest>);

impl B3Sums {
    /// Parses the file's bytes: there is exactly one text for each content.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadText> {
        let lines = parse_lines(bytes)?;
        Ok(Self(lines.into_iter().map(|(name, digest)| (name, digest.into())).collect()))
    }

    pub(crate) fn insert(&mut self, name: ObjectName, digest: Blake3Digest) {
        self.0.insert(name, digest);
    }

    /// The digest of a file.
    pub fn digest(&self, name: &ObjectName) -> Option<Blake3Digest> {
        self.0.get(name).copied()
    }

    /// The files' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.0.keys()
    }

    /// Whether these are the files that a dataset has.
    pub(crate) fn are_of_a_dataset(&self) -> bool {
        let must = [ObjectName::keys(), ObjectName::root(), ObjectName::data(), ObjectName::manifest()];
        let may = ObjectName::sha256sums();
        must.iter().all(|name| self.0.contains_key(name))
            && self.0.len() == must.len() + usize::from(self.0.contains_key(&may))
    }
}

impl fmt::Display for B3Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, digest)| writeln!(f, "{digest}  {name}"))
    }
}

/// The `SHA256SUMS` file: the SHA-256 digest of each other public file but `B3SUMS`, sorted by name, for who has to name
/// or check them by that. A dataset need not have it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sha256Sums(BTreeMap<ObjectName, [u8; 32]>);

impl Sha256Sums {
    /// Parses the file's bytes: there is exactly one text for each content.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadText> {
        Ok(Self(parse_lines(bytes)?.into_iter().collect()))
    }

    pub(crate) fn insert(&mut self, name: ObjectName, digest: [u8; 32]) {
        self.0.insert(name, digest);
    }

    /// The digest of a file.
    pub fn digest(&self, name: &ObjectName) -> Option<[u8; 32]> {
        self.0.get(name).copied()
    }

    /// The files' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.0.keys()
    }
}

impl fmt::Display for Sha256Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, digest)| writeln!(f, "{}  {name}", hex::encode(digest)))
    }
}

/// The `KEYS` file: the key commitment of each sealed object, sorted by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyCommitments(BTreeMap<ObjectName, KeyCommitment>);

impl KeyCommitments {
    /// Parses the file's bytes: there is exactly one text for each content.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadText> {
        let lines = parse_lines(bytes)?;
        Ok(Self(lines.into_iter().map(|(name, digest)| (name, digest.into())).collect()))
    }

    pub(crate) fn insert(&mut self, name: ObjectName, commitment: KeyCommitment) {
        self.0.insert(name, commitment);
    }

    /// The commitment of an object.
    pub fn commitment(&self, name: &ObjectName) -> Option<KeyCommitment> {
        self.0.get(name).copied()
    }

    /// The objects' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.0.keys()
    }
}

impl fmt::Display for KeyCommitments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, commitment)| writeln!(f, "{commitment}  {name}"))
    }
}

/// Parses 64 lower-case hex digits.
pub(crate) fn parse_hex(text: &str) -> Result<[u8; 32], BadText> {
    let mut bytes = [0; 32];
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(BadText::Hex);
    }
    hex::decode_to_slice(text, &mut bytes).map_err(|_| BadText::Hex)?;
    Ok(bytes)
}

/// Parses `<hex>  <name>` lines, strictly increasing by name.
fn parse_lines(bytes: &[u8]) -> Result<Vec<(ObjectName, [u8; 32])>, BadText> {
    if bytes.len() > MAX_TEXT {
        return Err(BadText::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| BadText::Line)?;
    let mut out = Vec::<(ObjectName, [u8; 32])>::new();
    for line in text.split_inclusive('\n') {
        let line = line.strip_suffix('\n').ok_or(BadText::Line)?;
        let (digest, name) = line.split_once("  ").ok_or(BadText::Line)?;
        let name = ObjectName::new(name)?;
        if out.len() == MAX_OBJECTS {
            return Err(BadText::TooLong);
        }
        if out.last().is_some_and(|(last, _)| *last >= name) {
            return Err(BadText::Order);
        }
        out.push((name, parse_hex(digest)?));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_each_content() {
        let hex = "ab".repeat(32);
        let good = format!("{hex}  KEYS\n{hex}  data.age\n");
        assert_eq!(B3Sums::parse(good.as_bytes()).unwrap().to_string(), good);
        for bad in [
            format!("{hex}  KEYS"),
            format!("{hex} KEYS\n"),
            format!("{hex}   KEYS\n"),
            format!("{hex}  KEYS\r\n"),
            format!("{}  KEYS\n", hex.to_uppercase()),
            format!("{hex}  data.age\n{hex}  KEYS\n"),
            format!("{hex}  KEYS\n{hex}  KEYS\n"),
            format!("{hex}  ../x\n"),
            format!("{hex}  .x\n"),
            format!("{hex}  -x\n"),
            format!("{hex}  a b\n"),
            format!("{hex}  \n"),
            format!("\n{hex}  KEYS\n"),
            format!("{hex}  {}\n", "x".repeat(65)),
        ] {
            assert!(B3Sums::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
