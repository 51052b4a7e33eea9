//! Building a guest from made-up inputs: what gets in, in which order, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use pox_core::B256;
use pox_core::evidence::sha256;
use pox_guest::image::{COMMAND_LINE, Digests, GuestError, GuestImage, Inputs, KernelError, ModuleError};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use tempfile::TempDir;

const RELEASE: &str = "6.1.0-test";

/// A boot image of which only what is looked at is there.
fn kernel() -> Vec<u8> {
    let mut bytes = vec![0; 0x400];
    bytes[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    let banner = format!("{RELEASE} (somebody@somewhere) #1\0");
    bytes[0x300..0x300 + banner.len()].copy_from_slice(banner.as_bytes());
    bytes
}

/// An ELF file of a type with these program headers, and one section beside the names'.
fn elf(kind: u16, programs: &[u32], section: (&str, &[u8])) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put = |at: usize, value: u64, width: usize| {
        bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    };
    let names = format!("\0.shstrtab\0{}\0", section.0);
    let programs_at = 64;
    let names_at = programs_at + 56 * programs.len();
    let section_at = names_at + names.len();
    let table_at = section_at + section.1.len();
    for (at, value, width) in [
        (16, u64::from(kind), 2),
        (18, 62, 2),
        (32, programs_at as u64, 8),
        (40, table_at as u64, 8),
        (54, 56, 2),
        (56, programs.len() as u64, 2),
        (58, 64, 2),
        (60, 2, 2),
        (62, 0, 2),
    ] {
        put(at, value, width);
    }
    for program in programs {
        bytes.extend_from_slice(&program.to_le_bytes());
        bytes.extend_from_slice(&[0; 52]);
    }
    bytes.extend_from_slice(names.as_bytes());
    bytes.extend_from_slice(section.1);
    for (name, at, length) in [(1_u32, names_at, names.len()), (11, section_at, section.1.len())] {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(length as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
    }
    bytes
}

fn runtime() -> Vec<u8> {
    elf(2, &[1], (".text", b"code"))
}

fn module(name: &str, depends: &str, release: &str) -> Vec<u8> {
    let text = format!("license=GPL\0depends={depends}\0name={name}\0vermagic={release} SMP mod_unload \0");
    elf(1, &[], (".modinfo", text.as_bytes()))
}

/// A folder of modules: the two that are needed, and what they need.
fn modules() -> TempDir {
    let folder = TempDir::new().unwrap();
    let drivers = folder.path().join("kernel/drivers");
    fs::create_dir_all(&drivers).unwrap();
    fs::write(folder.path().join("modules.builtin"), "kernel/fs/configfs/configfs.ko\n").unwrap();
    for (name, depends) in [
        ("virtio", ""),
        ("virtio_ring", "virtio"),
        ("virtio_pci", "virtio_ring,virtio"),
        ("virtio_console", "virtio,virtio-ring"),
        ("unneeded", ""),
    ] {
        let file = drivers.join(format!("{}.ko", name.replace('_', "-")));
        fs::write(file, module(name, depends, RELEASE)).unwrap();
    }
    folder
}

fn build(modules: &Path) -> Result<GuestImage, GuestError> {
    GuestImage::build(&Inputs { kernel: &kernel(), kernel_sha256: None, modules, runtime: &runtime() })
}

fn names(image: &GuestImage) -> Vec<&str> {
    image.manifest.modules.iter().map(|module| module.name.as_str()).collect()
}

#[test]
fn the_same_inputs_give_the_same_bytes_from_any_folder() {
    let (one, other) = (modules(), modules());
    // Another order of making, other times.
    fs::remove_file(other.path().join("kernel/drivers/virtio.ko")).unwrap();
    fs::create_dir(other.path().join("kernel/core")).unwrap();
    fs::write(other.path().join("kernel/core/virtio.ko"), module("virtio", "", RELEASE)).unwrap();
    let (one, other) = (build(one.path()).unwrap(), build(other.path()).unwrap());
    assert_eq!(one, other);
    assert_eq!(one.manifest.to_json(), other.manifest.to_json());
}

#[test]
fn each_module_comes_after_what_it_needs_and_nothing_else_comes() {
    let image = build(modules().path()).unwrap();
    assert_eq!(names(&image), ["virtio", "virtio_ring", "virtio_pci", "virtio_console"]);
    let text = String::from_utf8_lossy(&image.initramfs);
    for name in ["init", "dev/console", "dev/null", "modules/00-virtio.ko", "modules/03-virtio_console.ko"] {
        assert!(text.contains(&format!("{name}\0")), "{name}");
    }
    assert!(!text.contains("unneeded"));
}

#[test]
fn modules_may_be_compressed() {
    let folder = modules();
    let plain = build(folder.path()).unwrap();
    let drivers = folder.path().join("kernel/drivers");
    let ends = [("virtio", "gz", gzip as Compress), ("virtio-ring", "xz", xz), ("virtio-pci", "zst", zstd)];
    for (name, end, compress) in ends {
        let file = drivers.join(format!("{name}.ko"));
        fs::write(drivers.join(format!("{name}.ko.{end}")), compress(&fs::read(&file).unwrap())).unwrap();
        fs::remove_file(file).unwrap();
    }
    assert_eq!(build(folder.path()).unwrap(), plain);
}

type Compress = fn(&[u8]) -> Vec<u8>;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn a_needed_module_that_is_not_there_is_named() {
    let folder = modules();
    fs::remove_file(folder.path().join("kernel/drivers/virtio-console.ko")).unwrap();
    let error = build(folder.path()).unwrap_err();
    assert!(matches!(error, GuestError::Module(ModuleError::Missing(name)) if name == "virtio_console"));
}

#[test]
fn a_module_that_is_built_in_is_not_needed() {
    let folder = modules();
    fs::remove_file(folder.path().join("kernel/drivers/virtio-pci.ko")).unwrap();
    fs::remove_file(folder.path().join("kernel/drivers/virtio-ring.ko")).unwrap();
    fs::write(
        folder.path().join("modules.builtin"),
        "kernel/drivers/virtio/virtio_pci.ko\nkernel/drivers/virtio/virtio_ring.ko\n",
    )
    .unwrap();
    assert_eq!(names(&build(folder.path()).unwrap()), ["virtio", "virtio_console"]);
}

#[test]
fn what_a_module_needs_must_be_there() {
    let folder = modules();
    fs::remove_file(folder.path().join("kernel/drivers/virtio.ko")).unwrap();
    let error = build(folder.path()).unwrap_err();
    assert!(matches!(error, GuestError::Module(ModuleError::Broken { needs, .. }) if needs == "virtio"));
}

#[test]
fn modules_that_need_each_other_are_refused() {
    let folder = modules();
    let file = folder.path().join("kernel/drivers/virtio.ko");
    fs::write(file, module("virtio", "virtio_ring", RELEASE)).unwrap();
    let error = build(folder.path()).unwrap_err();
    assert!(matches!(error, GuestError::Module(ModuleError::Broken { .. })), "{error}");
}

#[test]
fn a_module_of_another_kernel_is_refused() {
    let folder = modules();
    let file = folder.path().join("kernel/drivers/virtio-pci.ko");
    fs::write(file, module("virtio_pci", "", "6.1.0-other")).unwrap();
    let error = build(folder.path()).unwrap_err();
    let GuestError::Module(ModuleError::OtherKernel { built_for, release, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((built_for.as_str(), release.as_str()), ("6.1.0-other", RELEASE));
}

#[test]
fn a_file_that_is_no_module_is_refused() {
    let folder = modules();
    fs::write(folder.path().join("kernel/drivers/virtio-pci.ko"), b"nothing").unwrap();
    assert!(matches!(build(folder.path()).unwrap_err(), GuestError::Module(ModuleError::Form(_))));
}

#[test]
fn a_kernel_of_another_hash_is_refused() {
    let folder = modules();
    let (kernel, runtime) = (kernel(), runtime());
    let of = |hash| {
        let inputs =
            Inputs { kernel: &kernel, kernel_sha256: Some(hash), modules: folder.path(), runtime: &runtime };
        GuestImage::build(&inputs)
    };
    assert!(of(sha256(&kernel)).is_ok());
    let error = of(B256::ZERO).unwrap_err();
    assert!(
        matches!(error, GuestError::Kernel(KernelError::Other { found, .. }) if found == sha256(&kernel))
    );
}

#[test]
fn bytes_that_no_machine_boots_are_refused() {
    let folder = modules();
    for kernel in [&b"nothing"[..], &kernel()[..0x2ff], &[0; 0x400]] {
        let inputs = Inputs { kernel, kernel_sha256: None, modules: folder.path(), runtime: &runtime() };
        let error = GuestImage::build(&inputs).unwrap_err();
        assert!(matches!(error, GuestError::Kernel(KernelError::Form)));
    }
}

#[test]
fn a_runtime_that_needs_a_linker_is_refused() {
    let folder = modules();
    for runtime in [elf(3, &[1, 3], (".text", b"")), elf(1, &[1], (".text", b"")), b"#!/bin/sh\n".to_vec()] {
        let inputs =
            Inputs { kernel: &kernel(), kernel_sha256: None, modules: folder.path(), runtime: &runtime };
        assert!(matches!(GuestImage::build(&inputs).unwrap_err(), GuestError::Runtime));
    }
}

#[test]
fn damaged_inputs_are_refused_or_built_but_never_stumbled_over() {
    let folder = modules();
    let file = folder.path().join("kernel/drivers/virtio.ko");
    let (kernel, runtime, good) = (kernel(), runtime(), module("virtio", "", RELEASE));
    let built = |kernel: &[u8], runtime: &[u8]| {
        let inputs = Inputs { kernel, kernel_sha256: None, modules: folder.path(), runtime };
        GuestImage::build(&inputs).is_ok()
    };
    assert!(built(&kernel, &runtime));
    for at in 0..runtime.len() {
        let mut bytes = runtime.clone();
        bytes[at] = 0xff;
        built(&kernel, &bytes);
        built(&kernel, &runtime[..at]);
    }
    for at in 0x1f0..kernel.len() {
        let mut bytes = kernel.clone();
        bytes[at] = 0xff;
        built(&bytes, &runtime);
        built(&kernel[..at], &runtime);
    }
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] = 0xff;
        for damaged in [&bytes[..], &good[..at]] {
            fs::write(&file, damaged).unwrap();
            built(&kernel, &runtime);
        }
    }
}

#[test]
fn a_guest_that_was_written_is_read_back() {
    let (folder, image) = (TempDir::new().unwrap(), build(modules().path()).unwrap());
    let at = folder.path().join("guest");
    image.write(&at).unwrap();
    assert_eq!(GuestImage::open(&at).unwrap(), image);
    assert!(matches!(image.write(&at), Err(GuestError::File { .. })), "nothing is overwritten");
    let digests = Digests::of(&image.kernel, &image.initramfs, COMMAND_LINE);
    assert_eq!(digests, image.digests());
    assert_eq!(digests.vm_sim().0, image.manifest.measurements.vm_sim);
}

#[test]
fn a_guest_with_another_file_is_not_opened() {
    let folder = TempDir::new().unwrap();
    let image = build(modules().path()).unwrap();
    for name in ["kernel", "initramfs", "cmdline"] {
        let at = folder.path().join(name);
        image.write(&at).unwrap();
        let mut bytes = fs::read(at.join(name)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(at.join(name), bytes).unwrap();
        assert!(matches!(GuestImage::open(&at), Err(GuestError::Mismatch(file)) if file == name));
    }
    let at = folder.path().join("measurement");
    image.write(&at).unwrap();
    let manifest = fs::read_to_string(at.join("manifest.json")).unwrap();
    let other = manifest.replace(&image.manifest.measurements.vm_sim.to_string(), &B256::ZERO.to_string());
    assert_ne!(manifest, other);
    fs::write(at.join("manifest.json"), other).unwrap();
    assert!(matches!(GuestImage::open(&at), Err(GuestError::Mismatch("manifest.json"))));
}

#[test]
fn every_file_counts_in_the_measurement() {
    let base = Digests::of(b"kernel", b"initramfs", "command line");
    let others = [
        Digests::of(b"kernel2", b"initramfs", "command line"),
        Digests::of(b"kernel", b"initramfs2", "command line"),
        Digests::of(b"kernel", b"initramfs", "command line2"),
        Digests::of(b"initramfs", b"kernel", "command line"),
    ];
    assert!(others.iter().all(|other| other.vm_sim() != base.vm_sim()));
}
