//! TDX: MRTD and the runtime registers, and the replay of event logs.
