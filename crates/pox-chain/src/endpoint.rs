//! Where a node answers.

use serde::{Deserialize, Serialize};
use std::fmt;
use ureq::http::Uri;

/// Most bytes of one endpoint or explorer pattern.
pub(crate) const MAX_URL_BYTES: usize = 2048;

/// An HTTP(S) URL of a node. Its text is shown without path and credentials, which can be access keys.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(Uri);

/// A text is no HTTP(S) URL.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("expected a URL that begins with http:// or https:// and names a host")]
pub struct BadEndpoint;

impl Endpoint {
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.host().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl std::str::FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        if text.len() > MAX_URL_BYTES {
            return Err(BadEndpoint);
        }
        let uri: Uri = text.parse().map_err(|_| BadEndpoint)?;
        let scheme_fits = matches!(uri.scheme_str(), Some("http" | "https"));
        let host_fits = uri.host().is_some_and(|host| !host.is_empty());
        if scheme_fits && host_fits { Ok(Self(uri)) } else { Err(BadEndpoint) }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = BadEndpoint;

    fn try_from(text: String) -> Result<Self, BadEndpoint> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.0.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme_str().unwrap_or_default(), self.0.host().unwrap_or_default())?;
        self.0.port_u16().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_hide_what_can_be_a_key() {
        let endpoint: Endpoint = "https://user:pass@node.example:8443/v3/KEY?token=T".parse().unwrap();
        assert_eq!(endpoint.to_string(), "https://node.example:8443");
        assert!(!endpoint.is_loopback());
        assert!("http://[::1]:8545".parse::<Endpoint>().unwrap().is_loopback());
    }

    #[test]
    fn other_texts_are_no_endpoints() {
        for text in ["", "node.example", "ftp://node.example", "http://", "https:///path", "http://a b"] {
            assert_eq!(text.parse::<Endpoint>(), Err(BadEndpoint), "{text}");
        }
        assert!(format!("http://{}", "a".repeat(MAX_URL_BYTES)).parse::<Endpoint>().is_err());
    }
}
