//! `pox image`: packing, naming and copying container images.

use crate::cli::{Image as Args, ImageCopy, ImageDigest, ImagePack};
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::locate;
use pox_store::image::{Architecture, Image, ImageSource, Pack, copy};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Found {
    digest: String,
    image: String,
    /// Bytes of configuration and layers.
    bytes: u64,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    match args {
        Args::Pack(args) => pack(context, args),
        Args::Digest(args) => digest(context, args),
        Args::Copy(args) => copy_image(context, args),
    }
}

fn pack(context: &Context, args: &ImagePack) -> Result<(), Failure> {
    let to = located(&args.destination)?;
    let shown = args.source.display();
    let found = std::fs::metadata(&args.source)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    let mut pack = Pack::new(Architecture::native());
    pack.entrypoint.clone_from(&args.entrypoint);
    pack.env.clone_from(&args.env);
    if found.is_dir() {
        pack.add_tree(&args.source, "/")?;
    } else {
        let name = args.source.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or_else(|| Failure::usage(format!("{shown} has no name that an image can have")))?;
        let path = format!("/{name}");
        pack.add_file(&args.source, &path)?;
        if pack.entrypoint.is_empty() {
            pack.entrypoint.push(path);
        }
    }
    store(context, &pack.build()?, &to)
}

fn digest(context: &Context, args: &ImageDigest) -> Result<(), Failure> {
    let from = located(&args.image)?;
    let image = open(context, &from)?;
    let found = found(&image, &from);
    context.output.result(&found, || found.digest.clone())
}

fn copy_image(context: &Context, args: &ImageCopy) -> Result<(), Failure> {
    let (from, to) = (located(&args.source)?, located(&args.destination)?);
    let image = open(context, &from)?;
    store(context, &image, &to)
}

fn store(context: &Context, image: &Image, to: &ImageSource) -> Result<(), Failure> {
    copy(image, to, &context.access([&*to.to_string()])).map_err(|error| Failure::from(error).about(to))?;
    let found = found(image, to);
    context.output.result(&found, || found.digest.clone())?;
    context.output.say(format!("next: name it in a task file as `image: {to}`"));
    Ok(())
}

fn open(context: &Context, from: &ImageSource) -> Result<Image, Failure> {
    from.open(Architecture::native(), &context.access([&*from.to_string()]))
        .map_err(|error| Failure::from(error).about(from))
}

fn found(image: &Image, place: &ImageSource) -> Found {
    Found {
        digest: image.manifest_digest().to_string(),
        image: place.to_string(),
        bytes: image.blobs().map(|blob| blob.size).sum(),
    }
}

fn located(text: &str) -> Result<ImageSource, Failure> {
    let absolute = locate::image(text, Path::new("."))?;
    absolute.parse().map_err(Failure::usage).hint(locate::IMAGE_FORMS)
}
