//! `pox guest`: the measured guest.

mod measure;

use crate::cli::{Guest as Args, GuestBuild};
use crate::context::Context;
use crate::embedded;
use crate::error::{Failure, Hint as _};
use crate::locate::read_bounded;
use pox_core::B256;
use pox_guest::image::{GuestImage, Inputs, MAX_KERNEL_BYTES};

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    match args {
        Args::Build(args) => build(context, args),
        Args::Measure(args) => measure::run(context, args),
    }
}

fn build(context: &Context, args: &GuestBuild) -> Result<(), Failure> {
    let kernel = read_bounded(&args.kernel, MAX_KERNEL_BYTES as usize)?;
    let expected = args.sha256.as_deref().map(str::parse::<B256>).transpose();
    let kernel_sha256 = expected.map_err(|error| Failure::usage(error).about("--sha256"))?;
    let inputs =
        Inputs { kernel: &kernel, kernel_sha256, modules: &args.modules, runtime: embedded::RUNTIME };
    let image = GuestImage::build(&inputs)
        .map_err(Failure::usage)
        .hint("docs/guest.md says which kernels do, and where they come from")?;
    image
        .write(&args.out)
        .map_err(Failure::usage)
        .hint("nothing is overwritten: name another folder, or remove it first")?;
    let manifest = &image.manifest;
    context.output.result(manifest, || {
        format!(
            "kernel     {} ({} bytes)\ninitramfs  {} bytes\nvm-sim     {}",
            manifest.kernel_release,
            manifest.kernel.bytes,
            manifest.initramfs.bytes,
            manifest.measurements.vm_sim
        )
    })?;
    let out = args.out.display();
    context
        .output
        .say(format!("next: `pox guest measure {out}` tells what TEEs measure of it, and `pox node --guest {out}` runs tasks in it"));
    Ok(())
}
