//! Keys from a seed.
//!
//! RSA keys of 4,096 bits take seconds to make. So the primes are made already, all in public, and a seed chooses two for each key.
//! That two vendors then share a prime or a whole key harms nothing: what they sign protects nothing. Their names differ.

use crate::Seed;
use core::fmt;
use p384::SecretKey;
use p384::ecdsa::SigningKey;
use rsa::rand_core::{CryptoRng, Error, RngCore, impls};
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use rsa::{BigUint, RsaPrivateKey, RsaPublicKey};
use sha2::Sha384;

/// A key that signs certificates: RSASSA-PSS with SHA-384.
#[derive(Clone)]
pub(super) struct RootKey {
    key: RsaPrivateKey,
    salts: [u8; 32],
}

impl RootKey {
    /// The key for one use.
    pub(super) fn derive(seed: &Seed, label: &str) -> Self {
        let primes: Vec<BigUint> = PRIMES
            .lines()
            .map(|line| BigUint::parse_bytes(line.as_bytes(), 16).expect("the file holds hexadecimal lines"))
            .collect();
        let [a, b, ..] = seed.derive(label).map(usize::from);
        let first = a % primes.len();
        let second = (first + 1 + b % (primes.len() - 1)) % primes.len();
        let key =
            RsaPrivateKey::from_p_q(primes[first].clone(), primes[second].clone(), BigUint::from(65_537_u32))
                .expect("the file holds primes of 2048 bits, and 65537 divides none less one");
        Self { key, salts: seed.derive(&format!("{label} salts")) }
    }

    /// Its public half.
    pub(super) fn public(&self) -> RsaPublicKey {
        self.key.to_public_key()
    }

    /// Signs a message, always in the same way.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = rsa::pss::SigningKey::<Sha384>::new(self.key.clone());
        key.sign_with_rng(&mut Salts { seed: Seed(self.salts), used: 0 }, message).to_vec()
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey")
    }
}

/// The P-384 key for one use.
pub(super) fn report_key(seed: &Seed, label: &str) -> SigningKey {
    // One candidate in 2^190 is not below the group's order.
    let candidates = (0_u32..).map(|number| {
        let mut bytes = [0; 48];
        let (first, second) = bytes.split_at_mut(32);
        first.copy_from_slice(&seed.derive(&format!("{label} {number} a")));
        second.copy_from_slice(&seed.derive(&format!("{label} {number} b"))[..16]);
        SecretKey::from_slice(&bytes)
    });
    candidates.flatten().next().expect("almost every candidate is a key").into()
}

/// Salts of signatures, which need not be secret.
struct Salts {
    seed: Seed,
    used: u32,
}

impl RngCore for Salts {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            chunk.copy_from_slice(&self.seed.derive(&self.used.to_string())[..chunk.len()]);
            self.used += 1;
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Salts {}

/// Primes of 2,048 bits whose two highest bits are set, one to a line, made with `openssl prime -generate -bits 2048 -hex`.
const PRIMES: &str = include_str!("primes.txt");
