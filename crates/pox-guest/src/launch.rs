//! How a host starts the guest: under plain emulation, and on TDX and SNP hosts.
