//! AWS: Nitro attestation documents.
