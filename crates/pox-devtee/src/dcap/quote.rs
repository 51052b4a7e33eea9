//! Quotes: SGX version 3, TDX versions 4 and 5 (Intel's `sgx_quote_3.h`, `sgx_quote_4.h`, `sgx_quote_5.h`).

use super::collateral::{QE_SVN, TDX_SVN, pem_chain};
use super::{Signer, Tee, Vendor, first};
use sha2::{Digest, Sha256};

/// Intel's identity as maker of quoting enclaves.
const QE_VENDOR: [u8; 16] =
    [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07];
/// INIT, MODE64BIT and PROVISION_KEY: a quoting enclave's flags.
const QE_FLAGS: u64 = 0b1_0101;

/// An SGX enclave's launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclave {
    /// Its measurement.
    pub mr_enclave: [u8; 32],
    /// Whoever signed it.
    pub mr_signer: [u8; 32],
    /// Product number.
    pub product: u16,
    /// Security version.
    pub svn: u16,
    /// Set by the host before the launch.
    pub config_id: [u8; 64],
    /// Flags.
    pub flags: u64,
    /// What it had signed.
    pub report_data: [u8; 64],
}

/// A trust domain's launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Td {
    /// In which form it is reported.
    pub form: TdForm,
    /// Security versions at its launch.
    pub tcb_svn: [u8; 16],
    /// Security versions now; version 1.5 only.
    pub current_tcb_svn: [u8; 16],
    /// Whoever signed the TDX module; Intel has zeros.
    pub seam_signer: [u8; 48],
    /// The TDX module's attributes.
    pub seam_attributes: u64,
    /// Attributes.
    pub attributes: u64,
    /// Extended features.
    pub xfam: u64,
    /// Measurement of the firmware.
    pub mr_td: [u8; 48],
    /// Set by the host before the launch.
    pub mr_config_id: [u8; 48],
    /// Set by the host before the launch.
    pub mr_owner: [u8; 48],
    /// Set by the host before the launch.
    pub mr_owner_config: [u8; 48],
    /// Measurements after the launch.
    pub rtmr: [[u8; 48]; 4],
    /// Service TDs; version 1.5 only.
    pub mr_service_td: [u8; 48],
    /// What it had signed.
    pub report_data: [u8; 64],
}

/// Versions of quote and TD report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TdForm {
    /// Quote version 4.
    V4,
    /// Quote version 5 with a report of TDX 1.0.
    V5Td10,
    /// Quote version 5 with a report of TDX 1.5.
    V5Td15,
}

/// How the quoting enclave makes a quote of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoting {
    /// Its signer; the vendor's if `None`.
    pub signer: Option<[u8; 32]>,
    /// Its security version.
    pub svn: u16,
    /// Its flags.
    pub flags: u64,
    /// What it vouches for instead of its attestation key's hash.
    pub vouches_for: Option<[u8; 32]>,
    /// How the platform is certified.
    pub certification: Certification,
    /// The quote is filled up with zeros to so many bytes.
    pub padded_to: usize,
}

/// How a quote says which platform it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certification {
    /// It carries the platform's certificate with its issuers.
    Chain,
    /// It only has the platform's encrypted identity (RSA-3072); the chain comes beside it.
    EncryptedPpid,
}

impl Default for Quoting {
    fn default() -> Self {
        Self {
            signer: None,
            svn: QE_SVN,
            flags: QE_FLAGS,
            vouches_for: None,
            certification: Certification::Chain,
            padded_to: 0,
        }
    }
}

impl Enclave {
    /// A production enclave of some program.
    pub fn new(mr_enclave: [u8; 32], report_data: [u8; 64]) -> Self {
        Self {
            mr_enclave,
            mr_signer: [0x51; 32],
            product: 0,
            svn: 0,
            config_id: [0; 64],
            // INIT and MODE64BIT.
            flags: 0b101,
            report_data,
        }
    }

    fn report(&self, vendor: &Vendor) -> Vec<u8> {
        let own = Report {
            flags: self.flags,
            mr_enclave: self.mr_enclave,
            mr_signer: self.mr_signer,
            config_id: self.config_id,
            product: self.product,
            svn: self.svn,
            report_data: self.report_data,
        };
        own.encode(vendor.platform.cpu_svn)
    }
}

impl Td {
    /// A production TD of some guest, with zeros in whatever the host may set.
    pub fn new(form: TdForm, mr_td: [u8; 48], rtmr: [[u8; 48]; 4], report_data: [u8; 64]) -> Self {
        Self {
            form,
            tcb_svn: TDX_SVN,
            current_tcb_svn: TDX_SVN,
            seam_signer: [0; 48],
            seam_attributes: 0,
            // SEPT_VE_DISABLE.
            attributes: 1 << 28,
            xfam: 0x6_1ae7,
            mr_td,
            mr_config_id: [0; 48],
            mr_owner: [0; 48],
            mr_owner_config: [0; 48],
            rtmr,
            mr_service_td: [0; 48],
            report_data,
        }
    }

    fn report(&self) -> Vec<u8> {
        let [rtmr0, rtmr1, rtmr2, rtmr3] = &self.rtmr;
        let mr_seam = [0x5e; 48];
        let mut report = [
            &self.tcb_svn[..],
            &mr_seam,
            &self.seam_signer,
            &self.seam_attributes.to_le_bytes(),
            &self.attributes.to_le_bytes(),
            &self.xfam.to_le_bytes(),
            &self.mr_td,
            &self.mr_config_id,
            &self.mr_owner,
            &self.mr_owner_config,
            rtmr0,
            rtmr1,
            rtmr2,
            rtmr3,
            &self.report_data,
        ]
        .concat();
        if self.form == TdForm::V5Td15 {
            report.extend(self.current_tcb_svn);
            report.extend(self.mr_service_td);
        }
        report
    }
}

impl Vendor {
    /// An SGX quote, version 3.
    pub fn sgx_quote(&self, enclave: &Enclave, quoting: &Quoting) -> Vec<u8> {
        let signed = [self.header(3, 0), enclave.report(self)].concat();
        let authentication = [self.own_part(&signed), self.qe_part(Tee::Sgx, quoting)].concat();
        finish(signed, &authentication, quoting.padded_to)
    }

    /// A TDX quote, version 4 or 5.
    pub fn tdx_quote(&self, td: &Td, quoting: &Quoting) -> Vec<u8> {
        const TDX: u32 = 0x81;
        let report = td.report();
        let mut signed = match td.form {
            TdForm::V4 => self.header(4, TDX),
            TdForm::V5Td10 => [&self.header(5, TDX)[..], &2_u16.to_le_bytes(), &le32(&report)].concat(),
            TdForm::V5Td15 => [&self.header(5, TDX)[..], &3_u16.to_le_bytes(), &le32(&report)].concat(),
        };
        signed.extend(report);
        let certified = self.qe_part(Tee::Tdx, quoting);
        let authentication =
            [&self.own_part(&signed)[..], &6_u16.to_le_bytes(), &le32(&certified), &certified].concat();
        finish(signed, &authentication, quoting.padded_to)
    }

    /// Whoever signs the vendor's quoting enclaves.
    pub(super) fn qe_signer(&self) -> [u8; 32] {
        self.seed.derive("dcap signer of quoting enclaves")
    }

    fn header(&self, version: u16, tee: u32) -> Vec<u8> {
        const ECDSA_P256: u16 = 2;
        let svns = [0; 4];
        let user_data: [u8; 20] = first(&self.seed.derive("dcap quoting enclave's id"));
        [
            &version.to_le_bytes()[..],
            &ECDSA_P256.to_le_bytes(),
            &tee.to_le_bytes(),
            &svns,
            &QE_VENDOR,
            &user_data,
        ]
        .concat()
    }

    /// The quote's signature and the key that made it.
    fn own_part(&self, signed: &[u8]) -> Vec<u8> {
        [self.sign(Signer::Attestation, signed), self.public_key(Signer::Attestation)].concat()
    }

    /// The quoting enclave's report, what the platform says to it, and which platform that is.
    fn qe_part(&self, tee: Tee, quoting: &Quoting) -> Vec<u8> {
        let authentication: [u8; 32] = core::array::from_fn(|at| at as u8);
        let key = [&self.public_key(Signer::Attestation)[..], &authentication].concat();
        let mut report_data = [0; 64];
        report_data[..32].copy_from_slice(&quoting.vouches_for.unwrap_or_else(|| Sha256::digest(key).into()));
        let report = Report {
            flags: quoting.flags,
            mr_enclave: self.seed.derive("dcap quoting enclave"),
            mr_signer: quoting.signer.unwrap_or_else(|| self.qe_signer()),
            config_id: [0; 64],
            product: if tee == Tee::Sgx { 1 } else { 2 },
            svn: quoting.svn,
            report_data,
        }
        .encode(self.platform.cpu_svn);
        let signature = self.sign(Signer::Platform, &report);
        let (code, certification): (u16, _) = match quoting.certification {
            // Intel ends the text with a zero.
            Certification::Chain => (5, [pem_chain(&self.pck_chain()).as_bytes(), &[0]].concat()),
            Certification::EncryptedPpid => (3, self.encrypted_ppid()),
        };
        let length = (authentication.len() as u16).to_le_bytes();
        [
            &report[..],
            &signature,
            &length,
            &authentication,
            &code.to_le_bytes(),
            &le32(&certification),
            &certification,
        ]
        .concat()
    }

    /// The form of certification data type 3. Only Intel could decrypt it, so what is in it is of no matter here.
    fn encrypted_ppid(&self) -> Vec<u8> {
        let platform = &self.platform;
        [&[0xe5; 384][..], &platform.cpu_svn, &platform.pce_svn.to_le_bytes(), &platform.pce_id].concat()
    }
}

/// SGX's REPORT body, 384 bytes (Intel SDM volume 3D).
struct Report {
    flags: u64,
    mr_enclave: [u8; 32],
    mr_signer: [u8; 32],
    config_id: [u8; 64],
    product: u16,
    svn: u16,
    report_data: [u8; 64],
}

impl Report {
    fn encode(&self, cpu_svn: [u8; 16]) -> Vec<u8> {
        const XFRM: u64 = 0xe7;
        let [misc_select, reserved_1, reserved_2, reserved_3] = [&[0; 4][..], &[0; 28], &[0; 32], &[0; 32]];
        let config_svn_to_family_id = [0; 60];
        [
            &cpu_svn[..],
            misc_select,
            reserved_1,
            &self.flags.to_le_bytes(),
            &XFRM.to_le_bytes(),
            &self.mr_enclave,
            reserved_2,
            &self.mr_signer,
            reserved_3,
            &self.config_id,
            &self.product.to_le_bytes(),
            &self.svn.to_le_bytes(),
            &config_svn_to_family_id,
            &self.report_data,
        ]
        .concat()
    }
}

fn finish(signed: Vec<u8>, authentication: &[u8], padded_to: usize) -> Vec<u8> {
    let mut quote = [&signed[..], &le32(authentication), authentication].concat();
    quote.resize(padded_to.max(quote.len()), 0);
    quote
}

/// A part's length as it stands before it.
fn le32(part: &[u8]) -> [u8; 4] {
    (part.len() as u32).to_le_bytes()
}
