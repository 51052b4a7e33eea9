//! Intel: SGX and TDX quotes with DCAP collateral.
