//! Intel: TCB info, QE identity and revocation lists for the platform that a quote's PCK certificate names.

use super::http::{Answer, Client};
use super::{FetchError, MAX_CRL_BYTES, Sources, first_certificate, holds};
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::EvidenceKind;
use pox_verify::evidence::dcap::Collateral;
use serde::Deserialize;
use serde_json::value::RawValue;
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, OctetStringRef};
use x509_cert::der::{Decode, Reader, SliceReader};

/// Fetches collateral; its PCK chain stays empty, because the quote carries it.
pub(super) fn fetch(
    client: &Client,
    sources: &Sources,
    kind: EvidenceKind,
    quote: &[u8],
    held: &[Endorsement],
) -> Result<Vec<Endorsement>, FetchError> {
    if holds(held, EndorsementKind::DcapCollateral) {
        return Ok(Vec::new());
    }
    let platform = Platform::of(quote)?;
    let tee = if kind == EvidenceKind::Sgx { "sgx" } else { "tdx" };
    let tee = format!("{}/{tee}/certification/v4", sources.intel.trim_end_matches('/'));
    let sgx = format!("{}/sgx/certification/v4", sources.intel.trim_end_matches('/'));

    let url = format!("{tee}/tcb?fmspc={}", hex::encode_upper(platform.fmspc));
    let answer = client.get(&url, "TCB info", MAX_TABLE_BYTES)?;
    let tcb_info = Table::of(&answer, "tcbInfo", "TCB-Info-Issuer-Chain")?;
    let answer = client.get(&format!("{tee}/qe/identity"), "QE identity", MAX_TABLE_BYTES)?;
    let identity = Table::of(&answer, "enclaveIdentity", "SGX-Enclave-Identity-Issuer-Chain")?;
    let url = format!("{sgx}/pckcrl?ca={}&encoding=der", platform.ca);
    let pck_crl = client.get(&url, "PCK revocation list", MAX_CRL_BYTES)?.der()?;
    let root_crl = client.get(&sources.intel_root_crl, "root's revocation list", MAX_CRL_BYTES)?.der()?;

    let collateral = Collateral {
        qe_signer: (identity.signer != tcb_info.signer).then_some(identity.signer),
        tcb_info: tcb_info.text,
        tcb_info_signature: tcb_info.signature,
        tcb_signer: tcb_info.signer,
        qe_identity: identity.text,
        qe_identity_signature: identity.signature,
        root_crl,
        pck_crl,
        pck_chain: Vec::new(),
    };
    Ok(vec![Endorsement::new(EndorsementKind::DcapCollateral, collateral.to_bytes())])
}

/// A signed JSON text, and who signed it.
struct Table {
    text: String,
    signature: [u8; 64],
    signer: Vec<u8>,
}

/// An answer with one of the two tables. The text is kept as it came: it is what is signed.
#[derive(Deserialize)]
struct Signed<'a> {
    #[serde(borrow, alias = "tcbInfo", alias = "enclaveIdentity")]
    table: &'a RawValue,
    signature: &'a str,
}

impl Table {
    fn of(answer: &Answer, member: &'static str, chain: &'static str) -> Result<Self, FetchError> {
        let signed: Signed<'_> =
            serde_json::from_slice(&answer.body).map_err(|error| answer.malformed(&error.to_string()))?;
        let mut signature = [0; 64];
        hex::decode_to_slice(signed.signature, &mut signature)
            .map_err(|_| answer.malformed("its signature is not 64 bytes"))?;
        let signer = first_certificate(&answer.chain(chain)?).ok_or_else(|| answer.malformed(chain))?;
        let text = signed.table.get();
        if !text.starts_with('{') {
            return Err(answer.malformed(member));
        }
        Ok(Self { text: text.to_owned(), signature, signer })
    }
}

/// What Intel's service asks to know of a platform.
struct Platform {
    /// Family, model, stepping, platform and custom SKU: 6 bytes.
    fmspc: [u8; 6],
    /// Which of Intel's authorities certified it.
    ca: &'static str,
}

impl Platform {
    /// Reads it from the PCK certificate that a quote carries.
    fn of(quote: &[u8]) -> Result<Self, FetchError> {
        let chain = carried_chain(quote).ok_or(FetchError::Quote("no PCK certificate chain is in it"))?;
        let leaf = first_certificate(chain);
        Self::of_leaf(&leaf.unwrap_or_default())
            .ok_or(FetchError::Quote("its PCK certificate has no FMSPC, or an unknown issuer"))
    }

    fn of_leaf(der: &[u8]) -> Option<Self> {
        let leaf = Certificate::from_der(der).ok()?.tbs_certificate;
        let issuer = leaf.issuer.to_string();
        let ca = match issuer.split(',').find_map(|part| part.strip_prefix("CN="))? {
            "Intel SGX PCK Platform CA" => "platform",
            "Intel SGX PCK Processor CA" => "processor",
            _ => return None,
        };
        let extensions = leaf.extensions.unwrap_or_default();
        let sgx = extensions.iter().find(|extension| extension.extn_id == SGX_EXTENSIONS)?;
        let fmspc = member(sgx.extn_value.as_bytes(), FMSPC)?;
        let fmspc = OctetStringRef::from_der(fmspc).ok()?.as_bytes().try_into().ok()?;
        Some(Self { fmspc, ca })
    }
}

/// The value of one pair in a sequence of pairs of name and value.
fn member(der: &[u8], name: ObjectIdentifier) -> Option<&[u8]> {
    let found = SliceReader::new(der).ok()?.sequence(|reader| {
        let mut found = None;
        while !reader.is_finished() {
            let (oid, value) =
                reader.sequence(|pair| Ok((ObjectIdentifier::decode(pair)?, pair.tlv_bytes()?)))?;
            if oid == name {
                found = Some(value);
            }
        }
        Ok(found)
    });
    found.ok()?
}

/// The PCK certificate chain in a quote, PEM. Only takes the quote apart as far as needed to ask; the judge reads it again.
fn carried_chain(quote: &[u8]) -> Option<&[u8]> {
    let version = u16::from_le_bytes(*quote.first_chunk()?);
    let body = quote.get(HEADER_BYTES..)?;
    let rest = match version {
        3 => body.get(SGX_REPORT_BYTES..)?,
        4 if quote.get(4..8)? == SGX_TEE => body.get(SGX_REPORT_BYTES..)?,
        4 => body.get(TD_REPORT_BYTES..)?,
        5 => sized(body.get(2..)?)?.1,
        _ => return None,
    };
    let (signature, _) = sized(rest)?;
    let mut data = signature.get(SIGNATURE_AND_KEY_BYTES..)?;
    if version > 3 {
        let (code, nested) = certification(data)?;
        data = (code == QE_REPORT).then_some(nested)?;
    }
    let after_qe = data.get(SGX_REPORT_BYTES + 64..)?;
    let authentication = usize::from(u16::from_le_bytes(*after_qe.first_chunk()?));
    let (code, chain) = certification(after_qe.get(2..)?.get(authentication..)?)?;
    (code == PCK_CHAIN).then_some(chain)
}

/// Certification data: a code, and bytes after their length.
fn certification(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let code = u16::from_le_bytes(*bytes.first_chunk()?);
    Some((code, sized(bytes.get(2..)?)?.0))
}

/// Bytes after their length, and what follows them.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// TCB info has 3 to 8 kB.
const MAX_TABLE_BYTES: u64 = 64 * 1024;
/// Intel, "SGX ECDSA QuoteLibReference", appendix A; "TDX DCAP Quoting Library API", appendix A.
const HEADER_BYTES: usize = 48;
const SGX_REPORT_BYTES: usize = 384;
const TD_REPORT_BYTES: usize = 584;
const SIGNATURE_AND_KEY_BYTES: usize = 128;
const SGX_TEE: [u8; 4] = [0; 4];
const PCK_CHAIN: u16 = 5;
const QE_REPORT: u16 = 6;
/// Intel, "SGX PCK Certificate and Certificate Revocation List Profile Specification", §1.3.5.
const SGX_EXTENSIONS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1");
const FMSPC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1.4");
