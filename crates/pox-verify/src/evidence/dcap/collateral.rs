//! What Intel says of a platform beside its quote, in the form that an archive carries (spec §8.7.2).

use dcap_qvl::QuoteCollateralV3;
use pem::{EncodeConfig, LineEnding, Pem};
use pox_core::{CodecError, from_canonical, to_canonical};

/// The endorsement kind of DCAP collateral.
pub const ENDORSEMENT_KIND: u16 = 1;
/// Most bytes of one encoded collateral; real ones have 7 to 14 KiB, most of it the PCK revocation list.
pub const MAX_COLLATERAL_BYTES: usize = 128 * 1024;
/// Most certificates of a PCK chain: leaf, intermediate, root.
pub const MAX_PCK_CHAIN: usize = 3;

/// Intel's statements on one platform family at one time, each as it was signed.
///
/// Nothing in it is believed: it is what a quote is checked with once its signatures lead to the pinned root. It leaves out what
/// the check does not need (the root's certificate, chains that the quote carries), so that every byte of it counts.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Collateral {
    /// TCB info, the signed JSON text.
    #[n(0)]
    pub tcb_info: String,
    /// Its signature, r and s.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub tcb_info_signature: [u8; 64],
    /// The certificate it is signed with, DER.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub tcb_signer: Vec<u8>,
    /// Identity of the quoting enclave, the signed JSON text.
    #[n(3)]
    pub qe_identity: String,
    /// Its signature, r and s.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub qe_identity_signature: [u8; 64],
    /// The certificate it is signed with, DER; `None` if it is [`Self::tcb_signer`], as Intel has it.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub qe_signer: Option<Vec<u8>>,
    /// Revocation list of the root, DER.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub root_crl: Vec<u8>,
    /// Revocation list of the CA that certified the platform, DER.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub pck_crl: Vec<u8>,
    /// The platform's certificate and its issuers, DER, leaf first; empty if the quote carries them.
    #[cbor(n(8), with = "pox_core::bytes::strings")]
    pub pck_chain: Vec<Vec<u8>>,
}

/// Bytes are no DCAP collateral.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCollateral {
    /// Not its canonical CBOR.
    #[error("{0}")]
    Codec(String),
    /// The second signing certificate repeats the first.
    #[error("its second signing certificate is the first again")]
    RepeatedSigner,
    /// More certificates than a PCK chain has.
    #[error("a PCK chain of {0} certificates, at most {MAX_PCK_CHAIN} are allowed")]
    PckChain(usize),
    /// Not the JSON object that Intel's libraries exchange.
    #[error("not a collateral object: {0}")]
    Json(String),
    /// A certificate chain in it is no PEM text, or is empty.
    #[error("{0} holds no certificates")]
    Pem(&'static str),
    /// A signature in it has another length.
    #[error("{0} is not 64 bytes")]
    SignatureLength(&'static str),
}

impl Collateral {
    /// Reads the canonical CBOR.
    ///
    /// # Errors
    /// Any other bytes, or more than [`MAX_COLLATERAL_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadCollateral> {
        let collateral: Self = from_canonical(bytes, MAX_COLLATERAL_BYTES)?;
        if collateral.qe_signer.as_ref() == Some(&collateral.tcb_signer) {
            return Err(BadCollateral::RepeatedSigner);
        }
        if collateral.pck_chain.len() > MAX_PCK_CHAIN {
            return Err(BadCollateral::PckChain(collateral.pck_chain.len()));
        }
        Ok(collateral)
    }

    /// Writes the canonical CBOR.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Reads the JSON object of nine or ten members that DCAP libraries call `QuoteCollateralV3`.
    ///
    /// Its PCK chain is kept only if `pck_chain` says so: a quote that carries its own needs no second one.
    ///
    /// # Errors
    /// Any other text, or more than [`MAX_COLLATERAL_BYTES`].
    pub fn from_json(json: &[u8], pck_chain: PckChain) -> Result<Self, BadCollateral> {
        if json.len() > MAX_COLLATERAL_BYTES {
            return Err(CodecError::TooLarge { actual: json.len(), most: MAX_COLLATERAL_BYTES }.into());
        }
        let object: QuoteCollateralV3 =
            serde_json::from_slice(json).map_err(|error| BadCollateral::Json(error.to_string()))?;
        let tcb_signer = first_certificate(&object.tcb_info_issuer_chain, "tcb_info_issuer_chain")?;
        let qe_signer = first_certificate(&object.qe_identity_issuer_chain, "qe_identity_issuer_chain")?;
        let pck_chain = match (pck_chain, &object.pck_certificate_chain) {
            (PckChain::Keep, Some(chain)) => certificates(chain, "pck_certificate_chain")?,
            _ => Vec::new(),
        };
        Ok(Self {
            tcb_info: object.tcb_info,
            tcb_info_signature: signature(&object.tcb_info_signature, "tcb_info_signature")?,
            qe_signer: (qe_signer != tcb_signer).then_some(qe_signer),
            tcb_signer,
            qe_identity: object.qe_identity,
            qe_identity_signature: signature(&object.qe_identity_signature, "qe_identity_signature")?,
            root_crl: object.root_ca_crl,
            pck_crl: object.pck_crl,
            pck_chain,
        })
    }

    /// The certificate that the quoting enclave's identity is signed with.
    pub(super) fn qe_signer(&self) -> &[u8] {
        self.qe_signer.as_ref().unwrap_or(&self.tcb_signer)
    }

    /// The form that dcap-qvl takes. A chain in the quote goes before the one beside it.
    pub(super) fn into_v3(self, carried: Option<&[u8]>) -> QuoteCollateralV3 {
        let tcb_info_issuer_chain = to_pem([&self.tcb_signer]);
        QuoteCollateralV3 {
            // dcap-qvl takes the list's issuer from the PCK chain.
            pck_crl_issuer_chain: String::new(),
            qe_identity_issuer_chain: match &self.qe_signer {
                Some(signer) => to_pem([signer]),
                None => tcb_info_issuer_chain.clone(),
            },
            tcb_info_issuer_chain,
            pck_certificate_chain: carried.is_none().then(|| to_pem(&self.pck_chain)),
            root_ca_crl: self.root_crl,
            pck_crl: self.pck_crl,
            tcb_info: self.tcb_info,
            tcb_info_signature: self.tcb_info_signature.to_vec(),
            qe_identity: self.qe_identity,
            qe_identity_signature: self.qe_identity_signature.to_vec(),
        }
    }
}

/// What to do with a PCK chain beside a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PckChain {
    /// The quote has none of its own.
    Keep,
    /// The quote carries it.
    Drop,
}

impl From<CodecError> for BadCollateral {
    fn from(error: CodecError) -> Self {
        Self::Codec(error.to_string())
    }
}

fn signature(bytes: &[u8], member: &'static str) -> Result<[u8; 64], BadCollateral> {
    bytes.try_into().map_err(|_| BadCollateral::SignatureLength(member))
}

fn certificates(text: &str, member: &'static str) -> Result<Vec<Vec<u8>>, BadCollateral> {
    let blocks = pem::parse_many(text).map_err(|_| BadCollateral::Pem(member))?;
    Ok(blocks.into_iter().map(Pem::into_contents).collect())
}

fn first_certificate(text: &str, member: &'static str) -> Result<Vec<u8>, BadCollateral> {
    certificates(text, member)?.into_iter().next().ok_or(BadCollateral::Pem(member))
}

fn to_pem<'a>(chain: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
    let blocks: Vec<Pem> = chain.into_iter().map(|der| Pem::new("CERTIFICATE", der.as_slice())).collect();
    pem::encode_many_config(&blocks, EncodeConfig::new().set_line_ending(LineEnding::LF))
}
