//! What tests of images share.

use std::io::Read;

use pox_store::Error;
use pox_store::image::{Digest, Image, ImageSource};

pub fn source(text: &str) -> ImageSource {
    text.parse().unwrap()
}

/// Every blob with its bytes: what makes two images the same.
pub fn content(image: &Image) -> Vec<(Digest, Vec<u8>)> {
    let digests = image.blobs().map(|blob| blob.digest).chain([image.manifest_digest()]);
    digests.map(|digest| (digest, read(image, &digest).unwrap())).collect()
}

pub fn read(image: &Image, digest: &Digest) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![];
    image.blob(digest)?.read_to_end(&mut bytes).map_err(Error::from_read)?;
    Ok(bytes)
}
