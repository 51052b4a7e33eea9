//! Sealed data, images, and the names of places.
#![no_main]

mod crypt4gh;
mod dataset;
mod image;
mod names;
mod remote;
mod sealed;

use pox_fuzz::Target;

const TARGETS: &[Target] = &[
    Target { name: "age-header", run: sealed::header, seeds: sealed::header_seeds },
    Target { name: "age-file", run: sealed::file, seeds: sealed::file_seeds },
    Target { name: "age-round-trip", run: sealed::round_trip, seeds: sealed::plain_seeds },
    Target { name: "age-armor", run: sealed::armor, seeds: sealed::armor_seeds },
    Target { name: "age-keys", run: sealed::keys, seeds: sealed::key_seeds },
    Target { name: "crypt4gh-header", run: crypt4gh::header, seeds: crypt4gh::header_seeds },
    Target { name: "crypt4gh-packet", run: crypt4gh::packet, seeds: crypt4gh::packet_seeds },
    Target { name: "crypt4gh-edits", run: crypt4gh::edits, seeds: crypt4gh::edit_seeds },
    Target { name: "crypt4gh-keys", run: crypt4gh::keys, seeds: crypt4gh::key_seeds },
    Target { name: "crypt4gh-access", run: crypt4gh::access, seeds: crypt4gh::access_seeds },
    Target { name: "b3sums", run: dataset::b3sums, seeds: dataset::text_seeds },
    Target { name: "key-commitments", run: dataset::key_commitments, seeds: dataset::text_seeds },
    Target { name: "manifest-item", run: dataset::manifest_item, seeds: dataset::item_seeds },
    Target { name: "entry-path", run: dataset::entry_path, seeds: dataset::path_seeds },
    Target { name: "journal-record", run: dataset::journal_record, seeds: dataset::record_seeds },
    Target { name: "journal", run: dataset::journal, seeds: dataset::journal_seeds },
    Target { name: "dataset", run: dataset::dataset, seeds: dataset::seeds },
    Target { name: "image-manifest", run: image::manifest, seeds: image::manifest_seeds },
    Target { name: "image-config", run: image::config, seeds: image::config_seeds },
    Target { name: "image-layer", run: image::layer, seeds: image::layer_seeds },
    Target { name: "image", run: image::whole, seeds: image::whole_seeds },
    Target { name: "oci-archive", run: image::oci_archive, seeds: image::oci_archive_seeds },
    Target { name: "docker-archive", run: image::docker_archive, seeds: image::docker_archive_seeds },
    Target { name: "image-document", run: image::document, seeds: image::manifest_seeds },
    Target { name: "image-source", run: names::image_source, seeds: names::image_source_seeds },
    Target { name: "location", run: names::location, seeds: names::location_seeds },
    Target { name: "object-name", run: names::object_name, seeds: names::object_name_seeds },
    Target { name: "host-port", run: names::host_port, seeds: names::host_port_seeds },
    Target { name: "ipfs-archive", run: remote::archive, seeds: remote::archive_seeds },
    Target { name: "ipfs-block", run: remote::block, seeds: remote::block_seeds },
    Target { name: "ipfs-cid", run: remote::cid, seeds: remote::cid_seeds },
    Target { name: "s3-answer", run: remote::answer, seeds: remote::answer_seeds },
    Target { name: "digest", run: names::digest, seeds: names::digest_seeds },
];

libfuzzer_sys::fuzz_target!(init: pox_fuzz::start(TARGETS), |input: &[u8]| pox_fuzz::run(input));
