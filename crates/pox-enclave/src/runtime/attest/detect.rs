//! Where this program runs.

use super::error::AttestError;
use super::{Attester, Gramine, Nsm, Patience, Simulated, Tsm};
use std::path::{Path, PathBuf};

/// What the launcher says that this launch is. It may lie: evidence shows what it really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// A TEE, whichever is here.
    Tee,
    /// No TEE: a process that **protects nothing**.
    DangerousSimulated,
}

/// Where the interfaces of the TEEs stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interfaces {
    /// Gramine's folder.
    pub gramine: PathBuf,
    /// The Nitro security module's device.
    pub nsm: PathBuf,
    /// The kernel's report interface, in configfs.
    pub tsm: PathBuf,
    /// Devices that give a TEE away even where nothing gives reports.
    pub devices: Vec<PathBuf>,
    /// How often an interface that is busy is asked again.
    pub patience: Patience,
}

impl Interfaces {
    /// The ones of this machine.
    pub fn of_this_machine() -> Self {
        Self::below(Path::new("/"))
    }

    /// The ones of a machine whose root is this folder.
    pub fn below(root: &Path) -> Self {
        Self {
            gramine: root.join("dev/attestation"),
            nsm: root.join("dev/nsm"),
            tsm: root.join("sys/kernel/config/tsm"),
            devices: ["dev/tdx_guest", "dev/sev-guest"].map(|device| root.join(device)).to_vec(),
            patience: Patience::default(),
        }
    }
}

/// Finds the one TEE that this program runs in (spec §8.10).
///
/// All interfaces are looked at, in the order Gramine, Nitro, `configfs-tsm`, devices without an interface. An interface that is
/// there and fails is an error, never a reason to look further, and there is no way from any of them to a simulated enclave:
/// that one needs a launcher who asks for it, and a machine without a TEE.
///
/// # Errors
/// There is none, or more than one, or one that can't be used; or one where a simulated enclave was asked for.
pub fn attester(interfaces: &Interfaces, expect: Expect) -> Result<Box<dyn Attester>, AttestError> {
    let Interfaces { gramine, nsm, tsm, devices, patience } = interfaces;
    let mut found: Vec<(&PathBuf, Box<dyn Attester>)> = Vec::new();
    if let Some(attester) = refused(gramine, expect, Gramine::detect(gramine))? {
        found.push((gramine, Box::new(attester)));
    }
    if let Some(attester) = refused(nsm, expect, Nsm::detect(nsm, *patience))? {
        found.push((nsm, Box::new(attester)));
    }
    if let Some(attester) = refused(tsm, expect, Tsm::detect(tsm, *patience))? {
        found.push((tsm, Box::new(attester)));
    }
    let device = devices.iter().find(|device| device.exists());
    let mut found = found.into_iter();
    match (found.next(), found.next(), device, expect) {
        (Some((first, _)), Some((second, _)), ..) => {
            Err(AttestError::Ambiguous(first.clone(), second.clone()))
        }
        (Some((_, attester)), None, ..) => Ok(attester),
        (None, _, Some(device), Expect::DangerousSimulated) => Err(AttestError::TeePresent(device.clone())),
        (None, _, Some(device), Expect::Tee) => {
            Err(AttestError::NoReports { device: device.clone(), reports: tsm.clone() })
        }
        (None, _, None, Expect::Tee) => Err(AttestError::NoTee),
        (None, _, None, Expect::DangerousSimulated) => {
            Ok(Box::new(Simulated::of_this_program().map_err(AttestError::io("measuring this program"))?))
        }
    }
}

/// Where a simulated enclave was asked for, an interface that is there is refused before anything else is said of it.
fn refused<T>(
    path: &Path,
    expect: Expect,
    detected: Result<Option<T>, AttestError>,
) -> Result<Option<T>, AttestError> {
    match (expect, detected) {
        (Expect::DangerousSimulated, Ok(Some(_)) | Err(_)) => Err(AttestError::TeePresent(path.to_owned())),
        (_, detected) => detected,
    }
}
