//! The chain from the pinned root to the key that signs a document.

use super::certificate::Certificate;
use super::document::Document;
use super::ecdsa::Held;
use super::rejection::{CertificateFault, NitroRejection};
use pox_core::UnixTime;

/// Certificates of which each issued the next; the first is the pinned root.
pub(super) struct Chain {
    authorities: Vec<Certificate>,
    signer: Certificate,
}

impl Chain {
    /// Reads the certificates of a document, under the pinned root; says nothing about whether they hold.
    ///
    /// The bundle's first certificate is said to be the root and proves nothing: the pinned one takes its place.
    pub(super) fn parse(document: &Document<'_>, root: &[u8]) -> Result<Self, NitroRejection> {
        let root = Certificate::parse(root).map_err(NitroRejection::PinnedRoot)?;
        let mut authorities = vec![root];
        for (position, der) in document.bundle.iter().enumerate().skip(1) {
            authorities.push(parse(position, der)?);
        }
        let signer = parse(authorities.len(), document.certificate)?;
        Ok(Self { authorities, signer })
    }

    /// Checks that each certificate held when the document was made, and that each issued the next.
    ///
    /// Forms and times of all come before the signatures of any: what costs little comes first.
    pub(super) fn check(&self, made: UnixTime, held: &Held) -> Result<(), NitroRejection> {
        let at = |position| move |fault| NitroRejection::Certificate { position, fault };
        let signer = self.authorities.len();
        for (position, authority) in self.authorities.iter().enumerate() {
            authority.check_time(made).map_err(at(position))?;
            authority.check_authority(signer - 1 - position).map_err(at(position))?;
        }
        self.signer.check_time(made).map_err(at(signer))?;
        self.signer.check_signer().map_err(at(signer))?;
        for (issuer, certificate) in self.links() {
            certificate.check_issuer(&self.authorities[issuer], held).map_err(|fault| {
                match (issuer, fault) {
                    (0, CertificateFault::Issuer | CertificateFault::Signature) => NitroRejection::Root,
                    (_, fault) => at(issuer + 1)(fault),
                }
            })?;
        }
        Ok(())
    }

    /// Each certificate below the root, with its issuer's position.
    pub(super) fn links(&self) -> impl Iterator<Item = (usize, &Certificate)> {
        self.authorities[1..].iter().chain([&self.signer]).enumerate()
    }

    /// The authorities, from the root on.
    pub(super) fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// The certificate whose key signs the document.
    pub(super) fn signer(&self) -> &Certificate {
        &self.signer
    }
}

fn parse(position: usize, der: &[u8]) -> Result<Certificate, NitroRejection> {
    Certificate::parse(der).map_err(|fault| NitroRejection::Certificate { position, fault })
}
