//! The scrypt stanza, for opening only: nothing here is sealed to a passphrase.

use super::HeaderError;
use super::stanza::{Stanza, decode_array};
use crate::kdf;
use crate::keys::FileKey;
use zeroize::Zeroizing;

pub(crate) const TAG: &str = "scrypt";

/// Largest work factor that is honoured: 1 GiB of memory and a few seconds. age itself seals with 18.
const MAX_LOG_N: u8 = 20;

/// Gives the file key; `None` if the stanza is of another type or the passphrase is wrong.
pub(crate) fn unwrap(stanza: &Stanza, phrase: &str) -> Result<Option<FileKey>, HeaderError> {
    if stanza.tag() != TAG {
        return Ok(None);
    }
    let [salt, log_n] = stanza.args() else { return Err(HeaderError::Stanza) };
    let salt = decode_array::<16>(salt)?;
    let log_n = work_factor(log_n)?;
    let body = stanza.wrapped_key()?;
    let params = scrypt::Params::new(log_n, 8, 1).map_err(|_| HeaderError::WorkFactor)?;
    let mut key = Zeroizing::new([0; 32]);
    let salt = [b"age-encryption.org/v1/scrypt".as_slice(), &salt].concat();
    scrypt::scrypt(phrase.as_bytes(), &salt, &params, key.as_mut()).map_err(|_| HeaderError::WorkFactor)?;
    Ok(kdf::unwrap(&key, body).map(FileKey::keep))
}

/// A decimal number without sign or leading zero.
fn work_factor(text: &str) -> Result<u8, HeaderError> {
    if text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HeaderError::WorkFactor);
    }
    text.parse().ok().filter(|&log_n| log_n <= MAX_LOG_N).ok_or(HeaderError::WorkFactor)
}
