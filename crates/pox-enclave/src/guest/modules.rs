//! Kernel modules: those that were measured with the runtime, in the order of their names.

use super::{GuestError, machine, unless};
use rustix::io::Errno;
use rustix::system::finit_module;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Where the initramfs has them.
pub(super) const FOLDER: &str = "/modules";

/// Loads every module of a folder. A driver whose hardware is not there refuses to be loaded, which is no fault.
pub(super) fn load(folder: &Path) -> Result<(), GuestError> {
    let list =
        || fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    let mut modules = list().map_err(machine("looking for modules"))?;
    modules.sort_unstable();
    for module in modules {
        let failed = || machine(format!("loading {}", module.display()));
        let file = File::open(&module).map_err(failed())?;
        unless(Errno::NODEV, finit_module(file, c"", 0)).map_err(|errno| failed()(io::Error::from(errno)))?;
    }
    Ok(())
}
