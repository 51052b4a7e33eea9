//! Requests to S3-compatible storage, signed one by one by whoever holds the keys (spec §9.5).
//!
//! An enclave has no network, and its host must not have the owner's keys. So the host says what it wants to ask the storage for,
//! and the enclave gives it a URL that is good for that one request, for minutes. The signature is AWS's Signature Version 4 in
//! the query ("presigned"), which every S3-compatible storage knows.

use crate::UnixTime;
use crate::evidence::sha256;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How one bucket is reached, and the keys to it.
#[derive(Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(map)]
pub struct BucketAccess {
    /// The bucket's name.
    #[n(0)]
    pub bucket: String,
    /// The service: `https://` or `http://`, a host in lower case, and a port unless it is the scheme's own. Nothing else.
    #[n(1)]
    pub endpoint: String,
    /// The region that signatures name.
    #[n(2)]
    pub region: String,
    /// Where the bucket's name goes.
    #[n(3)]
    #[zeroize(skip)]
    pub style: Style,
    /// Access key id.
    #[n(4)]
    pub key_id: String,
    /// Secret access key.
    #[n(5)]
    pub secret_key: String,
    /// Session token of temporary keys.
    #[n(6)]
    pub session_token: Option<String>,
}

/// Where a bucket's name stands in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Style {
    /// `https://endpoint/bucket/key`: what most self-hosted services understand.
    #[n(0)]
    Path,
    /// `https://bucket.endpoint/key`: what AWS wants.
    #[n(1)]
    Host,
}

/// What is asked of one object.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum Operation {
    /// Read it, or a range of it.
    #[n(0)]
    Read,
    /// Ask for its size.
    #[n(1)]
    Size,
    /// Write it in one request.
    #[n(2)]
    Write,
    /// Begin to write it in parts.
    #[n(3)]
    Begin,
    /// Write one part.
    #[n(4)]
    Part {
        /// Its number, from 1.
        #[n(0)]
        number: u32,
        /// What the storage called the upload.
        #[n(1)]
        upload: String,
    },
    /// Ask which parts are there, after this number.
    #[n(5)]
    Parts {
        /// The last number that is known.
        #[n(0)]
        after: u32,
        /// What the storage called the upload.
        #[n(1)]
        upload: String,
    },
    /// Make the parts the object.
    #[n(6)]
    Finish {
        /// What the storage called the upload.
        #[n(0)]
        upload: String,
    },
    /// Throw the parts away.
    #[n(7)]
    Abort {
        /// What the storage called the upload.
        #[n(0)]
        upload: String,
    },
    /// Ask for uploads of the object that were begun and not finished.
    #[n(8)]
    Unfinished,
}

/// A request can't be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAccess {
    /// The bucket's name is none.
    #[error("the bucket's name isn't 3 to 63 lower-case letters, digits, dots and hyphens")]
    Bucket,
    /// The endpoint is more, or less, than a scheme, a host and a port.
    #[error("the endpoint isn't of the form https://host or https://host:port")]
    Endpoint,
    /// The region has other characters than regions have, or is empty.
    #[error("the region isn't made of letters, digits and hyphens")]
    Region,
    /// The keys are empty, or hold what keys don't.
    #[error("the access keys aren't ones")]
    Keys,
    /// The object's key is none.
    #[error("the object's key isn't one")]
    Key,
    /// The operation is out of its bounds.
    #[error("the operation has a part number or upload id that isn't one")]
    Operation,
}

impl Operation {
    /// The HTTP method.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Read | Self::Parts { .. } | Self::Unfinished => "GET",
            Self::Size => "HEAD",
            Self::Write | Self::Part { .. } => "PUT",
            Self::Begin | Self::Finish { .. } => "POST",
            Self::Abort { .. } => "DELETE",
        }
    }

    /// Whether it can only read.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Read | Self::Size)
    }

    /// Its own part of the query, unencoded.
    fn query(&self, key: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Read | Self::Size | Self::Write => vec![],
            Self::Begin => vec![("uploads", String::new())],
            Self::Part { number, upload } => {
                vec![("partNumber", number.to_string()), ("uploadId", upload.clone())]
            }
            Self::Parts { after, upload } => {
                vec![("part-number-marker", after.to_string()), ("uploadId", upload.clone())]
            }
            Self::Finish { upload } | Self::Abort { upload } => vec![("uploadId", upload.clone())],
            Self::Unfinished => vec![("prefix", key.to_owned()), ("uploads", String::new())],
        }
    }

    fn check(&self) -> Result<(), BadAccess> {
        let fine = match self {
            Self::Read | Self::Size | Self::Write | Self::Begin | Self::Unfinished => true,
            Self::Part { number, upload } => (1..=MAX_PARTS).contains(number) && is_upload(upload),
            Self::Parts { after, upload } => *after <= MAX_PARTS && is_upload(upload),
            Self::Finish { upload } | Self::Abort { upload } => is_upload(upload),
        };
        if fine { Ok(()) } else { Err(BadAccess::Operation) }
    }
}

impl BucketAccess {
    /// Checks that every field is what it has to be.
    ///
    /// # Errors
    /// The first that isn't.
    pub fn check(&self) -> Result<(), BadAccess> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !is_bucket(&self.bucket) {
            return Err(BadAccess::Bucket);
        }
        self.origin()?;
        if self.region.is_empty() || self.region.len() > MAX_REGION || !self.region.bytes().all(plain) {
            return Err(BadAccess::Region);
        }
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let key_id = printable(&self.key_id) && self.key_id.len() <= MAX_KEY_ID && !self.key_id.contains('/');
        let secret_key = printable(&self.secret_key) && self.secret_key.len() <= MAX_KEY_ID;
        let token = self.session_token.as_deref();
        let token = token.is_none_or(|token| printable(token) && token.len() <= MAX_TOKEN);
        if key_id && secret_key && token { Ok(()) } else { Err(BadAccess::Keys) }
    }

    /// A URL that lets whoever has it make this one request about this one object, for `seconds` from `now`.
    ///
    /// The time is signed as it is given: with another's clock, the URL is good at another time.
    ///
    /// # Errors
    /// Something isn't what it has to be.
    pub fn presign(
        &self,
        key: &str,
        operation: &Operation,
        now: UnixTime,
        seconds: u32,
    ) -> Result<String, BadAccess> {
        self.check()?;
        operation.check()?;
        if !is_key(key) {
            return Err(BadAccess::Key);
        }
        let (scheme, host) = self.origin()?;
        let bucket = matches!(operation, Operation::Unfinished);
        let tail = if bucket { String::new() } else { encode(key, Slash::Kept) };
        let (host, path) = match self.style {
            Style::Path => (host.to_owned(), format!("/{}/{tail}", self.bucket)),
            Style::Host => (format!("{}.{host}", self.bucket), format!("/{tail}")),
        };
        let (day, time) = timestamp(now);
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let mut query = vec![
            ("X-Amz-Algorithm", ALGORITHM.to_owned()),
            ("X-Amz-Credential", format!("{}/{scope}", self.key_id)),
            ("X-Amz-Date", time.clone()),
            ("X-Amz-Expires", seconds.to_string()),
            ("X-Amz-SignedHeaders", "host".to_owned()),
        ];
        query.extend(self.session_token.clone().map(|token| ("X-Amz-Security-Token", token)));
        query.extend(operation.query(key));
        query.sort_by_key(|(name, _)| *name);
        let query: Vec<_> =
            query.iter().map(|(name, value)| format!("{name}={}", encode(value, Slash::Encoded))).collect();
        let query = query.join("&");

        let method = operation.method();
        let request = format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
        let request = hex::encode(sha256(request.as_bytes()));
        let signature = self.signature(&day, &format!("{ALGORITHM}\n{time}\n{scope}\n{request}"));
        Ok(format!("{scheme}://{host}{path}?{query}&X-Amz-Signature={signature}"))
    }

    fn signature(&self, day: &str, text: &str) -> String {
        let first = Zeroizing::new(format!("AWS4{}", self.secret_key));
        let mut key = Zeroizing::new(first.as_bytes().to_vec());
        for part in [day, &self.region, "s3", "aws4_request"] {
            key = Zeroizing::new(mac(&key, part).to_vec());
        }
        hex::encode(mac(&key, text))
    }

    /// Scheme and authority of the endpoint.
    fn origin(&self) -> Result<(&str, &str), BadAccess> {
        let (scheme, host) = self.endpoint.split_once("://").ok_or(BadAccess::Endpoint)?;
        let own_port = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return Err(BadAccess::Endpoint),
        };
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b);
        let fine = !host.is_empty() && host.len() <= MAX_HOST && host.bytes().all(allowed);
        // A client leaves the scheme's own port out of the host that is signed.
        if fine && !host.ends_with(own_port) { Ok((scheme, host)) } else { Err(BadAccess::Endpoint) }
    }
}

impl core::fmt::Debug for BucketAccess {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "BucketAccess({} at {}, …)", self.bucket, self.endpoint)
    }
}

/// Whether it can name a bucket anywhere.
pub fn is_bucket(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let edges = [name.bytes().next(), name.bytes().next_back()];
    (3..=63).contains(&name.len())
        && edges.into_iter().all(|b| b.is_some_and(plain))
        && name.bytes().all(|b| plain(b) || b == b'-' || b == b'.')
        && !name.contains("..")
}

/// Splits `s3://bucket/prefix`; the prefix may be empty.
pub fn split_location(location: &str) -> Option<(&str, &str)> {
    let rest = location.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    (is_bucket(bucket) && (prefix.is_empty() || is_key(prefix))).then_some((bucket, prefix))
}

/// The key of an object of that name below a prefix.
pub fn key(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// Keys have the characters of object names and no part that a client or server would resolve away.
fn is_key(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+@=-".contains(&b);
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(allowed);
    key.len() <= MAX_KEY && key.split('/').all(part)
}

fn is_upload(upload: &str) -> bool {
    (1..=MAX_UPLOAD).contains(&upload.len()) && upload.bytes().all(|b| b.is_ascii_graphic())
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slash {
    Kept,
    Encoded,
}

/// Percent-encodes as the signature wants it: all but letters, digits and `-._~`.
fn encode(text: &str, slash: Slash) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        let kept = b.is_ascii_alphanumeric() || b"-._~".contains(&b) || (b == b'/' && slash == Slash::Kept);
        if kept { out.push(b.into()) } else { out.push_str(&format!("%{b:02X}")) }
    }
    out
}

/// Day and time as signatures write them, of the Gregorian calendar.
fn timestamp(now: UnixTime) -> (String, String) {
    let (days, second) = (now.0 / 86_400, now.0 % 86_400);
    // Counts in years that begin in March, so that a leap day is a year's last; 719,468 days before 1970.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let date = format!("{year:04}{month:02}{day:02}");
    let time = format!("{date}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
    (date, time)
}

/// Most parts of one object, as S3 has it.
pub const MAX_PARTS: u32 = 10_000;
/// How long a signed URL is good, seconds: for one request to begin, on clocks that differ a little.
pub const URL_SECONDS: u32 = 900;
/// Longest identifier of an upload.
pub const MAX_UPLOAD: usize = 1024;
/// Longest key, as S3 has it.
const MAX_KEY: usize = 1024;
const MAX_REGION: usize = 64;
const MAX_KEY_ID: usize = 256;
/// Session tokens have grown over the years, to some kilobytes.
const MAX_TOKEN: usize = 8192;
const MAX_HOST: usize = 255;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in AWS's description of presigned URLs.
    fn example() -> BucketAccess {
        BucketAccess {
            bucket: "examplebucket".into(),
            endpoint: "https://s3.amazonaws.com".into(),
            region: "us-east-1".into(),
            style: Style::Host,
            key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        }
    }

    #[test]
    fn aws_own_example_comes_out() {
        let url = example().presign("test.txt", &Operation::Read, UnixTime(1_369_353_600), 86_400).unwrap();
        assert_eq!(
            url,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn a_url_is_for_one_request_only_and_holds_no_secret() {
        let upload = || "id/with+odd=characters".to_owned();
        let operations = [
            Operation::Read,
            Operation::Size,
            Operation::Write,
            Operation::Begin,
            Operation::Part { number: 1, upload: upload() },
            Operation::Part { number: 2, upload: upload() },
            Operation::Parts { after: 0, upload: upload() },
            Operation::Finish { upload: upload() },
            Operation::Abort { upload: upload() },
            Operation::Unfinished,
        ];
        let mut signatures = std::collections::BTreeSet::new();
        for operation in &operations {
            for style in [Style::Path, Style::Host] {
                let mut access = example();
                access.style = style;
                let url = access.presign("a/b", operation, UnixTime(0), 1).unwrap();
                assert!(!url.contains("wJalr"), "{url}");
                let (path, signature) = url.rsplit_once("X-Amz-Signature=").unwrap();
                assert!(signatures.insert(signature.to_owned()), "{url}");
                assert!(!path.contains("id/with+odd"), "{url}");
            }
        }
        assert!(!format!("{:?}", example()).contains("wJalr"));
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, time) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_709_164_800, "20240229T000000Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(timestamp(UnixTime(seconds)).1, time);
        }
    }

    #[test]
    fn what_would_be_signed_for_something_else_is_refused() {
        let refused = |change: &dyn Fn(&mut BucketAccess)| {
            let mut access = example();
            change(&mut access);
            access.presign("k", &Operation::Read, UnixTime(0), 1).unwrap_err()
        };
        for endpoint in [
            "s3.amazonaws.com",
            "ftp://h",
            "https://",
            "https://h/path",
            "https://h?x",
            "https://u@h",
            "https://H",
            "https://h:443",
            "http://h:80",
        ] {
            assert_eq!(
                refused(&|access| access.endpoint = endpoint.into()),
                BadAccess::Endpoint,
                "{endpoint}"
            );
        }
        for bucket in ["", "ab", "Upper", "a/b", "a..b", "-ab", "ab-", "a_b"] {
            assert_eq!(refused(&|access| access.bucket = bucket.into()), BadAccess::Bucket, "{bucket}");
        }
        assert_eq!(refused(&|access| access.region = "a/b".into()), BadAccess::Region);
        assert_eq!(refused(&|access| access.key_id = "a/b".into()), BadAccess::Keys);
        assert_eq!(refused(&|access| access.secret_key = String::new()), BadAccess::Keys);
        for key in ["", "/a", "a/", "a//b", "../a", "a/.", "a?b", "a#b", "a%2fb", "ä"] {
            let signed = example().presign(key, &Operation::Read, UnixTime(0), 1);
            assert_eq!(signed, Err(BadAccess::Key), "{key}");
        }
        for operation in [
            Operation::Part { number: 0, upload: "u".into() },
            Operation::Part { number: 10_001, upload: "u".into() },
            Operation::Finish { upload: String::new() },
            Operation::Abort { upload: "a b".into() },
        ] {
            let signed = example().presign("k", &operation, UnixTime(0), 1);
            assert_eq!(signed, Err(BadAccess::Operation));
        }
    }

    #[test]
    fn locations_split_into_bucket_and_prefix() {
        assert_eq!(split_location("s3://data/a/b"), Some(("data", "a/b")));
        assert_eq!(split_location("s3://data"), Some(("data", "")));
        for bad in ["s3://", "s3://A/b", "s3://data//b", "s3://data/../b", "s3://data/b?c", "https://data/b"]
        {
            assert_eq!(split_location(bad), None, "{bad}");
        }
    }
}
