//! `pox guest measure`: what each TEE measures of a guest's files.

use crate::cli::{GuestMeasure, TdxArgument, TdxLinux, TdxQemu};
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::home::{Overwrite, write_file};
use crate::locate::read_bounded;
use crate::quantity::Bytes;
use pox_core::B256;
use pox_core::evidence::{EvidenceKind, sha256};
use pox_guest::image::GuestImage;
use pox_guest::measure::nitro::{Eif, Metadata};
use pox_guest::measure::snp::{CpuSignature, GuestFeatures, Machine};
use pox_guest::measure::tdx::{self, InitrdArgument, PageOrder, SetupHeader};
use pox_guest::measure::{
    Expected, ExpectedLaunch, Files, MAX_COMMAND_LINE_BYTES, MAX_KERNEL_BYTES, MAX_RAMDISK_BYTES,
    ReleaseManifest, Shape,
};
use pox_verify::MAX_MEASUREMENTS;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What was computed, and what was written of it.
#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    expected: Expected,
    #[serde(skip_serializing_if = "Option::is_none")]
    eif: Option<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<Written>,
}

/// A file that was written.
#[derive(Serialize)]
struct Written {
    file: PathBuf,
    bytes: usize,
    sha256: B256,
}

pub(super) fn run(context: &Context, args: &GuestMeasure) -> Result<(), Failure> {
    let guest = Guest::read(args)?;
    let files = guest.files();
    let firmware = |path: &Option<PathBuf>| {
        path.as_deref().map(|path| read_bounded(path, MAX_FIRMWARE_BYTES)).transpose()
    };
    let (tdx, snp) = (firmware(&args.tdx_firmware)?, firmware(&args.snp_firmware)?);
    let over = args.nitro_over.as_deref().map(|path| read_bounded(path, MAX_RAMDISK_BYTES)).transpose()?;
    let mut shapes = vec![Shape::VmSim];
    if let Some(firmware) = &tdx {
        shapes.extend(tdx_hosts(args)?.into_iter().map(|host| Shape::Tdx { firmware, host }));
    }
    if let Some(firmware) = &snp {
        shapes.extend(snp_machines(args)?.into_iter().map(|machine| Shape::Snp { firmware, machine }));
    }
    shapes.push(Shape::Nitro { over: over.as_deref() });
    if shapes.len() > MAX_MEASUREMENTS {
        let error = format!(
            "{} ways of launching; a policy or a release has at most {MAX_MEASUREMENTS}",
            shapes.len()
        );
        return Err(Failure::usage(error));
    }
    let expected = Expected::of(&files, &shapes)
        .map_err(Failure::usage)
        .hint("what can't be predicted is not measured: docs/guest.md says which kernels and firmware do")?;
    // All that is to be written is made before anything is.
    let name = args.name.as_deref().unwrap_or_default();
    let manifest = args.release.as_ref().map(|_| ReleaseManifest::new(name, &expected));
    let manifest = manifest.transpose().map_err(Failure::usage)?;
    let metadata =
        Metadata { name: "pox-guest", version: env!("CARGO_PKG_VERSION"), kernel: &guest.kernel_release };
    let image = args.eif.as_ref().map(|_| Eif::new(&files, over.as_deref(), &metadata)).transpose();
    let image = image.map_err(Failure::usage)?.map(|image| image.to_bytes());
    let measured = Measured {
        eif: args.eif.as_deref().zip(image).map(|(path, bytes)| write(path, &bytes)).transpose()?,
        release: args
            .release
            .as_deref()
            .zip(manifest)
            .map(|(path, manifest)| write(path, &manifest.canonical_bytes()))
            .transpose()?,
        expected,
    };
    context.output.result(&measured, || text(&measured))?;
    if measured.release.is_some() {
        context.output.say("next: publish the manifest; whoever trusts it names it with --releases, and in a policy by its name");
    }
    Ok(())
}

/// A guest's files, from a folder or named one by one.
struct Guest {
    kernel: Vec<u8>,
    initramfs: Vec<u8>,
    command_line: String,
    /// The kernel's name of itself, where it is known.
    kernel_release: String,
}

impl Guest {
    fn read(args: &GuestMeasure) -> Result<Self, Failure> {
        if let Some(folder) = &args.guest {
            let GuestImage { kernel, initramfs, command_line, manifest } = GuestImage::open(folder)
                .map_err(Failure::usage)
                .hint("`pox guest build` makes such a folder")?;
            return Ok(Self { kernel, initramfs, command_line, kernel_release: manifest.kernel_release });
        }
        let (Some(kernel), Some(initramfs), Some(command_line)) =
            (&args.kernel, &args.initramfs, &args.command_line)
        else {
            return Err(Failure::usage("a guest is a folder, or --kernel, --initramfs and --command-line"));
        };
        let text = read_bounded(command_line, MAX_COMMAND_LINE_BYTES)?;
        Ok(Self {
            kernel: read_bounded(kernel, MAX_KERNEL_BYTES)?,
            initramfs: read_bounded(initramfs, MAX_RAMDISK_BYTES)?,
            command_line: String::from_utf8(text)
                .map_err(|error| Failure::usage(error).about(command_line.display()))?,
            kernel_release: String::new(),
        })
    }

    fn files(&self) -> Files<'_> {
        Files { kernel: &self.kernel, initramfs: &self.initramfs, command_line: &self.command_line }
    }
}

fn tdx_hosts(args: &GuestMeasure) -> Result<Vec<tdx::Host>, Failure> {
    let memory = args.tdx_memory.parse::<Bytes>()?.0;
    let mut hosts = Vec::new();
    for linux in &args.tdx_linux {
        for qemu in &args.tdx_qemu {
            for argument in &args.tdx_argument {
                hosts.push(tdx::Host {
                    pages: match linux {
                        TdxLinux::Mainline => PageOrder::PageByPage,
                        TdxLinux::Patched => PageOrder::SectionBySection,
                    },
                    header: match qemu {
                        TdxQemu::AsBuilt => SetupHeader::AsBuilt,
                        TdxQemu::Older => SetupHeader::Written { memory },
                    },
                    argument: match argument {
                        TdxArgument::First => InitrdArgument::First,
                        TdxArgument::Last => InitrdArgument::Last,
                    },
                });
            }
        }
    }
    Ok(hosts)
}

fn snp_machines(args: &GuestMeasure) -> Result<Vec<Machine>, Failure> {
    let mut machines = Vec::new();
    for cpu in &args.snp_cpu {
        let cpu = CpuSignature::named(cpu)
            .or_else(|| {
                hexadecimal(cpu).and_then(|signature| u32::try_from(signature).ok()).map(CpuSignature)
            })
            .ok_or_else(|| Failure::usage(format!("{cpu:?} is no processor model that this program knows")))
            .hint("write EPYC-Genoa, EPYC-Turin, EPYC-v4, or a CPUID signature such as 0x00a10f10")?;
        for features in &args.snp_features {
            let features = hexadecimal(features).ok_or_else(|| {
                Failure::usage(format!("--snp-features: {features:?} is no number such as 0x1"))
            })?;
            for range in &args.snp_vcpus {
                for vcpus in vcpus(range)? {
                    machines.push(Machine::new(vcpus, cpu, GuestFeatures(features)).map_err(Failure::usage)?);
                }
            }
        }
    }
    Ok(machines)
}

/// `2`, or `1-8`.
fn vcpus(text: &str) -> Result<std::ops::RangeInclusive<u16>, Failure> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err(Failure::usage(format!("--snp-vcpus: {text:?} is no number or range such as 1-8"))),
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn write(path: &Path, bytes: &[u8]) -> Result<Written, Failure> {
    write_file(path, bytes, 0o644, Overwrite::Never)
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))
        .hint("nothing is overwritten: name another file, or remove it first")?;
    Ok(Written { file: path.to_owned(), bytes: bytes.len(), sha256: sha256(bytes) })
}

fn text(measured: &Measured) -> String {
    let files = &measured.expected.files;
    let mut text = String::new();
    // Writing to a string never fails.
    for (name, digest) in
        [("kernel", files.kernel), ("initramfs", files.initramfs), ("command line", files.command_line)]
    {
        let _ = writeln!(text, "{name:<14}sha256:{}", hex::encode(digest));
    }
    for ExpectedLaunch { kind, shape, registers, measurement, .. } in &measured.expected.launches {
        let _ = writeln!(text, "\n{kind}: {shape}");
        for register in registers {
            let _ = writeln!(text, "  {:<12}{}", register.name, register.value);
        }
        let _ = writeln!(text, "  {:<12}{measurement}", "measurement");
        if *kind == EvidenceKind::VmSim {
            let _ = writeln!(text, "  PROTECTS NOTHING: any host can sign it");
        }
    }
    for (what, written) in [("enclave image", &measured.eif), ("release", &measured.release)] {
        if let Some(Written { file, bytes, sha256 }) = written {
            let _ =
                writeln!(text, "\n{what}: {}, {bytes} bytes, sha256:{}", file.display(), hex::encode(sha256));
        }
    }
    text
}

/// Several times what virtual firmware has.
const MAX_FIRMWARE_BYTES: usize = 64 << 20;
