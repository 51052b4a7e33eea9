//! One certificate, as far as a chain of these depends on it.

use super::rejection::{Link, TsaRejection, malformed};
use super::signature::{Key, Scheme};
use super::signed::Der;
use pox_core::UnixTime;
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{BitStringRef, ObjectIdentifier};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Tag};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier};

/// A certificate, taken apart; nothing in it is believed before somebody vouches for it.
pub(super) struct Certificate<'a> {
    /// All of it.
    pub(super) der: &'a [u8],
    /// Its issuer's name, as it is encoded.
    pub(super) issuer_der: &'a [u8],
    /// Its serial number.
    pub(super) serial_der: &'a [u8],
    /// Its subject's name, as it is encoded.
    pub(super) subject_der: &'a [u8],
    /// Its key.
    pub(super) key: Key,
    fields: TbsCertificate,
    content: &'a [u8],
    scheme: Option<Scheme>,
    signature: &'a [u8],
    constraints: Option<BasicConstraints>,
    usage: Option<KeyUsage>,
    purposes: Option<(ExtendedKeyUsage, bool)>,
    key_id: Option<SubjectKeyIdentifier>,
    /// Whether it has a critical extension that is not known here.
    is_odd: bool,
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, TsaRejection> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(bad("it is too large"));
        }
        let mut outer = Der::sequence(der, Link::Certificate)?;
        let content = outer.whole(Tag::Sequence)?;
        let algorithm = outer.whole(Tag::Sequence)?;
        let signature = outer.whole(Tag::BitString)?;
        outer.end()?;
        let signature = BitStringRef::from_der(signature).ok().and_then(|bits| bits.as_bytes());
        let signature = signature.ok_or_else(|| bad("its signature is none"))?;
        let fields = TbsCertificate::from_der(content).map_err(|_| bad("its fields are not those of one"))?;
        let mut certificate = Self {
            der,
            issuer_der: &[],
            serial_der: &[],
            subject_der: &[],
            key: Key::of(&fields.subject_public_key_info),
            // One that is signed in a way that is not known here can still be trusted as it is.
            scheme: Scheme::of_certificate(&mut Der::sequence(algorithm, Link::Certificate)?).ok(),
            content,
            signature,
            constraints: None,
            usage: None,
            purposes: None,
            key_id: None,
            is_odd: false,
            fields,
        };
        certificate.read_names(algorithm)?;
        certificate.read_extensions()?;
        Ok(certificate)
    }

    /// The encoded names, which comparisons go by.
    fn read_names(&mut self, algorithm: &[u8]) -> Result<(), TsaRejection> {
        let mut fields = Der::sequence(self.content, Link::Certificate)?;
        fields.maybe_context(0)?;
        self.serial_der = fields.next(Tag::Integer)?;
        if fields.whole(Tag::Sequence)? != algorithm {
            return Err(bad("it names two signature algorithms"));
        }
        self.issuer_der = fields.whole(Tag::Sequence)?;
        fields.whole(Tag::Sequence)?;
        self.subject_der = fields.whole(Tag::Sequence)?;
        Ok(())
    }

    fn read_extensions(&mut self) -> Result<(), TsaRejection> {
        let mut seen = Vec::new();
        for extension in self.fields.extensions.iter().flatten() {
            let (id, value) = (extension.extn_id, extension.extn_value.as_bytes());
            if seen.contains(&id) {
                return Err(bad("an extension is there twice"));
            }
            seen.push(id);
            match id {
                BasicConstraints::OID => self.constraints = Some(decode(value)?),
                KeyUsage::OID => self.usage = Some(decode(value)?),
                ExtendedKeyUsage::OID => self.purposes = Some((decode(value)?, extension.critical)),
                SubjectKeyIdentifier::OID => self.key_id = Some(decode(value)?),
                _ => self.is_odd |= extension.critical,
            }
        }
        Ok(())
    }

    /// Whom it is of, for people.
    pub(super) fn subject(&self) -> String {
        self.fields.subject.to_string()
    }

    /// Its key's name.
    pub(super) fn key_id(&self) -> Option<&[u8]> {
        self.key_id.as_ref().map(|id| id.0.as_bytes())
    }

    /// Whether its key is for time stamping, critically so, and for nothing else (RFC 3161 §2.3).
    pub(super) fn is_for_time_stamping_alone(&self) -> bool {
        let alone = self
            .purposes
            .as_ref()
            .is_some_and(|(purposes, critical)| *critical && purposes.0.as_slice() == [TIME_STAMPING]);
        let may_sign = self.usage.is_none_or(|usage| usage.digital_signature() || usage.non_repudiation());
        alone
            && may_sign
            && !self.is_odd
            && !self.constraints.as_ref().is_some_and(|constraints| constraints.ca)
    }

    /// Whether it may vouch for a chain in which so many authorities are between it and the signer.
    pub(super) fn may_issue(&self, below: usize) -> bool {
        let Some(constraints) = self.constraints.as_ref().filter(|constraints| constraints.ca) else {
            return false;
        };
        let deep_enough = constraints.path_len_constraint.is_none_or(|most| below <= usize::from(most));
        let for_this = self.purposes.as_ref().is_none_or(|(purposes, _)| {
            purposes.0.iter().any(|purpose| [TIME_STAMPING, ANY].contains(purpose))
        });
        deep_enough && for_this && !self.is_odd && self.usage.is_none_or(|usage| usage.key_cert_sign())
    }

    /// Whether this authority's name and key are behind a certificate.
    pub(super) fn issued(&self, other: &Self) -> bool {
        self.subject_der == other.issuer_der
            && other
                .scheme
                .is_some_and(|scheme| scheme.check(&self.key, other.content, other.signature).is_ok())
    }

    /// When it is in force, first and last second.
    pub(super) fn window(&self) -> (UnixTime, UnixTime) {
        let validity = &self.fields.validity;
        let seconds = |time: &x509_cert::time::Time| UnixTime(time.to_unix_duration().as_secs());
        (seconds(&validity.not_before), seconds(&validity.not_after))
    }
}

fn decode<T: for<'a> Decode<'a>>(value: &[u8]) -> Result<T, TsaRejection> {
    T::from_der(value).map_err(|_| bad("an extension is not what it should be"))
}

fn bad(fault: &'static str) -> TsaRejection {
    malformed(Link::Certificate, fault)
}

/// More than any public authority's.
const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
const ANY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
