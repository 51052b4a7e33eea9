//! Where randomness comes from.

use hpke::rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;
use zeroize::Zeroizing;

/// Gives bytes that nobody can predict; keys, nonces and salts are made of them.
///
/// An argument rather than a global, so that tests can repeat themselves. Anything but [`OsRandom`] outside tests
/// gives away every key.
pub trait Randomness {
    /// Fills the whole buffer.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The operating system gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Randomness for OsRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(out).map_err(|_| NoRandomness)
    }
}

/// Draws an array.
pub(crate) fn draw<const N: usize>(random: &mut dyn Randomness) -> Result<Zeroizing<[u8; N]>, NoRandomness> {
    let mut out = Zeroizing::new([0; N]);
    random.fill(out.as_mut())?;
    Ok(out)
}

/// A generator that can't fail, for libraries that ask for one: BLAKE3's output stream under a fresh 32-byte seed.
pub(crate) struct Stream(blake3::OutputReader);

impl Stream {
    pub(crate) fn seeded(random: &mut dyn Randomness) -> Result<Self, NoRandomness> {
        let seed = draw::<32>(random)?;
        let mut hasher = blake3::Hasher::new_derive_key("pox-seal randomness stream v1");
        hasher.update(seed.as_ref());
        Ok(Self(hasher.finalize_xof()))
    }

    /// The next 32 bytes.
    pub(crate) fn salt(&mut self) -> [u8; 32] {
        let mut salt = [0; 32];
        self.0.fill(&mut salt);
        salt
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Stream {}
