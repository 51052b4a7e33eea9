//! Container images: what the enclave unpacks, and what the command line reads.

use flate2::{Compression, write::GzEncoder};
use pox_enclave::image::{
    Blobs, Digest, ImageConfig, LayerStats, Limits, Manifest, Tree, native_architecture, unpack, unpack_layer,
};
use pox_store::Access;
use pox_store::image::{Architecture, ImageSource, Pack, copy};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

/// What a run may write.
fn limits() -> Limits {
    Limits {
        unpacked_bytes: 8 << 20,
        file_bytes: 1 << 20,
        entries: 500,
        zstd_window: 1 << 20,
        ..Limits::default()
    }
}

pub(crate) fn manifest(input: &[u8]) {
    let _ = Manifest::parse(input);
}

pub(crate) fn config(input: &[u8]) {
    if let Ok(config) = ImageConfig::parse(input) {
        let _ = config.check_platform();
    }
}

/// The input is the archives of up to three layers, one over the other.
pub(crate) fn layer(input: &[u8]) {
    beside_a_witness(|root| {
        let limits = limits();
        let mut tree = Tree::new(root.as_fd(), &limits).expect("an empty folder");
        let mut stats = LayerStats::default();
        let mut rest = input;
        for _ in 0..3 {
            let mut archive = pox_fuzz::part(&mut rest);
            if unpack_layer(&mut archive, &mut tree, &limits, &mut stats).is_err() {
                break;
            }
        }
        assert!(stats.bytes <= limits.unpacked_bytes);
        tree.wipe().expect("what was made can be removed");
    });
}

/// The input is a choice of compression, and a layer.
pub(crate) fn whole(mut input: &[u8]) {
    let kind = ["", "+gzip", "+zstd"][usize::from(pox_fuzz::byte(&mut input) % 3)];
    let diff_id = if kind.is_empty() { Digest::of(input) } else { Digest::of(&inflated(input)) };
    let config = config_of(&diff_id).into_bytes();
    let part = |kind: &str, bytes: &[u8]| {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len() })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "config": part("config.v1+json", &config),
        "layers": [part(&format!("layer.v1.tar{kind}"), input)],
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    let mut blobs = Made(vec![manifest, config, input.to_vec()]);
    beside_a_witness(|root| {
        if unpack(&digest, &mut blobs, &limits(), root.as_fd()).is_err() {
            let left = fs::read_dir(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(root)));
            assert_eq!(left.expect("it is there").count(), 0, "a failure leaves something behind");
        }
    });
}

/// What a gzip layer holds, if it is one; a layer of another kind is then refused for its digest, at the very end.
fn inflated(layer: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = flate2::read::MultiGzDecoder::new(layer).take(8 << 20).read_to_end(&mut bytes);
    bytes
}

fn config_of(diff_id: &Digest) -> String {
    json!({
        "os": "linux",
        "architecture": native_architecture(),
        "config": { "Entrypoint": ["/a"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
    })
    .to_string()
}

struct Made(Vec<Vec<u8>>);

impl Blobs for Made {
    fn open(&mut self, digest: &Digest, _max: u64) -> io::Result<Box<dyn Read + '_>> {
        let found = self.0.iter().find(|blob| Digest::of(blob) == *digest);
        Ok(Box::new(found.ok_or(io::ErrorKind::NotFound)?.as_slice()))
    }
}

/// Runs something that may write below one folder only, and looks at what stands beside it.
fn beside_a_witness(work: impl FnOnce(&File)) {
    let folder = tempfile::tempdir().expect("a folder for this run");
    let (root, witness) = (folder.path().join("root"), folder.path().join("witness"));
    fs::create_dir(&root).expect("a folder");
    fs::write(&witness, "as it was").expect("a file");
    work(&File::open(&root).expect("the folder"));
    assert_eq!(fs::read(&witness).expect("the witness"), b"as it was");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 2, "something was made outside");
}

pub(crate) fn oci_archive(input: &[u8]) {
    read_archive("oci-archive", input);
}

pub(crate) fn docker_archive(input: &[u8]) {
    read_archive("docker-archive", input);
}

/// The input is a manifest or an index, in an archive that holds it under its digest.
pub(crate) fn document(input: &[u8]) {
    let digest = pox_store::image::Digest::of(input);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": kind, "digest": digest.to_string(), "size": input.len() }],
    });
    let blob = format!("blobs/sha256/{}", digest.hex());
    let archive = archive(&[
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", index.to_string().as_bytes()),
        (&blob, input),
    ]);
    read_archive("oci-archive", &archive);
}

/// Opens the image in an archive, and reads all of it.
fn read_archive(kind: &str, input: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for this run");
    let path = folder.path().join("image.tar");
    fs::write(&path, input).expect("a file");
    let source: ImageSource = format!("{kind}:{}", path.display()).parse().expect("a source");
    let access = Access::default().allow_root(folder.path()).only_allowed_hosts();
    if let Ok(image) = source.open(Architecture::native(), &access) {
        for blob in image.blobs() {
            let Ok(mut reader) = image.blob(&blob.digest) else { continue };
            let _ = io::copy(&mut reader, &mut io::sink());
        }
    }
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).expect("memory takes it");
    }
    builder.into_inner().expect("memory takes it")
}

pub(crate) fn config_seeds() -> Vec<Vec<u8>> {
    vec![config_of(&Digest::of(b"a layer")).into_bytes()]
}

/// A layer with an entry of each kind.
fn example_layer() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind: tar::EntryType, path: &str, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            builder.append_data(&mut header, path, content).expect("memory takes it");
        } else {
            builder.append_link(&mut header, path, link).expect("memory takes it");
        }
    };
    let long = format!("d/{}", "long/".repeat(30));
    add(tar::EntryType::Directory, "d/", "", b"");
    add(tar::EntryType::Regular, "d/a", "", b"content");
    add(tar::EntryType::Symlink, "d/to-a", "a", b"");
    add(tar::EntryType::Link, "d/also-a", "d/a", b"");
    add(tar::EntryType::Directory, &long, "", b"");
    add(tar::EntryType::Regular, "d/.wh.b", "", b"");
    add(tar::EntryType::Regular, "e/.wh..wh..opq", "", b"");
    add(tar::EntryType::Fifo, "d/fifo", "", b"");
    add(tar::EntryType::XHeader, "pax", "", b"16 path=d/other\n");
    add(tar::EntryType::Regular, "d/named-by-pax", "", b"c");
    builder.into_inner().expect("memory takes it")
}

pub(crate) fn layer_seeds() -> Vec<Vec<u8>> {
    let layer = example_layer();
    vec![pox_fuzz::parts(&[&layer]), pox_fuzz::parts(&[&layer, &layer])]
}

pub(crate) fn whole_seeds() -> Vec<Vec<u8>> {
    let layer = example_layer();
    let mut encoder = GzEncoder::new(vec![1], Compression::fast());
    encoder.write_all(&layer).expect("memory takes it");
    let gzip = encoder.finish().expect("memory takes it");
    // A zstd frame with one raw block.
    let block = (b"not an archive".len() as u32) << 3 | 1;
    let zstd =
        [&[2, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58][..], &block.to_le_bytes()[..3], b"not an archive"].concat();
    vec![[&[0], layer.as_slice()].concat(), gzip, zstd]
}

/// Packs a small image to a place.
fn packed(destination: &str, folder: &Path) {
    let mut pack = Pack::new(Architecture::native());
    pack.entrypoint = vec!["/a".into()];
    pack.add_bytes(b"#!/bin/sh\n", "/a", true).expect("it can be packed");
    let image = pack.build().expect("it can be packed");
    let access = Access::default().allow_root(folder);
    copy(&image, &destination.parse().expect("a destination"), &access).expect("it can be copied");
}

pub(crate) fn oci_archive_seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.tar");
    packed(&format!("oci-archive:{}", path.display()), folder.path());
    vec![fs::read(path).expect("it was written")]
}

pub(crate) fn docker_archive_seeds() -> Vec<Vec<u8>> {
    let layer = example_layer();
    let config = config_of(&Digest::of(&layer));
    let saved = json!([{ "Config": "config.json", "RepoTags": ["a:1"], "Layers": ["layer.tar"] }]);
    let saved = saved.to_string();
    let files: [(&str, &[u8]); 3] =
        [("config.json", config.as_bytes()), ("layer.tar", &layer), ("manifest.json", saved.as_bytes())];
    vec![archive(&files), oci_archive_seeds().concat()]
}

pub(crate) fn manifest_seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    packed(&format!("oci:{}", folder.path().join("layout").display()), folder.path());
    let blobs = fs::read_dir(folder.path().join("layout/blobs/sha256")).expect("a layout has blobs");
    let blobs = blobs.map(|blob| fs::read(blob.expect("an entry").path()).expect("a blob"));
    let mut documents: Vec<Vec<u8>> = blobs.filter(|blob| blob.starts_with(b"{")).collect();
    documents.push(fs::read(folder.path().join("layout/index.json")).expect("a layout has an index"));
    documents
}
