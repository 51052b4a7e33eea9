//! A virtual machine per task: on TDX or SNP hardware, or under plain emulation, kind `vm-sim`.
//!
//! Hardware measures the guest and signs for it, and the launcher only says which task the launch is for. Under emulation the
//! launcher does what hardware would: it measures the files that it launches, and signs for that measurement what the guest asks
//! it to (spec §14.3). **That protects nothing**: the launcher is the processor's. One never stands in for the other.

mod port;

use crate::runtime::{Started, put};
use port::Port;
use pox_core::evidence::{EvidenceKind, SimulatedQuote};
use pox_core::{Resources, TaskId};
use pox_guest::image::{Digests, GuestImage};
use pox_guest::launch::{Files, Machine, Shape, arguments};
use pox_guest::measure::firmware::MAX_FIRMWARE_BYTES;
use pox_guest::measure::snp::SnpFirmware;
use pox_guest::measure::tdx::Tdvf;
use pox_verify::Measurement;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use tempfile::TempDir;

/// A guest, installed where QEMU can read it.
#[derive(Debug, Clone)]
pub struct Guest {
    host: GuestHost,
    files: Files,
    measurement: Measurement,
}

/// What guests are launched with.
#[derive(Debug, Clone)]
pub struct GuestHost {
    /// QEMU.
    pub emulator: PathBuf,
    /// What protects the guest, or that nothing does.
    pub platform: Platform,
    /// Memory for images and opened inputs, beside what a task asks for.
    pub room_mib: u32,
}

/// What a guest runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// Software emulation; **protects nothing**.
    Emulated,
    /// Intel TDX.
    Tdx {
        /// TDVF.
        firmware: PathBuf,
        /// Where the quote generation service listens, by its vsock port.
        quote_service_port: u32,
    },
    /// AMD SEV-SNP.
    Snp {
        /// OVMF that measures what it boots (AmdSev).
        firmware: PathBuf,
        /// QEMU's name of the processor model.
        cpu: String,
        /// Where in a page table entry the encryption bit is.
        encryption_bit: u8,
    },
}

/// What stands around a guest that runs; dropped after it.
#[derive(Debug)]
pub(crate) struct Around {
    _ports: Vec<Port>,
    _folder: TempDir,
}

impl Guest {
    /// Writes a guest's files into a folder, unless they stand there already.
    ///
    /// # Errors
    /// The files can't be written, or the firmware is none for the platform.
    pub fn install(image: &GuestImage, folder: &Path, host: GuestHost) -> io::Result<Self> {
        host.platform.check()?;
        let measurement = image.digests().vm_sim();
        let folder = folder.join(format!("guest-{}", hex::encode(&measurement.0[..8])));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (kernel, initramfs) = (folder.join("kernel"), folder.join("initramfs"));
        put(&image.kernel, &kernel, 0o600)?;
        put(&image.initramfs, &initramfs, 0o600)?;
        let files = Files { kernel, initramfs, command_line: image.command_line.clone() };
        Ok(Self { host, files, measurement })
    }

    /// Which kind of evidence it gives.
    pub fn kind(&self) -> EvidenceKind {
        match self.host.platform {
            Platform::Emulated => EvidenceKind::VmSim,
            Platform::Tdx { .. } => EvidenceKind::Tdx,
            Platform::Snp { .. } => EvidenceKind::Snp,
        }
    }

    /// Starts it for one task, which hardware binds to the launch, that may use so much.
    pub(crate) fn start(&self, task: TaskId, resources: &Resources) -> io::Result<Started> {
        let folder = tempfile::Builder::new().prefix("pox-vm-").tempdir()?;
        let (tee, console) = (folder.path().join("tee"), folder.path().join("console"));
        let (words, last_words) = channel();
        let mut ports = vec![Port::listen(console.clone(), move |guest| listen(guest, &words))?];
        let machine = match &self.host.platform {
            Platform::Emulated => {
                ports.push(self.play_the_tee(&tee)?);
                Machine::Emulated { tee }
            }
            Platform::Tdx { firmware, quote_service_port } => {
                Machine::Tdx { firmware: firmware.clone(), quote_service_port: *quote_service_port, task }
            }
            Platform::Snp { firmware, cpu, encryption_bit } => Machine::Snp {
                firmware: firmware.clone(),
                cpu: cpu.clone(),
                encryption_bit: *encryption_bit,
                task,
            },
        };
        let mut command = Command::new(&self.host.emulator);
        command.args(arguments(&machine, &self.files, self.shape(resources), Some(&console)));
        let started = Started::spawn(command)?;
        let around = Some(Around { _ports: ports, _folder: folder });
        Ok(Started { last_words: Some(last_words), around, ..started })
    }

    /// As hardware would: measures what is launched now, not what was installed once.
    fn play_the_tee(&self, socket: &Path) -> io::Result<Port> {
        let (kernel, initramfs) = (fs::read(&self.files.kernel)?, fs::read(&self.files.initramfs)?);
        let measurement = Digests::of(&kernel, &initramfs, &self.files.command_line).vm_sim();
        if measurement != self.measurement {
            return Err(io::Error::other("the guest's files are not those that were installed"));
        }
        Port::listen(socket.to_owned(), move |guest| sign(guest, measurement))
    }

    fn shape(&self, resources: &Resources) -> Shape {
        // The inputs are memory, and so are the task's scratch and results; each is bounded by the disk.
        let disk = resources.disk_mib.saturating_mul(2);
        let memory_mib = [resources.memory_mib, disk, self.host.room_mib, OWN_MIB]
            .into_iter()
            .fold(0, u32::saturating_add);
        Shape { cpus: resources.cpu_millis.div_ceil(1000).clamp(1, MAX_CPUS), memory_mib }
    }
}

impl Platform {
    /// Whether the firmware is one for it; hardware measures it, and the owner's policy says which will do.
    fn check(&self) -> io::Result<()> {
        let (Self::Tdx { firmware, .. } | Self::Snp { firmware, .. }) = self else { return Ok(()) };
        let named = |error: String| io::Error::other(format!("{}: {error}", firmware.display()));
        let mut file = Vec::new();
        File::open(firmware)
            .and_then(|open| open.take(MAX_FIRMWARE_BYTES as u64 + 1).read_to_end(&mut file))
            .map_err(|error| named(error.to_string()))?;
        let is_for_it = match self {
            Self::Tdx { .. } => Tdvf::parse(&file).map(drop),
            _ => SnpFirmware::parse(&file).map(drop),
        };
        is_for_it.map_err(|error| named(error.to_string()))
    }
}

/// Signs whatever the guest asks for, as the simulated vendor.
fn sign(mut guest: UnixStream, measurement: Measurement) -> io::Result<()> {
    let mut report_data = [0; 64];
    loop {
        match guest.read_exact(&mut report_data) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let quote = SimulatedQuote::sign(measurement.0, &report_data).to_bytes();
        let length = u32::try_from(quote.len()).map_err(io::Error::other)?;
        guest.write_all(&length.to_be_bytes())?;
        guest.write_all(&quote)?;
    }
}

/// Keeps the end of what the guest's kernel and runtime print, for whoever asks why it ended.
fn listen(mut guest: UnixStream, words: &Sender<String>) -> io::Result<()> {
    let (mut kept, mut chunk) = (Vec::new(), [0; 1024]);
    loop {
        let count = guest.read(&mut chunk)?;
        if count == 0 {
            let text = String::from_utf8_lossy(&kept);
            // Nobody may be there to hear it.
            let _ = words.send(last_words(&text));
            return Ok(());
        }
        kept.extend_from_slice(&chunk[..count]);
        let surplus = kept.len().saturating_sub(MAX_WORDS_BYTES);
        kept.drain(..surplus);
    }
}

/// What the runtime said last, or else the kernel, without what a terminal would obey.
fn last_words(text: &str) -> String {
    let line = text.lines().rfind(|line| line.starts_with("pox-enclave: "));
    let line = line.or_else(|| text.lines().rfind(|line| !line.trim().is_empty())).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
}

/// QEMU in `PATH`.
///
/// # Errors
/// There is none.
pub fn emulator() -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(EMULATOR)).find(|file| file.is_file());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{EMULATOR} is not in PATH")))
}

/// In Debian's package `qemu-system-x86`.
const EMULATOR: &str = "qemu-system-x86_64";
/// Kernel, initramfs and runtime.
const OWN_MIB: u32 = 256;
/// More than the emulated machine can have, it does not start with.
const MAX_CPUS: u32 = 255;
/// The last line is what counts.
const MAX_WORDS_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_what_the_request_asks_for_and_its_own() {
        let files = Files { kernel: "k".into(), initramfs: "i".into(), command_line: String::new() };
        let measurement = Measurement(pox_core::B256::ZERO);
        let host = GuestHost { emulator: "q".into(), platform: Platform::Emulated, room_mib: 1000 };
        let guest = Guest { host, files, measurement };
        let resources =
            |cpu_millis, memory_mib| Resources { cpu_millis, memory_mib, disk_mib: 64, time_limit: 1 };
        assert_eq!(guest.shape(&resources(1, 512)), Shape { cpus: 1, memory_mib: 512 + 128 + 1000 + 256 });
        assert_eq!(guest.shape(&resources(1001, 512)).cpus, 2);
        let most = Shape { cpus: MAX_CPUS, memory_mib: u32::MAX };
        assert_eq!(guest.shape(&resources(u32::MAX, u32::MAX)), most);
    }

    #[test]
    fn a_guests_last_words_are_the_runtimes_or_else_the_kernels() {
        let said = |text: &[u8]| {
            let (ours, mut guests) = UnixStream::pair().unwrap();
            let (words, last_words) = channel();
            let thread = std::thread::spawn(move || listen(ours, &words));
            guests.write_all(text).unwrap();
            drop(guests);
            thread.join().unwrap().unwrap();
            last_words.recv().unwrap()
        };
        let long = [&[b'x'; 3 * MAX_WORDS_BYTES], &b"\n[1.0] \x1b[31mKernel panic\r\n\n"[..]].concat();
        assert_eq!(said(&long), "[1.0] [31mKernel panic");
        assert_eq!(said(b"[0.1] x\r\npox-enclave: no port\r\n[2.0] Power down\r\n"), "pox-enclave: no port");
        assert_eq!(said(b""), "");
    }

    #[test]
    fn the_simulated_tee_signs_each_report_for_its_measurement() {
        let (ours, mut guests) = UnixStream::pair().unwrap();
        let measurement = Measurement(pox_core::B256::repeat_byte(9));
        let thread = std::thread::spawn(move || sign(ours, measurement));
        for report_data in [[1; 64], [2; 64]] {
            guests.write_all(&report_data).unwrap();
            let mut length = [0; 4];
            guests.read_exact(&mut length).unwrap();
            let mut quote = vec![0; u32::from_be_bytes(length) as usize];
            guests.read_exact(&mut quote).unwrap();
            assert_eq!(
                SimulatedQuote::parse(&quote).unwrap(),
                SimulatedQuote::sign(measurement.0, &report_data)
            );
        }
        drop(guests);
        thread.join().unwrap().unwrap();
    }
}
