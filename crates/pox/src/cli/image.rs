//! Container images and the measured guest.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Pack a folder, or one program, into an image with one layer; the same bytes each time
    Pack(ImagePack),
    /// Print an image's manifest digest
    Digest(ImageDigest),
    /// Copy an image to a layout folder, an archive or a registry
    Copy(ImageCopy),
}

#[derive(Debug, Args)]
pub(crate) struct ImagePack {
    /// Folder that becomes `/`, or one program that becomes `/<its name>`
    pub(crate) source: PathBuf,
    /// Where the image goes: `oci:DIR` or `oci-archive:FILE`
    pub(crate) destination: String,
    /// The program and its first arguments; a packed program's own path if left out
    #[arg(long, value_name = "ARG", num_args = 1)]
    pub(crate) entrypoint: Vec<String>,
    /// Environment entry `NAME=value`; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageDigest {
    /// `docker://HOST/NAME[:TAG|@DIGEST]`, `oci:DIR[:TAG]`, `oci-archive:FILE` or `docker-archive:FILE`
    pub(crate) image: String,
}

#[derive(Debug, Args)]
pub(crate) struct ImageCopy {
    /// Where it is; see `pox image digest`
    pub(crate) source: String,
    /// Where it goes: `oci:DIR`, `oci-archive:FILE` or `docker://HOST/NAME:TAG`
    pub(crate) destination: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Guest {
    /// Build a guest from a kernel and its modules; the same bytes each time
    Build(GuestBuild),
    /// Compute what each TEE measures of a guest, from its files and the machines that may launch it
    Measure(Box<GuestMeasure>),
}

#[derive(Debug, Args)]
pub(crate) struct GuestMeasure {
    /// Folder that `pox guest build` made
    #[arg(required_unless_present = "kernel", conflicts_with_all = ["kernel", "initramfs", "command_line"])]
    pub(crate) guest: Option<PathBuf>,
    /// Kernel, instead of a folder
    #[arg(long, value_name = "FILE", requires_all = ["initramfs", "command_line"])]
    pub(crate) kernel: Option<PathBuf>,
    /// Initramfs, instead of a folder
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(crate) initramfs: Option<PathBuf>,
    /// File with the command line, instead of a folder
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(crate) command_line: Option<PathBuf>,
    /// Firmware of TDX hosts (TDVF): computes kind `tdx`
    #[arg(long, value_name = "FILE")]
    pub(crate) tdx_firmware: Option<PathBuf>,
    /// Linux of TDX hosts, which decides in which order pages are measured; may be repeated
    #[arg(long, value_enum, value_name = "VERSION", requires = "tdx_firmware", default_value = "6.16")]
    pub(crate) tdx_linux: Vec<TdxLinux>,
    /// QEMU of TDX hosts, which decides whether the kernel is measured as it is; may be repeated
    #[arg(long, value_enum, value_name = "VERSION", requires = "tdx_firmware", default_value = "10.2")]
    pub(crate) tdx_qemu: Vec<TdxQemu>,
    /// Where that firmware puts its argument on the command line; may be repeated
    #[arg(long, value_enum, value_name = "PLACE", requires = "tdx_firmware", default_value = "first")]
    pub(crate) tdx_argument: Vec<TdxArgument>,
    /// Memory of a guest under a QEMU before 10.2: one value stands for all from 2.75GiB on
    #[arg(long, value_name = "SIZE", requires = "tdx_firmware", default_value = "4GiB")]
    pub(crate) tdx_memory: String,
    /// Firmware of SNP hosts (OVMF, AmdSev): computes kind `snp`
    #[arg(long, value_name = "FILE")]
    pub(crate) snp_firmware: Option<PathBuf>,
    /// Processor model of SNP guests, by QEMU's name or as a CPUID signature (0x00a10f10); may be repeated
    #[arg(long, value_name = "MODEL", requires = "snp_firmware", default_value = "EPYC-Genoa")]
    pub(crate) snp_cpu: Vec<String>,
    /// Numbers of processors that SNP guests may have: `2`, or `1-8`; may be repeated
    #[arg(long, value_name = "N|N-N", requires = "snp_firmware", default_value = "1")]
    pub(crate) snp_vcpus: Vec<String>,
    /// SEV features that hosts give SNP guests: 0x1, or 0x21 where Linux adds debug swap; may be repeated
    #[arg(long, value_name = "0x…", requires = "snp_firmware", default_value = "0x1")]
    pub(crate) snp_features: Vec<String>,
    /// Second ramdisk of Nitro's enclave image, unpacked over the initramfs
    #[arg(long, value_name = "FILE")]
    pub(crate) nitro_over: Option<PathBuf>,
    /// Write Nitro's enclave image
    #[arg(long, value_name = "FILE")]
    pub(crate) eif: Option<PathBuf>,
    /// Write a release manifest of all that is computed
    #[arg(long, value_name = "FILE", requires = "name")]
    pub(crate) release: Option<PathBuf>,
    /// The release's name, which policies can list
    #[arg(long, value_name = "NAME", requires = "release")]
    pub(crate) name: Option<String>,
}

/// In which order a host's Linux adds and measures a guest's pages.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TdxLinux {
    /// Page by page: 6.16 and later
    #[value(name = "6.16")]
    Mainline,
    /// Section by section: the vendors' patches before
    Patched,
}

/// What a host's QEMU does to the kernel.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TdxQemu {
    /// Nothing: 10.2 and later
    #[value(name = "10.2")]
    AsBuilt,
    /// It writes into the kernel's header
    Older,
}

/// Where firmware puts its argument on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TdxArgument {
    /// Before the others: edk2 of 2026
    First,
    /// After the others: edk2 up to 2025
    Last,
}

#[derive(Debug, Args)]
pub(crate) struct GuestBuild {
    /// Linux kernel for x86-64, as distributions ship it (`vmlinuz`)
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: PathBuf,
    /// SHA-256 that the kernel must have
    #[arg(long, value_name = "0x…")]
    pub(crate) sha256: Option<String>,
    /// Folder of that kernel's modules (`lib/modules/<release>`)
    #[arg(long, value_name = "DIR")]
    pub(crate) modules: PathBuf,
    /// New folder for the guest
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}
