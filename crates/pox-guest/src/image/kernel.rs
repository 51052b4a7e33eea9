//! The kernel: given, never changed.

use super::MAX_KERNEL_BYTES;
use pox_core::B256;
use pox_core::evidence::sha256;

/// The given kernel is not one that can be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KernelError {
    /// Its hash is another.
    #[error("the kernel's SHA-256 is {found}, not {expected}")]
    Other {
        /// Which it should have.
        expected: B256,
        /// Which it has.
        found: B256,
    },
    /// It has not the form that x86-64 machines boot (Documentation/arch/x86/boot).
    #[error("the kernel is not a bootable Linux image for x86-64")]
    Form,
}

/// What a kernel says of itself.
#[derive(Debug)]
pub(super) struct Kernel {
    /// As modules name it: `6.1.0-56-cloud-amd64`.
    pub(super) release: String,
}

impl Kernel {
    pub(super) fn check(bytes: &[u8], expected: Option<B256>) -> Result<Self, KernelError> {
        let found = sha256(bytes);
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(KernelError::Other { expected, found });
        }
        release(bytes).map(|release| Self { release }).ok_or(KernelError::Form)
    }
}

/// The release in a boot image's setup header.
fn release(bytes: &[u8]) -> Option<String> {
    let magic = bytes.get(0x202..0x206)? == b"HdrS" && bytes.get(0x1fe..0x200)? == [0x55, 0xaa];
    if !magic || bytes.len() as u64 > MAX_KERNEL_BYTES {
        return None;
    }
    let pointer = u16::from_le_bytes(*bytes.get(0x20e..)?.first_chunk()?);
    let text = bytes.get(usize::from(pointer) + 0x200..)?;
    let release =
        text.get(..MAX_RELEASE_BYTES.min(text.len()))?.split(|byte| matches!(byte, 0 | b' ')).next()?;
    let plain = |byte: &u8| byte.is_ascii_graphic();
    (pointer != 0 && !release.is_empty() && release.iter().all(plain))
        .then(|| String::from_utf8_lossy(release).into_owned())
}

/// What the kernel itself has room for.
const MAX_RELEASE_BYTES: usize = 65;
