//! TCB info, the quoting enclave's identity and revocation lists, as Intel's provisioning service publishes them.

use super::der::{self, RevocationList};
use super::{Signer, Tee, Validity, Vendor, name};
use core::fmt::Write as _;
use minicbor::Encoder;
use minicbor::encode::Write;
use pem::Pem;

/// What the vendor says of a platform family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statements {
    /// For which TEE.
    pub tee: Tee,
    /// Issue and next update of the tables.
    pub tables: Validity,
    /// This and next update of the revocation lists.
    pub lists: Validity,
    /// Form of TCB info.
    pub version: u8,
    /// How its components are compared.
    pub tcb_type: u32,
    /// The platform family it is for.
    pub fmspc: [u8; 6],
    /// The provisioning certification enclave it is for.
    pub pce_id: [u8; 2],
    /// Edition of the tables.
    pub evaluation: u32,
    /// Levels, best first.
    pub levels: Vec<Level>,
    /// TDX modules; TDX only.
    pub modules: Vec<ModuleIdentity>,
    /// The quoting enclave.
    pub quoting_enclave: QeStatement,
    /// What was revoked.
    pub revoked: Vec<Revoked>,
}

/// One level of a TCB info.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// What the processor needs at least.
    pub cpu_svn: [u8; 16],
    /// What the provisioning certification enclave needs at least.
    pub pce_svn: u16,
    /// What TDX needs at least; TDX only.
    pub tdx_svn: [u8; 16],
    /// Intel's word for it: `UpToDate`.
    pub status: &'static str,
    /// Flaws that concern it.
    pub advisories: Vec<&'static str>,
}

/// One TDX module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleIdentity {
    /// Its major version.
    pub version: u8,
    /// Who signs it; Intel has zeros.
    pub signer: [u8; 48],
    /// Its security versions with their status, best first.
    pub levels: Vec<(u8, &'static str)>,
}

/// What the quoting enclave has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QeStatement {
    /// Its name: `QE` or `TD_QE`.
    pub id: &'static str,
    /// Form of the identity.
    pub version: u8,
    /// Its signer.
    pub signer: [u8; 32],
    /// Its product number.
    pub product: u16,
    /// Its security versions with their status, best first.
    pub levels: Vec<(u16, &'static str)>,
}

/// A certificate that was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The platform's, by the CA of platforms.
    Platform,
    /// That CA, by the root.
    PlatformCa,
    /// The table signer, by the root.
    Tables,
    /// The root, by itself.
    Root,
}

/// The parts as the vendor signed them. Each can be exchanged for another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collateral {
    /// TCB info, JSON.
    pub tcb_info: String,
    /// Its signature.
    pub tcb_info_signature: [u8; 64],
    /// The certificate it is signed with, DER.
    pub tcb_signer: Vec<u8>,
    /// Identity of the quoting enclave, JSON.
    pub qe_identity: String,
    /// Its signature.
    pub qe_identity_signature: [u8; 64],
    /// The certificate it is signed with, DER; `None` if it is the same.
    pub qe_signer: Option<Vec<u8>>,
    /// Revocation list of the root, DER.
    pub root_crl: Vec<u8>,
    /// Revocation list of the CA of platforms, DER.
    pub pck_crl: Vec<u8>,
    /// The platform's chain, DER; empty if the quote carries it.
    pub pck_chain: Vec<Vec<u8>>,
}

/// Security version of the quoting enclave that [`Statements::of`] calls up to date.
pub(super) const QE_SVN: u16 = 8;
/// Module version 1, security version 5, and the loader.
pub(super) const TDX_SVN: [u8; 16] = [5, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl Statements {
    /// The vendor's platform is up to date, as of tables that hold for a while.
    pub fn of(vendor: &Vendor, tee: Tee, tables: Validity) -> Self {
        let platform = &vendor.platform;
        let best = Level {
            cpu_svn: platform.cpu_svn,
            pce_svn: platform.pce_svn,
            tdx_svn: TDX_SVN,
            status: "UpToDate",
            advisories: Vec::new(),
        };
        let oldest = Level {
            cpu_svn: [0; 16],
            pce_svn: 0,
            tdx_svn: [0; 16],
            status: "OutOfDate",
            advisories: vec!["INTEL-SA-00001"],
        };
        let (id, product) = match tee {
            Tee::Sgx => ("QE", 1),
            Tee::Tdx => ("TD_QE", 2),
        };
        let module = ModuleIdentity {
            version: TDX_SVN[1],
            signer: [0; 48],
            levels: vec![(TDX_SVN[0], "UpToDate"), (2, "OutOfDate")],
        };
        let levels = vec![(QE_SVN, "UpToDate"), (2, "OutOfDate")];
        Self {
            tee,
            tables,
            lists: tables,
            version: 3,
            tcb_type: 0,
            fmspc: platform.fmspc,
            pce_id: platform.pce_id,
            evaluation: 17,
            levels: vec![best, oldest],
            modules: vec![module],
            quoting_enclave: QeStatement { id, version: 2, signer: vendor.qe_signer(), product, levels },
            revoked: Vec::new(),
        }
    }

    /// All of it signed.
    pub fn sign(&self, vendor: &Vendor) -> Collateral {
        let (tcb_info, qe_identity) = (self.tcb_info(), self.qe_identity());
        Collateral {
            tcb_info_signature: vendor.sign(Signer::Tables, tcb_info.as_bytes()),
            tcb_info,
            tcb_signer: vendor.table_signer(),
            qe_identity_signature: vendor.sign(Signer::Tables, qe_identity.as_bytes()),
            qe_identity,
            qe_signer: None,
            root_crl: self.list(vendor, Signer::Root, &[Revoked::PlatformCa, Revoked::Tables, Revoked::Root]),
            pck_crl: self.list(vendor, Signer::PlatformCa, &[Revoked::Platform]),
            pck_chain: Vec::new(),
        }
    }

    fn list(&self, vendor: &Vendor, issuer: Signer, issued: &[Revoked]) -> Vec<u8> {
        let revoked: Vec<[u8; 20]> = self
            .revoked
            .iter()
            .filter(|revoked| issued.contains(revoked))
            .map(|revoked| {
                vendor.serial(match revoked {
                    Revoked::Platform => Signer::Platform,
                    Revoked::PlatformCa => Signer::PlatformCa,
                    Revoked::Tables => Signer::Tables,
                    Revoked::Root => Signer::Root,
                })
            })
            .collect();
        let list =
            RevocationList { issuer: name(issuer), validity: self.lists, number: 1, revoked: &revoked };
        der::signed(&list.body(), |body| vendor.sign_der(issuer, body))
    }

    fn tcb_info(&self) -> String {
        let (id, modules) = match self.tee {
            Tee::Sgx => ("SGX", String::new()),
            Tee::Tdx => ("TDX", self.modules()),
        };
        let levels: Vec<String> = self.levels.iter().map(|level| level.json(self.tee)).collect();
        format!(
            r#"{{"id":"{id}","version":{},{},"fmspc":"{}","pceId":"{}","tcbType":{},"tcbEvaluationDataNumber":{},{modules}"tcbLevels":[{}]}}"#,
            self.version,
            dates(self.tables),
            hex::encode_upper(self.fmspc),
            hex::encode_upper(self.pce_id),
            self.tcb_type,
            self.evaluation,
            levels.join(","),
        )
    }

    fn modules(&self) -> String {
        const ANY: &str = r#""attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF""#;
        let identities: Vec<String> = self
            .modules
            .iter()
            .map(|module| {
                format!(
                    r#"{{"id":"TDX_{:02X}","mrsigner":"{}",{ANY},"tcbLevels":[{}]}}"#,
                    module.version,
                    hex::encode_upper(module.signer),
                    enclave_levels(&module.levels),
                )
            })
            .collect();
        let signer = "00".repeat(48);
        let identities = identities.join(",");
        format!(r#""tdxModule":{{"mrsigner":"{signer}",{ANY}}},"tdxModuleIdentities":[{identities}],"#)
    }

    fn qe_identity(&self) -> String {
        let enclave = &self.quoting_enclave;
        format!(
            concat!(
                r#"{{"id":"{}","version":{},{},"tcbEvaluationDataNumber":{},"miscselect":"00000000","#,
                r#""miscselectMask":"FFFFFFFF","attributes":"11000000000000000000000000000000","#,
                r#""attributesMask":"FBFFFFFFFFFFFFFF0000000000000000","mrsigner":"{}","isvprodid":{},"tcbLevels":[{}]}}"#
            ),
            enclave.id,
            enclave.version,
            dates(self.tables),
            self.evaluation,
            hex::encode_upper(enclave.signer),
            enclave.product,
            enclave_levels(&enclave.levels),
        )
    }
}

/// The date of every level; only grace periods depend on it, and nobody here grants one.
const LEVEL_DATE: &str = "2024-03-13T00:00:00Z";

impl Level {
    fn json(&self, tee: Tee) -> String {
        let components = |svn: [u8; 16]| svn.map(|svn| format!(r#"{{"svn":{svn}}}"#)).join(",");
        let mut json = format!(
            r#"{{"tcb":{{"sgxtcbcomponents":[{}],"pcesvn":{}"#,
            components(self.cpu_svn),
            self.pce_svn
        );
        if tee == Tee::Tdx {
            json += &format!(r#","tdxtcbcomponents":[{}]"#, components(self.tdx_svn));
        }
        json += &format!(r#"}},"tcbDate":"{LEVEL_DATE}","tcbStatus":"{}""#, self.status);
        if !self.advisories.is_empty() {
            json += &format!(r#","advisoryIDs":["{}"]"#, self.advisories.join(r#"",""#));
        }
        json + "}"
    }
}

fn enclave_levels(levels: &[(impl core::fmt::Display, &str)]) -> String {
    let mut json = String::new();
    for (svn, status) in levels {
        let comma = if json.is_empty() { "" } else { "," };
        write!(
            json,
            r#"{comma}{{"tcb":{{"isvsvn":{svn}}},"tcbDate":"{LEVEL_DATE}","tcbStatus":"{status}"}}"#
        )
        .expect("a string takes any text");
    }
    json
}

fn dates(validity: Validity) -> String {
    let date = |seconds| der::date(seconds).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    format!(r#""issueDate":"{}","nextUpdate":"{}""#, date(validity.from), date(validity.until))
}

impl Collateral {
    /// The endorsement of spec §8.7.2, written apart from the verifier that reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        self.encode(&mut encoder).expect("a vector takes any number of bytes");
        encoder.into_writer()
    }

    fn encode<W: Write>(&self, e: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(8 + u64::from(self.qe_signer.is_some()))?;
        e.u8(0)?.str(&self.tcb_info)?;
        e.u8(1)?.bytes(&self.tcb_info_signature)?;
        e.u8(2)?.bytes(&self.tcb_signer)?;
        e.u8(3)?.str(&self.qe_identity)?;
        e.u8(4)?.bytes(&self.qe_identity_signature)?;
        if let Some(signer) = &self.qe_signer {
            e.u8(5)?.bytes(signer)?;
        }
        e.u8(6)?.bytes(&self.root_crl)?;
        e.u8(7)?.bytes(&self.pck_crl)?;
        e.u8(8)?.array(self.pck_chain.len() as u64)?;
        for certificate in &self.pck_chain {
            e.bytes(certificate)?;
        }
        e.ok()
    }
}

impl Vendor {
    /// Certificates as a provisioning service sends them: the table signer and the root, PEM.
    pub fn table_issuer_chain(&self) -> String {
        pem_chain(&[self.table_signer(), self.root()])
    }
}

pub(super) fn pem_chain(certificates: &[Vec<u8>]) -> String {
    let blocks: Vec<Pem> = certificates.iter().map(|der| Pem::new("CERTIFICATE", der.as_slice())).collect();
    pem::encode_many_config(&blocks, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
}
