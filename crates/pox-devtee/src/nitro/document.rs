//! Documents, field by field, and the envelope around them.

use minicbor::data::Tag;
use minicbor::encode::{Error, Write};
use minicbor::{Encoder, to_vec};
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};

/// A document before it is signed: each of its fields, and the parts of its envelope.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its fields, in the order in which they are written; nothing keeps them from being missing or there twice.
    pub fields: Vec<(&'static str, Value)>,
    /// The envelope's tag; the device writes none.
    pub tag: Option<u64>,
    /// The protected headers, encoded.
    pub protected: Vec<u8>,
    /// The unprotected headers, encoded.
    pub unprotected: Vec<u8>,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list of bytes.
    List(Vec<Vec<u8>>),
    /// Registers with their indexes.
    Registers(Vec<(u64, Vec<u8>)>),
}

impl Document {
    /// A document with these fields, in the envelope that AWS writes.
    pub fn new(fields: Vec<(&'static str, Value)>) -> Self {
        Self { fields, tag: None, protected: ES384.to_vec(), unprotected: NO_HEADERS.to_vec() }
    }

    /// Gives a field another value.
    pub fn set(&mut self, field: &str, value: Value) -> &mut Self {
        if let Some(place) = self.fields.iter_mut().find(|(name, _)| *name == field) {
            place.1 = value;
        }
        self
    }

    /// Leaves a field out.
    pub fn remove(&mut self, field: &str) -> &mut Self {
        self.fields.retain(|(name, _)| *name != field);
        self
    }

    /// The document without its envelope: a map that goes on until a mark, as the hypervisor writes it.
    pub fn payload(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        self.write(&mut encoder).expect("a vector takes any number of bytes");
        encoder.into_writer()
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        encoder.begin_map()?;
        for (name, value) in &self.fields {
            encoder.str(name)?;
            match value {
                Value::Null => encoder.null().map(|_| ())?,
                Value::Text(text) => encoder.str(text).map(|_| ())?,
                Value::Number(number) => encoder.u64(*number).map(|_| ())?,
                Value::Bytes(bytes) => encoder.bytes(bytes).map(|_| ())?,
                Value::List(list) => {
                    encoder.array(list.len() as u64)?;
                    for bytes in list {
                        encoder.bytes(bytes)?;
                    }
                }
                Value::Registers(registers) => {
                    encoder.map(registers.len() as u64)?;
                    for (index, value) in registers {
                        encoder.u64(*index)?.bytes(value)?;
                    }
                }
            }
        }
        encoder.end()?;
        Ok(())
    }

    /// The signed document (RFC 9052 §4.4).
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        self.sign_payload(key, &self.payload())
    }

    /// The envelope around any payload, signed.
    pub fn sign_payload(&self, key: &SigningKey, payload: &[u8]) -> Vec<u8> {
        let bytes = |bytes: &[u8]| -> Vec<u8> {
            let mut encoder = Encoder::new(Vec::new());
            encoder.bytes(bytes).expect("a vector takes any number of bytes");
            encoder.into_writer()
        };
        let content = [
            &[ARRAY_OF_4][..],
            &to_vec("Signature1").expect("a vector takes any number of bytes"),
            &bytes(&self.protected),
            &bytes(&[]),
            &bytes(payload),
        ]
        .concat();
        let signature: Signature = key.sign(&content);
        let mut tag = Encoder::new(Vec::new());
        if let Some(number) = self.tag {
            tag.tag(Tag::new(number)).expect("a vector takes any number of bytes");
        }
        [
            tag.into_writer(),
            vec![ARRAY_OF_4],
            bytes(&self.protected),
            self.unprotected.clone(),
            bytes(payload),
            bytes(&signature.to_bytes()),
        ]
        .concat()
    }
}

/// `{1: -35}`: ECDSA with SHA-384.
const ES384: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];
const NO_HEADERS: [u8; 1] = [0xa0];
const ARRAY_OF_4: u8 = 0x84;
