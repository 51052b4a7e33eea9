//! Whatever a layer holds, nothing outside the root changes, and nothing panics.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod image_support;

use std::fs;
use std::os::fd::AsFd;

use image_support::*;
use pox_enclave::image::{ImageConfig, LayerStats, Limits, Manifest, Tree, unpack_layer};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    name: String,
    target: String,
    mode: u32,
}

/// Few names, so that entries meet: links over directories, files below links, whiteouts of either.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[abc]",
        1 => Just("..".to_owned()),
        1 => Just("outside".to_owned()),
        1 => Just("secret".to_owned()),
        1 => Just("passwd".to_owned()),
        1 => "\\.wh\\.[abc]",
        1 => Just(".wh..wh..opq".to_owned()),
        1 => Just(".wh...".to_owned()),
    ];
    (prop::bool::weighted(0.1), prop::collection::vec(part, 1..5))
        .prop_map(|(absolute, parts)| (if absolute { "/" } else { "" }).to_owned() + &parts.join("/"))
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        path(),
        Just("..".to_owned()),
        Just("../outside".to_owned()),
        Just("../../..".to_owned()),
        Just("/".to_owned()),
        Just("OUTSIDE".to_owned()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(b"0001122255536x".to_vec());
    (kind, path(), target(), 0..0o10000u32).prop_map(|(kind, name, target, mode)| Step {
        kind,
        name,
        target,
        mode,
    })
}

fn layer(steps: &[Step], outside: &str) -> Vec<u8> {
    steps
        .iter()
        .fold(Tar::default(), |tar, step| {
            let target = step.target.replace("OUTSIDE", outside);
            let content: &[u8] = if matches!(step.kind, b'0' | b'x') { b"12 path=../x" } else { b"" };
            tar.raw(step.kind, &step.name, &target, step.mode, content)
        })
        .end()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn nothing_outside_changes(layers in prop::collection::vec(prop::collection::vec(step(), 0..12), 1..4)) {
        let arena = Arena::new();
        let outside = arena.dir.path().join("outside").to_str().unwrap().to_owned();
        let root = fs::File::open(arena.root()).unwrap();
        let limits = Limits::default();
        let mut tree = Tree::new(root.as_fd(), &limits).unwrap();
        let mut stats = LayerStats::default();
        // Each entry is a layer of its own too, so that one refused entry doesn't shield what follows.
        for steps in &layers {
            for chunk in steps.chunks(1).chain([steps.as_slice()]) {
                let _ = unpack_layer(&mut layer(chunk, &outside).as_slice(), &mut tree, &limits, &mut stats);
            }
        }
        arena.check_outside();
        tree.wipe().unwrap();
        prop_assert_eq!(fs::read_dir(arena.root()).unwrap().count(), 0);
        arena.check_outside();
    }

    #[test]
    fn damaged_archives_do_not_panic(
        steps in prop::collection::vec(step(), 1..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let arena = Arena::new();
        let mut bytes = layer(&steps, "/");
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let root = fs::File::open(arena.root()).unwrap();
        let limits = Limits::default();
        let mut tree = Tree::new(root.as_fd(), &limits).unwrap();
        let _ = unpack_layer(&mut bytes.as_slice(), &mut tree, &limits, &mut LayerStats::default());
        arena.check_outside();
    }

    #[test]
    fn documents_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes);
        let _ = ImageConfig::parse(&bytes);
    }
}
