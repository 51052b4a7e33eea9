//! Poly1305 (RFC 8439 §2.5) in limbs of 44, 44 and 42 bits: the part that isn't worth a vector, and the powers for the
//! part that is.
//!
//! Bounds: every product has a factor below 2^46 and one below 2^49, and three of them are added: far below 2^128.

use zeroize::Zeroize;

/// An element modulo 2^130 - 5, each limb a little above its width at most.
#[derive(Clone, Copy, Default, Zeroize)]
pub(super) struct Element(pub(super) [u64; 3]);

impl Element {
    /// A block of the message, with the bit that RFC 8439 sets above it.
    fn block(bytes: &[u8; 16]) -> Self {
        let number = u128::from_le_bytes(*bytes);
        Self([number as u64 & MASK44, (number >> 44) as u64 & MASK44, (number >> 88) as u64 | 1 << 40])
    }

    pub(super) fn add(self, other: Self) -> Self {
        Self([self.0[0] + other.0[0], self.0[1] + other.0[1], self.0[2] + other.0[2]])
    }

    pub(super) fn times(self, other: Self) -> Self {
        let product = |one: u64, other: u64| u128::from(one) * u128::from(other);
        let ([h0, h1, h2], [r0, r1, r2]) = (self.0, other.0);
        // 2^132 is 20 modulo the prime.
        let (s1, s2) = (20 * r1, 20 * r2);
        let d0 = product(h0, r0) + product(h1, s2) + product(h2, s1);
        let d1 = product(h0, r1) + product(h1, r0) + product(h2, s2) + (d0 >> 44);
        let d2 = product(h0, r2) + product(h1, r1) + product(h2, r0) + (d1 >> 44);
        let low = (d0 as u64 & MASK44) + 5 * (d2 >> 42) as u64;
        Self([low & MASK44, (d1 as u64 & MASK44) + (low >> 44), d2 as u64 & MASK42])
    }

    /// The one representative below the prime, cut to 128 bits.
    fn reduced(self) -> u128 {
        let mut limbs = self.0;
        for _ in 0..2 {
            limbs[1] += limbs[0] >> 44;
            limbs[0] &= MASK44;
            limbs[2] += limbs[1] >> 44;
            limbs[1] &= MASK44;
            limbs[0] += 5 * (limbs[2] >> 42);
            limbs[2] &= MASK42;
        }
        limbs[1] += limbs[0] >> 44;
        limbs[0] &= MASK44;
        // Adding 5 overflows 130 bits just when the number isn't below the prime. No branch depends on it.
        let g0 = limbs[0] + 5;
        let g1 = limbs[1] + (g0 >> 44);
        let g2 = limbs[2] + (g1 >> 44);
        let choose = (g2 >> 42).wrapping_neg();
        let pick = |small: u64, large: u64| u128::from((small & !choose) | (large & choose));
        let (h0, h1, h2) =
            (pick(limbs[0], g0 & MASK44), pick(limbs[1], g1 & MASK44), pick(limbs[2], g2 & MASK42));
        h0 + (h1 << 44) + (h2 << 88)
    }
}

/// A one-time key: what multiplies, and what is added at the end.
#[derive(Zeroize)]
pub(super) struct OneTimeKey {
    pub(super) multiplier: Element,
    pad: u128,
}

impl OneTimeKey {
    pub(super) fn new(bytes: &[u8; 32]) -> Self {
        let half = |at: usize| {
            let mut half = [0; 16];
            half.copy_from_slice(&bytes[at..at + 16]);
            u128::from_le_bytes(half)
        };
        let number = half(0) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
        let multiplier =
            Element([number as u64 & MASK44, (number >> 44) as u64 & MASK44, (number >> 88) as u64]);
        Self { multiplier, pad: half(16) }
    }

    /// Takes in bytes, zeros after them up to a whole block.
    pub(super) fn absorb(&self, mut sum: Element, bytes: &[u8]) -> Element {
        for part in bytes.chunks(16) {
            let mut block = [0; 16];
            block[..part.len()].copy_from_slice(part);
            sum = sum.add(Element::block(&block)).times(self.multiplier);
        }
        sum
    }

    /// Ends with the lengths of no associated data and of a text.
    pub(super) fn tag(&self, sum: Element, text: usize) -> [u8; 16] {
        let mut lengths = [0; 16];
        lengths[8..].copy_from_slice(&(text as u64).to_le_bytes());
        let sum = self.absorb(sum, &lengths);
        sum.reduced().wrapping_add(self.pad).to_le_bytes()
    }
}

const MASK44: u64 = (1 << 44) - 1;
const MASK42: u64 = (1 << 42) - 1;
