//! A virtual machine per task, under plain emulation: kind `vm-sim`.
//!
//! The launcher does what a TEE's hardware does: it measures the files that it launches, and signs for that measurement what
//! the guest asks it to (spec §14.3). **None of it protects anything**: the launcher is the processor's.

mod port;

use crate::runtime::{Started, put};
use port::Port;
use pox_core::Resources;
use pox_core::evidence::SimulatedQuote;
use pox_guest::image::{Digests, GuestImage};
use pox_guest::launch::{Files, Machine, Shape, arguments};
use pox_verify::Measurement;
use std::fs::{self, DirBuilder};
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
    emulator: PathBuf,
    files: Files,
    measurement: Measurement,
    room_mib: u32,
}

/// What stands around a guest that runs; dropped after it.
#[derive(Debug)]
pub(crate) struct Around {
    _ports: [Port; 2],
    _folder: TempDir,
}

impl Guest {
    /// Writes a guest's files into a folder, unless they stand there already. Images and opened inputs of a task, which live in
    /// the guest's memory, may take `room_mib`.
    ///
    /// # Errors
    /// The files can't be written, or there is no emulator in `PATH`.
    pub fn install(image: &GuestImage, folder: &Path, room_mib: u32) -> io::Result<Self> {
        let measurement = image.digests().vm_sim();
        let folder = folder.join(format!("guest-{}", hex::encode(&measurement.0[..8])));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (kernel, initramfs) = (folder.join("kernel"), folder.join("initramfs"));
        put(&image.kernel, &kernel, 0o600)?;
        put(&image.initramfs, &initramfs, 0o600)?;
        let files = Files { kernel, initramfs, command_line: image.command_line.clone() };
        Ok(Self { emulator: emulator()?, files, measurement, room_mib })
    }

    /// What the simulated hardware measures of it.
    pub fn measurement(&self) -> Measurement {
        self.measurement
    }

    pub(crate) fn start(&self, resources: &Resources) -> io::Result<Started> {
        let folder = tempfile::Builder::new().prefix("pox-vm-").tempdir()?;
        let (tee, console) = (folder.path().join("tee"), folder.path().join("console"));
        let (words, last_words) = channel();
        // As hardware would: what is launched now, not what was installed once.
        let (kernel, initramfs) = (fs::read(&self.files.kernel)?, fs::read(&self.files.initramfs)?);
        let measurement = Digests::of(&kernel, &initramfs, &self.files.command_line).vm_sim();
        let ports = [
            Port::listen(tee.clone(), move |guest| sign(guest, measurement))?,
            Port::listen(console.clone(), move |guest| listen(guest, &words))?,
        ];
        let mut command = Command::new(&self.emulator);
        let shape = self.shape(resources);
        command.args(arguments(&Machine::Emulated { tee }, &self.files, shape, Some(&console)));
        let started = Started::spawn(command)?;
        let around = Some(Around { _ports: ports, _folder: folder });
        Ok(Started { last_words: Some(last_words), around, ..started })
    }

    fn shape(&self, resources: &Resources) -> Shape {
        // The inputs are memory, and so are the task's scratch and results; each is bounded by the disk.
        let disk = resources.disk_mib.saturating_mul(2);
        let memory_mib =
            [resources.memory_mib, disk, self.room_mib, OWN_MIB].into_iter().fold(0, u32::saturating_add);
        Shape { cpus: resources.cpu_millis.div_ceil(1000).clamp(1, MAX_CPUS), memory_mib }
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

fn emulator() -> io::Result<PathBuf> {
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
        let guest = Guest { emulator: "q".into(), files, measurement, room_mib: 1000 };
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
