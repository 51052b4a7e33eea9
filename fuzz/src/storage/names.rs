//! Names of places: each has one spelling, so that what is shown is what is meant.

use pox_store::image::{Digest, ImageSource};
use pox_store::{HostPort, Location, Name};
use std::fmt::{Debug, Display};
use std::str::FromStr;

pub(crate) fn image_source(input: &[u8]) {
    shown_means_the_same::<ImageSource>(input);
}

pub(crate) fn location(input: &[u8]) {
    shown_means_the_same::<Location>(input);
}

pub(crate) fn object_name(input: &[u8]) {
    shown_means_the_same::<Name>(input);
}

pub(crate) fn host_port(input: &[u8]) {
    shown_means_the_same::<HostPort>(input);
}

pub(crate) fn digest(input: &[u8]) {
    shown_means_the_same::<Digest>(input);
}

fn shown_means_the_same<T: FromStr + Display + PartialEq + Debug>(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(value) = text.parse::<T>() else { return };
    let shown = value.to_string();
    match shown.parse::<T>() {
        Ok(again) => assert_eq!(again, value, "{shown:?} is shown"),
        Err(_) => panic!("{value:?} is shown as {shown:?}, which is none"),
    }
}

pub(crate) fn image_source_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "docker://registry.example:5000/a/b:1.0",
        "docker://127.0.0.1:5000/a@sha256:00000000000000000000000000000000000000000000000000000000000000aa",
        "oci:/images/a",
        "oci:https://images.example/a:tag",
        "oci-archive:/images/a.tar:tag",
        "docker-archive:/images/a.tar:name:tag",
    ])
}

pub(crate) fn location_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "/data/a b",
        "file:///data/a%20b",
        "https://storage.example:8443/a/",
        "http://[::1]:80/a",
        "s3://bucket/a/b",
        "ipfs://QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn/a",
    ])
}

pub(crate) fn object_name_seeds() -> Vec<Vec<u8>> {
    texts(&["data.age", "blobs/sha256/00"])
}

pub(crate) fn host_port_seeds() -> Vec<Vec<u8>> {
    texts(&["storage.example:443", "127.0.0.1:80", "[::1]:80"])
}

pub(crate) fn digest_seeds() -> Vec<Vec<u8>> {
    vec![format!("sha256:{:064x}", 7).into_bytes()]
}

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}
