//! Enclave images and their registers.

use crate::made;
use pox_guest::measure::nitro::{Eif, EifError, MAX_METADATA_BYTES, Metadata};
use pox_guest::measure::{Files, MeasureError};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const METADATA: Metadata<'_> = Metadata { name: "pox-guest", version: "0.1.0", kernel: "6.12" };

/// What aws-nitro-enclaves-image-format 0.2.0 makes of the made files, with the same metadata: SHA-256 of the image, PCR0, PCR1,
/// PCR2; with one ramdisk and with two.
const ONE: [&str; 4] = [
    "381b9226508a17f6cc84adec72ced3f5c0721c39c8c574f1098b1fffcdbbc584",
    "ab6c78b5276afd650142674259ab11435544c83435ce712b71eb425055f5d3e0ed86d3ea2eb0399bb559310ce8d215fe",
    "ab6c78b5276afd650142674259ab11435544c83435ce712b71eb425055f5d3e0ed86d3ea2eb0399bb559310ce8d215fe",
    "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a",
];
const TWO: [&str; 4] = [
    "9d1bfa1e70fe3eb6d74a24d25d8018ae92c48516f652602adba38df10e82be32",
    "ffcc0436b23f169309cdd8b8a540e83e06918bea4d8de9240efadd009a70681f43c65faa3659f51ae28fcc65e48a9c85",
    "ab6c78b5276afd650142674259ab11435544c83435ce712b71eb425055f5d3e0ed86d3ea2eb0399bb559310ce8d215fe",
    "8b4bd7549fd80cbf96ba6882d0750684d83d2937dcb093babb6e3009440fd6dc57c5ef9d42f0fe2ea4a6b8114e9302b4",
];

#[test]
fn images_and_registers_are_those_of_another_builder() {
    let (kernel, initramfs, over) = (made::kernel(), made::initramfs(), made::noise(777, 5));
    let files = made::files(&kernel, &initramfs);
    for (over, [file, pcr0, pcr1, pcr2]) in [(None, ONE), (Some(over.as_slice()), TWO)] {
        let image = Eif::new(&files, over, &METADATA).unwrap();
        let pcrs = image.pcrs();
        assert_eq!([pcr0.parse(), pcr1.parse(), pcr2.parse()], [Ok(pcrs.pcr0), Ok(pcrs.pcr1), Ok(pcrs.pcr2)]);
        assert_eq!(hex::encode(Sha256::digest(image.to_bytes())), file);
    }
}

#[test]
fn an_image_is_read_as_it_was_written() {
    let (kernel, initramfs, over) = (made::kernel(), made::initramfs(), made::noise(777, 5));
    for over in [None, Some(over.as_slice())] {
        let image = Eif::new(&made::files(&kernel, &initramfs), over, &METADATA).unwrap();
        let bytes = image.to_bytes();
        assert_eq!(Eif::parse(&bytes).unwrap(), image);
        assert_eq!(bytes, image.to_bytes());
    }
}

#[test]
fn registers_tell_the_ramdisks_apart() {
    let (kernel, initramfs, over) = (made::kernel(), made::initramfs(), made::noise(777, 5));
    let files = made::files(&kernel, &initramfs);
    let one = Eif::new(&files, None, &METADATA).unwrap().pcrs();
    let two = Eif::new(&files, Some(&over), &METADATA).unwrap().pcrs();
    assert_eq!(one.pcr0, one.pcr1);
    assert_eq!(one.pcr1, two.pcr1);
    assert!(one.pcr0 != two.pcr0 && one.pcr2 != two.pcr2);
    let renamed = Metadata { name: "another", ..METADATA };
    assert_eq!(Eif::new(&files, None, &renamed).unwrap().pcrs(), one);
}

#[test]
fn malformed_images_are_refused() {
    let good = image();
    let changed = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        Eif::parse(&file).unwrap_err()
    };
    // Magic, version, architecture, reserved, number of sections, places for sections that there are not, unused.
    for (at, bytes) in [
        (0, &b"E"[..]),
        (5, &[3]),
        (7, &[1]),
        (25, &[1]),
        (27, &[3]),
        (27, &[6]),
        (27, &[0]),
        (26, &[0xff, 0xff]),
        (28 + 8 * 5, &[1]),
        (28 + 256 + 8 * 31, &[1]),
        (540, &[1]),
    ] {
        assert_eq!(changed(at, bytes), EifError::Header, "{at}");
    }
    // The sections' places and sizes in the header, the types and flags at the sections.
    for index in 0..4 {
        assert_eq!(changed(28 + 8 * index + 7, &[0xfe]), EifError::Section(index));
        assert_eq!(changed(28 + 256 + 8 * index, &[0xff; 8]), EifError::Section(index));
    }
    assert_eq!(changed(548 + 1, &[4]), EifError::Section(0));
    assert_eq!(changed(548 + 3, &[1]), EifError::Section(0));
    assert!(matches!(changed(600, &[0xff, 0xff]), EifError::Checksum { .. }));
    assert!(matches!(changed(15, &[1]), EifError::Checksum { .. }));
    assert_eq!(Eif::parse(&[good.as_slice(), &[0]].concat()), Err(EifError::Trailing));
    for end in [0, 4, 547, 548, 549, 560, good.len() - 1] {
        assert!(Eif::parse(&good[..end]).is_err(), "{end}");
    }
}

#[test]
fn images_without_a_part_or_with_too_much_are_refused() {
    let (kernel, initramfs) = (made::kernel(), made::initramfs());
    let files = made::files(&kernel, &initramfs);
    let good = Eif::new(&files, None, &METADATA).unwrap();
    for (name, change) in [
        ("kernel", (|image: &mut Eif<'_>| image.kernel = &[]) as fn(&mut Eif<'_>)),
        ("command line", |image| image.command_line = &[]),
        ("metadata", |image| image.metadata = vec![b' '; MAX_METADATA_BYTES + 1]),
        ("ramdisk", |image| image.ramdisks = vec![&[]]),
    ] {
        let mut image = good.clone();
        change(&mut image);
        assert_eq!(Eif::parse(&image.to_bytes()), Err(EifError::Size(name)));
    }
    let missing = Eif::new(&Files { initramfs: &[], ..files }, None, &METADATA).unwrap_err();
    assert!(matches!(missing, MeasureError::Size { file: "initramfs", bytes: 0, .. }));
    let missing = Eif::new(&files, Some(&[]), &METADATA).unwrap_err();
    assert!(matches!(missing, MeasureError::Size { file: "second ramdisk", bytes: 0, .. }));
}

proptest! {
    #[test]
    fn a_changed_byte_never_gives_another_image(at in 0_usize..10_000, bits in 1_u8..) {
        let mut file = image();
        file[at] ^= bits;
        prop_assert!(Eif::parse(&file).is_err());
    }
}

fn image() -> Vec<u8> {
    let (kernel, initramfs) = (made::kernel(), made::initramfs());
    Eif::new(&made::files(&kernel, &initramfs), None, &METADATA).unwrap().to_bytes()
}
