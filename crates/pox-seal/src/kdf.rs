//! HKDF-SHA-256 and HMAC-SHA-256, as age uses them, and the AEAD that wraps file keys.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

/// Derives `N` bytes (at most 8160) with HKDF-SHA-256.
pub(crate) fn hkdf<const N: usize>(ikm: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    const { assert!(N <= 255 * 32) };
    let mut out = Zeroizing::new([0; N]);
    let parts = [info];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(ikm)
        .expand(&parts, Len(N))
        .and_then(|okm| okm.fill(out.as_mut()))
        .expect("HKDF gives up to 8160 bytes, and N is asserted to be no more");
    out
}

/// Computes the MAC of an age header.
pub(crate) fn header_mac(file_key: &[u8], header: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&header_mac_key(file_key), header);
    let mut mac = [0; 32];
    mac.copy_from_slice(tag.as_ref());
    mac
}

/// Checks the MAC of an age header, in constant time.
pub(crate) fn header_mac_matches(file_key: &[u8], header: &[u8], mac: &[u8; 32]) -> bool {
    hmac::verify(&header_mac_key(file_key), header, mac).is_ok()
}

fn header_mac_key(file_key: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, hkdf::<32>(file_key, b"", b"header").as_ref())
}

/// A ChaCha20-Poly1305 key.
///
/// ring keeps it in memory that it doesn't wipe.
pub(crate) fn aead_key(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(
        UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has the 32 bytes that the cipher asks for"),
    )
}

/// Encrypts a file key under a key that is used once.
pub(crate) fn wrap(key: &[u8; 32], file_key: &[u8; 16]) -> [u8; 32] {
    let mut body = [0; 32];
    body[..16].copy_from_slice(file_key);
    let (text, tag) = body.split_at_mut(16);
    let sealed = aead_key(key)
        .seal_in_place_separate_tag(once(), Aad::empty(), text)
        .expect("sixteen bytes are within the cipher's limit");
    tag.copy_from_slice(sealed.as_ref());
    body
}

/// Decrypts a file key; `None` if the key is another.
pub(crate) fn unwrap(key: &[u8; 32], body: &[u8; 32]) -> Option<Zeroizing<[u8; 16]>> {
    let mut text = Zeroizing::new(*body);
    let opened = aead_key(key).open_in_place(once(), Aad::empty(), text.as_mut()).ok()?;
    let mut file_key = Zeroizing::new([0; 16]);
    file_key.copy_from_slice(opened);
    Some(file_key)
}

/// The all-zero nonce: age derives a new wrap key for each stanza, so it is used once per key.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
