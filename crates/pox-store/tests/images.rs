//! Images in layouts, archives and `docker save` files.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use pox_store::image::{Architecture, Digest, ImageError, LayerCompression, Pack, copy};
use pox_store::{Access, Error, Location, PutMode, Store};
use serde_json::{Value, json};
use support::images::{content, read, source};
use support::{Response, Server, name};

const PLATFORM: Architecture = Architecture::Amd64;

fn sample(compression: LayerCompression) -> Pack {
    let mut pack = Pack::new(PLATFORM);
    pack.add_bytes(b"#!/bin/sh\n", "/bin/task", true).unwrap();
    pack.add_bytes(&support::object(100_000), "/usr/share/data", false).unwrap();
    pack.add_shared_directory("/tmp").unwrap();
    pack.entrypoint = vec!["/bin/task".into()];
    pack.env = vec!["A=b".into()];
    pack.labels.insert("k".into(), "v".into());
    pack.compression = compression;
    pack
}

fn access(dir: &Path) -> Access {
    Access::default().allow_root(dir)
}

#[test]
fn packing_twice_gives_the_same_image() {
    for compression in [LayerCompression::None, LayerCompression::Gzip] {
        let one = sample(compression).build().unwrap();
        let two = sample(compression).build().unwrap();
        assert_eq!(one.manifest_digest(), two.manifest_digest());
        assert_eq!(content(&one), content(&two));
    }
    // The uncompressed layer depends on nothing but its files: this digest may never change.
    let image = sample(LayerCompression::None).build().unwrap();
    let manifest: Value = serde_json::from_slice(image.manifest()).unwrap();
    assert_eq!(manifest["schemaVersion"], 2);
    let config = read(&image, &image.blobs().next().unwrap().digest).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    assert_eq!((&config["config"]["Entrypoint"][0], &config["os"]), (&json!("/bin/task"), &json!("linux")));
}

#[test]
fn a_packed_tree_is_sorted_and_normalised() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("b/c")).unwrap();
    fs::write(tree.join("b/file"), "x").unwrap();
    fs::write(tree.join("a"), "y").unwrap();
    fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(tree.join("b"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("/b", tree.join("link")).unwrap();
    let long = "n".repeat(150);
    fs::write(tree.join(&long), "z").unwrap();
    let mut pack = Pack::new(PLATFORM);
    pack.compression = LayerCompression::None;
    pack.add_tree(&tree, "/app").unwrap();
    let image = pack.build().unwrap();
    let layer = read(&image, &image.blobs().nth(1).unwrap().digest).unwrap();
    let mut archive = tar::Archive::new(layer.as_slice());
    let entries: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
            (entry.path().unwrap().to_str().unwrap().to_owned(), header.mode().unwrap())
        })
        .collect();
    let expected = [
        ("app".to_owned(), 0o755),
        ("app/a".into(), 0o755),
        ("app/b".into(), 0o755),
        ("app/b/c".into(), 0o755),
        ("app/b/file".into(), 0o644),
        ("app/link".into(), 0o777),
        (format!("app/{long}"), 0o644),
    ];
    assert_eq!(entries, expected);
    for bad in ["relative", "/a/../b", "/", "/a//b", "/.wh.x"] {
        let result = pack.add_bytes(b"x", bad, false);
        assert!(matches!(result, Err(Error::Image(ImageError::Pack { .. }))), "{bad}");
    }
}

#[test]
fn layouts_and_archives_keep_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let access = access(dir.path());
    let image = sample(LayerCompression::Gzip).build().unwrap();
    let at = dir.path().display();
    let layout = source(&format!("oci:{at}/layout:v1"));
    let archive = source(&format!("oci-archive:{at}/image.tar:v1"));
    for to in [&layout, &archive] {
        assert_eq!(copy(&image, to, &access).unwrap(), image.manifest_digest());
        for opened in
            [to.open(PLATFORM, &access).unwrap(), to.open_exact(&image.manifest_digest(), &access).unwrap()]
        {
            assert_eq!(content(&opened), content(&image));
        }
    }
    // Archives are the same bytes each time, and aren't overwritten.
    copy(&image, &source(&format!("oci-archive:{at}/again.tar:v1")), &access).unwrap();
    let bytes = |name: &str| fs::read(dir.path().join(name)).unwrap();
    assert!(bytes("image.tar") == bytes("again.tar"));
    assert!(matches!(copy(&image, &archive, &access), Err(Error::Exists(_))));
    // A layout takes further images, and copying again changes nothing.
    copy(&image, &layout, &access).unwrap();
    let other = sample(LayerCompression::None).build().unwrap();
    copy(&other, &source(&format!("oci:{at}/layout:v2")), &access).unwrap();
    let index: Value = serde_json::from_slice(&bytes("layout/index.json")).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(layout.open(PLATFORM, &access).unwrap().manifest_digest(), image.manifest_digest());
    let untagged = source(&format!("oci:{at}/layout")).open(PLATFORM, &access);
    assert!(matches!(untagged, Err(Error::Image(ImageError::Ambiguous(names))) if names == ["v1", "v2"]));
    let missing = source(&format!("oci:{at}/layout:v3")).open(PLATFORM, &access);
    assert!(matches!(missing, Err(Error::Image(ImageError::NoTag(_)))));
}

#[test]
fn layouts_and_archives_are_served_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let local = access(dir.path());
    let image = sample(LayerCompression::Gzip).build().unwrap();
    let at = dir.path().display();
    copy(&image, &source(&format!("oci:{at}/layout:v1")), &local).unwrap();
    copy(&image, &source(&format!("oci-archive:{at}/image.tar:v1")), &local).unwrap();
    let root = dir.path().to_owned();
    let server = Server::start(move |request| match fs::read(root.join(&request.path[1..])) {
        Ok(bytes) => Response::of(&bytes, request),
        Err(_) => Response::status(404),
    });
    for text in
        ["oci:http://ADDRESS/layout:v1", "oci:http://ADDRESS/layout", "oci-archive:http://ADDRESS/image.tar"]
    {
        let remote = source(&text.replace("ADDRESS", &server.address.to_string()));
        let opened = remote.open_exact(&image.manifest_digest(), &server.access()).unwrap();
        assert_eq!(content(&opened), content(&image), "{text}");
        assert_eq!(
            remote.open(PLATFORM, &server.access()).unwrap().manifest_digest(),
            image.manifest_digest()
        );
        assert!(matches!(remote.open(PLATFORM, &Access::default()), Err(Error::Refused(_))));
    }
}

#[test]
fn altered_blobs_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let access = access(dir.path());
    let image = sample(LayerCompression::Gzip).build().unwrap();
    let layout = source(&format!("oci:{}/layout", dir.path().display()));
    copy(&image, &layout, &access).unwrap();
    let digests: Vec<_> = image.blobs().map(|blob| blob.digest).chain([image.manifest_digest()]).collect();
    for digest in digests {
        let path = dir.path().join("layout/blobs/sha256").join(digest.hex());
        let original = fs::read(&path).unwrap();
        let changed = |i: usize| {
            let mut bytes = original.clone();
            bytes[i] ^= 1;
            bytes
        };
        let longer = [original.as_slice(), b"x"].concat();
        for bytes in [changed(0), changed(original.len() - 1), original[1..].to_vec(), longer] {
            fs::write(&path, bytes).unwrap();
            let result =
                layout.open_exact(&image.manifest_digest(), &access).and_then(|image| read(&image, &digest));
            assert!(matches!(result, Err(Error::Corrupt(_))), "{result:?}");
        }
        fs::write(&path, original).unwrap();
    }
    let opened = layout.open_exact(&image.manifest_digest(), &access).unwrap();
    assert!(matches!(read(&opened, &Digest::of(b"")), Err(Error::Image(ImageError::NotAPart(_)))));
}

#[test]
fn the_platform_is_chosen_from_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let access = access(dir.path());
    let layout = source(&format!("oci:{}/layout:all", dir.path().display()));
    let store = Store::open(&Location::from_path(&dir.path().join("layout")).unwrap(), &access).unwrap();
    let put = |to: &str, bytes: &[u8]| {
        store.put(&name(to), &mut Cursor::new(bytes), bytes.len() as u64, PutMode::Replace).unwrap();
    };
    let mut entries = vec![];
    let mut digests = vec![];
    for (architecture, text) in [(Architecture::Amd64, "amd64"), (Architecture::Arm64, "arm64")] {
        let mut pack = sample(LayerCompression::Gzip);
        pack.architecture = architecture;
        let image = pack.build().unwrap();
        copy(&image, &source(&format!("oci:{}/layout:{text}", dir.path().display())), &access).unwrap();
        entries.push(json!({
            "mediaType": image.media_type(), "digest": image.manifest_digest().to_string(),
            "size": image.manifest().len(), "platform": {"os": "linux", "architecture": text},
        }));
        digests.push(image.manifest_digest());
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let inner =
        json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).to_string().into_bytes();
    let digest = Digest::of(&inner);
    put(&format!("blobs/sha256/{}", digest.hex()), &inner);
    let outer = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": media_type, "digest": digest.to_string(), "size": inner.len(),
        "annotations": {"org.opencontainers.image.ref.name": "all"},
    }]});
    put("index.json", outer.to_string().as_bytes());
    assert_eq!(layout.open(Architecture::Amd64, &access).unwrap().manifest_digest(), digests[0]);
    assert_eq!(layout.open(Architecture::Arm64, &access).unwrap().manifest_digest(), digests[1]);
    assert!(layout.open_exact(&digest, &access).is_err(), "an index is no image");
}

/// Writes a tar file as `docker save` does.
fn save(path: &Path, files: &[(&str, &[u8])], links: &[(&str, &str)]) {
    let mut archive = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    for (name, target) in links {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, name, target).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn old_docker_archives_get_one_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let access = access(dir.path());
    let packed = sample(LayerCompression::None).build().unwrap();
    let parts = content(&packed);
    let (config, layer) = (&parts[0].1, &parts[1].1);
    let config_name = format!("{}.json", parts[0].0.hex());
    let list = |tags: Value| {
        json!([{"Config": config_name, "RepoTags": tags, "Layers": ["aa/layer.tar", "bb/layer.tar"]}])
            .to_string()
            .into_bytes()
    };
    let path = dir.path().join("saved.tar");
    let tagged = list(json!(["pox/task:v1"]));
    // Old versions link to a layer that is there twice.
    let link = [("bb/layer.tar", "../aa/layer.tar")];
    let files: [(&str, &[u8]); 3] =
        [("aa/layer.tar", layer), (&config_name, config), ("manifest.json", &tagged)];
    save(&path, &files, &link);
    let from = |suffix: &str| source(&format!("docker-archive:{}{suffix}", path.display()));
    let image = from(":pox/task:v1").open(PLATFORM, &access).unwrap();
    assert_eq!(
        image.blobs().map(|blob| blob.digest).collect::<Vec<_>>(),
        [parts[0].0, parts[1].0, parts[1].0]
    );
    assert_eq!(read(&image, &parts[1].0).unwrap(), *layer);
    let digest = image.manifest_digest();
    assert_eq!(from("").open_exact(&digest, &access).unwrap().manifest(), image.manifest());
    let other = from("").open_exact(&packed.manifest_digest(), &access);
    assert!(matches!(other, Err(Error::Image(ImageError::OtherImage { .. }))));
    assert!(matches!(from(":pox/task:v2").open(PLATFORM, &access), Err(Error::Image(ImageError::NoTag(_)))));
    assert!(matches!(
        from("").open(Architecture::Arm64, &access),
        Err(Error::Image(ImageError::NoPlatform(_)))
    ));

    // Neither order, tags nor compression of the archive matter.
    let untagged = list(Value::Null);
    save(&path, &[("manifest.json", &untagged), (&config_name, config), ("aa/layer.tar", layer)], &link);
    assert_eq!(from("").open(PLATFORM, &access).unwrap().manifest_digest(), digest);
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(&fs::read(&path).unwrap()).unwrap();
    fs::write(&path, gzip.finish().unwrap()).unwrap();
    assert_eq!(from("").open(PLATFORM, &access).unwrap().manifest_digest(), digest);
    // And it can be passed on.
    copy(&image, &source(&format!("oci:{}/layout", dir.path().display())), &access).unwrap();
}

#[test]
fn new_docker_archives_hold_a_layout() {
    let dir = tempfile::tempdir().unwrap();
    let access = access(dir.path());
    let image = sample(LayerCompression::Gzip).build().unwrap();
    let at = dir.path().display();
    copy(&image, &source(&format!("oci-archive:{at}/saved.tar:v1")), &access).unwrap();
    for suffix in ["", ":pox/task:v1"] {
        let saved = source(&format!("docker-archive:{at}/saved.tar{suffix}"));
        assert_eq!(saved.open(PLATFORM, &access).unwrap().manifest_digest(), image.manifest_digest());
        assert_eq!(content(&saved.open_exact(&image.manifest_digest(), &access).unwrap()), content(&image));
    }
}

#[test]
fn hostile_archives_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let access = access(dir.path());
    let path = dir.path().join("x.tar");
    let open = || source(&format!("docker-archive:{}", path.display())).open(PLATFORM, &access).map(|_| ());
    let list = json!([{"Config": "c", "RepoTags": null, "Layers": ["l"]}]).to_string();
    // Links in a circle, to the outside, to nothing.
    for target in ["c", "/etc/passwd", "../../../etc/passwd", "none"] {
        save(&path, &[("manifest.json", list.as_bytes())], &[("c", target)]);
        assert!(open().is_err(), "{target}");
    }
    let huge = vec![b' '; (4 << 20) + 1];
    save(&path, &[("manifest.json", &huge)], &[]);
    assert!(matches!(open(), Err(Error::Image(ImageError::Malformed { .. }))));
    save(&path, &[("manifest.json", list.as_bytes())], &[]);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(520);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(open(), Err(Error::Image(ImageError::Malformed { .. }))));
    fs::write(&path, b"not a tar file").unwrap();
    assert!(open().is_err());
    // A bomb stops at the limit.
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    gzip.write_all(&vec![0; 8 << 20]).unwrap();
    fs::write(&path, gzip.finish().unwrap()).unwrap();
    let mut small = access.clone();
    small.max_object = 1 << 20;
    let result = source(&format!("docker-archive:{}", path.display())).open(PLATFORM, &small);
    assert!(matches!(result, Err(Error::TooBig { .. })));
}
