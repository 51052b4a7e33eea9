//! Reports (AMD 56860, "ATTESTATION_REPORT Structure").

use super::{Line, Signer, Tcb};
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};

/// Bytes of a report.
pub const REPORT_BYTES: usize = 1184;

/// What a report says. Its fields are the format's, so that each can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Version of the format.
    pub version: u32,
    /// The guest's edition.
    pub guest_svn: u32,
    /// What the guest allows.
    pub policy: u64,
    /// The guest's family.
    pub family_id: [u8; 16],
    /// The guest's image.
    pub image_id: [u8; 16],
    /// Privilege level.
    pub vmpl: u32,
    /// Signature algorithm.
    pub algorithm: u32,
    /// What runs now.
    pub current_tcb: [u8; 8],
    /// What the platform says of itself.
    pub platform: u64,
    /// Whose key signs, and what is masked.
    pub key_flags: u32,
    /// What the guest has signed.
    pub report_data: [u8; 64],
    /// The guest's initial memory.
    pub measurement: [u8; 48],
    /// What the host gave.
    pub host_data: [u8; 32],
    /// Digest of the identity key.
    pub id_key_digest: [u8; 48],
    /// Digest of the author's key.
    pub author_key_digest: [u8; 48],
    /// This launch.
    pub report_id: [u8; 32],
    /// The migration agent.
    pub report_id_ma: [u8; 32],
    /// What the key depends on.
    pub reported_tcb: [u8; 8],
    /// Family, model and stepping; versions before 3 leave them out.
    pub cpu: [u8; 3],
    /// The chip.
    pub chip_id: [u8; 64],
    /// What can't be taken back.
    pub committed_tcb: [u8; 8],
    /// Firmware that runs: build, minor, major.
    pub current: [u8; 3],
    /// Firmware that is committed.
    pub committed: [u8; 3],
    /// What ran at the launch.
    pub launch_tcb: [u8; 8],
    /// Mitigations at the launch; versions before 5 leave them out.
    pub launch_mit_vector: u64,
    /// Mitigations now.
    pub current_mit_vector: u64,
    /// Bytes written over all of it before it is signed: offset and content.
    pub patches: Vec<(usize, Vec<u8>)>,
}

impl Report {
    /// A genuine one, of a guest that allows no debugging and no migration.
    pub fn genuine(line: Line, signer: Signer, version: u32, chip: [u8; 64], tcb: Tcb) -> Self {
        let tcb = tcb.bytes(line);
        Self {
            version,
            guest_svn: 3,
            policy: 0x3_0000,
            family_id: [0xfa; 16],
            image_id: [0x1a; 16],
            vmpl: 0,
            algorithm: 1,
            current_tcb: tcb,
            platform: 0b10_0001,
            key_flags: match signer {
                Signer::Vcek => 0,
                Signer::Vlek => 1 << 2,
            },
            report_data: [0xda; 64],
            measurement: [0x3e; 48],
            host_data: [0x05; 32],
            id_key_digest: [0x1d; 48],
            author_key_digest: [0; 48],
            report_id: [0x2e; 32],
            report_id_ma: [0xff; 32],
            reported_tcb: tcb,
            cpu: line.cpu(),
            chip_id: chip,
            committed_tcb: tcb,
            current: [4, 55, 1],
            committed: [4, 55, 1],
            launch_tcb: tcb,
            launch_mit_vector: 0b101,
            current_mit_vector: 0b111,
            patches: Vec::new(),
        }
    }

    /// The report with its signature.
    pub(super) fn signed(&self, key: &SigningKey) -> Vec<u8> {
        let mut bytes = self.unsigned();
        let signature: Signature = key.sign(&bytes);
        let (r, s) = signature.split_bytes();
        for number in [r, s] {
            bytes.extend(number.iter().rev());
            bytes.extend([0; 24]);
        }
        bytes.resize(REPORT_BYTES, 0);
        bytes
    }

    fn unsigned(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(REPORT_BYTES);
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.guest_svn.to_le_bytes());
        bytes.extend(self.policy.to_le_bytes());
        bytes.extend(self.family_id);
        bytes.extend(self.image_id);
        bytes.extend(self.vmpl.to_le_bytes());
        bytes.extend(self.algorithm.to_le_bytes());
        bytes.extend(self.current_tcb);
        bytes.extend(self.platform.to_le_bytes());
        bytes.extend(self.key_flags.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.report_data);
        bytes.extend(self.measurement);
        bytes.extend(self.host_data);
        bytes.extend(self.id_key_digest);
        bytes.extend(self.author_key_digest);
        bytes.extend(self.report_id);
        bytes.extend(self.report_id_ma);
        bytes.extend(self.reported_tcb);
        bytes.extend(if self.version < 3 { [0; 3] } else { self.cpu });
        bytes.extend([0; 21]);
        bytes.extend(self.chip_id);
        bytes.extend(self.committed_tcb);
        for version in [self.current, self.committed] {
            bytes.extend(version);
            bytes.push(0);
        }
        bytes.extend(self.launch_tcb);
        for vector in [self.launch_mit_vector, self.current_mit_vector] {
            bytes.extend(if self.version < 5 { 0 } else { vector }.to_le_bytes());
        }
        bytes.resize(SIGNED_BYTES, 0);
        for (offset, content) in &self.patches {
            bytes[*offset..*offset + content.len()].copy_from_slice(content);
        }
        bytes
    }
}

/// Bytes that are signed.
const SIGNED_BYTES: usize = 0x2a0;
