//! Names the part at fault in what dcap-qvl has refused.
//!
//! dcap-qvl gives sentences; a verdict needs to tell a revoked platform from a stale table. So a refused quote is walked once
//! more, part by part, with dcap-qvl's own building blocks. Nothing is accepted here: whatever this finds, and if it finds
//! nothing, the quote stays refused.

use super::collateral::Collateral;
use super::rejection::{DcapRejection, Part};
use dcap_qvl::config::{Config, CryptoProvider, EcdsaSigEncoder};
use dcap_qvl::configs::DefaultConfig;
use dcap_qvl::intel::{PckExtension, parse_pck_extension};
use dcap_qvl::quote::{AuthDataV3, Quote, TDReport10};
use dcap_qvl::{QeIdentity, TcbInfo, TcbStatus};
use pox_core::UnixTime;
use rustls_pki_types as pki;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};
use webpki::{CertRevocationList, EndEntityCert, OwnedCertRevocationList};

/// The debug flag in the first byte of an enclave's attributes.
const SGX_DEBUG: u8 = 1 << 1;

/// What was refused.
pub(super) struct Case<'a> {
    /// The quote's bytes.
    pub(super) quote: &'a [u8],
    /// The same, parsed.
    pub(super) parsed: &'a Quote,
    /// The collateral's bytes.
    pub(super) content: &'a [u8],
    /// The pinned root, DER.
    pub(super) root: &'a [u8],
    /// The time.
    pub(super) at: UnixTime,
}

impl Case<'_> {
    /// The first part that fails, in the order in which trust leads; `None` if each holds by itself.
    pub(super) fn blame(&self) -> Option<DcapRejection> {
        self.walk().err()
    }

    fn walk(&self) -> Result<(), DcapRejection> {
        let collateral = Collateral::from_bytes(self.content)?;
        let root = CertificateDer::from_slice(self.root);
        let anchor = webpki::anchor_from_trusted_cert(&root).or(Err(DcapRejection::Malformed(Part::Root)))?;
        let chains = Chains { lists: self.lists(&collateral, &anchor)?, anchor, now: time(self.at) };

        let table = self.tcb_info(&collateral, &chains)?;
        let identity = self.qe_identity(&collateral, &chains)?;

        let auth = self.parsed.auth_data.clone().into_v3();
        let (leaf, platform) = self.platform(&collateral, &auth, &chains)?;
        signed(&leaf, &auth.qe_report, &auth.qe_report_signature, Part::QeReport)?;
        let enclave = QeReport(&auth.qe_report);
        enclave.vouches_for(&auth)?;
        self.identified(&enclave, &identity)?;
        self.quote_signed(&auth)?;
        self.table_matches(&table, &platform)
    }

    fn lists(
        &self,
        collateral: &Collateral,
        anchor: &TrustAnchor<'_>,
    ) -> Result<[CertRevocationList<'static>; 2], DcapRejection> {
        let key = &anchor.subject_public_key_info;
        let root = OwnedCertRevocationList::from_der_verified(&collateral.root_crl, key, &[algorithm()])
            .map_err(|error| match error {
                webpki::Error::InvalidCrlSignatureForPublicKey
                | webpki::Error::InvalidSignatureForPublicKey => DcapRejection::Signature(Part::RootCrl),
                _ => DcapRejection::Malformed(Part::RootCrl),
            })?;
        let pck = OwnedCertRevocationList::from_der(&collateral.pck_crl)
            .or(Err(DcapRejection::Malformed(Part::PckCrl)))?;
        let lists = [root.into(), pck.into()];
        webpki::check_single_cert_revocation(self.root, &lists.each_ref(), &[algorithm()], time(self.at))
            .map_err(|error| match error {
                webpki::Error::CertRevoked => DcapRejection::Revoked(Part::Root),
                webpki::Error::CrlExpired { .. } => DcapRejection::Expired(Part::RootCrl),
                _ => DcapRejection::Untrusted(Part::RootCrl),
            })?;
        Ok(lists)
    }

    fn tcb_info(&self, collateral: &Collateral, chains: &Chains<'_>) -> Result<TcbInfo, DcapRejection> {
        let table: TcbInfo =
            serde_json::from_str(&collateral.tcb_info).or(Err(DcapRejection::Malformed(Part::TcbInfo)))?;
        self.dated(&table.issue_date, &table.next_update, Part::TcbInfo)?;
        let leaf = certificate(&collateral.tcb_signer);
        chains.check(&leaf, &[], Part::TcbSigner)?;
        signed(&leaf, collateral.tcb_info.as_bytes(), &collateral.tcb_info_signature, Part::TcbInfo)?;
        Ok(table)
    }

    fn qe_identity(&self, collateral: &Collateral, chains: &Chains<'_>) -> Result<QeIdentity, DcapRejection> {
        let identity: QeIdentity = serde_json::from_str(&collateral.qe_identity)
            .or(Err(DcapRejection::Malformed(Part::QeIdentity)))?;
        self.dated(&identity.issue_date, &identity.next_update, Part::QeIdentity)?;
        let leaf = certificate(collateral.qe_signer());
        chains.check(&leaf, &[], Part::QeSigner)?;
        let signature = &collateral.qe_identity_signature;
        signed(&leaf, collateral.qe_identity.as_bytes(), signature, Part::QeIdentity)?;
        Ok(identity)
    }

    fn dated(&self, issued: &str, next: &str, part: Part) -> Result<(), DcapRejection> {
        let read = |text| {
            let date = chrono::DateTime::parse_from_rfc3339(text).ok()?;
            u64::try_from(date.timestamp()).ok()
        };
        let (Some(from), Some(until)) = (read(issued), read(next)) else {
            return Err(DcapRejection::Malformed(part));
        };
        match self.at.0 {
            at if at < from => Err(DcapRejection::NotYet(part)),
            at if at > until => Err(DcapRejection::Expired(part)),
            _ => Ok(()),
        }
    }

    fn platform(
        &self,
        collateral: &Collateral,
        auth: &AuthDataV3,
        chains: &Chains<'_>,
    ) -> Result<(CertificateDer<'static>, PckExtension), DcapRejection> {
        let malformed = DcapRejection::Malformed(Part::PckChain);
        let chain: Vec<CertificateDer<'static>> = if super::quote::carried_chain(self.parsed).is_some() {
            let blocks = pem::parse_many(&auth.certification_data.body.data).or(Err(malformed.clone()))?;
            blocks.into_iter().map(|block| block.into_contents().into()).collect()
        } else {
            collateral.pck_chain.iter().map(|der| certificate(der)).collect()
        };
        let Some((leaf, issuers)) = chain.split_first() else { return Err(malformed) };
        chains.check(leaf, issuers, Part::PckChain)?;
        let extension = parse_pck_extension(leaf).or(Err(malformed))?;
        Ok((leaf.clone(), extension))
    }

    fn identified(&self, enclave: &QeReport<'_>, identity: &QeIdentity) -> Result<(), DcapRejection> {
        let (name, versions): (_, &[u8]) =
            if self.parsed.header.is_sgx() { ("QE", &[2]) } else { ("TD_QE", &[2, 3]) };
        if identity.id != name || !versions.contains(&identity.version) {
            return Err(DcapRejection::OtherTee(Part::QeIdentity));
        }
        let fits = enclave.signer() == identity.mrsigner
            && enclave.product() == identity.isvprodid
            && same_under(enclave.misc_select(), &identity.miscselect, &identity.miscselect_mask)
            && same_under(enclave.attributes(), &identity.attributes, &identity.attributes_mask)
            && enclave.attributes()[0] & SGX_DEBUG == 0;
        if !fits {
            return Err(DcapRejection::QuotingEnclave);
        }
        let level = identity.tcb_levels.iter().find(|level| level.tcb.isvsvn <= enclave.svn());
        match level.map(|level| level.tcb_status) {
            None => Err(DcapRejection::NoTcbLevel(Part::QeReport)),
            Some(TcbStatus::Revoked) => Err(DcapRejection::TcbRevoked(Part::QeReport)),
            Some(_) => Ok(()),
        }
    }

    fn quote_signed(&self, auth: &AuthDataV3) -> Result<(), DcapRejection> {
        let rejection = DcapRejection::Signature(Part::Quote);
        let key = [&[4][..], &auth.ecdsa_attestation_key].concat();
        let message = self.quote.get(..self.parsed.signed_length()).ok_or(rejection.clone())?;
        let signature = der(&auth.ecdsa_signature).ok_or(rejection.clone())?;
        algorithm().verify_signature(&key, message, &signature).or(Err(rejection))
    }

    fn table_matches(&self, table: &TcbInfo, platform: &PckExtension) -> Result<(), DcapRejection> {
        let actual = hex::encode(platform.fmspc);
        if !table.fmspc.eq_ignore_ascii_case(&actual) {
            let stated = table.fmspc.to_ascii_lowercase();
            return Err(DcapRejection::OtherPlatform { stated, actual });
        }
        let report = &self.parsed.report;
        let Some(td) = report.as_td10() else {
            if table.id != "SGX" {
                return Err(DcapRejection::OtherTee(Part::TcbInfo));
            }
            return level_matches(table, platform, None);
        };
        if table.id != "TDX" {
            return Err(DcapRejection::OtherTee(Part::TcbInfo));
        }
        module_matches(table, td)?;
        let current = report.as_td15().map(|td| &td.tee_tcb_svn2);
        for svn in [Some(&td.tee_tcb_svn), current].into_iter().flatten() {
            level_matches(table, platform, Some(svn))?;
        }
        Ok(())
    }
}

/// What certificates are checked with.
struct Chains<'a> {
    anchor: TrustAnchor<'a>,
    lists: [CertRevocationList<'static>; 2],
    now: pki::UnixTime,
}

impl Chains<'_> {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        part: Part,
    ) -> Result<(), DcapRejection> {
        use webpki::Error;
        let leaf = EndEntityCert::try_from(leaf).or(Err(DcapRejection::Malformed(part)))?;
        dcap_chain(&leaf, issuers, self).map(drop).map_err(|error| match error {
            Error::CertExpired { .. } => DcapRejection::Expired(part),
            Error::CertNotValidYet { .. } => DcapRejection::NotYet(part),
            Error::CertRevoked => DcapRejection::Revoked(part),
            Error::CrlExpired { .. } => DcapRejection::Expired(Part::PckCrl),
            Error::InvalidCrlSignatureForPublicKey => DcapRejection::Signature(Part::PckCrl),
            Error::UnknownRevocationStatus | Error::IssuerNotCrlSigner => {
                DcapRejection::Untrusted(Part::PckCrl)
            }
            _ => DcapRejection::Untrusted(part),
        })
    }
}

/// The path to the pinned root, each certificate on it in the list of its issuer, as dcap-qvl demands it.
fn dcap_chain(
    leaf: &EndEntityCert<'_>,
    issuers: &[CertificateDer<'_>],
    chains: &Chains<'_>,
) -> Result<(), webpki::Error> {
    let lists = chains.lists.each_ref();
    let Ok(options) = webpki::RevocationOptionsBuilder::new(&lists) else {
        return Err(webpki::Error::UnknownRevocationStatus);
    };
    let revocation = options
        .with_depth(webpki::RevocationCheckDepth::Chain)
        .with_status_policy(webpki::UnknownStatusPolicy::Deny)
        .with_expiration_policy(webpki::ExpirationPolicy::Enforce)
        .build();
    let anchors = core::slice::from_ref(&chains.anchor);
    let usage = webpki::KeyUsage::server_auth();
    leaf.verify_for_usage(&[algorithm()], anchors, issuers, chains.now, usage, Some(revocation), None)
        .map(drop)
}

/// The quoting enclave's report, by the offsets of SGX's REPORT structure.
struct QeReport<'a>(&'a [u8; 384]);

impl QeReport<'_> {
    fn misc_select(&self) -> &[u8] {
        &self.0[16..20]
    }

    fn attributes(&self) -> &[u8] {
        &self.0[48..64]
    }

    fn signer(&self) -> &[u8] {
        &self.0[128..160]
    }

    fn product(&self) -> u16 {
        u16::from_le_bytes([self.0[256], self.0[257]])
    }

    fn svn(&self) -> u16 {
        u16::from_le_bytes([self.0[258], self.0[259]])
    }

    fn vouches_for(&self, auth: &AuthDataV3) -> Result<(), DcapRejection> {
        let key = [&auth.ecdsa_attestation_key[..], &auth.qe_auth_data.data].concat();
        let hash = <DefaultConfig as Config>::Crypto::sha256(&key);
        if self.0[320..352] == hash { Ok(()) } else { Err(DcapRejection::AttestationKey) }
    }
}

fn module_matches(table: &TcbInfo, td: &TDReport10) -> Result<(), DcapRejection> {
    let rejection = DcapRejection::TdxModule;
    let base = table.tdx_module.as_ref().ok_or(rejection.clone())?;
    let identity = table.tdx_module_identity(&td.tee_tcb_svn).or(Err(rejection.clone()))?;
    let (signer, attributes, mask) = match identity {
        Some(module) => (&module.mrsigner, &module.attributes, &module.attributes_mask),
        None => (&base.mrsigner, &base.attributes, &base.attributes_mask),
    };
    let decode = |text: &String| hex::decode(text).or(Err(rejection.clone()));
    let (signer, attributes, mask) = (decode(signer)?, decode(attributes)?, decode(mask)?);
    let outside = td.seam_attributes.iter().zip(&mask).any(|(bits, mask)| bits & !mask != 0);
    let fits = signer == td.mr_signer_seam && same_under(&td.seam_attributes, &attributes, &mask);
    if fits && !outside { Ok(()) } else { Err(rejection) }
}

fn level_matches(
    table: &TcbInfo,
    platform: &PckExtension,
    module: Option<&[u8; 16]>,
) -> Result<(), DcapRejection> {
    let met: Vec<TcbStatus> = table
        .tcb_levels
        .iter()
        .filter(|level| {
            level
                .shortfalls(&platform.cpu_svn, platform.pce_svn, module)
                .is_ok_and(|shortfalls| shortfalls.is_empty())
        })
        .map(|level| level.tcb_status)
        .collect();
    if met.is_empty() {
        return Err(DcapRejection::NoTcbLevel(Part::PckChain));
    }
    if let Some(svn) = module
        && let Ok(Some(identity)) = table.tdx_module_identity(svn)
    {
        match identity.tcb_levels.iter().find(|level| level.shortfall(svn).is_none()) {
            None => return Err(DcapRejection::NoTcbLevel(Part::TdxModule)),
            Some(level) if level.tcb_status == TcbStatus::Revoked => {
                return Err(DcapRejection::TcbRevoked(Part::TdxModule));
            }
            Some(_) => {}
        }
    }
    // The table's order is not binding, so a revoked level counts wherever it stands: dcap-qvl has refused already.
    if met.contains(&TcbStatus::Revoked) {
        return Err(DcapRejection::TcbRevoked(Part::PckChain));
    }
    Ok(())
}

fn same_under(actual: &[u8], expected: &[u8], mask: &[u8]) -> bool {
    actual.len() == expected.len()
        && actual.len() == mask.len()
        && actual
            .iter()
            .zip(expected)
            .zip(mask)
            .all(|((actual, expected), mask)| (actual ^ expected) & mask == 0)
}

fn signed(
    signer: &CertificateDer<'_>,
    message: &[u8],
    signature: &[u8; 64],
    part: Part,
) -> Result<(), DcapRejection> {
    let holds = || {
        let certificate = EndEntityCert::try_from(signer).ok()?;
        certificate.verify_signature(algorithm(), message, &der(signature)?).ok()
    };
    holds().ok_or(DcapRejection::Signature(part))
}

/// r and s as the sequence that certificates use.
fn der(signature: &[u8; 64]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at(32);
    <DefaultConfig as Config>::SigEncoder::encode_ecdsa_sig(r, s).ok()
}

fn certificate(der: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from(der.to_vec())
}

fn time(at: UnixTime) -> pki::UnixTime {
    pki::UnixTime::since_unix_epoch(core::time::Duration::from_secs(at.0))
}

fn algorithm() -> &'static dyn SignatureVerificationAlgorithm {
    <DefaultConfig as Config>::Crypto::sig_algo()
}
