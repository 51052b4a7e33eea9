//! The X25519 stanza.

use super::stanza::{Stanza, decode_array, encode};
use super::{HeaderError, SealHeaderError};
use crate::kdf;
use crate::keys::FileKey;
use crate::random::{Randomness, draw};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

pub(crate) const TAG: &str = "X25519";

pub(crate) fn wrap(
    file_key: &FileKey,
    recipient: &PublicKey,
    random: &mut dyn Randomness,
) -> Result<Stanza, SealHeaderError> {
    let secret = StaticSecret::from(*draw::<32>(random)?);
    let share = PublicKey::from(&secret);
    let key = wrap_key(&secret, recipient, &share, recipient).ok_or(SealHeaderError::BadRecipient)?;
    Ok(Stanza::new(vec![TAG.into(), encode(share.as_bytes())], kdf::wrap(&key, &file_key.0).to_vec()))
}

/// Gives the file key; `None` if the stanza is of another type or for another recipient.
pub(crate) fn unwrap(stanza: &Stanza, identity: &StaticSecret) -> Result<Option<FileKey>, HeaderError> {
    if stanza.tag() != TAG {
        return Ok(None);
    }
    let [share] = stanza.args() else { return Err(HeaderError::Stanza) };
    let share = PublicKey::from(decode_array::<32>(share)?);
    let body = stanza.wrapped_key()?;
    let key = wrap_key(identity, &share, &share, &PublicKey::from(identity)).ok_or(HeaderError::Stanza)?;
    Ok(kdf::unwrap(&key, body).map(FileKey::keep))
}

/// Whether the point makes secrets that depend on both sides (it isn't of low order).
pub(crate) fn is_usable(point: &PublicKey) -> bool {
    // Every clamped scalar is a multiple of the cofactor, so any one of them tells.
    StaticSecret::from([1; 32]).diffie_hellman(point).was_contributory()
}

fn wrap_key(
    secret: &StaticSecret,
    other: &PublicKey,
    share: &PublicKey,
    recipient: &PublicKey,
) -> Option<Zeroizing<[u8; 32]>> {
    let shared = secret.diffie_hellman(other);
    if !shared.was_contributory() {
        return None;
    }
    let mut salt = [0; 64];
    salt[..32].copy_from_slice(share.as_bytes());
    salt[32..].copy_from_slice(recipient.as_bytes());
    Some(kdf::hkdf(shared.as_bytes(), &salt, b"age-encryption.org/v1/X25519"))
}
