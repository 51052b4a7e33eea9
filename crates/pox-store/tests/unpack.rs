//! The whole way of an image: packed, stored, opened by digest on another host, checked and unpacked as the enclave does.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use pox_enclave::image as enclave;
use pox_store::Access;
use pox_store::image::{Architecture, Digest, Image, ImageSource, LayerCompression, Pack, copy};

/// What a host does for its enclave: hand over blobs by digest.
struct Host(Image);

impl enclave::Blobs for Host {
    fn open(&mut self, digest: &enclave::Digest, _max: u64) -> io::Result<Box<dyn Read + '_>> {
        let digest = Digest::from_bytes(*digest.as_bytes());
        Ok(self.0.blob(&digest).map_err(io::Error::other)?)
    }
}

fn sample(compression: LayerCompression) -> Image {
    let mut pack = Pack::new(Architecture::native());
    pack.add_bytes(b"#!/bin/sh\n", "/bin/task", true).unwrap();
    pack.add_bytes(&vec![b'x'; 1 << 20], &format!("/data/{}", "long".repeat(40)), false).unwrap();
    pack.add_shared_directory("/tmp").unwrap();
    pack.entrypoint = vec!["/bin/task".into()];
    pack.env = vec!["A=b".into()];
    pack.compression = compression;
    pack.build().unwrap()
}

fn unpack(from: &str, digest: &Digest, access: &Access, to: &Path) -> enclave::Unpacked {
    let source: ImageSource = from.parse().unwrap();
    let mut host = Host(source.open_exact(digest, access).unwrap());
    fs::create_dir(to).unwrap();
    let root = File::open(to).unwrap();
    let digest = enclave::Digest::from_bytes(*digest.as_bytes());
    let unpacked = enclave::unpack(&digest, &mut host, &enclave::Limits::default(), root.as_fd()).unwrap();
    assert_eq!(fs::read(to.join("bin/task")).unwrap(), b"#!/bin/sh\n");
    assert_eq!(fs::read(to.join("data").join("long".repeat(40))).unwrap(), vec![b'x'; 1 << 20]);
    assert_eq!(
        (unpacked.config.entrypoint[0].as_str(), unpacked.config.env[0].as_str()),
        ("/bin/task", "A=b")
    );
    unpacked
}

#[test]
fn packed_images_unpack_from_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let access = Access::default().allow_root(dir.path());
    let mut diff_ids = vec![];
    for (i, compression) in [LayerCompression::None, LayerCompression::Gzip].into_iter().enumerate() {
        let image = sample(compression);
        for to in [format!("oci:{at}/layout{i}:v1"), format!("oci-archive:{at}/{i}.tar:v1")] {
            copy(&image, &to.parse().unwrap(), &access).unwrap();
            let root = dir.path().join("root");
            diff_ids.push(unpack(&to, &image.manifest_digest(), &access, &root).diff_ids);
            fs::remove_dir_all(root).unwrap();
        }
    }
    diff_ids.dedup();
    assert_eq!(diff_ids.len(), 1, "compression doesn't change what is in the layer");
}

#[test]
#[ignore = "needs skopeo: run by .ci/run"]
fn recompressed_images_unpack_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let access = Access::default().allow_root(dir.path());
    let image = sample(LayerCompression::Gzip);
    let from = format!("oci:{at}/layout:v1");
    copy(&image, &from.parse().unwrap(), &access).unwrap();
    let ours = unpack(&from, &image.manifest_digest(), &access, &dir.path().join("ours"));
    let to = format!("oci:{at}/zstd:v1");
    let output = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--dest-compress", "--dest-compress-format", "zstd"])
        .args([&from, &to])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let other = to.parse::<ImageSource>().unwrap().open(Architecture::native(), &access).unwrap();
    assert_ne!(other.manifest_digest(), image.manifest_digest());
    assert!(other.blobs().nth(1).unwrap().media_type.ends_with("+zstd"));
    let theirs = unpack(&to, &other.manifest_digest(), &access, &dir.path().join("theirs"));
    assert_eq!((theirs.diff_ids, theirs.config_digest), (ours.diff_ids, ours.config_digest));
}

/// The ignored test must run where the tool is promised to be.
#[test]
fn skopeo_is_used_where_promised() {
    if std::env::var_os("POX_APT_TOOLS").is_some() {
        recompressed_images_unpack_to_the_same();
    }
}
