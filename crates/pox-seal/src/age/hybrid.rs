//! The hybrid post-quantum stanza `mlkem768x25519`: HPKE with X-Wing.

use super::stanza::{Stanza, decode_array, encode};
use super::{HeaderError, SealHeaderError, x25519};
use crate::keys::{BadKey, FileKey};
use crate::random::{Randomness, Stream};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng,
};
use zeroize::Zeroizing;

pub(crate) type PublicKey = <XWing as Kem>::PublicKey;

pub(crate) const TAG: &str = "mlkem768x25519";

/// The recipient of a 32-byte identity.
pub(crate) fn public_key(seed: &[u8; 32]) -> Option<PublicKey> {
    private_key(seed).map(|key| XWing::sk_to_pk(&key))
}

pub(crate) fn parse_public_key(bytes: &[u8]) -> Result<PublicKey, BadKey> {
    let point: [u8; 32] =
        bytes.get(MLKEM_PUBLIC..).and_then(|tail| tail.try_into().ok()).ok_or(BadKey::Length)?;
    if !x25519::is_usable(&point.into()) {
        return Err(BadKey::Value);
    }
    PublicKey::from_bytes(bytes).map_err(|_| BadKey::Value)
}

pub(crate) fn public_key_bytes(key: &PublicKey) -> Vec<u8> {
    key.to_bytes().to_vec()
}

pub(crate) fn wrap(
    file_key: &FileKey,
    recipient: &PublicKey,
    random: &mut dyn Randomness,
) -> Result<Stanza, SealHeaderError> {
    let (enc, body) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        recipient,
        INFO,
        file_key.0.as_ref(),
        b"",
        &mut Stream::seeded(random)?,
    )
    .map_err(|_| SealHeaderError::BadRecipient)?;
    Ok(Stanza::new(vec![TAG.into(), encode(&enc.to_bytes())], body))
}

/// Gives the file key; `None` if the stanza is of another type or for another recipient.
pub(crate) fn unwrap(stanza: &Stanza, seed: &[u8; 32]) -> Result<Option<FileKey>, HeaderError> {
    if stanza.tag() != TAG {
        return Ok(None);
    }
    let [enc] = stanza.args() else { return Err(HeaderError::Stanza) };
    let enc = decode_array::<ENC>(enc)?;
    stanza.wrapped_key()?;
    let mut point = [0; 32];
    point.copy_from_slice(&enc[MLKEM_CIPHERTEXT..]);
    if !x25519::is_usable(&point.into()) {
        return Err(HeaderError::Stanza);
    }
    let enc = <XWing as Kem>::EncappedKey::from_bytes(&enc).map_err(|_| HeaderError::Stanza)?;
    let Some(identity) = private_key(seed) else { return Ok(None) };
    let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        &identity,
        &enc,
        INFO,
        stanza.body(),
        b"",
    );
    Ok(opened.ok().map(Zeroizing::new).and_then(|key| FileKey::from_bytes(&key).ok()))
}

/// X-Wing takes any 32 bytes, so this always gives a key.
fn private_key(seed: &[u8; 32]) -> Option<<XWing as Kem>::PrivateKey> {
    <XWing as Kem>::PrivateKey::from_bytes(seed).ok()
}

const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
const MLKEM_PUBLIC: usize = 1184;
const MLKEM_CIPHERTEXT: usize = 1088;
const ENC: usize = MLKEM_CIPHERTEXT + 32;
