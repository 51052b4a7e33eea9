//! What each TEE measures of the guest's files, computed from them (spec §15).
//!
//! Pure functions from bytes to expected values. Nothing here reads a file, and nothing guesses: what the files don't
//! determine is an argument ([`Shape`]), and what two hosts would measure differently, or not at all, is refused.

pub mod digest;
pub mod event_log;
pub mod expected;
pub mod firmware;
pub mod kernel;
pub mod nitro;
pub mod release;
pub mod snp;
pub mod tdx;

use alloy_primitives::B256;
pub use digest::Digest384;
pub use expected::{Expected, ExpectedLaunch, ExpectedRegister, FileDigests, Shape};
pub use release::{BadRelease, ReleaseManifest};
use sha2::{Digest, Sha256};

/// Most bytes of a kernel: several times a distribution's.
pub const MAX_KERNEL_BYTES: usize = 256 << 20;
/// Most bytes of an initramfs or of a second ramdisk: boot loaders and boot protocol count them in 32 bits, signed at places.
pub const MAX_RAMDISK_BYTES: usize = 1 << 30;
/// Most bytes of a command line: Linux on x86-64 takes 2,048 with the final NUL, and the firmware adds its argument.
pub const MAX_COMMAND_LINE_BYTES: usize = 2048 - 1 - tdx::INITRD_ARGUMENT.len() - 1;

/// The files that a guest is, whichever TEE launches it.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The Linux kernel, a bzImage with an EFI stub.
    pub kernel: &'a [u8],
    /// The initramfs.
    pub initramfs: &'a [u8],
    /// The command line, without a final NUL.
    pub command_line: &'a str,
}

/// The files are no guest, or no TEE can measure them as promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// More bytes than the bound, or none.
    #[error("the {file} has {bytes} bytes; 1 to {most} are allowed")]
    Size {
        /// Which file.
        file: &'static str,
        /// What it has.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// The command line has a byte that boot loaders treat differently.
    #[error("the command line has the byte {0:#04x}; only printable ASCII is measured the same everywhere")]
    CommandLine(u8),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] kernel::KernelError),
    /// The firmware.
    #[error(transparent)]
    Firmware(#[from] firmware::FirmwareError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] snp::BadMachine),
    /// The enclave image.
    #[error(transparent)]
    Eif(#[from] nitro::EifError),
}

impl Files<'_> {
    /// Checks sizes and the command line; every measurement begins with it.
    ///
    /// # Errors
    /// What is out of bounds.
    pub fn check(&self) -> Result<(), MeasureError> {
        check_size("kernel", self.kernel, MAX_KERNEL_BYTES)?;
        check_size("initramfs", self.initramfs, MAX_RAMDISK_BYTES)?;
        check_size("command line", self.command_line.as_bytes(), MAX_COMMAND_LINE_BYTES)?;
        match self.command_line.bytes().find(|byte| !matches!(byte, b' '..=b'~')) {
            Some(byte) => Err(MeasureError::CommandLine(byte)),
            None => Ok(()),
        }
    }
}

/// The measurement of the simulated VM kind: SHA-256 of a domain tag and the SHA-256 of kernel, initramfs and command line
/// (spec §15.1). The launcher, not the guest, computes it, as hardware would.
pub fn vm_sim(files: &Files<'_>) -> pox_verify::Measurement {
    FileDigests::of(files).vm_sim()
}

/// SHA-256 of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

pub(crate) fn check_size(file: &'static str, bytes: &[u8], most: usize) -> Result<(), MeasureError> {
    if bytes.is_empty() || bytes.len() > most {
        return Err(MeasureError::Size { file, bytes: bytes.len(), most });
    }
    Ok(())
}

/// The bytes at a place, if there are as many.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
