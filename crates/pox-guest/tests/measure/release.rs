//! Release manifests.

use crate::expected::shapes;
use crate::made;
use pox_core::evidence::EvidenceKind;
use pox_guest::measure::{BadRelease, Expected, ReleaseManifest};
use pox_verify::{Anchors, Policy};
use sha2::{Digest, Sha256};

#[test]
fn a_verifier_that_loads_a_release_accepts_its_measurements() {
    let (release, expected) = release();
    let mut anchors = Anchors::default();
    let tdx = &expected.launches[1];
    assert!(Policy::default().accepts(EvidenceKind::Tdx, tdx.measurement, &anchors).is_err());
    anchors.releases.extend(release.releases());
    for launch in &expected.launches[1..] {
        assert_eq!(Policy::default().accepts(launch.kind, launch.measurement, &anchors), Ok(()));
    }
    assert_eq!(anchors.release(tdx.measurement), Some("pox-guest 0.1.0"));
}

#[test]
fn a_policy_names_a_release_whichever_way_it_is_launched() {
    let (release, expected) = release();
    let anchors = Anchors { releases: release.releases().collect(), ..Anchors::default() };
    let named = Policy::from_written(br#"{"version":1,"releases":["pox-guest 0.1.0"]}"#).unwrap();
    let other = Policy::from_written(br#"{"version":1,"releases":["pox-guest 0.1"]}"#).unwrap();
    for launch in &expected.launches[1..] {
        assert_eq!(named.accepts(launch.kind, launch.measurement, &anchors), Ok(()));
        assert!(other.accepts(launch.kind, launch.measurement, &anchors).is_err());
    }
    // A name that a policy could not name is none.
    assert!(ReleaseManifest::new(&"x".repeat(64), &expected).is_ok());
    assert_eq!(ReleaseManifest::new(&"x".repeat(65), &expected), Err(BadRelease::Text));
}

#[test]
fn the_canonical_form_is_read_as_it_was_written() {
    let (release, expected) = release();
    let bytes = release.canonical_bytes();
    assert_eq!(ReleaseManifest::parse(&bytes), Ok(release.clone()));
    assert_eq!(release.digest()[..], Sha256::digest(&bytes)[..]);
    // The order of the shapes is of no consequence, nor is one that gives a measurement again.
    let mut other = expected;
    other.launches.reverse();
    other.launches.push(other.launches[0].clone());
    assert_eq!(ReleaseManifest::new("pox-guest 0.1.0", &other).unwrap().canonical_bytes(), bytes);
}

#[test]
fn other_forms_of_a_manifest_are_refused() {
    let text = String::from_utf8(release().0.canonical_bytes()).unwrap();
    let parse = |text: &str| ReleaseManifest::parse(text.as_bytes()).unwrap_err();
    assert_eq!(parse(&text.replace(":1,", ": 1,")), BadRelease::NotCanonical);
    assert_eq!(parse(&format!("{text}\n")), BadRelease::NotCanonical);
    assert_eq!(parse(&text.replace("\"version\":1", "\"version\":2")), BadRelease::Version(2));
    assert!(matches!(parse(&text.replace("{\"version\"", "{\"more\":0,\"version\"")), BadRelease::Json(_)));
    assert!(matches!(parse(&text.replace("\"tdx\"", "\"sev\"")), BadRelease::Json(_)));
    assert!(matches!(parse(&text[1..]), BadRelease::Json(_)));
    assert_eq!(parse(&text.replace("pox-guest 0.1.0", "")), BadRelease::Text);
    assert_eq!(parse(&text.replace("pox-guest 0.1.0", "\\u001b[1m")), BadRelease::Text);
    assert_eq!(parse(&" ".repeat(300_000)), BadRelease::TooLarge(300_000));
    let nothing = [&text[..text.find('[').unwrap()], "[]}"].concat();
    assert_eq!(parse(&nothing), BadRelease::Launches(0));
    // Launches in another order, or twice.
    let launches = text.split_once('[').unwrap().1.strip_suffix("]}").unwrap();
    let (first, rest) = launches.split_once("},").unwrap();
    assert_eq!(parse(&text.replace(launches, &format!("{rest},{first}}}"))), BadRelease::NotCanonical);
    assert_eq!(parse(&text.replace(launches, &format!("{first}}},{launches}"))), BadRelease::NotCanonical);
}

fn release() -> (ReleaseManifest, Expected) {
    let (kernel, initramfs, firmware) = (made::kernel(), made::initramfs(), made::firmware());
    let expected = Expected::of(&made::files(&kernel, &initramfs), &shapes(&firmware)).unwrap();
    (ReleaseManifest::new("pox-guest 0.1.0", &expected).unwrap(), expected)
}
