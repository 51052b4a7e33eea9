//! What is measured of a guest: firmware, kernels, enclave images, event logs, releases. Some of it is the host's word.

use crate::guest;
use pox_guest::measure::event_log::EventLog;
use pox_guest::measure::kernel::{authenticode, with_loader_header};
use pox_guest::measure::nitro::{Eif, EifError, Metadata};
use pox_guest::measure::snp::{CpuSignature, GuestFeatures, KernelHashes, Machine, SnpFirmware};
use pox_guest::measure::tdx::{PageOrder, Tdvf};
use pox_guest::measure::{Expected, FileDigests, ReleaseManifest, Shape};

/// A log that replays is the history of no other registers.
pub(crate) fn event_log(input: &[u8]) {
    if let Ok(log) = EventLog::parse(input) {
        let mut registers = log.replay();
        assert_eq!(log.check(&registers), Ok(()));
        registers[input.len() % 4].0[0] ^= 1;
        assert!(log.check(&registers).is_err());
        assert_eq!(EventLog::new(log.events().to_vec()).as_ref(), Ok(&log));
    }
}

pub(crate) fn event_log_seeds() -> Vec<Vec<u8>> {
    let recorded = pox_fuzz::repository("crates/pox-guest/tests/data/go-tdx-guest/ccel_data.dat");
    let area = std::fs::read(recorded).expect("the recorded log can be read");
    // The first eight events, and a little of what stands behind the last.
    vec![area[..6000].to_vec(), area[..18_200].to_vec()]
}

pub(crate) fn tdx_firmware(input: &[u8]) {
    if let Ok(tdvf) = Tdvf::parse(&padded(input)) {
        assert_eq!(tdvf.mrtd(PageOrder::PageByPage), tdvf.mrtd(PageOrder::PageByPage));
    }
}

pub(crate) fn snp_firmware(input: &[u8]) {
    let machine = Machine::new(2, CpuSignature::GENOA, GuestFeatures(1)).expect("such machines exist");
    let (kernel, initramfs) = (guest::kernel(), guest::initramfs());
    let hashes = KernelHashes::of(guest::COMMAND_LINE, &FileDigests::of(&guest::files(&kernel, &initramfs)));
    let mut other = hashes;
    other.kernel.0[0] ^= 1;
    if let Ok(firmware) = SnpFirmware::parse(&padded(input)) {
        assert_ne!(firmware.launch_digest(&hashes, &machine), firmware.launch_digest(&other, &machine));
    }
}

/// The end of the firmware, where its tables are.
pub(crate) fn firmware_seeds() -> Vec<Vec<u8>> {
    let firmware = guest::firmware();
    vec![firmware[firmware.len() - 4096..].to_vec()]
}

pub(crate) fn kernel(input: &[u8]) {
    let _ = authenticode(input);
    if let Ok(written) = with_loader_header(input, 50_000, guest::COMMAND_LINE, 4 << 30) {
        assert_eq!(written.len(), input.len());
        let again = with_loader_header(&written, 50_000, guest::COMMAND_LINE, 4 << 30);
        assert_eq!(again.as_ref(), Ok(&written));
    }
}

pub(crate) fn kernel_seeds() -> Vec<Vec<u8>> {
    vec![guest::kernel()]
}

/// The checksum is put right: no mutation could guess it.
pub(crate) fn enclave_image(input: &[u8]) {
    let mut file = input.to_vec();
    if let Err(EifError::Checksum { computed, .. }) = Eif::parse(&file) {
        file[544..548].copy_from_slice(&computed.to_be_bytes());
    }
    if let Ok(image) = Eif::parse(&file) {
        assert_eq!(image.to_bytes(), file);
        let pcrs = image.pcrs();
        assert_eq!(pcrs.pcr0 == pcrs.pcr1, image.ramdisks.len() == 1);
    }
}

pub(crate) fn enclave_image_seeds() -> Vec<Vec<u8>> {
    let (kernel, initramfs) = (guest::noise(300, 1), guest::noise(200, 2));
    let files = guest::files(&kernel, &initramfs);
    let metadata = Metadata { name: "seed", version: "1", kernel: "6.12" };
    let image = |over| Eif::new(&files, over, &metadata).expect("these files are an image").to_bytes();
    vec![image(None), image(Some(&kernel))]
}

pub(crate) fn release(input: &[u8]) {
    if let Ok(release) = ReleaseManifest::parse(input) {
        assert_eq!(release.canonical_bytes(), input);
        assert!(release.releases().count() > 0);
    }
}

pub(crate) fn release_seeds() -> Vec<Vec<u8>> {
    let (kernel, initramfs, firmware) = (guest::kernel(), guest::initramfs(), guest::firmware());
    let machine = Machine::new(1, CpuSignature::TURIN, GuestFeatures(1)).expect("such machines exist");
    let shapes = [Shape::VmSim, Shape::Snp { firmware: &firmware, machine }, Shape::Nitro { over: None }];
    let expected = Expected::of(&guest::files(&kernel, &initramfs), &shapes).expect("this is a guest");
    vec![ReleaseManifest::new("seed", &expected).expect("this is a release").canonical_bytes()]
}

/// Whole pages of firmware, with the input at their end: most of a file is of no consequence for its tables.
fn padded(input: &[u8]) -> Vec<u8> {
    let mut file = vec![0; guest::FIRMWARE_BYTES.max(input.len().next_multiple_of(4096)) - input.len()];
    file.extend(input);
    file
}
