//! The envelope and the document in it: bounded, borrowed, and every byte accounted for.

use super::rejection::{FieldFault, NitroRejection};
use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};
use p384::ecdsa::Signature;
use sha2::{Digest, Sha384};
use std::collections::BTreeMap;

/// A COSE_Sign1 message (RFC 9052 §4.2) with the one algorithm that documents have.
pub(super) struct Envelope<'a> {
    protected: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: Signature,
}

/// What an enclave's hypervisor states of it.
pub(super) struct Document<'a> {
    /// Names the instance and the enclave in it.
    pub(super) module_id: &'a str,
    /// When it was made, milliseconds since 1970.
    pub(super) timestamp: u64,
    /// The locked registers.
    pub(super) pcrs: BTreeMap<u8, &'a [u8; 48]>,
    /// DER certificate of the key that signs it.
    pub(super) certificate: &'a [u8],
    /// DER certificates from a root on to that one's issuer; never empty.
    pub(super) bundle: Vec<&'a [u8]>,
    /// What the enclave had it carry.
    pub(super) user_data: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    /// Takes an envelope apart, with or without its tag; says nothing of its signature.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, NitroRejection> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(NitroRejection::TooLarge { actual: bytes.len(), most: MAX_DOCUMENT_BYTES });
        }
        let mut decoder = Decoder::new(bytes);
        let tag = (decoder.datatype()? == Type::Tag).then(|| decoder.tag()).transpose()?;
        if tag.is_some_and(|tag| tag != COSE_SIGN1) || decoder.array()? != Some(4) {
            return Err(NitroRejection::Malformed("no COSE_Sign1 message".to_owned()));
        }
        let protected = decoder.bytes()?;
        if decoder.map()? != Some(0) {
            return Err(NitroRejection::Header);
        }
        let payload = decoder.bytes()?;
        let signature = decoder.bytes()?;
        check_headers(protected)?;
        if encoded(tag, protected, payload, signature) != bytes {
            return Err(NitroRejection::NotCanonical);
        }
        let signature = Signature::from_slice(signature).map_err(|_| NitroRejection::Signature)?;
        Ok(Self { protected, payload, signature })
    }

    /// The digest that is signed: of the message's `Sig_structure` (RFC 9052 §4.4).
    pub(super) fn digest(&self) -> [u8; 48] {
        let mut encoder = Encoder::new(Vec::with_capacity(self.payload.len() + 64));
        encoder
            .array(4)
            .and_then(|encoder| encoder.str("Signature1"))
            .and_then(|encoder| encoder.bytes(self.protected))
            .and_then(|encoder| encoder.bytes(&[]))
            .and_then(|encoder| encoder.bytes(self.payload))
            .expect("a vector takes any number of bytes");
        Sha384::digest(encoder.writer()).into()
    }
}

/// The protected headers name the algorithm and nothing else.
fn check_headers(protected: &[u8]) -> Result<(), NitroRejection> {
    let mut decoder = Decoder::new(protected);
    let count = decoder.map()?.ok_or(NitroRejection::Header)?;
    let mut algorithm = None;
    for _ in 0..count {
        match decoder.i64() {
            Ok(ALGORITHM) if algorithm.is_none() => algorithm = Some(decoder.i64()?),
            Ok(CRITICAL) => return Err(NitroRejection::CriticalHeader),
            _ => return Err(NitroRejection::Header),
        }
    }
    if decoder.position() != protected.len() {
        return Err(NitroRejection::Header);
    }
    match algorithm {
        Some(ES384) => Ok(()),
        other => Err(NitroRejection::Algorithm(other)),
    }
}

/// The one encoding of an envelope with these parts.
fn encoded(tag: Option<Tag>, protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(protected.len() + payload.len() + 128));
    let tagged = match tag {
        Some(tag) => encoder.tag(tag),
        None => Ok(&mut encoder),
    };
    tagged
        .and_then(|encoder| encoder.array(4))
        .and_then(|encoder| encoder.bytes(protected))
        .and_then(|encoder| encoder.map(0))
        .and_then(|encoder| encoder.bytes(payload))
        .and_then(|encoder| encoder.bytes(signature))
        .expect("a vector takes any number of bytes");
    encoder.into_writer()
}

impl<'a> Document<'a> {
    /// Reads a document and holds it to the bounds that AWS states; says nothing of who made it.
    ///
    /// The order of the fields, and whether the map has its length in front, is the hypervisor's choice: both forms are in use.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, NitroRejection> {
        let mut decoder = Decoder::new(payload);
        let mut fields = Fields::default();
        let mut left = decoder.map()?;
        while more(&mut decoder, &mut left)? {
            fields.take(&mut decoder)?;
        }
        if decoder.position() != payload.len() {
            return Err(NitroRejection::Malformed("bytes follow the document".to_owned()));
        }
        fields.complete()
    }

    /// A register, if it is locked.
    pub(super) fn pcr(&self, index: u8) -> Option<&'a [u8; 48]> {
        self.pcrs.get(&index).copied()
    }
}

/// What was read of a document so far.
#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    digest: Option<&'a str>,
    timestamp: Option<u64>,
    pcrs: Option<BTreeMap<u8, &'a [u8; 48]>>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, decoder: &mut Decoder<'a>) -> Result<(), NitroRejection> {
        match decoder.str()? {
            "module_id" => put("module_id", &mut self.module_id, decoder.str()?),
            "digest" => put("digest", &mut self.digest, decoder.str()?),
            "timestamp" => put("timestamp", &mut self.timestamp, decoder.u64()?),
            "pcrs" => put("pcrs", &mut self.pcrs, registers(decoder)?),
            "certificate" => put("certificate", &mut self.certificate, decoder.bytes()?),
            "cabundle" => put("cabundle", &mut self.cabundle, bundle(decoder)?),
            "public_key" => put("public_key", &mut self.public_key, carried("public_key", decoder)?),
            "user_data" => put("user_data", &mut self.user_data, carried("user_data", decoder)?),
            "nonce" => put("nonce", &mut self.nonce, carried("nonce", decoder)?),
            _ => Err(FieldFault::Unknown.of("")),
        }
    }

    fn complete(self) -> Result<Document<'a>, NitroRejection> {
        if self.digest.ok_or(FieldFault::Missing.of("digest"))? != "SHA384" {
            return Err(NitroRejection::Digest);
        }
        Ok(Document {
            module_id: within("module_id", self.module_id, |id| {
                (1..=MAX_MODULE_ID_BYTES).contains(&id.len())
            })?,
            timestamp: within("timestamp", self.timestamp, |time| *time > 0)?,
            pcrs: within("pcrs", self.pcrs, |pcrs| !pcrs.is_empty())?,
            certificate: within("certificate", self.certificate, is_certificate)?,
            bundle: within("cabundle", self.cabundle, |bundle| {
                !bundle.is_empty() && bundle.iter().all(is_certificate)
            })?,
            user_data: self.user_data.flatten(),
        })
    }
}

fn is_certificate(der: &&[u8]) -> bool {
    (1..=MAX_CERTIFICATE_BYTES).contains(&der.len())
}

fn put<T>(field: &'static str, place: &mut Option<T>, value: T) -> Result<(), NitroRejection> {
    if place.replace(value).is_some() { Err(FieldFault::Repeated.of(field)) } else { Ok(()) }
}

fn within<T>(
    field: &'static str,
    value: Option<T>,
    is_good: impl Fn(&T) -> bool,
) -> Result<T, NitroRejection> {
    let value = value.ok_or(FieldFault::Missing.of(field))?;
    if is_good(&value) { Ok(value) } else { Err(FieldFault::Bounds.of(field)) }
}

/// Registers by their index; the map is bounded by the number of indexes.
fn registers<'a>(decoder: &mut Decoder<'a>) -> Result<BTreeMap<u8, &'a [u8; 48]>, NitroRejection> {
    let mut registers = BTreeMap::new();
    let mut left = decoder.map()?;
    while more(decoder, &mut left)? {
        let index = decoder.u64()?;
        let value = decoder.bytes()?.try_into().map_err(|_| FieldFault::Bounds.of("pcrs"))?;
        let index = u8::try_from(index).ok().filter(|index| *index < REGISTERS);
        if registers.insert(index.ok_or(FieldFault::Bounds.of("pcrs"))?, value).is_some() {
            return Err(FieldFault::Repeated.of("pcrs"));
        }
    }
    Ok(registers)
}

fn bundle<'a>(decoder: &mut Decoder<'a>) -> Result<Vec<&'a [u8]>, NitroRejection> {
    let mut bundle = Vec::new();
    let mut left = decoder.array()?;
    while more(decoder, &mut left)? {
        if bundle.len() == MAX_BUNDLE {
            return Err(FieldFault::Bounds.of("cabundle"));
        }
        bundle.push(decoder.bytes()?);
    }
    Ok(bundle)
}

/// Bytes that the enclave chose, or null.
fn carried<'a>(field: &'static str, decoder: &mut Decoder<'a>) -> Result<Option<&'a [u8]>, NitroRejection> {
    if decoder.datatype()? == Type::Null {
        decoder.null()?;
        return Ok(None);
    }
    let bytes = decoder.bytes()?;
    if bytes.len() > MAX_CARRIED_BYTES { Err(FieldFault::Bounds.of(field)) } else { Ok(Some(bytes)) }
}

/// Whether a map or an array goes on: by the length in front of it, or by the mark at its end.
fn more(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, NitroRejection> {
    match left {
        Some(left) => Ok(left.checked_sub(1).map(|less| *left = less).is_some()),
        None if decoder.datatype()? == Type::Break => {
            decoder.set_position(decoder.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}

impl FieldFault {
    /// This fault of that field.
    pub(super) fn of(self, field: &'static str) -> NitroRejection {
        NitroRejection::Field { field, fault: self }
    }
}

impl From<minicbor::decode::Error> for NitroRejection {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// The largest answer of the Nitro security module.
const MAX_DOCUMENT_BYTES: usize = 0x3000;
const MAX_MODULE_ID_BYTES: usize = 256;
const MAX_CERTIFICATE_BYTES: usize = 1024;
/// Root, region, zone and instance, and as many again.
const MAX_BUNDLE: usize = 8;
const MAX_CARRIED_BYTES: usize = 1024;
const REGISTERS: u8 = 32;
/// Header labels and the algorithm (RFC 9052 §3.1, RFC 9053 §2.1).
const ALGORITHM: i64 = 1;
const CRITICAL: i64 = 2;
const ES384: i64 = -35;
const COSE_SIGN1: Tag = Tag::new(18);
