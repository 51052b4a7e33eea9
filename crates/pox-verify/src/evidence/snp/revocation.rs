//! A root's revocation list (RFC 5280, section 5).

use super::certificate::{Authority, Signed, malformed, unix_time};
use super::extensions::Extensions;
use super::rejection::{Link, SnpRejection};
use crate::evidence::launch::Window;
use x509_cert::Version;
use x509_cert::crl::TbsCertList;
use x509_cert::der::Decode;

/// A list that its root has signed: complete for all that the root issues.
pub(super) struct RevocationList {
    fields: TbsCertList,
    /// When it is valid.
    pub(super) window: Window,
}

impl RevocationList {
    /// Takes a list apart, and checks that it is this root's.
    pub(super) fn verify(bytes: &[u8], root: &Authority) -> Result<Self, SnpRejection> {
        let link = Link::Crl;
        let signed = Signed::parse(link, bytes, MAX_LIST_BYTES)?;
        let mut fields = TbsCertList::from_der(signed.message)
            .map_err(|_| malformed(link, "its fields are not those of a list"))?;
        if fields.version != Version::V2 {
            return Err(malformed(link, "its version is not 2"));
        }
        signed.check_algorithm(&fields.signature)?;
        let next =
            fields.next_update.ok_or_else(|| malformed(link, "it does not say how long it is valid"))?;
        // A partial list, a list of changes or one of several issuers would say so in a critical extension.
        Extensions::new(link, fields.crl_extensions.take().unwrap_or_default())?;
        for entry in fields.revoked_certificates.iter_mut().flatten() {
            Extensions::new(link, entry.crl_entry_extensions.take().unwrap_or_default())?;
        }
        if fields.issuer != root.name || !root.signs_lists {
            return Err(SnpRejection::Issuer(link));
        }
        signed.check_signature(&root.key)?;
        let window = Window { from: unix_time(fields.this_update), until: unix_time(next) };
        Ok(Self { fields, window })
    }

    /// Whether it has a certificate with this serial number.
    pub(super) fn has(&self, serial: &[u8]) -> bool {
        let mut entries = self.fields.revoked_certificates.iter().flatten();
        entries.any(|entry| entry.serial_number.as_bytes() == serial)
    }
}

/// Many times what AMD's have.
const MAX_LIST_BYTES: usize = 64 * 1024;
