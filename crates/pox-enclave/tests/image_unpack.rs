//! Honest images, and honest images that something happened to.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod image_support;

use std::os::unix::fs::MetadataExt;

use image_support::*;
use pox_enclave::image::{Compression, Digest, EntryFault, Error, Invalid, Limits, Mismatch, Owner};
use serde_json::json;

fn t() -> Tar {
    Tar::default()
}

#[test]
fn unpacks_every_compression() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let arena = Arena::new();
        let tar = t().dir("bin/").raw(b'0', "bin/task", "", 0o750, b"run").file("etc/conf", "x").end();
        let stored = match compression {
            Compression::None => tar.clone(),
            // Several members and frames are one stream.
            Compression::Gzip => [gzip(&tar[..700]), gzip(&tar[700..])].concat(),
            Compression::Zstd => {
                let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
                [zstd(&tar[..700]), skippable.to_vec(), zstd(&tar[700..])].concat()
            }
        };
        let image = Image::stored(&[(tar.clone(), compression, stored)]);
        let unpacked = arena.unpack(&image).unwrap();
        assert_eq!(arena.text("bin/task"), "run");
        assert_eq!((arena.mode("bin/task"), arena.mode("bin"), arena.mode("etc")), (0o755, 0o755, 0o755));
        assert_eq!((arena.mode("etc/conf"), arena.mode("")), (0o644, 0o755));
        assert_eq!(arena.root().join("bin/task").metadata().unwrap().mtime(), 0o1000);
        assert_eq!(unpacked.diff_ids, [Digest::of(&tar)]);
        assert_eq!((unpacked.stats.entries, unpacked.stats.bytes), (3, 4));
        assert_eq!(unpacked.config.entrypoint, ["/task"]);
    }
}

#[test]
fn merged_usr_layouts_work() {
    let arena = Arena::new();
    let lower = t().dir("usr/lib").symlink("lib", "/usr/lib").symlink("bin", "usr/bin").dir("usr/bin").end();
    let upper = t().file("lib/libc.so", "c").hard_link("bin/copy", "lib/libc.so").dir("lib/sub").end();
    arena.unpack(&Image::new(&[lower, upper])).unwrap();
    assert_eq!(arena.text("usr/lib/libc.so"), "c");
    assert_eq!(arena.text("usr/bin/copy"), "c");
    assert_eq!(arena.root().join("usr/bin/copy").metadata().unwrap().nlink(), 2);
    assert!(arena.root().join("lib").is_symlink() && arena.exists("usr/lib/sub"));
}

#[test]
fn upper_layers_replace() {
    let arena = Arena::new();
    let lower =
        t().file("file", "old").dir("dir").file("dir/kept", "k").file("tree/a/b", "x").symlink("ln", "file");
    let upper = t().file("file", "new").raw(b'5', "dir", "", 0o1777, b"").file("tree", "flat").dir("ln");
    arena.unpack(&Image::new(&[lower.end(), upper.end()])).unwrap();
    assert_eq!((arena.text("file"), arena.text("tree")), ("new".into(), "flat".into()));
    assert_eq!((arena.text("dir/kept"), arena.mode("dir")), ("k".into(), 0o1777));
    assert!(arena.root().join("ln").symlink_metadata().unwrap().is_dir());
}

#[test]
fn replacing_one_name_of_a_file_keeps_the_other() {
    let arena = Arena::new();
    let lower = t().file("a", "old").hard_link("b", "a").hard_link("b", "b").end();
    let upper = t().file("a", "new").end();
    arena.unpack(&Image::new(&[lower, upper])).unwrap();
    assert_eq!((arena.text("a"), arena.text("b")), ("new".into(), "old".into()));
}

#[test]
fn the_last_of_two_entries_counts() {
    let arena = Arena::new();
    arena.unpack(&Image::new(&[t().file("a", "1").file("./a", "2").file("/a", "3").end()])).unwrap();
    assert_eq!(arena.text("a"), "3");
}

#[test]
fn whiteouts_hide_lower_layers_in_any_order() {
    let lower = || {
        t().file("gone", "x")
            .dir("d")
            .file("d/low", "x")
            .file("d/both", "low")
            .file("d/sub/low", "x")
            .file("e/low", "x")
    };
    let own = || t().dir("d").file("d/both", "up").file("d/sub/up", "u").file("e/up", "u");
    let marks = || t().file(".wh.gone", "").file("d/.wh..wh..opq", "").file(".wh.e", "").file("x/.wh.y", "");
    let before = Tar([marks().0, own().0].concat()).end();
    let after = Tar([own().0, marks().0].concat()).end();
    for upper in [before, after] {
        let arena = Arena::new();
        arena.unpack(&Image::new(&[lower().end(), upper])).unwrap();
        assert_eq!(arena.text("d/both"), "up");
        assert_eq!((arena.text("d/sub/up"), arena.text("e/up")), ("u".into(), "u".into()));
        for hidden in ["gone", "d/low", "d/sub/low", "e/low", ".wh.gone", "d/.wh..wh..opq", "x"] {
            assert!(!arena.exists(hidden), "{hidden}");
        }
    }
}

#[test]
fn whiteouts_do_not_hide_later_layers() {
    let arena = Arena::new();
    let layers = [t().file("a", "1").end(), t().file(".wh.a", "").end(), t().file("a", "3").end()];
    arena.unpack(&Image::new(&layers)).unwrap();
    assert_eq!(arena.text("a"), "3");
}

#[test]
fn a_skipped_device_still_replaces() {
    let arena = Arena::new();
    let layers = [t().file("null", "1").end(), t().raw(b'3', "null", "", 0o666, b"").end()];
    assert_eq!(arena.unpack(&Image::new(&layers)).unwrap().stats.devices, 1);
    assert!(!arena.exists("null"));
}

#[test]
fn ownership_can_be_given() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let arena = Arena::new();
    let limits = Limits { owner: Owner::Ids { uid: 1234, gid: 2345 }, ..Limits::default() };
    let layer = t().dir("d").file("d/f", "x").symlink("l", "/nowhere").end();
    arena.unpack_with(&Image::new(&[layer]), &limits).unwrap();
    for path in ["", "d", "d/f", "l"] {
        let meta = arena.root().join(path).symlink_metadata().unwrap();
        assert_eq!((meta.uid(), meta.gid()), (1234, 2345), "{path}");
    }
}

/// Changes one blob of a good image behind its digest; the host is to blame, however the bytes then parse.
#[test]
fn altered_blobs_are_the_hosts_doing() {
    let arena = Arena::new();
    let tar = t().file("a", &"content ".repeat(1000)).end();
    let image = Image::stored(&[(tar.clone(), Compression::Gzip, gzip(&tar))]);
    let (memory, manifest) = image.finish();
    for digest in memory.blobs.keys() {
        let original = memory.blobs[digest].clone();
        let changed = |i: usize| {
            let mut bytes = original.clone();
            bytes[i] ^= 0x10;
            bytes
        };
        let len = original.len();
        let longer = [original.as_slice(), b"x"].concat();
        for bytes in
            [changed(0), changed(len / 2), changed(len - 1), original[..len - 1].to_vec(), longer, vec![]]
        {
            let mut memory = memory.clone();
            memory.blobs.insert(*digest, bytes);
            let result = arena.unpack_blobs(&mut memory, &manifest, &Limits::default());
            assert!(
                matches!(result, Err(Error::Mismatch { digest: d, why: Mismatch::Digest { .. } }) if d == *digest),
                "{result:?}"
            );
        }
        for at in [0, 1, len / 2, len] {
            let mut memory = Memory { fail_after: Some((*digest, at)), ..memory.clone() };
            let result = arena.unpack_blobs(&mut memory, &manifest, &Limits::default());
            assert!(
                matches!(result, Err(Error::Unavailable { digest: d, .. }) if d == *digest),
                "{result:?}"
            );
        }
        let mut memory = memory.clone();
        memory.blobs.remove(digest);
        let result = arena.unpack_blobs(&mut memory, &manifest, &Limits::default());
        assert!(matches!(result, Err(Error::Unavailable { .. })), "{result:?}");
    }
    let limits = Limits { blob_bytes: 50, ..Limits::default() };
    let result = arena.unpack_with(&image, &limits);
    assert!(
        matches!(result, Err(Error::Mismatch { why: Mismatch::Endless { limit: 50 }, .. })),
        "{result:?}"
    );
}

/// Digests are right, the image isn't: the owner is to blame.
#[test]
fn wrong_images_are_the_owners_doing() {
    let arena = Arena::new();
    let tar = t().file("a", "x").end();
    let good = || Image::new(std::slice::from_ref(&tar));
    let blame = |image: Image| invalid(arena.unpack(&image));

    let mut image = good();
    image.config["rootfs"]["diff_ids"][0] = json!(Digest::of(b"other").to_string());
    assert!(matches!(blame(image), Invalid::DiffId { actual, .. } if actual == Digest::of(&tar)));
    for by in [-1, 1] {
        let mut image = good();
        image.manifest["layers"][0]["size"] = json!(tar.len() as i64 + by);
        assert!(matches!(blame(image), Invalid::BlobSize { .. }), "size off by {by}");
    }
    let mut image = good();
    image.config["rootfs"]["diff_ids"] = json!([]);
    assert_eq!(blame(image), Invalid::LayerCount { layers: 1, diff_ids: 0 });
    let mut image = good();
    image.config["architecture"] = json!("vax");
    assert!(matches!(blame(image), Invalid::Platform { .. }));
    let mut image = good();
    image.config = json!("not a config");
    assert!(matches!(blame(image), Invalid::Config(_)));
    let mut image = good();
    image.manifest["layers"][0]["mediaType"] =
        json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    assert!(matches!(blame(image), Invalid::MediaType { .. }));
    let mut image = good();
    image.manifest["schemaVersion"] = json!(1);
    assert!(matches!(blame(image), Invalid::Manifest(_)));

    let gz = gzip(&tar);
    for (compression, stored) in [
        (Compression::Gzip, gz[..gz.len() - 3].to_vec()),
        (Compression::Gzip, [gz.as_slice(), b"trailing"].concat()),
        (Compression::Gzip, tar.clone()),
        (Compression::Zstd, gz.clone()),
        (Compression::Zstd, [zstd(&tar), vec![1, 2, 3, 4, 5]].concat()),
        (Compression::Zstd, zstd(&tar)[..40].to_vec()),
    ] {
        let invalid = blame(Image::stored(&[(tar.clone(), compression, stored)]));
        assert!(matches!(invalid, Invalid::Compression(_)), "{compression:?}: {invalid}");
    }
    assert!(matches!(blame(Image::new(&[tar[..600].to_vec()])), Invalid::Archive(_)));
    let late = [t().file("a", "x").end(), t().file("../b", "x").end()];
    let fault = Invalid::Entry { path: "../b".into(), fault: EntryFault::Escapes };
    assert_eq!(blame(Image::new(&late)), fault);
}

#[test]
fn what_follows_the_archive_counts_for_its_digest() {
    let arena = Arena::new();
    let tar = [t().file("a", "x").end(), vec![7; 5000]].concat();
    let unpacked = arena.unpack(&Image::new(std::slice::from_ref(&tar))).unwrap();
    assert_eq!(unpacked.diff_ids, [Digest::of(&tar)]);
}
