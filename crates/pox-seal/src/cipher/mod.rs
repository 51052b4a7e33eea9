//! ChaCha20-Poly1305 (RFC 8439) without associated data, in place.
//!
//! Two do the work. [`library`] is ring: kept by many, verified in part, on every processor. [`avx512`] is ours, for
//! processors with AVX-512 and IFMA, where no library that may go into a static program comes near what the processor can
//! do. Which one is used is asked once for each key, at runtime; `POX_SEAL_PORTABLE` in the environment of this process
//! leaves the choice to the library, so that anybody can compare the two and do without ours.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod library;
#[cfg(target_arch = "x86_64")]
mod poly1305;

use library::LibraryKey;

/// The key of one AEAD.
pub(crate) enum AeadKey {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    Library(Box<LibraryKey>),
}

impl AeadKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if !is_portable()
            && let Some(key) = avx512::Avx512::new(key)
        {
            return Self::Avx512(key);
        }
        Self::Library(Box::new(LibraryKey::new(key)))
    }

    /// Seals in place, and gives the tag.
    pub(crate) fn seal(&self, nonce: &[u8; 12], text: &mut [u8]) -> [u8; 16] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(key) => key.seal(nonce, text),
            Self::Library(key) => key.seal(nonce, text),
        }
    }

    /// Opens in place; false if it isn't authentic, and then nothing of the plaintext is left.
    #[must_use]
    pub(crate) fn open(&self, nonce: &[u8; 12], text: &mut [u8], tag: &[u8; 16]) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(key) => key.open(nonce, text, tag),
            Self::Library(key) => key.open(nonce, text, tag),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn is_portable() -> bool {
    static ASKED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ASKED.get_or_init(|| std::env::var_os("POX_SEAL_PORTABLE").is_some())
}

/// What does the work on this machine, in words for people.
pub fn primitive() -> &'static str {
    match AeadKey::new(&[0; 32]) {
        #[cfg(target_arch = "x86_64")]
        AeadKey::Avx512(_) => "ChaCha20-Poly1305: own kernel for AVX-512 with IFMA",
        AeadKey::Library(_) => "ChaCha20-Poly1305: ring",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE: [u8; 12] = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];

    fn bytes(len: usize, seed: u8) -> Vec<u8> {
        (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect()
    }

    fn key() -> [u8; 32] {
        std::array::from_fn(|at| 0x80 + at as u8)
    }

    /// Every primitive that this machine has.
    fn primitives(key: &[u8; 32]) -> Vec<AeadKey> {
        let mut all = vec![AeadKey::Library(Box::new(LibraryKey::new(key)))];
        #[cfg(target_arch = "x86_64")]
        all.extend(avx512::Avx512::new(key).map(AeadKey::Avx512));
        all
    }

    fn agree(key: &[u8; 32], nonce: &[u8; 12], text: &[u8]) {
        let mut results = Vec::new();
        for primitive in primitives(key) {
            let mut sealed = text.to_vec();
            let mut tag = primitive.seal(nonce, &mut sealed);
            let mut opened = sealed.clone();
            assert!(primitive.open(nonce, &mut opened, &tag), "{} bytes", text.len());
            assert!(opened == text, "{} bytes", text.len());
            tag[text.len() % 16] ^= 1 << (text.len() % 8);
            let mut forged = sealed.clone();
            assert!(!primitive.open(nonce, &mut forged, &tag), "{} bytes", text.len());
            assert!(text.len() < 16 || forged != text, "{} bytes", text.len());
            tag[text.len() % 16] ^= 1 << (text.len() % 8);
            results.push((sealed, tag));
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{} bytes", text.len());
    }

    #[test]
    fn all_primitives_agree_at_every_length() {
        for len in 0..4500 {
            agree(&key(), &NONCE, &bytes(len, len as u8));
        }
        for len in [65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 63] {
            agree(&key(), &NONCE, &bytes(len, 0));
        }
    }

    /// Limbs at their bounds: text and keys of all ones make the largest sums.
    #[test]
    fn all_primitives_agree_at_the_bounds() {
        for fill in [0x00, 0xff] {
            for key in [[0x00; 32], [0xff; 32]] {
                for len in [16, 128, 960, 1024, 1984, 2048, 4096, 65_536] {
                    // The ciphertext is what is authenticated: make it all ones or zeros.
                    for primitive in primitives(&key) {
                        let mut stream = vec![0; len];
                        primitive.seal(&NONCE, &mut stream);
                        let text: Vec<u8> = stream.iter().map(|byte| byte ^ fill).collect();
                        agree(&key, &NONCE, &text);
                    }
                }
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let text = bytes(2200, 3);
        for primitive in primitives(&key()) {
            let mut sealed = text.clone();
            let tag = primitive.seal(&NONCE, &mut sealed);
            for at in 0..sealed.len() {
                let mut forged = sealed.clone();
                forged[at] ^= 0x10;
                assert!(!primitive.open(&NONCE, &mut forged, &tag), "{at}");
            }
        }
    }

    /// RFC 8439 §2.6.2 gives the authenticator's key, §2.4.2 and §A.2 keystream, §2.5.2 a tag; `ring` and this agree on
    /// all; here is what the RFC's example of the whole (§2.8.2) comes to without its associated data.
    #[test]
    fn the_text_of_rfc_8439_gives_its_ciphertext() {
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let wanted = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116";
        for primitive in primitives(&key()) {
            let mut sealed = text.to_vec();
            let tag = primitive.seal(&NONCE, &mut sealed);
            assert_eq!(hex::encode(&sealed), wanted);
            assert!(primitive.open(&NONCE, &mut sealed, &tag));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn all_primitives_agree_on_anything(key: [u8; 32], nonce: [u8; 12], len in 0usize..200_000, seed: u8) {
            agree(&key, &nonce, &bytes(len, seed));
        }
    }
}
