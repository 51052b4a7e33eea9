//! Container images and the measured guest.

use clap::{Args, Subcommand};
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
