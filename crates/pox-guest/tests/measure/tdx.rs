//! MRTD and the runtime registers of direct kernel boots.

use crate::made;
use pox_guest::measure::firmware::FirmwareError;
use pox_guest::measure::kernel::{KernelError, authenticode, knows_cc_measurement, with_loader_header};
use pox_guest::measure::tdx::{Host, InitrdArgument, PageOrder, Registers, SetupHeader, Tdvf, load_options};
use pox_guest::measure::{Digest384, MeasureError};

/// What dstack-mr at 312dc605 says of the made files: MRTD in both orders; RTMR1 with a header written for 4 GiB and for 1 GiB, and
/// the kernel's digest in it; RTMR2 with the argument last.
const MRTD_BY_PAGES: &str =
    "0cd81bcce7901e17a11ddb898b6eb82637b90fc282c9718edc694b2d024ae27ea31b61ce97d3ec375a43a73c92305128";
const MRTD_BY_SECTIONS: &str =
    "eacfb9fdb81bdc286ee06b806000398e5255aa69eada6c88b0eae63255e25db4b8a8c7cb281e3bf90c1f0a9f618e73dd";
const RTMR1_4G: &str =
    "88e7b9c782f2afe54a23defe60b897e3539215da8e10f31a2e41b67e3d27c4ad3247370e29a065f05001c78bc074b5fb";
const RTMR1_1G: &str =
    "77472093242e60898ed432e98cab2c95a39b36407df6e5b3f7bb7b3c7c77c54b0491dd64f0fc1bd5dc4454aa76f61983";
const KERNEL_4G: &str =
    "1d57a4362c4d49447d3f3f02295d07f01a8b099f5589d51fb02321b444e30f9dc7d27bbf22d6930683c26d3591b2b41c";
const RTMR2: &str =
    "7db2230b137106cae1747d6ff594b189c097949f60c6c95667e781a46c8e630f0583eaba1c70cbc2feb93a6aa2454f98";

#[test]
fn mrtd_is_that_of_another_calculator() {
    let firmware = made::firmware();
    let tdvf = Tdvf::parse(&firmware).unwrap();
    assert_eq!(MRTD_BY_PAGES.parse(), Ok(tdvf.mrtd(PageOrder::PageByPage)));
    assert_eq!(MRTD_BY_SECTIONS.parse(), Ok(tdvf.mrtd(PageOrder::SectionBySection)));
}

#[test]
fn runtime_registers_are_those_of_another_calculator() {
    for (memory, rtmr1) in [(4_u64 << 30, RTMR1_4G), (1 << 30, RTMR1_1G)] {
        let host = Host {
            header: SetupHeader::Written { memory },
            argument: InitrdArgument::Last,
            pages: PageOrder::PageByPage,
        };
        let registers = registers(host).unwrap();
        assert_eq!(rtmr1.parse(), Ok(registers.rtmr1));
        assert_eq!(RTMR2.parse(), Ok(registers.rtmr2));
        assert_eq!(MRTD_BY_PAGES.parse(), Ok(registers.mrtd));
    }
    let kernel = with_loader_header(&made::kernel(), 50_000, "", 4 << 30).unwrap();
    assert_eq!(KERNEL_4G.parse(), Ok(authenticode(&kernel).unwrap()));
}

#[test]
fn the_host_s_ways_each_give_other_registers() {
    let usual = registers(Host::default()).unwrap();
    let other = |host: Host| registers(host).unwrap();
    let pages = other(Host { pages: PageOrder::SectionBySection, ..Host::default() });
    assert!(pages.mrtd != usual.mrtd && pages.rtmr1 == usual.rtmr1 && pages.rtmr2 == usual.rtmr2);
    let header = other(Host { header: SetupHeader::Written { memory: 4 << 30 }, ..Host::default() });
    assert!(header.mrtd == usual.mrtd && header.rtmr1 != usual.rtmr1 && header.rtmr2 == usual.rtmr2);
    let argument = other(Host { argument: InitrdArgument::Last, ..Host::default() });
    assert!(argument.mrtd == usual.mrtd && argument.rtmr1 == usual.rtmr1 && argument.rtmr2 != usual.rtmr2);
}

#[test]
fn load_options_are_utf_16_with_a_final_nul() {
    let text = |argument| String::from_utf16(&utf16(&load_options("a b", argument))).unwrap();
    assert_eq!(text(InitrdArgument::First), "initrd=initrd a b\0");
    assert_eq!(text(InitrdArgument::Last), "a b initrd=initrd\0");
}

/// Otherwise the host could swap the initramfs under the same registers.
#[test]
fn a_kernel_whose_stub_measures_nothing_is_refused() {
    let mut kernel = made::kernel();
    assert!(knows_cc_measurement(&kernel));
    kernel[0x803] ^= 1;
    assert!(!knows_cc_measurement(&kernel));
    let initramfs = made::initramfs();
    let refused = Registers::of(&made::files(&kernel, &initramfs), &made::firmware(), Host::default());
    assert_eq!(refused, Err(MeasureError::Kernel(KernelError::MeasuresNothing)));
}

#[test]
fn every_byte_of_the_kernel_is_measured_but_checksum_and_signatures() {
    let good = made::kernel();
    let digest = authenticode(&good).unwrap();
    let checksum = 0x98 + 64..0x98 + 68;
    let entry = 0x98 + 144..0x98 + 152;
    let mut unmeasured = 0;
    for at in (0..good.len()).step_by(3).chain(0..0x200) {
        let mut other = good.clone();
        other[at] ^= 1;
        if authenticode(&other) == Ok(digest) {
            assert!(checksum.contains(&at) || entry.contains(&at) || at >= 0x2000, "byte {at:#x}");
            unmeasured += 1;
        }
    }
    assert!(unmeasured > 0x88 / 3);
}

#[test]
fn what_stands_behind_the_sections_is_measured() {
    let good = made::kernel();
    let mut other = good[..0x2000].to_vec();
    other.extend([7; 16]);
    other.extend(&good[0x2000..]);
    assert_ne!(authenticode(&other), authenticode(&good));
    assert!(authenticode(&other).is_ok());
}

#[test]
fn files_that_are_no_kernel_are_refused() {
    let changed = |at: usize, bytes: &[u8]| {
        let mut kernel = made::kernel();
        kernel[at..at + bytes.len()].copy_from_slice(bytes);
        authenticode(&kernel).unwrap_err()
    };
    assert_eq!(authenticode(&[]).unwrap_err(), KernelError::Pe("DOS header"));
    assert_eq!(authenticode(&[0; 12]).unwrap_err(), KernelError::Unaligned(12));
    assert_eq!(changed(0, b"ZM"), KernelError::Pe("DOS header"));
    assert_eq!(changed(0x3c, &u32::MAX.to_le_bytes()), KernelError::Pe("PE header"));
    assert_eq!(changed(0x80, b"XX"), KernelError::Pe("PE header"));
    assert_eq!(changed(0x98, &[0x0c]), KernelError::Pe("optional header"));
    assert_eq!(changed(0x86, &97_u16.to_le_bytes()), KernelError::Pe("number of sections"));
    assert_eq!(changed(0x98 + 60, &u32::MAX.to_le_bytes()), KernelError::Pe("header"));
    assert_eq!(changed(0x98 + 60, &[0x10, 0]), KernelError::Pe("header"));
    assert_eq!(changed(0x188 + 16, &u32::MAX.to_le_bytes()), KernelError::Pe("section"));
    assert_eq!(changed(0x98 + 148, &0x89_u32.to_le_bytes()), KernelError::Pe("signature table"));
}

#[test]
fn a_header_is_written_only_where_it_can_be_predicted() {
    let (kernel, bytes) = (made::kernel(), 50_000);
    let written =
        |kernel: &[u8], command_line, memory| with_loader_header(kernel, bytes, command_line, memory);
    assert_eq!(written(&kernel, "quiet vga=ask", 4 << 30), Err(KernelError::VideoMode));
    assert_eq!(written(&kernel, "quiet", 0x2_9000), Err(KernelError::NoRoom));
    assert_eq!(written(&kernel[..0x200], "quiet", 4 << 30), Err(KernelError::Setup));
    let mut old = kernel.clone();
    old[0x206] = 0x0b;
    assert_eq!(written(&old, "quiet", 4 << 30), Err(KernelError::Setup));
    // All memory sizes from 2.75 GiB on give one kernel.
    assert_eq!(written(&kernel, "", 0xb000_0000), written(&kernel, "", 64 << 30));
    assert_ne!(written(&kernel, "", 0xb000_0000), written(&kernel, "", 0xafff_f000));
}

#[test]
fn malformed_firmware_is_refused() {
    let table = "TDX metadata";
    let changed = |at: usize, bytes: &[u8]| {
        let mut firmware = made::firmware();
        firmware[made::TDX_METADATA + at..][..bytes.len()].copy_from_slice(bytes);
        Tdvf::parse(&firmware).map(|_| ()).unwrap_err()
    };
    let (section, metadata) =
        (|index| FirmwareError::Section { table, index }, FirmwareError::Metadata(table));
    let unknown = |index| FirmwareError::UnknownSection { table, index };
    let long = |number: u64| number.to_le_bytes();
    for (at, bytes, error) in [
        (0, &b"TDVX"[..], metadata.clone()),
        (8, &[2], metadata.clone()),
        (12, &[0xff; 4], metadata.clone()),
        // The boot volume: not measured, elsewhere in memory or in the file, longer in memory than in the file.
        (16 + 28, &[0], unknown(0)),
        (16 + 28, &[3], unknown(0)),
        (16 + 24, &[9], unknown(0)),
        (16 + 8, &long((4 << 30) - (112 << 10)), metadata.clone()),
        (16 + 8, &long(1), section(0)),
        (16 + 8, &long(u64::MAX - 0xfff), section(0)),
        (16, &[0xff; 4], section(0)),
        (16 + 16, &long(104 << 10), section(0)),
        (16 + 16, &long(1 << 40), section(0)),
        // Temporary memory: from the file, measured, too much of it.
        (16 + 64 + 4, &[1], section(2)),
        (16 + 64 + 28, &[1], unknown(2)),
        (16 + 64 + 16, &long(64 << 20), metadata),
    ] {
        assert_eq!(changed(at, bytes), error, "{at} {bytes:?}");
    }
}

#[test]
fn a_configuration_volume_can_be_measured_too() {
    let mut firmware = made::firmware();
    let before = Tdvf::parse(&firmware).unwrap().mrtd(PageOrder::PageByPage);
    firmware[0] ^= 1;
    assert_eq!(Tdvf::parse(&firmware).unwrap().mrtd(PageOrder::PageByPage), before);
    firmware[made::TDX_METADATA + 16 + 32 + 28] = 1;
    let measured = Tdvf::parse(&firmware).unwrap().mrtd(PageOrder::PageByPage);
    firmware[0] ^= 1;
    assert_ne!(Tdvf::parse(&firmware).unwrap().mrtd(PageOrder::PageByPage), measured);
    assert_ne!(measured, before);
}

#[test]
fn digests_are_96_digits() {
    assert!("00".parse::<Digest384>().is_err());
    assert_eq!("00".repeat(48).parse(), Ok(Digest384::ZERO));
}

fn registers(host: Host) -> Result<Registers, MeasureError> {
    let (kernel, initramfs) = (made::kernel(), made::initramfs());
    Registers::of(&made::files(&kernel, &initramfs), &made::firmware(), host)
}

fn utf16(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|pair| u16::from_le_bytes(pair.try_into().unwrap())).collect()
}
