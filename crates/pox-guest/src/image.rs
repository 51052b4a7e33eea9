//! The files of the guest: kernel, initramfs, command line.
//!
//! The same inputs give the same bytes, in any folder, on any machine, at any time: nothing of where or when it is built gets
//! in. The kernel is a distribution's, unchanged; the initramfs is written here, with the runtime as its one program.

mod cpio;
mod elf;
mod kernel;
mod manifest;
mod modules;

pub use kernel::KernelError;
pub use manifest::{FileEntry, Manifest, Measurements, ModuleEntry};
pub use modules::ModuleError;

use cpio::{Archive, Node};
use kernel::Kernel;
use modules::ModuleFolder;
use pox_core::B256;
use pox_core::evidence::sha256;
use pox_verify::Measurement;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What a guest is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// A Linux kernel for x86-64 as distributions ship it (`vmlinuz`).
    pub kernel: &'a [u8],
    /// The SHA-256 that it must have; `None` takes it as it is.
    pub kernel_sha256: Option<B256>,
    /// The folder of that kernel's modules, `lib/modules/<release>`.
    pub modules: &'a Path,
    /// The runtime: `pox-enclave`, statically linked.
    pub runtime: &'a [u8],
}

/// A guest: the three files that a TEE measures, and what is known of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestImage {
    /// The kernel, as it was given.
    pub kernel: Vec<u8>,
    /// An uncompressed cpio archive.
    pub initramfs: Vec<u8>,
    /// The kernel's command line.
    pub command_line: String,
    /// What they are.
    pub manifest: Manifest,
}

/// The hashes of a guest's three files: what every measurement of it follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of the kernel.
    pub kernel: B256,
    /// SHA-256 of the initramfs.
    pub initramfs: B256,
    /// SHA-256 of the command line, without an end mark.
    pub command_line: B256,
}

/// A guest can't be built, written or read.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The kernel is not what it should be.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A module is not there, or not this kernel's.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The runtime needs a dynamic linker, which the guest does not have, or is no program.
    #[error("the runtime is not a static program for x86-64")]
    Runtime,
    /// A file of a guest can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A guest's manifest is none.
    #[error("the guest's manifest: {0}")]
    Manifest(#[from] serde_json::Error),
    /// A file of a guest is not the one that its manifest names.
    #[error("{0} is not the file that the guest's manifest names")]
    Mismatch(&'static str),
}

impl GuestImage {
    /// Builds a guest.
    ///
    /// # Errors
    /// An input is not what it should be.
    pub fn build(inputs: &Inputs<'_>) -> Result<Self, GuestError> {
        let kernel = Kernel::check(inputs.kernel, inputs.kernel_sha256)?;
        if !elf::is_static_program(inputs.runtime) {
            return Err(GuestError::Runtime);
        }
        let chosen = ModuleFolder::read(inputs.modules)?.choose(&kernel.release)?;
        let mut archive = Archive::default();
        for folder in ["dev", "modules"] {
            archive.add(folder, 0o755, Node::Folder);
        }
        // Without them the runtime could not even start: it has its three standard streams from the first, or the second.
        archive.add("dev/console", 0o600, Node::Device { major: 5, minor: 1 });
        archive.add("dev/null", 0o666, Node::Device { major: 1, minor: 3 });
        archive.add("init", 0o755, Node::File(inputs.runtime));
        for (index, module) in chosen.iter().enumerate() {
            archive.add(&format!("modules/{index:02}-{}.ko", module.name), 0o644, Node::File(&module.bytes));
        }
        let initramfs = archive.finish();
        let digests = Digests {
            kernel: sha256(inputs.kernel),
            initramfs: sha256(&initramfs),
            command_line: sha256(COMMAND_LINE.as_bytes()),
        };
        let manifest = Manifest {
            version: manifest::VERSION,
            kernel: FileEntry::of(inputs.kernel),
            kernel_release: kernel.release,
            initramfs: FileEntry::of(&initramfs),
            command_line: FileEntry::of(COMMAND_LINE.as_bytes()),
            runtime: FileEntry::of(inputs.runtime),
            modules: chosen.iter().map(|module| ModuleEntry::of(&module.name, &module.bytes)).collect(),
            measurements: Measurements { vm_sim: digests.vm_sim().0 },
        };
        Ok(Self {
            kernel: inputs.kernel.to_vec(),
            initramfs,
            command_line: COMMAND_LINE.to_owned(),
            manifest,
        })
    }

    /// Writes the guest into a new folder, its manifest last.
    ///
    /// # Errors
    /// The folder is there already, or can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), GuestError> {
        fs::create_dir(folder).map_err(at(folder))?;
        let manifest = self.manifest.to_json();
        let files: [(&str, &[u8]); 4] = [
            (KERNEL_FILE, &self.kernel),
            (INITRAMFS_FILE, &self.initramfs),
            (COMMAND_LINE_FILE, self.command_line.as_bytes()),
            (MANIFEST_FILE, manifest.as_bytes()),
        ];
        for (name, bytes) in files {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Reads a guest back, and checks every file against the manifest. Who wrote that manifest is not established.
    ///
    /// # Errors
    /// A file is missing or not the one that the manifest names.
    pub fn open(folder: &Path) -> Result<Self, GuestError> {
        let manifest = Manifest::parse(&read(&folder.join(MANIFEST_FILE), MAX_MANIFEST_BYTES)?)?;
        let file = |name: &'static str, entry: &FileEntry, most: u64| {
            let bytes = read(&folder.join(name), most)?;
            if FileEntry::of(&bytes) == *entry { Ok(bytes) } else { Err(GuestError::Mismatch(name)) }
        };
        let kernel = file(KERNEL_FILE, &manifest.kernel, MAX_KERNEL_BYTES)?;
        let initramfs = file(INITRAMFS_FILE, &manifest.initramfs, MAX_INITRAMFS_BYTES)?;
        let command_line = file(COMMAND_LINE_FILE, &manifest.command_line, MAX_COMMAND_LINE_BYTES)?;
        let command_line =
            String::from_utf8(command_line).map_err(|_| GuestError::Mismatch(COMMAND_LINE_FILE))?;
        let image = Self { kernel, initramfs, command_line, manifest };
        if image.digests().vm_sim().0 != image.manifest.measurements.vm_sim {
            return Err(GuestError::Mismatch(MANIFEST_FILE));
        }
        Ok(image)
    }

    /// The hashes of the three files.
    pub fn digests(&self) -> Digests {
        Digests {
            kernel: self.manifest.kernel.sha256,
            initramfs: self.manifest.initramfs.sha256,
            command_line: self.manifest.command_line.sha256,
        }
    }
}

impl Digests {
    /// Hashes what is launched.
    pub fn of(kernel: &[u8], initramfs: &[u8], command_line: &str) -> Self {
        let [kernel, initramfs, command_line] = [kernel, initramfs, command_line.as_bytes()].map(sha256);
        Self { kernel, initramfs, command_line }
    }

    /// The measurement of kind `vm-sim` (spec §14.3).
    pub fn vm_sim(&self) -> Measurement {
        let hash = Sha256::new()
            .chain_update(b"pox-vm-sim-v1\0")
            .chain_update(self.kernel)
            .chain_update(self.initramfs)
            .chain_update(self.command_line)
            .finalize();
        Measurement(B256::from(<[u8; 32]>::from(hash)))
    }
}

/// Reads a file, which must not have more than `most` bytes.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, GuestError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    match read {
        Ok(count) if count as u64 <= most => Ok(bytes),
        Ok(_) => Err(at(path)(io::ErrorKind::FileTooLarge.into())),
        Err(error) => Err(at(path)(error)),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> GuestError {
    |source| GuestError::File { path: path.to_owned(), source }
}

/// The kernel's command line, the same for every guest (spec §14.2).
///
/// Messages go out by a serial port if the machine has one; nothing is read from it. A kernel that stumbles ends the guest.
/// Randomness comes from the processor, never from the host. Landlock is on whatever the distribution's default is. The last
/// two spare software emulation, whose timers are late on a busy host, a check that it would fail.
pub const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 oops=panic random.trust_cpu=on \
     random.trust_bootloader=off lsm=landlock,yama sysctl.kernel.sysrq=0 tsc=reliable no_timer_check";

/// The kernel's name in a guest's folder.
pub const KERNEL_FILE: &str = "kernel";
/// The initramfs' name.
pub const INITRAMFS_FILE: &str = "initramfs";
/// The command line's name.
pub const COMMAND_LINE_FILE: &str = "cmdline";
/// The manifest's name.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Distributions' kernels have about 15 MiB.
pub const MAX_KERNEL_BYTES: u64 = 256 << 20;
/// The runtime has a few MiB, a module less than one.
const MAX_INITRAMFS_BYTES: u64 = 256 << 20;
/// The kernel takes 2,048.
const MAX_COMMAND_LINE_BYTES: u64 = 2048;
/// A few hundred bytes and a line for each module.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
