//! Archives of blocks (CAR, version 1), read as they arrive.

use bytes::{Buf, Bytes, BytesMut};

use super::cid::varint;
use super::{Cid, MAX_BLOCK};

/// Takes bytes, and gives blocks.
#[derive(Debug, Default)]
pub struct Car {
    pending: BytesMut,
    headed: bool,
}

/// A block of an archive, which nothing has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What the archive calls it.
    pub cid: Cid,
    /// The block.
    pub block: Bytes,
}

impl Car {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next block, if it is there as a whole.
    ///
    /// # Errors
    /// This is no archive of version 1, or a block is larger than any.
    pub fn section(&mut self) -> Result<Option<Section>, &'static str> {
        if !self.headed {
            let Some(header) = self.frame(MAX_HEADER)? else { return Ok(None) };
            if !header.windows(VERSION.len()).any(|part| part == VERSION) {
                return Err("it is no archive of version 1");
            }
            self.headed = true;
        }
        let Some(mut frame) = self.frame(MAX_BLOCK + MAX_CID)? else { return Ok(None) };
        let (cid, used) = Cid::read(&frame).map_err(|_| "a block has no identifier that can be checked")?;
        frame.advance(used);
        Ok(Some(Section { cid, block: frame }))
    }

    /// A length, and that many bytes.
    fn frame(&mut self, most: usize) -> Result<Option<Bytes>, &'static str> {
        let mut rest = &self.pending[..];
        let Some(len) = varint(&mut rest) else {
            return if self.pending.len() < 10 { Ok(None) } else { Err("a length is malformed") };
        };
        let len = usize::try_from(len).ok().filter(|len| *len <= most).ok_or("a block is too large")?;
        if rest.len() < len {
            return Ok(None);
        }
        let head = self.pending.len() - rest.len();
        self.pending.advance(head);
        Ok(Some(self.pending.split_to(len).freeze()))
    }
}

/// The entry of the header's map that says so.
const VERSION: &[u8] = b"\x67version\x01";
/// Some hundred roots.
const MAX_HEADER: usize = 64 << 10;
/// Longer than any identifier.
const MAX_CID: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let header = b"\xa2\x65roots\x80\x67version\x01";
        let cid =
            [&[1, 0x55, 0x12, 32][..], &<[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(b"abc"))];
        let cid = cid.concat();
        [&[header.len() as u8][..], header, &[cid.len() as u8 + 3], &cid, b"abc"].concat()
    }

    #[test]
    fn blocks_come_however_the_bytes_do() {
        for piece in [1, 7, 1000] {
            let (mut car, mut found) = (Car::default(), vec![]);
            for bytes in archive().chunks(piece) {
                car.push(bytes);
                found.extend(car.section().unwrap());
            }
            assert_eq!(found.len(), 1);
            assert!(found[0].cid.names(&found[0].block));
        }
    }

    #[test]
    fn other_files_and_too_large_blocks_are_refused() {
        for bytes in [
            &b"\x0a\xa1\x67version\x02"[..],
            b"\xff\xff\xff\xff\x7f",
            &[0xff; 10],
            b"<html></html>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            let mut car = Car::default();
            car.push(bytes);
            assert!(car.section().is_err());
        }
        let mut car = Car::default();
        car.push(b"\x11\xa2\x65roots\x80\x67version\x01\xff\xff\xff\x7f");
        assert!(car.section().is_err());
    }
}
