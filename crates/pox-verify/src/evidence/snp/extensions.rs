//! What certificates say of chips and their firmware (AMD 57230, chapter 3, "VCEK Certificate Definitions").

use super::certificate::{BASIC_CONSTRAINTS, KEY_USAGE, malformed};
use super::product::{ProductLine, TcbVersion};
use super::rejection::{Link, SnpRejection};
use x509_cert::der::Decode;
use x509_cert::der::asn1::{ObjectIdentifier, OctetStringRef};
use x509_cert::ext::Extension;

/// The extensions of one certificate or list: each once, and none that must be understood and isn't.
pub(super) struct Extensions {
    link: Link,
    all: Vec<Extension>,
}

impl Extensions {
    /// Checks and keeps them.
    pub(super) fn new(link: Link, mut all: Vec<Extension>) -> Result<Self, SnpRejection> {
        let understood = [BASIC_CONSTRAINTS, KEY_USAGE];
        if all.iter().any(|extension| extension.critical && !understood.contains(&extension.extn_id)) {
            return Err(malformed(link, "it has a critical extension that is not understood"));
        }
        all.sort_by_key(|extension| extension.extn_id);
        if all.windows(2).any(|pair| matches!(pair, [a, b] if a.extn_id == b.extn_id)) {
            return Err(malformed(link, "it has an extension twice"));
        }
        Ok(Self { link, all })
    }

    /// One, if it is there.
    pub(super) fn decode<'a, T: Decode<'a>>(
        &'a self,
        id: ObjectIdentifier,
    ) -> Result<Option<T>, SnpRejection> {
        let Some(value) = self.find(id) else {
            return Ok(None);
        };
        T::from_der(value).map(Some).map_err(|_| malformed(self.link, "an extension is not of its form"))
    }

    /// The firmware that a key depends on.
    pub(super) fn tcb(&self, line: ProductLine) -> Result<TcbVersion, SnpRejection> {
        let part = |id| self.decode::<u8>(id);
        for reserved in RESERVED_PARTS {
            if part(reserved)?.is_some_and(|version| version != 0) {
                return Err(malformed(self.link, "a reserved part of its TCB version is not zero"));
            }
        }
        let needed =
            |id| part(id)?.ok_or_else(|| malformed(self.link, "a part of its TCB version is missing"));
        let fmc = match line {
            ProductLine::Turin => Some(needed(FMC)?),
            ProductLine::Milan | ProductLine::Genoa => None,
        };
        Ok(TcbVersion {
            fmc,
            bootloader: needed(BOOTLOADER)?,
            tee: needed(TEE)?,
            snp: needed(SNP)?,
            microcode: needed(MICROCODE)?,
        })
    }

    /// The chip that a key is of: 64 bytes, or 8 for Turin, bare as in older certificates or as an octet string.
    pub(super) fn hardware_id(&self, line: ProductLine) -> Result<Option<&[u8]>, SnpRejection> {
        let Some(value) = self.find(HARDWARE_ID) else {
            return Ok(None);
        };
        let fits = |id: &[u8]| id.len() == 64 || (id.len() == 8 && line == ProductLine::Turin);
        let id = if fits(value) {
            Some(value)
        } else {
            OctetStringRef::from_der(value).ok().map(|id| id.as_bytes())
        };
        id.filter(|id| fits(id))
            .map(Some)
            .ok_or_else(|| malformed(self.link, "its hardware id is not of its form"))
    }

    fn find(&self, id: ObjectIdentifier) -> Option<&[u8]> {
        let extension = self.all.iter().find(|extension| extension.extn_id == id)?;
        Some(extension.extn_value.as_bytes())
    }
}

const BOOTLOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const HARDWARE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");

/// The parts that AMD numbers 4 to 7, of which no line makes use.
const RESERVED_PARTS: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.4"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.5"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.6"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.7"),
];
