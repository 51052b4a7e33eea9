//! The signed message around a statement (CMS `SignedData`, RFC 5652, as RFC 3161 §2.4.2 and RFC 5816 use it).

use super::MAX_ANSWER_BYTES;
use super::certificate::Certificate;
use super::rejection::{Link, TsaRejection, malformed};
use super::signature::{Hash, Scheme};
use sha2::{Digest as _, Sha256};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Header, Reader, SliceReader, Tag, TagNumber};

/// Reads DER fields one after another, without copies.
pub(super) struct Der<'a> {
    reader: SliceReader<'a>,
    link: Link,
}

/// A signed message, taken apart.
pub(super) struct SignedToken<'a> {
    /// What is signed: the statement.
    pub(super) content: &'a [u8],
    /// The certificates that came with it.
    pub(super) certificates: Vec<Certificate<'a>>,
    signer: Signer<'a>,
}

/// The one signer's entry.
struct Signer<'a> {
    named: Named<'a>,
    hash: Hash,
    /// The attributes as they are signed: a set, whatever tag they travel under.
    attributes: Vec<u8>,
    scheme: Scheme,
    signature: &'a [u8],
}

/// How the signer's certificate is named.
enum Named<'a> {
    /// By its issuer and number.
    Number { issuer: &'a [u8], serial: &'a [u8] },
    /// By its key.
    Key(&'a [u8]),
}

/// The token of an answer; a bare token is its own.
pub(super) fn token_of(answer: &[u8]) -> Result<&[u8], TsaRejection> {
    if answer.len() > MAX_ANSWER_BYTES {
        return Err(TsaRejection::TooLarge);
    }
    let mut fields = Der::sequence(answer, Link::Answer)?;
    if fields.peek() == Some(Tag::ObjectIdentifier) {
        return Ok(answer);
    }
    let mut status = fields.inner(Tag::Sequence)?;
    match status.next(Tag::Integer)? {
        // Granted, and granted with changes.
        [0 | 1] => {}
        [code] => return Err(TsaRejection::NotGranted { status: *code }),
        _ => return Err(malformed(Link::Answer, "its status is none")),
    }
    let token = fields.whole(Tag::Sequence)?;
    fields.end()?;
    Ok(token)
}

impl<'a> SignedToken<'a> {
    /// Takes a token apart.
    pub(super) fn parse(token: &'a [u8]) -> Result<Self, TsaRejection> {
        let mut outer = Der::sequence(token, Link::Message)?;
        expect(&mut outer, SIGNED_DATA)?;
        let mut wrapped = outer.inner_context(0)?;
        outer.end()?;
        let mut fields = wrapped.inner(Tag::Sequence)?;
        wrapped.end()?;
        fields.next(Tag::Integer)?;
        fields.next(Tag::Set)?;
        let mut content = fields.inner(Tag::Sequence)?;
        expect(&mut content, STATEMENT)?;
        let mut octets = content.inner_context(0)?;
        content.end()?;
        let statement = octets.next(Tag::OctetString)?;
        octets.end()?;
        let mut certificates = Vec::new();
        if let Some(mut set) = fields.maybe_inner_context(0)? {
            while set.peek().is_some() {
                if certificates.len() == MAX_CERTIFICATES {
                    return Err(malformed(Link::Message, "it has too many certificates"));
                }
                certificates.push(Certificate::parse(set.whole(Tag::Sequence)?)?);
            }
        }
        // Revocation lists say nothing here.
        fields.maybe_context(1)?;
        let mut signers = fields.inner(Tag::Set)?;
        fields.end()?;
        let signer = Signer::parse(signers.inner(Tag::Sequence)?)?;
        // A token has exactly one (RFC 3161 §2.4.2).
        signers.end()?;
        Ok(Self { content: statement, certificates, signer })
    }

    /// Checks that the named certificate's key signed this statement. Whether anybody vouches for it is another question.
    pub(super) fn check(&self) -> Result<&Certificate<'a>, TsaRejection> {
        let signer = &self.signer;
        let mut certificates = self.certificates.iter();
        let certificate = certificates
            .find(|certificate| match signer.named {
                Named::Number { issuer, serial } => {
                    certificate.issuer_der == issuer && certificate.serial_der == serial
                }
                Named::Key(id) => certificate.key_id() == Some(id),
            })
            .ok_or(TsaRejection::NoCertificate)?;
        let attributes = Attributes::parse(&signer.attributes)?;
        if attributes.digest != signer.hash.digest(self.content) {
            return Err(TsaRejection::Content);
        }
        attributes.check_certificate(certificate)?;
        if !certificate.is_for_time_stamping_alone() {
            return Err(TsaRejection::Purpose);
        }
        signer.scheme.check(&certificate.key, &signer.attributes, signer.signature)?;
        Ok(certificate)
    }
}

impl<'a> Signer<'a> {
    fn parse(mut fields: Der<'a>) -> Result<Self, TsaRejection> {
        fields.link = Link::Signer;
        fields.next(Tag::Integer)?;
        let named = match fields.maybe_context(0)? {
            Some(id) => Named::Key(id),
            None => {
                let mut named = fields.inner(Tag::Sequence)?;
                let issuer = named.whole(Tag::Sequence)?;
                let serial = named.next(Tag::Integer)?;
                named.end()?;
                Named::Number { issuer, serial }
            }
        };
        let hash = Hash::of(&mut fields.inner(Tag::Sequence)?)?;
        let attributes =
            fields.maybe_context(0)?.ok_or_else(|| malformed(Link::Signer, "it has no signed attributes"))?;
        let scheme = Scheme::of_signer(&mut fields.inner(Tag::Sequence)?, hash)?;
        let signature = fields.next(Tag::OctetString)?;
        fields.maybe_context(1)?;
        fields.end()?;
        Ok(Self { named, hash, attributes: as_set(attributes)?, scheme, signature })
    }
}

/// What the signer signs about the statement.
struct Attributes {
    digest: Vec<u8>,
    /// The certificate's hash, by RFC 5816 and by RFC 3161 itself.
    certificate: Option<(Hash, Vec<u8>)>,
    certificate_v1: Option<Vec<u8>>,
}

impl Attributes {
    fn parse(set: &[u8]) -> Result<Self, TsaRejection> {
        let mut list = Der::of(set, Tag::Set, Link::Signer)?;
        let (mut content, mut digest, mut certificate, mut certificate_v1) = (None, None, None, None);
        while list.peek().is_some() {
            let mut attribute = list.inner(Tag::Sequence)?;
            let name = object(attribute.next(Tag::ObjectIdentifier)?, Link::Signer)?;
            let mut values = attribute.inner(Tag::Set)?;
            attribute.end()?;
            let is_repeated = match name {
                CONTENT_TYPE => {
                    let value = object(values.next(Tag::ObjectIdentifier)?, Link::Signer)?;
                    content.replace(value).is_some()
                }
                MESSAGE_DIGEST => digest.replace(values.next(Tag::OctetString)?.to_vec()).is_some(),
                SIGNING_CERTIFICATE_V2 => {
                    certificate.replace(certificate_id_v2(values.inner(Tag::Sequence)?)?).is_some()
                }
                SIGNING_CERTIFICATE => {
                    certificate_v1.replace(certificate_id(values.inner(Tag::Sequence)?)?).is_some()
                }
                _ => continue,
            };
            values.end()?;
            if is_repeated {
                return Err(malformed(Link::Signer, "an attribute is there twice"));
            }
        }
        if content != Some(STATEMENT) {
            return Err(TsaRejection::Content);
        }
        let digest = digest.ok_or(TsaRejection::Content)?;
        Ok(Self { digest, certificate, certificate_v1 })
    }

    /// Checks that the signer meant this certificate. SHA-1 of it will do where the signer has nothing better: to deceive with
    /// that takes a second certificate of the same hash that a trusted root vouches for.
    fn check_certificate(&self, certificate: &Certificate<'_>) -> Result<(), TsaRejection> {
        let second = self.certificate.as_ref().map(|(hash, id)| hash.digest(certificate.der) == *id);
        let first = self.certificate_v1.as_ref().map(|id| sha1(certificate.der).as_slice() == id.as_slice());
        match (second, first) {
            (Some(true), None | Some(true)) | (None, Some(true)) => Ok(()),
            _ => Err(TsaRejection::OtherCertificate),
        }
    }
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    use sha1::Digest as _;
    sha1::Sha1::digest(bytes).into()
}

/// `SigningCertificateV2`: the first certificate's hash, by SHA-256 unless another algorithm is named.
fn certificate_id_v2(mut signing: Der<'_>) -> Result<(Hash, Vec<u8>), TsaRejection> {
    let mut list = signing.inner(Tag::Sequence)?;
    let mut id = list.inner(Tag::Sequence)?;
    let hash = match id.maybe(Tag::Sequence)? {
        Some(algorithm) => Hash::of(&mut Der::content(algorithm, Link::Signer))?,
        None => Hash::Sha256,
    };
    Ok((hash, id.next(Tag::OctetString)?.to_vec()))
}

/// `SigningCertificate`: the first certificate's SHA-1.
fn certificate_id(mut signing: Der<'_>) -> Result<Vec<u8>, TsaRejection> {
    let mut list = signing.inner(Tag::Sequence)?;
    let mut id = list.inner(Tag::Sequence)?;
    Ok(id.next(Tag::OctetString)?.to_vec())
}

impl<'a> Der<'a> {
    /// The fields of a sequence, which is all of the bytes.
    pub(super) fn sequence(bytes: &'a [u8], link: Link) -> Result<Self, TsaRejection> {
        Self::of(bytes, Tag::Sequence, link)
    }

    /// The fields of something with this tag, which is all of the bytes.
    pub(super) fn of(bytes: &'a [u8], tag: Tag, link: Link) -> Result<Self, TsaRejection> {
        let mut whole = Self::content(bytes, link);
        let inner = whole.inner(tag)?;
        whole.end()?;
        Ok(inner)
    }

    /// Fields that follow each other.
    pub(super) fn content(bytes: &'a [u8], link: Link) -> Self {
        // What is longer than the reader takes has no fields; every caller's bytes are bounded far below.
        let reader = SliceReader::new(bytes).or_else(|_| SliceReader::new(&[]));
        Self { reader: reader.expect("an empty slice is within the reader's bound"), link }
    }

    /// The tag of the next field.
    pub(super) fn peek(&self) -> Option<Tag> {
        if self.reader.is_finished() {
            return None;
        }
        self.reader.peek_header().ok().map(|header| header.tag)
    }

    /// The next field, with its tag and length.
    pub(super) fn whole(&mut self, tag: Tag) -> Result<&'a [u8], TsaRejection> {
        if self.peek() != Some(tag) {
            return Err(self.malformed());
        }
        self.reader.tlv_bytes().map_err(|_| self.malformed())
    }

    /// The content of the next field.
    pub(super) fn next(&mut self, tag: Tag) -> Result<&'a [u8], TsaRejection> {
        let whole = self.whole(tag)?;
        let mut reader = SliceReader::new(whole).map_err(|_| self.malformed())?;
        let header = Header::decode(&mut reader).map_err(|_| self.malformed())?;
        reader.read_slice(header.length).map_err(|_| self.malformed())
    }

    /// The content of the next field, if it has this tag.
    pub(super) fn maybe(&mut self, tag: Tag) -> Result<Option<&'a [u8]>, TsaRejection> {
        if self.peek() == Some(tag) { self.next(tag).map(Some) } else { Ok(None) }
    }

    /// The content of the next field, if it has this number.
    pub(super) fn maybe_context(&mut self, number: u8) -> Result<Option<&'a [u8]>, TsaRejection> {
        for constructed in [true, false] {
            let number = TagNumber::new(number);
            if let Some(content) = self.maybe(Tag::ContextSpecific { constructed, number })? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// The fields in the next field.
    pub(super) fn inner(&mut self, tag: Tag) -> Result<Self, TsaRejection> {
        Ok(Self::content(self.next(tag)?, self.link))
    }

    /// The fields in the next field, which has this number.
    fn inner_context(&mut self, number: u8) -> Result<Self, TsaRejection> {
        self.maybe_inner_context(number)?.ok_or_else(|| self.malformed())
    }

    fn maybe_inner_context(&mut self, number: u8) -> Result<Option<Self>, TsaRejection> {
        let tag = Tag::ContextSpecific { constructed: true, number: TagNumber::new(number) };
        Ok(self.maybe(tag)?.map(|content| Self::content(content, self.link)))
    }

    /// Checks that there is no more.
    pub(super) fn end(&self) -> Result<(), TsaRejection> {
        if self.reader.is_finished() { Ok(()) } else { Err(self.malformed()) }
    }

    fn malformed(&self) -> TsaRejection {
        malformed(self.link, "not the DER that it should be")
    }
}

/// The same content under the tag of a set, which is how attributes are signed.
fn as_set(content: &[u8]) -> Result<Vec<u8>, TsaRejection> {
    let bad = || malformed(Link::Signer, "its signed attributes are too long");
    let header = Header::new(Tag::Set, content.len()).map_err(|_| bad())?;
    let mut set = x509_cert::der::Encode::to_der(&header).map_err(|_| bad())?;
    set.extend_from_slice(content);
    Ok(set)
}

pub(super) fn object(content: &[u8], link: Link) -> Result<ObjectIdentifier, TsaRejection> {
    ObjectIdentifier::from_bytes(content).map_err(|_| malformed(link, "an object identifier is none"))
}

fn expect(fields: &mut Der<'_>, wanted: ObjectIdentifier) -> Result<(), TsaRejection> {
    let found = object(fields.next(Tag::ObjectIdentifier)?, fields.link)?;
    if found == wanted { Ok(()) } else { Err(malformed(fields.link, "it holds something else")) }
}

/// SHA-256 of bytes, as a vector like those of the other algorithms.
pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// More than any authority's chain, with what it is cross-signed by.
const MAX_CERTIFICATES: usize = 16;

pub(super) const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const STATEMENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
