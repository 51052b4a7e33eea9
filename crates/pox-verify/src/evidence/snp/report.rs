//! The attestation report (AMD 56860, "ATTESTATION_REPORT Structure").

use super::rejection::BadReport;
use core::fmt;

/// Bytes of a report: what is signed, then the signature's field.
pub const REPORT_BYTES: usize = 1184;

/// Bytes of it that are signed.
pub(super) const SIGNED_BYTES: usize = 0x2a0;

/// A report, taken apart. Nothing in it is believed: that is for [`super::Chain::appraise`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The form that it has.
    pub version: ReportVersion,
    /// The guest owner's number of the guest's edition.
    pub guest_svn: u32,
    /// What the guest allows the host.
    pub policy: GuestPolicy,
    /// The guest owner's name of the guest's family.
    pub family_id: [u8; 16],
    /// The guest owner's name of the image.
    pub image_id: [u8; 16],
    /// The privilege level that asked for the report; 0 is the highest.
    pub vmpl: u32,
    /// What runs now.
    pub current_tcb: [u8; 8],
    /// What the platform says of itself.
    pub platform: PlatformInfo,
    /// Whose key signs.
    pub signing_key: SigningKey,
    /// What the guest had signed.
    pub report_data: [u8; 64],
    /// SHA-384 over the guest's initial memory.
    pub measurement: [u8; 48],
    /// What the host gave at the launch.
    pub host_data: [u8; 32],
    /// SHA-384 of the key that signed the guest's identity.
    pub id_key_digest: [u8; 48],
    /// SHA-384 of the key that certified that key.
    pub author_key_digest: [u8; 48],
    /// This launch's id.
    pub report_id: [u8; 32],
    /// The migration agent's id.
    pub report_id_ma: [u8; 32],
    /// What the signing key depends on.
    pub reported_tcb: [u8; 8],
    /// Family and model of the processor; reports before version 3 have none.
    pub cpu: Option<(u8, u8)>,
    /// The chip's id, or zero.
    pub chip_id: [u8; 64],
    /// What the platform can't be taken back behind.
    pub committed_tcb: [u8; 8],
    /// The SNP firmware that runs.
    pub current: FirmwareVersion,
    /// The SNP firmware that is committed.
    pub committed: FirmwareVersion,
    /// What ran when the guest was launched.
    pub launch_tcb: [u8; 8],
    /// Mitigations at the launch; reports before version 5 have none.
    pub launch_mit_vector: Option<u64>,
    /// Mitigations now.
    pub current_mit_vector: Option<u64>,
    /// `r ‖ s`, big-endian.
    pub(super) signature: [u8; 96],
}

/// The versions whose form is known. Version 4 has the fields of version 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportVersion {
    /// Without the processor's family and model.
    V2 = 2,
    /// With them.
    V3 = 3,
    /// As version 3.
    V4 = 4,
    /// With mitigation vectors.
    V5 = 5,
}

/// Whose key signs a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SigningKey {
    /// The chip's own, of one TCB version.
    Vcek,
    /// One that AMD gave the cloud operator for one TCB version, for any of its chips.
    Vlek,
}

/// A version of the SNP firmware, in the order of its ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FirmwareVersion {
    /// ABI, major.
    pub major: u8,
    /// ABI, minor.
    pub minor: u8,
    /// Build.
    pub build: u8,
}

/// What a guest allows its host, as the guest owner had it launched (AMD 56860, "Guest Policy").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GuestPolicy(pub u64);

/// What a platform says of itself (AMD 56860, PLATFORM_INFO). Bits that are not known here say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlatformInfo(pub u64);

impl Report {
    /// Takes a report apart.
    ///
    /// # Errors
    /// It has another length, a version whose form is not known, another algorithm, no signing key, or anything but zero where
    /// its version has nothing.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadReport> {
        if bytes.len() != REPORT_BYTES {
            return Err(BadReport::Length(bytes.len()));
        }
        let mut fields = Fields(bytes);
        let version = ReportVersion::parse(fields.u32()?)?;
        let guest_svn = fields.u32()?;
        let policy = GuestPolicy::parse(fields.u64()?)?;
        let (family_id, image_id) = (fields.take()?, fields.take()?);
        let vmpl = fields.u32()?;
        let algorithm = fields.u32()?;
        if algorithm != ECDSA_P384_SHA384 {
            return Err(BadReport::SignatureAlgorithm(algorithm));
        }
        let current_tcb = fields.take()?;
        let platform = PlatformInfo(fields.u64()?);
        let signing_key = SigningKey::parse(fields.u32()?)?;
        fields.zero::<4>("after the key flags")?;
        let (report_data, measurement, host_data) = (fields.take()?, fields.take()?, fields.take()?);
        let (id_key_digest, author_key_digest) = (fields.take()?, fields.take()?);
        let (report_id, report_id_ma) = (fields.take()?, fields.take()?);
        let reported_tcb = fields.take()?;
        let cpu = fields.cpu(version)?;
        fields.zero::<21>("after CPUID_STEP")?;
        let (chip_id, committed_tcb) = (fields.take()?, fields.take()?);
        let (current, committed) = (fields.firmware("CURRENT")?, fields.firmware("COMMITTED")?);
        let launch_tcb = fields.take()?;
        let (launch_mit_vector, current_mit_vector) = fields.mit_vectors(version)?;
        fields.zero::<152>("before SIGNATURE")?;
        let signature = fields.signature()?;
        Ok(Self {
            version,
            guest_svn,
            policy,
            family_id,
            image_id,
            vmpl,
            current_tcb,
            platform,
            signing_key,
            report_data,
            measurement,
            host_data,
            id_key_digest,
            author_key_digest,
            report_id,
            report_id_ma,
            reported_tcb,
            cpu,
            chip_id,
            committed_tcb,
            current,
            committed,
            launch_tcb,
            launch_mit_vector,
            current_mit_vector,
            signature,
        })
    }
}

/// What of a report is still to be read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BadReport> {
        let (field, rest) = self.0.split_first_chunk().ok_or(BadReport::Length(self.0.len()))?;
        self.0 = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32, BadReport> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadReport> {
        self.take().map(u64::from_le_bytes)
    }

    fn zero<const N: usize>(&mut self, name: &'static str) -> Result<(), BadReport> {
        if self.take::<N>()? == [0; N] { Ok(()) } else { Err(BadReport::Reserved(name)) }
    }

    fn cpu(&mut self, version: ReportVersion) -> Result<Option<(u8, u8)>, BadReport> {
        if version < ReportVersion::V3 {
            self.zero::<3>("CPUID")?;
            return Ok(None);
        }
        let [family, model, _stepping] = self.take()?;
        Ok(Some((family, model)))
    }

    fn firmware(&mut self, name: &'static str) -> Result<FirmwareVersion, BadReport> {
        let [build, minor, major] = self.take()?;
        self.zero::<1>(name)?;
        Ok(FirmwareVersion { major, minor, build })
    }

    fn mit_vectors(&mut self, version: ReportVersion) -> Result<(Option<u64>, Option<u64>), BadReport> {
        if version < ReportVersion::V5 {
            self.zero::<16>("MIT_VECTOR")?;
            return Ok((None, None));
        }
        Ok((Some(self.u64()?), Some(self.u64()?)))
    }

    /// Two little-endian numbers of 72 bytes, of which 48 can be in use, and a reserved remainder that no signature covers.
    fn signature(&mut self) -> Result<[u8; 96], BadReport> {
        let mut signature = [0; 96];
        for half in signature.chunks_exact_mut(48) {
            let mut number: [u8; 48] = self.take()?;
            self.zero::<24>("SIGNATURE")?;
            number.reverse();
            half.copy_from_slice(&number);
        }
        self.zero::<368>("after SIGNATURE")?;
        Ok(signature)
    }
}

impl ReportVersion {
    fn parse(version: u32) -> Result<Self, BadReport> {
        match version {
            2 => Ok(Self::V2),
            3 => Ok(Self::V3),
            4 => Ok(Self::V4),
            5 => Ok(Self::V5),
            other => Err(BadReport::Version(other)),
        }
    }
}

impl SigningKey {
    /// From the key flags: bit 0 tells that an author key is in use, bit 1 that the chip's key is masked, bits 2 to 4 whose key signs.
    fn parse(flags: u32) -> Result<Self, BadReport> {
        if flags >> 5 != 0 {
            return Err(BadReport::Reserved("key flags"));
        }
        match flags >> 2 {
            0 => Ok(Self::Vcek),
            1 => Ok(Self::Vlek),
            other => Err(BadReport::SigningKey(other)),
        }
    }
}

impl fmt::Display for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        })
    }
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

impl GuestPolicy {
    fn parse(bits: u64) -> Result<Self, BadReport> {
        if bits & MUST_BE_ONE == 0 || bits & !KNOWN_POLICY != 0 {
            return Err(BadReport::Reserved("POLICY"));
        }
        Ok(Self(bits))
    }

    /// The lowest ABI version, major and minor, under which the guest may run.
    pub fn abi(self) -> (u8, u8) {
        ((self.0 >> 8) as u8, self.0 as u8)
    }

    /// Whether two threads may share a core.
    pub fn smt(self) -> bool {
        self.bit(16)
    }

    /// Whether a migration agent may take the guest elsewhere.
    pub fn migration(self) -> bool {
        self.bit(18)
    }

    /// Whether the host may read and write the guest's memory.
    pub fn debug(self) -> bool {
        self.bit(19)
    }

    /// Whether the guest's ciphertext must be hidden from the host.
    pub fn ciphertext_hiding(self) -> bool {
        self.bit(24)
    }

    fn bit(self, number: u32) -> bool {
        self.0 >> number & 1 == 1
    }
}

impl PlatformInfo {
    /// Whether two threads share a core.
    pub fn smt(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether ciphertext is hidden from the host.
    pub fn ciphertext_hidden(self) -> bool {
        self.0 >> 4 & 1 != 0
    }

    /// Whether the memory was found free of aliases since the last reset.
    pub fn alias_checked(self) -> bool {
        self.0 >> 5 & 1 != 0
    }
}

/// The one signature algorithm.
const ECDSA_P384_SHA384: u32 = 1;

/// Bit 17 of a guest's policy.
const MUST_BE_ONE: u64 = 1 << 17;

/// The bits of a guest's policy that have a meaning, to bit 25 (PAGE_SWAP_DISABLE).
const KNOWN_POLICY: u64 = (1 << 26) - 1;
