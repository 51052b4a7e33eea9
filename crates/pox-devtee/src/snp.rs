//! AMD: SEV-SNP reports with their certificate chains and revocation lists.
