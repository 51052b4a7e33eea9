//! The portable twin: ring.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// A key of ring's, in memory that ring doesn't wipe.
pub(crate) struct LibraryKey(LessSafeKey);

impl LibraryKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key)
            .expect("the key has the 32 bytes that the cipher asks for");
        Self(LessSafeKey::new(key))
    }

    pub(crate) fn seal(&self, nonce: &[u8; 12], text: &mut [u8]) -> [u8; 16] {
        let sealed = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::empty(), text)
            .expect("a chunk is far shorter than the cipher's limit of 256 GiB");
        let mut tag = [0; 16];
        tag.copy_from_slice(sealed.as_ref());
        tag
    }

    /// Wipes what it can't authenticate.
    pub(crate) fn open(&self, nonce: &[u8; 12], text: &mut [u8], tag: &[u8; 16]) -> bool {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0.open_in_place_separate_tag(nonce, Aad::empty(), (*tag).into(), text, 0..).is_ok()
    }
}
