//! Certificates and revocation lists, DER (RFC 5280), with Intel's extension for platforms.

use super::{Platform, Validity};
use chrono::{DateTime, Datelike as _, Utc};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BOOLEAN: u8 = 0x01;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// Explicit tags: a certificate's version, a list's extensions, a certificate's extensions.
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
/// 1.2.840.113741.1.13.1, below which all of Intel's platform extension is.
const SGX: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];

/// What a certificate is for.
pub(super) enum Extension<'a> {
    /// Issues others, with at most so many CAs below it.
    Ca {
        /// How many.
        below: u8,
    },
    /// Issues nothing.
    EndEntity,
    /// Names a platform.
    Sgx(&'a Platform),
}

/// A certificate to be signed.
pub(super) struct Certificate<'a> {
    pub(super) serial: [u8; 20],
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) validity: Validity,
    pub(super) key: [u8; 64],
    pub(super) extensions: &'a [Extension<'a>],
}

impl Certificate<'_> {
    /// The part that is signed.
    pub(super) fn body(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self.extensions.iter().flat_map(Extension::encode).collect();
        let key = [&[0, 4][..], &self.key].concat();
        let algorithm = tlv(SEQUENCE, &[&tlv(OID, &[EC_PUBLIC_KEY]), &tlv(OID, &[PRIME256V1])]);
        tlv(
            SEQUENCE,
            &[
                &tlv(CONTEXT_0, &[&tlv(INTEGER, &[&[2]])]),
                &tlv(INTEGER, &[&self.serial]),
                &signature_algorithm(),
                &name(self.issuer),
                &tlv(SEQUENCE, &[&time(self.validity.from), &time(self.validity.until)]),
                &name(self.subject),
                &tlv(SEQUENCE, &[&algorithm, &tlv(BIT_STRING, &[&key])]),
                &tlv(CONTEXT_3, &[&tlv(SEQUENCE, &[&extensions])]),
            ],
        )
    }
}

impl Extension<'_> {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ca { below } => {
                let depth = tlv(INTEGER, &[&[*below]]);
                let constraints = tlv(SEQUENCE, &[&boolean(true), &depth]);
                // Bits keyCertSign and cRLSign.
                [critical(BASIC_CONSTRAINTS, &constraints), critical(KEY_USAGE, &[BIT_STRING, 2, 1, 0x06])]
                    .concat()
            }
            Self::EndEntity => {
                // Bits digitalSignature and nonRepudiation.
                let usage = critical(KEY_USAGE, &[BIT_STRING, 2, 6, 0xc0]);
                [critical(BASIC_CONSTRAINTS, &tlv(SEQUENCE, &[])), usage].concat()
            }
            Self::Sgx(platform) => extension(SGX, &[], &sgx(platform)),
        }
    }
}

/// Intel's extension for platforms ("SGX PCK Certificate and Certificate Revocation List Profile Specification" §1.3.5).
fn sgx(platform: &Platform) -> Vec<u8> {
    let components = (1..).zip(platform.cpu_svn).flat_map(|(at, svn)| entry(&[2, at], &unsigned(svn.into())));
    let tcb: Vec<u8> = components
        .chain(entry(&[2, 17], &unsigned(platform.pce_svn)))
        .chain(entry(&[2, 18], &tlv(OCTET_STRING, &[&platform.cpu_svn])))
        .collect();
    let configuration = [
        entry(&[7, 1], &boolean(platform.dynamic)),
        entry(&[7, 2], &boolean(platform.cached_keys)),
        entry(&[7, 3], &boolean(platform.smt)),
    ];
    tlv(
        SEQUENCE,
        &[
            &entry(&[1], &tlv(OCTET_STRING, &[&platform.ppid])),
            &entry(&[2], &tlv(SEQUENCE, &[&tcb])),
            &entry(&[3], &tlv(OCTET_STRING, &[&platform.pce_id])),
            &entry(&[4], &tlv(OCTET_STRING, &[&platform.fmspc])),
            &entry(&[5], &tlv(ENUMERATED, &[&[1]])),
            &entry(&[6], &tlv(OCTET_STRING, &[&platform.ppid])),
            &entry(&[7], &tlv(SEQUENCE, &[&configuration.concat()])),
        ],
    )
}

/// A revocation list to be signed.
pub(super) struct RevocationList<'a> {
    pub(super) issuer: &'a str,
    pub(super) validity: Validity,
    pub(super) number: u8,
    pub(super) revoked: &'a [[u8; 20]],
}

impl RevocationList<'_> {
    /// The part that is signed.
    pub(super) fn body(&self) -> Vec<u8> {
        let since = time(self.validity.from);
        let entries: Vec<u8> = self
            .revoked
            .iter()
            .flat_map(|serial| tlv(SEQUENCE, &[&tlv(INTEGER, &[serial]), &since]))
            .collect();
        // A list without entries leaves them out.
        let entries = if entries.is_empty() { Vec::new() } else { tlv(SEQUENCE, &[&entries]) };
        let number = extension(CRL_NUMBER, &[], &unsigned(self.number.into()));
        tlv(
            SEQUENCE,
            &[
                &tlv(INTEGER, &[&[1]]),
                &signature_algorithm(),
                &name(self.issuer),
                &since,
                &time(self.validity.until),
                &entries,
                &tlv(CONTEXT_0, &[&tlv(SEQUENCE, &[&number])]),
            ],
        )
    }
}

/// A certificate or a list from its body and whoever signs it.
pub(super) fn signed(body: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let signature = tlv(BIT_STRING, &[&[0], &sign(body)]);
    tlv(SEQUENCE, &[body, &signature_algorithm(), &signature])
}

fn signature_algorithm() -> Vec<u8> {
    tlv(SEQUENCE, &[&tlv(OID, &[ECDSA_WITH_SHA256])])
}

fn name(common: &str) -> Vec<u8> {
    let attribute = tlv(SEQUENCE, &[&tlv(OID, &[COMMON_NAME]), &tlv(UTF8_STRING, &[common.as_bytes()])]);
    tlv(SEQUENCE, &[&tlv(SET, &[&attribute])])
}

/// As RFC 5280 wants it: two digits for the year until 2049, four after.
fn time(seconds: u64) -> Vec<u8> {
    let time = date(seconds);
    if time.year() < 2050 {
        tlv(UTC_TIME, &[time.format("%y%m%d%H%M%SZ").to_string().as_bytes()])
    } else {
        tlv(GENERALIZED_TIME, &[time.format("%Y%m%d%H%M%SZ").to_string().as_bytes()])
    }
}

/// A time of the calendar; those that it does not have become its last.
pub(super) fn date(seconds: u64) -> DateTime<Utc> {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn entry(below: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[&tlv(OID, &[SGX, below]), value])
}

fn critical(oid: &[u8], value: &[u8]) -> Vec<u8> {
    extension(oid, &boolean(true), value)
}

fn extension(oid: &[u8], critical: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[&tlv(OID, &[oid]), critical, &tlv(OCTET_STRING, &[value])])
}

fn boolean(value: bool) -> Vec<u8> {
    tlv(BOOLEAN, &[&[if value { 0xff } else { 0 }]])
}

/// A number without a sign, in as few bytes as it needs.
fn unsigned(value: u16) -> Vec<u8> {
    match value.to_be_bytes() {
        [0, low] if low < 0x80 => tlv(INTEGER, &[&[low]]),
        [0, low] => tlv(INTEGER, &[&[0, low]]),
        [high, low] if high < 0x80 => tlv(INTEGER, &[&[high, low]]),
        [high, low] => tlv(INTEGER, &[&[0, high, low]]),
    }
}

/// Tag, length and content.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        short @ 0..0x80 => vec![short as u8],
        long => {
            let bytes = long.to_be_bytes();
            let used = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            [&[0x80 | used.len() as u8], used].concat()
        }
    };
    [&[tag], length.as_slice(), &content].concat()
}
