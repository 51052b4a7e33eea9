//! A kernel, an initramfs and firmware, small and always the same: every field that measurements depend on is real.

use pox_core::evidence::sha256;
use pox_guest::image::{Digests, FileEntry, GuestImage, Manifest, Measurements};
use pox_guest::measure::Files;

/// Where the firmware's tables have what the tests change.
pub(crate) const FIRMWARE_BYTES: usize = 128 << 10;
/// Where the SEV metadata begins.
pub(crate) const SEV_METADATA: usize = FIRMWARE_BYTES - 0x600;
/// Where the TDX metadata begins.
pub(crate) const TDX_METADATA: usize = FIRMWARE_BYTES - 0xa00;
/// The command line of [`files`].
pub(crate) const COMMAND_LINE: &str = "console=hvc0 panic=-1 random.trust_cpu=on";

/// The guest's files over these bytes.
pub(crate) fn files<'a>(kernel: &'a [u8], initramfs: &'a [u8]) -> Files<'a> {
    Files { kernel, initramfs, command_line: COMMAND_LINE }
}

/// Bytes that repeat nowhere near.
pub(crate) fn initramfs() -> Vec<u8> {
    noise(50_000, 3)
}

/// A guest of these files that nothing has to be able to run, with this runtime.
#[allow(dead_code, reason = "not every test writes one")]
pub(crate) fn image(runtime: &[u8]) -> GuestImage {
    let (kernel, initramfs, command_line) = (kernel(), initramfs(), COMMAND_LINE.to_owned());
    let entry = |bytes: &[u8]| FileEntry { bytes: bytes.len() as u64, sha256: sha256(bytes) };
    let manifest = Manifest {
        version: 1,
        kernel: entry(&kernel),
        kernel_release: "6.16".into(),
        initramfs: entry(&initramfs),
        command_line: entry(command_line.as_bytes()),
        runtime: entry(runtime),
        modules: Vec::new(),
        measurements: Measurements { vm_sim: Digests::of(&kernel, &initramfs, &command_line).vm_sim().0 },
    };
    GuestImage { kernel, initramfs, command_line, manifest }
}

/// An EFI program that is a bzImage too: two sections in the other order, signatures behind them.
pub(crate) fn kernel() -> Vec<u8> {
    let mut file = noise(0x2000, 1);
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0; 0x400]);
    put(0, b"MZ");
    put(0x3c, &0x80_u32.to_le_bytes());
    put(0x80, b"PE\0\0");
    put(0x84, &0x8664_u16.to_le_bytes()); // machine
    put(0x86, &2_u16.to_le_bytes()); // sections
    put(0x94, &240_u16.to_le_bytes()); // optional header's bytes
    put(0x98, &0x20b_u16.to_le_bytes()); // PE32+
    put(0x98 + 32, &0x1000_u32.to_le_bytes()); // section alignment
    put(0x98 + 36, &0x200_u32.to_le_bytes()); // file alignment
    put(0x98 + 56, &0x3000_u32.to_le_bytes()); // image's bytes
    put(0x98 + 60, &0x400_u32.to_le_bytes()); // headers' bytes
    put(0x98 + 64, &0xdead_beef_u32.to_le_bytes()); // checksum
    put(0x98 + 108, &16_u32.to_le_bytes()); // directory's entries
    put(0x98 + 112 + 32, &[0x2000_u32.to_le_bytes(), 0x88_u32.to_le_bytes()].concat()); // signatures
    for (at, name, start, length) in
        [(0x188, b".data\0\0\0", 0x1000_u32, 0x1000_u32), (0x1b0, b".text\0\0\0", 0x400, 0xc00)]
    {
        put(at, name);
        put(at + 8, &length.to_le_bytes());
        put(at + 12, &start.to_le_bytes());
        put(at + 16, &length.to_le_bytes());
        put(at + 20, &start.to_le_bytes());
    }
    put(0x1f1, &[1]); // sectors of the setup part
    put(0x202, b"HdrS");
    put(0x206, &0x20f_u16.to_le_bytes());
    put(0x211, &[0x01]);
    put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(0x236, &0x7f_u16.to_le_bytes());
    // The measurement protocol's GUID, in halves between other bytes, as compilers place it.
    put(0x800, &[0x3d, 0x1a, 0x75, 0x96, 0xf4, 0x72, 0xa6, 0x41]);
    put(0x820, &[0xa7, 0x94, 0xed, 0x5d, 0x0e, 0x67, 0xae, 0x6b]);
    file.extend(noise(0x88, 2));
    file
}

/// Firmware with a table of entries, SEV metadata and TDX metadata, as edk2's AmdSev build has them.
pub(crate) fn firmware() -> Vec<u8> {
    let mut file = noise(FIRMWARE_BYTES, 4);
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    let (boot, half) = (96 << 10, 32 << 10);
    let back = |at: usize| (FIRMWARE_BYTES - at) as u32;
    let sev: Vec<u32> = [
        [0x80_0000, 0x9000, 1],
        [0x80_a000, 0x3000, 1],
        [0x80_d000, 0x1000, 2],
        [0x80_e000, 0x1000, 3],
        [0x80_f000, 0x1000, 4],
        [0x81_1000, 0x1_f000, 1],
        [0x81_0000, 0x1000, 0x10],
    ]
    .concat();
    put(SEV_METADATA, b"ASEV");
    put(SEV_METADATA + 4, &words(&[16 + 7 * 12, 1, 7]));
    put(SEV_METADATA + 16, &words(&sev));
    put(TDX_METADATA, b"TDVF");
    put(TDX_METADATA + 4, &words(&[16 + 4 * 32, 1, 4]));
    for (index, (start, length, address, bytes, kind, attributes)) in [
        (half, boot, (4 << 30) - u64::from(boot), u64::from(boot), 0, 1),
        (0, half, (4 << 30) - (128 << 10), u64::from(half), 1, 0),
        (0, 0, 0x81_0000, 0x1_0000, 3, 0),
        (0, 0, 0x80_9000, 0x2000, 2, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let section =
            [words(&[start, length]), words64(&[address, bytes]), words(&[kind, attributes])].concat();
        put(TDX_METADATA + 16 + index * 32, &section);
    }
    let mut table = Vec::new();
    for (guid, content) in [
        (TDX_ENTRY, words(&[back(TDX_METADATA)])),
        (SEV_ENTRY, words(&[back(SEV_METADATA)])),
        (HASHES_ENTRY, words(&[0x81_0c00, 0x400])),
        (RESET_ENTRY, words(&[0x80_b004])),
    ] {
        table.extend(&content);
        table.extend((content.len() as u16 + 18).to_le_bytes());
        table.extend(guid);
    }
    table.extend((table.len() as u16 + 18).to_le_bytes());
    table.extend(FOOTER);
    put(FIRMWARE_BYTES - 32 - table.len(), &table);
    file
}

/// Pseudo-random bytes that depend on nothing but their number and the seed.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn words64(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

// GUIDs as files have them.
pub(crate) const FOOTER: [u8; 16] =
    [0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d];
const TDX_ENTRY: [u8; 16] =
    [0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2];
const SEV_ENTRY: [u8; 16] =
    [0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47, 0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc];
const HASHES_ENTRY: [u8; 16] =
    [0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b, 0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54];
const RESET_ENTRY: [u8; 16] =
    [0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f, 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e];
