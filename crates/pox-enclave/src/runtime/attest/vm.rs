//! Evidence of a guest under plain emulation (spec §14.3): the host plays the TEE, as the host's hardware would be one.

use super::error::AttestError;
use super::{Attester, Quote};
use pox_core::evidence::{EvidenceKind, MAX_QUOTE_BYTES};
use std::io::{self, Read, Write};

/// The simulated TEE behind a port. **It protects nothing**: the host at the other end signs, with a key that is public.
#[derive(Debug)]
pub struct VmSim<P> {
    port: P,
}

impl<P> VmSim<P>
where
    for<'a> &'a P: Read + Write,
{
    /// Asks whoever is behind a port.
    pub fn behind(port: P) -> Self {
        Self { port }
    }
}

impl<P> Attester for VmSim<P>
where
    for<'a> &'a P: Read + Write,
{
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::VmSim
    }

    fn quote(&self, report_data: &[u8; 64]) -> Result<Quote, AttestError> {
        let quote = self.ask(report_data).map_err(AttestError::io("asking the simulated TEE"))?;
        Ok(Quote { kind: self.kind(), quote, endorsements: Vec::new() })
    }
}

impl<P> VmSim<P>
where
    for<'a> &'a P: Read + Write,
{
    fn ask(&self, report_data: &[u8; 64]) -> io::Result<Vec<u8>> {
        let mut port = &self.port;
        port.write_all(report_data)?;
        port.flush()?;
        let mut length = [0; 4];
        port.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_QUOTE_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut quote = vec![0; length];
        port.read_exact(&mut quote)?;
        Ok(quote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn answered(answer: &[u8]) -> (io::Result<Vec<u8>>, [u8; 64]) {
        let (port, mut host) = UnixStream::pair().unwrap();
        host.write_all(answer).unwrap();
        let attester = VmSim::behind(port);
        let quote = std::thread::spawn(move || attester.ask(&[7; 64]));
        let mut asked = [0; 64];
        host.read_exact(&mut asked).unwrap();
        drop(host);
        (quote.join().unwrap(), asked)
    }

    #[test]
    fn the_quote_is_what_the_host_answers() {
        let (quote, asked) = answered(b"\0\0\0\x03abc");
        assert_eq!((quote.unwrap(), asked), (b"abc".to_vec(), [7; 64]));
    }

    #[test]
    fn a_lying_length_allocates_nothing() {
        assert_eq!(answered(&[0xff; 4]).0.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_host_that_breaks_off_gives_no_quote() {
        assert_eq!(answered(b"\0\0\0\x03ab").0.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(answered(b"").0.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
