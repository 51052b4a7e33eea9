//! Launch digests of SNP guests.

use crate::made;
use pox_guest::measure::firmware::FirmwareError;
use pox_guest::measure::snp::{
    BadMachine, CpuSignature, GuestFeatures, KernelHashes, MAX_VCPUS, Machine, SnpFirmware,
};
use pox_guest::measure::{Digest384, FileDigests};

/// What sev-snp-measure 0.0.13 says of the made files; [`crate::others`] asks it again.
pub(crate) const RECORDED: [(u16, CpuSignature, u64, &str); 3] = [
    (
        1,
        CpuSignature::GENOA,
        0x1,
        "c0c395aab5cd9f09a2e420e021c5d060be6b77f7e60122b8427da69ef5a5c10f43aa27b3278c2ed0bfd438cb060ff6d9",
    ),
    (
        3,
        CpuSignature::GENOA,
        0x1,
        "65234eef30057e34f01e8a283d1a64c6e209d43464ae0f6492d81af01777a290e99e782563f53eb4bed64193165b6f2e",
    ),
    (
        2,
        CpuSignature::TURIN,
        0x21,
        "d42bf356aa0d44c00fce23668dfce97108c1dcf7539466ae119eca202f601b7b1cea1d0315fbebab34c94fecbad409bf",
    ),
];

#[test]
fn launch_digests_are_those_of_sev_snp_measure() {
    for (vcpus, cpu, features, digest) in RECORDED {
        assert_eq!(
            digest.parse(),
            Ok(launch_digest(&made::firmware(), vcpus, cpu, features)),
            "{vcpus} {cpu}"
        );
    }
}

#[test]
fn every_file_and_every_part_of_the_shape_is_measured() {
    let (kernel, initramfs) = (made::kernel(), made::initramfs());
    let files = made::files(&kernel, &initramfs);
    let machine = Machine::new(2, CpuSignature::GENOA, GuestFeatures(1)).unwrap();
    let firmware = made::firmware();
    let digest = |firmware: &[u8], hashes: &KernelHashes, machine: &Machine| {
        SnpFirmware::parse(firmware).unwrap().launch_digest(hashes, machine)
    };
    let hashes = KernelHashes::of(files.command_line, &FileDigests::of(&files));
    let mut all = vec![digest(&firmware, &hashes, &machine)];
    for change in [
        |hashes: &mut KernelHashes| hashes.kernel.0[0] ^= 1,
        |hashes: &mut KernelHashes| hashes.initramfs.0[0] ^= 1,
        |hashes: &mut KernelHashes| hashes.command_line.0[0] ^= 1,
    ] {
        let mut other = hashes;
        change(&mut other);
        all.push(digest(&firmware, &other, &machine));
    }
    for (vcpus, cpu, features) in
        [(1, CpuSignature::GENOA, 1), (2, CpuSignature::TURIN, 1), (2, CpuSignature::GENOA, 3)]
    {
        all.push(digest(&firmware, &hashes, &Machine::new(vcpus, cpu, GuestFeatures(features)).unwrap()));
    }
    let mut other = firmware.clone();
    other[100] ^= 1;
    all.push(digest(&other, &hashes, &machine));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

/// Otherwise the host could start another kernel under the same measurement.
#[test]
fn a_firmware_that_measures_no_kernel_hashes_is_refused() {
    let mut without_section = made::firmware();
    without_section[made::SEV_METADATA + 16 + 6 * 12 + 8] = 1;
    assert_eq!(SnpFirmware::parse(&without_section).unwrap_err(), FirmwareError::NoKernelHashes);
    // The table would stand in another page than the measured one, or across its end.
    for place in [0_u32, 0x80_0000, 0x81_0f80, 0x81_1000] {
        let mut elsewhere = made::firmware();
        let entry = find(&elsewhere, &0x81_0c00_u32.to_le_bytes());
        elsewhere[entry..entry + 4].copy_from_slice(&place.to_le_bytes());
        assert_eq!(SnpFirmware::parse(&elsewhere).unwrap_err(), FirmwareError::NoKernelHashes, "{place:#x}");
    }
}

#[test]
fn malformed_metadata_is_refused() {
    let table = "SEV metadata";
    let changed = |at: usize, value: u32| {
        let mut firmware = made::firmware();
        firmware[made::SEV_METADATA + at..][..4].copy_from_slice(&value.to_le_bytes());
        SnpFirmware::parse(&firmware).map(|_| ()).unwrap_err()
    };
    for (at, value) in [(0, 0), (4, 17), (8, 2), (12, u32::MAX), (12, 33), (16 + 4, 0xffff_f000)] {
        assert_eq!(changed(at, value), FirmwareError::Metadata(table), "{at}");
    }
    assert_eq!(changed(16, 0x80_0001), FirmwareError::Section { table, index: 0 });
    assert_eq!(changed(16 + 4, 0x123), FirmwareError::Section { table, index: 0 });
    assert_eq!(changed(16 + 2 * 12 + 4, 0x2000), FirmwareError::Section { table, index: 2 });
    assert_eq!(changed(16 + 8, 7), FirmwareError::UnknownSection { table, index: 0 });
}

#[test]
fn files_that_are_no_firmware_are_refused() {
    let parse = |bytes: &[u8]| SnpFirmware::parse(bytes).map(|_| ()).unwrap_err();
    assert_eq!(parse(&[]), FirmwareError::Size(0));
    assert_eq!(parse(&[0; 100]), FirmwareError::Size(100));
    assert_eq!(parse(&vec![0; (16 << 20) + 4096]), FirmwareError::Size((16 << 20) + 4096));
    assert_eq!(parse(&[0; 8192]), FirmwareError::NoTable);
    let good = made::firmware();
    let footer = find(&good, &made::FOOTER) - 2;
    for length in [0_u16, 17, 19, 0xffff] {
        let mut firmware = good.clone();
        firmware[footer..footer + 2].copy_from_slice(&length.to_le_bytes());
        assert_eq!(parse(&firmware), FirmwareError::Table, "{length}");
    }
    // An empty table, and entries of impossible lengths.
    let mut empty = good.clone();
    empty[footer..footer + 2].copy_from_slice(&18_u16.to_le_bytes());
    assert_eq!(parse(&empty), FirmwareError::NoEntry("SEV metadata"));
    for length in [0_u16, 17, 0x7fff] {
        let mut firmware = good.clone();
        firmware[footer - 18..footer - 16].copy_from_slice(&length.to_le_bytes());
        assert_eq!(parse(&firmware), FirmwareError::Table, "{length}");
    }
}

#[test]
fn machines_that_no_host_launches_are_refused() {
    let machine = |vcpus, features| Machine::new(vcpus, CpuSignature::GENOA, GuestFeatures(features));
    assert_eq!(machine(0, 1), Err(BadMachine::Vcpus(0)));
    assert_eq!(machine(MAX_VCPUS + 1, 1), Err(BadMachine::Vcpus(MAX_VCPUS + 1)));
    assert_eq!(machine(1, 0x20), Err(BadMachine::Features(0x20)));
    assert!(machine(MAX_VCPUS, 1).is_ok());
}

#[test]
fn processor_types_have_their_signatures() {
    for (name, signature) in [
        ("EPYC", 0x0080_0f12),
        ("EPYC-v4", 0x0080_0f12),
        ("EPYC-Rome-v2", 0x0083_0f10),
        ("EPYC-Milan", 0x00a0_0f11),
        ("EPYC-Genoa-v1", 0x00a1_0f10),
        ("EPYC-Turin", 0x00b0_0f00),
    ] {
        assert_eq!(CpuSignature::named(name), Some(CpuSignature(signature)), "{name}");
    }
    for name in ["", "EPYC-", "EPYC-v", "EPYC-vx", "Opteron", "EPYC-Genoa-"] {
        assert_eq!(CpuSignature::named(name), None, "{name}");
    }
}

pub(crate) fn launch_digest(firmware: &[u8], vcpus: u16, cpu: CpuSignature, features: u64) -> Digest384 {
    let (kernel, initramfs) = (made::kernel(), made::initramfs());
    let files = made::files(&kernel, &initramfs);
    let hashes = KernelHashes::of(files.command_line, &FileDigests::of(&files));
    let machine = Machine::new(vcpus, cpu, GuestFeatures(features)).unwrap();
    SnpFirmware::parse(firmware).unwrap().launch_digest(&hashes, &machine)
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).rposition(|window| window == part).unwrap()
}
