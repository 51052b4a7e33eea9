//! Signing the host's requests to the owner's storage, one by one (spec §9.5).
//!
//! The keys came with the secret and never leave: the host gets URLs, each good for one request about the one object that the
//! enclave has it fetch or store, for minutes. The time in them is this machine's, which the host may have set: that decides when
//! a URL is good, and nothing else.

use pox_core::UnixTime;
use pox_core::s3::{BucketAccess, Operation, URL_SECONDS, key, split_location};
use std::time::{SystemTime, UNIX_EPOCH};

/// Keys to buckets.
#[derive(Debug, Default)]
pub(crate) struct Signer(Vec<BucketAccess>);

/// The object that is being fetched or stored, and which of the two.
#[derive(Debug)]
pub(crate) struct Transfer {
    direction: Direction,
    /// Bucket and key; nothing for what is in no bucket.
    object: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Fetch,
    Store,
}

impl Transfer {
    pub(crate) fn fetch(location: &str, name: &str) -> Self {
        Self::new(Direction::Fetch, location, name)
    }

    pub(crate) fn store(location: &str, name: &str) -> Self {
        Self::new(Direction::Store, location, name)
    }

    /// Of something for which the enclave never signs.
    pub(crate) fn public() -> Self {
        Self { direction: Direction::Fetch, object: None }
    }

    fn new(direction: Direction, location: &str, name: &str) -> Self {
        let object = split_location(location);
        Self { direction, object: object.map(|(bucket, prefix)| (bucket.to_owned(), key(prefix, name))) }
    }

    /// Whether the host needs this operation for this transfer.
    fn needs(&self, operation: &Operation) -> bool {
        match (self.direction, operation) {
            (_, Operation::Size) | (Direction::Fetch, Operation::Read) => true,
            (
                Direction::Store,
                Operation::Write
                | Operation::Begin
                | Operation::Part { .. }
                | Operation::Finish { .. }
                | Operation::Abort { .. },
            ) => true,
            // What a host would resume is in its own hands; a list would tell it of other objects.
            _ => false,
        }
    }
}

impl Signer {
    pub(crate) fn new(buckets: Vec<BucketAccess>) -> Self {
        Self(buckets)
    }

    /// A URL for one request; none, if the transfer doesn't need it or there are no keys.
    pub(crate) fn sign(&self, transfer: &Transfer, operation: &Operation) -> Option<String> {
        let (bucket, key) = transfer.object.as_ref().filter(|_| transfer.needs(operation))?;
        let access = self.0.iter().find(|access| access.bucket == *bucket)?;
        // A clock before 1970 makes URLs that no storage takes.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        access.presign(key, operation, UnixTime(now), URL_SECONDS).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pox_core::s3::Style;

    fn signer() -> Signer {
        Signer::new(vec![BucketAccess {
            bucket: "mine".into(),
            endpoint: "https://s3.example".into(),
            region: "r".into(),
            style: Style::Path,
            key_id: "id".into(),
            secret_key: "TOPSECRET".into(),
            session_token: None,
        }])
    }

    #[test]
    fn a_host_gets_urls_for_the_object_at_hand_only() {
        let (signer, upload) = (signer(), || "u".to_owned());
        let fetch = Transfer::fetch("s3://mine/set", "data.age");
        let url = signer.sign(&fetch, &Operation::Read).unwrap();
        assert!(url.starts_with("https://s3.example/mine/set/data.age?") && !url.contains("TOPSECRET"));
        assert!(signer.sign(&fetch, &Operation::Size).is_some());
        let writes = [
            Operation::Write,
            Operation::Begin,
            Operation::Part { number: 1, upload: upload() },
            Operation::Finish { upload: upload() },
            Operation::Abort { upload: upload() },
        ];
        let store = Transfer::store("s3://mine/results", "data.age");
        for write in &writes {
            assert_eq!(signer.sign(&fetch, write), None);
            assert!(signer.sign(&store, write).is_some_and(|url| url.contains("/mine/results/data.age?")));
        }
        let never = [Operation::Unfinished, Operation::Parts { after: 0, upload: upload() }];
        for operation in &never {
            assert_eq!((signer.sign(&fetch, operation), signer.sign(&store, operation)), (None, None));
        }
        assert_eq!(signer.sign(&store, &Operation::Read), None);
    }

    #[test]
    fn nothing_else_is_signed() {
        for transfer in [
            Transfer::public(),
            Transfer::fetch("s3://other/set", "data.age"),
            Transfer::fetch("https://s3.example/mine/set", "data.age"),
            Transfer::fetch("s3://mine/../x", "data.age"),
            Transfer::fetch("s3://mine/set", "../x"),
        ] {
            assert_eq!(signer().sign(&transfer, &Operation::Read), None, "{transfer:?}");
        }
    }
}
