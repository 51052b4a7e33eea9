//! SEV-SNP: the launch digest, for each machine shape.
