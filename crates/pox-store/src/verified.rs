use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::Error;

/// What bytes should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Their number.
    pub size: u64,
    /// Their SHA-256, if known.
    pub sha256: Option<[u8; 32]>,
    /// Their BLAKE3 hash, if known.
    pub blake3: Option<[u8; 32]>,
}

/// Checks size and digests of what passes through it.
///
/// The read that would return the end fails instead if anything differs, so whoever reads to the end without an error
/// has the expected bytes. Earlier reads are unchecked. After a failure every further read fails.
pub struct VerifiedRead<R> {
    inner: R,
    expected: Expected,
    seen: u64,
    sha256: Option<Sha256>,
    blake3: Option<Box<blake3::Hasher>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Right,
    Wrong(&'static str),
}

impl<R: Read> VerifiedRead<R> {
    /// Starts checking.
    pub fn new(inner: R, expected: Expected) -> Self {
        let sha256 = expected.sha256.map(|_| Sha256::new());
        let blake3 = expected.blake3.map(|_| Box::new(blake3::Hasher::new()));
        Self { inner, expected, seen: 0, sha256, blake3, state: State::Reading }
    }

    fn judge(&mut self) -> State {
        if self.seen != self.expected.size {
            return State::Wrong("it is shorter");
        }
        let sha256 = self.sha256.take().map(|hasher| hasher.finalize().into());
        let blake3 = self.blake3.take().map(|hasher| *hasher.finalize().as_bytes());
        if sha256 != self.expected.sha256 || blake3 != self.expected.blake3 {
            return State::Wrong("its digest is another");
        }
        State::Right
    }
}

impl<R: Read> Read for VerifiedRead<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.state == State::Reading {
            let n = self.inner.read(buf)?;
            self.seen += n as u64;
            if self.seen > self.expected.size {
                self.state = State::Wrong("it is longer");
            } else if n == 0 {
                self.state = self.judge();
            } else {
                if let Some(hasher) = &mut self.sha256 {
                    hasher.update(&buf[..n]);
                }
                if let Some(hasher) = &mut self.blake3 {
                    hasher.update(&buf[..n]);
                }
                return Ok(n);
            }
        }
        match self.state {
            State::Wrong(why) => Err(Error::Corrupt(why).into_read()),
            State::Right | State::Reading => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], expected: Expected) -> Result<Vec<u8>, Error> {
        let mut all = vec![];
        VerifiedRead::new(bytes, expected).read_to_end(&mut all).map_err(Error::from_read)?;
        Ok(all)
    }

    #[test]
    fn only_the_expected_bytes_reach_their_end() {
        let right = Expected {
            size: 3,
            sha256: Some(Sha256::digest(b"abc").into()),
            blake3: Some(*blake3::hash(b"abc").as_bytes()),
        };
        assert_eq!(read(b"abc", right).unwrap(), b"abc");
        for wrong in [b"abd".as_slice(), b"ab", b"abcd", b""] {
            assert!(matches!(read(wrong, right), Err(Error::Corrupt(_))));
        }
        for expected in
            [Expected { sha256: Some([0; 32]), ..right }, Expected { blake3: Some([0; 32]), ..right }]
        {
            assert!(matches!(read(b"abc", expected), Err(Error::Corrupt(_))));
        }
    }

    #[test]
    fn a_failure_stays() {
        let mut reader =
            VerifiedRead::new(b"abcd".as_slice(), Expected { size: 3, sha256: None, blake3: None });
        let mut buf = [0; 8];
        assert!(reader.read(&mut buf).is_err());
        assert!(reader.read(&mut buf).is_err());
    }
}
