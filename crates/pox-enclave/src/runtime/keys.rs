//! The enclave's account key: born here, used for one receipt, wiped with it.

use k256::ecdsa::SigningKey;
use std::io;
use zeroize::Zeroizing;

/// Makes a new account key from the operating system's randomness.
///
/// # Errors
/// There is no randomness.
pub(crate) fn account_key() -> io::Result<SigningKey> {
    loop {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(io::Error::other)?;
        // All but one in 2^127 draws are valid scalars.
        if let Ok(key) = SigningKey::from_slice(secret.as_slice()) {
            return Ok(key);
        }
    }
}
