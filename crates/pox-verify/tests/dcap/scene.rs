//! One machine of a development vendor, one launch on it, and one verification, of which each part can be made wrong.

use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Endorsement;
use pox_devtee::Seed;
use pox_devtee::dcap::{Collateral, Enclave, Quoting, Statements, Td, TdForm, Tee, Validity, Vendor};
use pox_verify::evidence::dcap::{DcapRejection, ENDORSEMENT_KIND, appraise};
use pox_verify::evidence::launch::Launch;
use pox_verify::evidence::roots::{RootStanding, VendorRoots};

/// What the pinned vendor is made from.
pub(crate) const SEED: Seed = Seed([7; 32]);
/// When the tables are issued.
pub(crate) const ISSUED: u64 = 1_760_000_000;
/// When they have to be replaced: 30 days later, as Intel has it.
pub(crate) const NEXT: u64 = ISSUED + 30 * 86_400;
/// When the quote has to hold.
pub(crate) const AT: UnixTime = UnixTime(ISSUED + 86_400);
/// The tables' dates.
pub(crate) const TABLES: Validity = Validity { from: ISSUED, until: NEXT };
/// What the enclave had signed.
pub(crate) const REPORT_DATA: [u8; 64] = [0xda; 64];

/// What is launched.
#[derive(Debug, Clone)]
pub(crate) enum Launched {
    /// An enclave.
    Enclave(Enclave),
    /// A trust domain.
    Td(Box<Td>),
}

/// All that a verification depends on.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) vendor: Vendor,
    /// The pinned root: the vendor's, even if the vendor is exchanged.
    pub(crate) root: Vec<u8>,
    pub(crate) launched: Launched,
    pub(crate) quoting: Quoting,
    pub(crate) statements: Statements,
    pub(crate) at: UnixTime,
}

impl Scene {
    /// An enclave on an up-to-date machine.
    pub(crate) fn sgx() -> Self {
        Self::of(Tee::Sgx, Launched::Enclave(Enclave::new([0xec; 32], REPORT_DATA)))
    }

    /// A trust domain on an up-to-date machine.
    pub(crate) fn tdx(form: TdForm) -> Self {
        let rtmr = [[0xa0; 48], [0xa1; 48], [0xa2; 48], [0xa3; 48]];
        Self::of(Tee::Tdx, Launched::Td(Box::new(Td::new(form, [0xd0; 48], rtmr, REPORT_DATA))))
    }

    /// One of every form of quote.
    pub(crate) fn all() -> [Self; 4] {
        [Self::sgx(), Self::tdx(TdForm::V4), Self::tdx(TdForm::V5Td10), Self::tdx(TdForm::V5Td15)]
    }

    fn of(tee: Tee, launched: Launched) -> Self {
        let vendor = Vendor::new(SEED);
        let statements = Statements::of(&vendor, tee, TABLES);
        Self { root: vendor.root(), vendor, launched, quoting: Quoting::default(), statements, at: AT }
    }

    /// The enclave, for tests that have one.
    pub(crate) fn enclave(&mut self) -> &mut Enclave {
        match &mut self.launched {
            Launched::Enclave(enclave) => enclave,
            Launched::Td(_) => panic!("a trust domain is no enclave"),
        }
    }

    /// The trust domain, for tests that have one.
    pub(crate) fn td(&mut self) -> &mut Td {
        match &mut self.launched {
            Launched::Td(td) => td,
            Launched::Enclave(_) => panic!("an enclave is no trust domain"),
        }
    }

    pub(crate) fn kind(&self) -> EvidenceKind {
        match self.launched {
            Launched::Enclave(_) => EvidenceKind::Sgx,
            Launched::Td(_) => EvidenceKind::Tdx,
        }
    }

    pub(crate) fn quote(&self) -> Vec<u8> {
        match &self.launched {
            Launched::Enclave(enclave) => self.vendor.sgx_quote(enclave, &self.quoting),
            Launched::Td(td) => self.vendor.tdx_quote(td, &self.quoting),
        }
    }

    pub(crate) fn collateral(&self) -> Collateral {
        self.statements.sign(&self.vendor)
    }

    pub(crate) fn appraise(&self) -> Result<Launch, DcapRejection> {
        self.appraise_with(&self.quote(), &[self.collateral().to_bytes()])
    }

    pub(crate) fn appraise_beside(&self, collateral: &Collateral) -> Result<Launch, DcapRejection> {
        self.appraise_with(&self.quote(), &[collateral.to_bytes()])
    }

    pub(crate) fn appraise_with(
        &self,
        quote: &[u8],
        collaterals: &[Vec<u8>],
    ) -> Result<Launch, DcapRejection> {
        appraise(self.kind(), quote, &endorsements(collaterals), &roots(self.root.clone()), self.at)
    }
}

/// Another vendor, whom nobody pinned.
pub(crate) fn attacker() -> Vendor {
    Vendor::new(Seed([66; 32]))
}

/// Collaterals as an archive has them.
pub(crate) fn endorsements(collaterals: &[Vec<u8>]) -> Vec<Endorsement> {
    let endorsement = |content: &Vec<u8>| Endorsement { kind: ENDORSEMENT_KIND, content: content.clone() };
    collaterals.iter().map(endorsement).collect()
}

/// Roots with only Intel's set.
pub(crate) fn roots(intel: Vec<u8>) -> VendorRoots {
    VendorRoots { intel, amd: Vec::new(), aws: Vec::new(), standing: RootStanding::Development }
}
