//! Nitro: the enclave image file, and PCR0 to PCR2 of it.
