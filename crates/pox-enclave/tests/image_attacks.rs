//! Layers that try to leave the root, or to cost more than they may.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod image_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use image_support::*;
use pox_enclave::image::{Compression, EntryFault, Error, Invalid, Limits};

/// Unpacks hostile layers, and expects the named fault in the last of them.
fn refuses(fault: EntryFault, layers: &[Tar]) {
    let arena = Arena::new();
    let layers: Vec<_> = layers.iter().map(|tar| tar.clone().end()).collect();
    match invalid(arena.unpack(&Image::new(&layers))) {
        Invalid::Entry { fault: found, path } => assert_eq!(found, fault, "{path}"),
        other => panic!("{other:?}"),
    }
}

fn t() -> Tar {
    Tar::default()
}

#[test]
fn parent_components_are_refused() {
    refuses(EntryFault::Escapes, &[t().file("../passwd", "x")]);
    refuses(EntryFault::Escapes, &[t().dir("a").file("a/../../passwd", "x")]);
    refuses(EntryFault::Escapes, &[t().file(&format!("../{}", "x".repeat(150)), "by pax")]);
    refuses(EntryFault::Escapes, &[t().dir("..")]);
    refuses(EntryFault::Escapes, &[t().symlink("../link", "x")]);
    refuses(EntryFault::Escapes, &[t().file(&format!("{}../passwd", "./".repeat(60)), "x")]);
}

#[test]
fn absolute_paths_mean_the_root() {
    let arena = Arena::new();
    let absolute = arena.dir.path().join("passwd");
    let layer = t().file(absolute.to_str().unwrap(), "inside").end();
    arena.unpack(&Image::new(&[layer])).unwrap();
    assert_eq!(arena.text(absolute.strip_prefix("/").unwrap().to_str().unwrap()), "inside");
}

#[test]
fn links_are_followed_inside_the_root_only() {
    // All of these lead to `outside` if the link is followed as the host sees it.
    let absolute = |arena: &Arena| arena.dir.path().join("outside").to_str().unwrap().to_owned();
    for relative in [false, true] {
        let arena = Arena::new();
        let target = if relative { "../outside".into() } else { absolute(&arena) };
        let layer = t().symlink("d", &target).file("d/secret", "overwritten").end();
        let fault = invalid(arena.unpack(&Image::new(&[layer])));
        assert!(matches!(fault, Invalid::Entry { fault: EntryFault::NotADirectory, .. }), "{fault}");
    }
    // The same link is confined where its target exists inside.
    let arena = Arena::new();
    let target = absolute(&arena);
    let layer = t().dir(&target[1..]).symlink("d", &target).file("d/secret", "confined").end();
    arena.unpack(&Image::new(&[layer])).unwrap();
    assert_eq!(arena.text(&format!("{}/secret", &target[1..])), "confined");
}

#[test]
fn a_directory_swapped_for_a_link_does_not_redirect() {
    refuses(
        EntryFault::NotADirectory,
        &[t().dir("d").file("d/a", "x"), t().symlink("d", "../outside").file("d/secret", "x")],
    );
    // Within one layer, after the parent was used.
    refuses(
        EntryFault::NotADirectory,
        &[t().dir("d").file("d/a", "x").symlink("d", "/../outside").file("d/secret", "x")],
    );
}

#[test]
fn a_link_with_the_name_of_a_file_is_replaced() {
    let arena = Arena::new();
    let secret = arena.dir.path().join("outside/secret");
    let layer = t().symlink("f", secret.to_str().unwrap()).file("f", "new").end();
    arena.unpack(&Image::new(&[layer])).unwrap();
    assert_eq!(arena.text("f"), "new");
    assert!(!arena.root().join("f").is_symlink());
}

#[test]
fn a_link_with_the_name_of_a_directory_is_replaced_not_chmodded() {
    let arena = Arena::new();
    let outside = arena.dir.path().join("outside");
    let layer = t().symlink("d", outside.to_str().unwrap()).raw(b'5', "d", "", 0o777, b"").end();
    arena.unpack(&Image::new(&[layer])).unwrap();
    assert!(arena.root().join("d").symlink_metadata().unwrap().is_dir());
}

#[test]
fn hard_links_to_the_outside_are_refused() {
    let arena = Arena::new();
    let secret = arena.dir.path().join("outside/secret");
    let secret = secret.to_str().unwrap();
    refuses(EntryFault::LinkTarget, &[t().hard_link("h", "../outside/secret")]);
    refuses(EntryFault::LinkTarget, &[t().hard_link("h", secret)]);
    refuses(EntryFault::LinkTarget, &[t().symlink("d", "../outside").hard_link("h", "d/secret")]);
    refuses(EntryFault::LinkTarget, &[t().dir("d").hard_link("h", "d")]);
    refuses(EntryFault::LinkTarget, &[t().hard_link("h", "")]);
    refuses(EntryFault::LinkTarget, &[t().dir("d").file("d/f", "x").hard_link("d", "d/f")]);
}

#[test]
fn a_hard_link_to_a_link_links_the_link() {
    let arena = Arena::new();
    let secret = arena.dir.path().join("outside/secret");
    let layer = t().symlink("s", secret.to_str().unwrap()).hard_link("h", "s").file("h", "new").end();
    arena.unpack(&Image::new(&[layer])).unwrap();
    assert_eq!(arena.text("h"), "new");
}

#[test]
fn whiteouts_do_not_reach_out() {
    let lower = || t().symlink("d", "../outside").symlink("e", "/outside").dir("f").file("f/x", "y");
    for name in ["d/.wh.secret", "d/.wh..wh..opq", "e/.wh.secret", "e/deep/.wh.file"] {
        refuses(EntryFault::Whiteout, &[lower(), t().file(name, "")]);
    }
    for name in [".wh.", ".wh..", ".wh...", "f/.wh...", "f/.wh.", ".wh..wh.x", ".wh.d/x", "f/.wh.g/.wh.h"] {
        refuses(EntryFault::Whiteout, &[lower(), t().file(name, "")]);
    }
    refuses(EntryFault::Whiteout, &[lower(), t().dir(".wh.f")]);
    refuses(EntryFault::Whiteout, &[lower(), t().hard_link(".wh.f", "f/x")]);
    refuses(EntryFault::Escapes, &[lower(), t().file("../.wh.outside", "")]);
}

#[test]
fn a_whiteout_of_a_link_removes_the_link() {
    let arena = Arena::new();
    let outside = arena.dir.path().join("outside");
    let layers = [t().symlink("d", outside.to_str().unwrap()).end(), t().file(".wh.d", "").end()];
    arena.unpack(&Image::new(&layers)).unwrap();
    assert!(!arena.exists("d"));
}

#[test]
fn privileges_and_devices_do_not_arrive() {
    let arena = Arena::new();
    let xattr = record("SCHILY.xattr.security.capability", "\u{1}\u{0}\u{0}\u{2}");
    let layer = t()
        .raw(b'0', "setuid", "", 0o4755, b"x")
        .raw(b'0', "setgid", "", 0o2755, b"x")
        .raw(b'5', "dir", "", 0o3777, b"")
        .raw(b'x', "pax", "", 0o644, &xattr)
        .raw(b'0', "capable", "", 0o755, b"x")
        .raw(b'3', "dev/null", "", 0o666, b"")
        .raw(b'4', "dev/sda", "", 0o666, b"")
        .raw(b'6', "fifo", "", 0o666, b"")
        .end();
    let unpacked = arena.unpack(&Image::new(&[layer])).unwrap();
    assert_eq!((arena.mode("setuid"), arena.mode("setgid"), arena.mode("dir")), (0o755, 0o755, 0o1777));
    assert_eq!((unpacked.stats.devices, unpacked.stats.fifos), (2, 1));
    assert!(!arena.exists("dev/null") && !arena.exists("dev/sda") && !arena.exists("fifo"));
    let path = arena.root().join("capable");
    assert_eq!(rustix::fs::listxattr(&path, &mut [0; 4096]).unwrap(), 0, "no extended attribute");
}

#[test]
fn deep_and_long_paths_are_refused() {
    refuses(EntryFault::TooLong, &[t().file(&("d/".repeat(2000) + "f"), "x")]);
    refuses(EntryFault::TooLong, &[t().file(&"n".repeat(256), "x")]);
    refuses(EntryFault::TooLong, &[t().file(&"name/".repeat(900), "x")]);
    // Deeper on disk than any path is long, by going through links.
    let half = "d/".repeat(100);
    let layer = t().dir(&half).symlink("l", half.trim_end_matches('/')).dir(&format!("l/{half}"));
    refuses(EntryFault::TooLong, &[layer]);
    refuses(EntryFault::NotADirectory, &[t().symlink("a", "b").symlink("b", "a").file("a/x", "x")]);
    refuses(EntryFault::SymlinkTarget, &[t().symlink("a", "")]);
    refuses(EntryFault::SymlinkTarget, &[t().symlink("a", &"t/".repeat(2100))]);
    refuses(EntryFault::NotADirectory, &[t().file("f", "x").file("f/g", "x")]);
    refuses(EntryFault::Malformed, &[t().file("./", "x").file(".", "y")]);
}

#[test]
fn every_count_has_a_limit() {
    let arena = Arena::new();
    let layers = vec![t().file("a", "12345").dir("b").end(); 2];
    let image = Image::new(&layers);
    let base = Limits::default();
    let exact = Limits { layers: 2, entries: 4, file_bytes: 5, unpacked_bytes: 2 * 2560, ..base.clone() };
    for limits in [
        Limits { layers: 1, ..base.clone() },
        Limits { entries: 3, ..base.clone() },
        Limits { file_bytes: 4, ..base.clone() },
        Limits { unpacked_bytes: 2 * 2560 - 1, ..base.clone() },
        Limits { manifest_bytes: 100, ..base.clone() },
        Limits { config_bytes: 100, ..base.clone() },
    ] {
        let invalid = invalid(arena.unpack_with(&image, &limits));
        let file = matches!(invalid, Invalid::Entry { fault: EntryFault::TooBig, .. });
        assert!(file || matches!(invalid, Invalid::TooBig { .. }), "{invalid}");
    }
    arena.unpack_with(&image, &exact).unwrap();
}

#[test]
fn bombs_stop_at_the_budget() {
    const BUDGET: u64 = 64 << 20;
    let limits = Limits { unpacked_bytes: BUDGET, ..Limits::default() };
    let bombs = [
        // 4 GiB of zeros in 128 KiB: blocks that repeat one byte.
        (Compression::Zstd, {
            let block = |last: u32| (last | 1 << 1 | (128 << 10) << 3).to_le_bytes()[..3].to_vec();
            let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
            for i in 0..32768 {
                frame.extend(block(u32::from(i == 32767)));
                frame.push(0);
            }
            frame
        }),
        (Compression::Gzip, {
            let member = gzip(&vec![0; 32 << 20]);
            member.repeat(4)
        }),
    ];
    for (compression, bytes) in bombs {
        assert!(bytes.len() < 1 << 20);
        let arena = Arena::new();
        let image = Image::stored(&[(vec![], compression, bytes)]);
        let invalid = invalid(arena.unpack_with(&image, &limits));
        assert!(matches!(invalid, Invalid::TooBig { limit: BUDGET, .. }), "{invalid}");
    }
}

#[test]
fn memory_is_bounded_before_it_is_taken() {
    let arena = Arena::new();
    // A window of 2^31 bytes.
    let window = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
    let image = Image::stored(&[(vec![], Compression::Zstd, window)]);
    assert!(matches!(invalid(arena.unpack(&image)), Invalid::Compression(_)));
    // A pax header that says it has 1 TiB.
    let layer = header(b'x', b"pax", b"", 0o644, 1 << 40).to_vec();
    assert!(matches!(invalid(arena.unpack(&Image::new(&[layer]))), Invalid::TooBig { .. }));
    // A file that says so has no space set aside either.
    let layer = header(b'0', b"file", b"", 0o644, 1 << 35).to_vec();
    assert!(matches!(invalid(arena.unpack(&Image::new(&[layer]))), Invalid::Archive(_)));
}

#[test]
fn a_directory_with_content_is_not_taken() {
    let arena = Arena::new();
    fs::write(arena.root().join("left"), "x").unwrap();
    let (mut memory, digest) = Image::new(&[t().end()]).finish();
    let root = fs::File::open(arena.root()).unwrap();
    let result =
        pox_enclave::image::unpack(&digest, &mut memory, &Limits::default(), std::os::fd::AsFd::as_fd(&root));
    assert!(matches!(result, Err(Error::Local(_))));
    assert_eq!(arena.text("left"), "x", "and what was there stays");
}

/// Runs all the other tests of this file once more without privileges.
#[test]
fn holds_for_an_ordinary_user_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const NOBODY: u32 = 65534;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let scratch = dir.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    std::os::unix::fs::chown(&scratch, Some(NOBODY), Some(NOBODY)).unwrap();
    let output = Command::new(&program)
        .args(["--skip", "holds_for_an_ordinary_user_too"])
        .env("TMPDIR", &scratch)
        .current_dir(&scratch)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("0 failed"), "{text}");
}
