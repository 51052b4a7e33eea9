use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use pox_core::s3::BucketAccess;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::{Refused, Sign, SignError};

/// What this host lets locations and image references touch.
///
/// They come from the other party, so the default is narrow: no directory, and any host on the public internet, but
/// nothing in a private network or on this machine.
#[derive(Debug, Clone)]
pub struct Access {
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) trusted: Vec<HostPort>,
    pub(crate) only_trusted: bool,
    pub(crate) logins: Vec<Login>,
    pub(crate) signer: Option<Signer>,
    pub(crate) ipfs: IpfsNodes,
    /// Biggest object that is read or written, in bytes.
    pub max_object: u64,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Attempts at one request before giving up; at least one is made.
    pub attempts: u32,
}

/// Whoever signs, without a word on its keys.
#[derive(Clone)]
pub(crate) struct Signer(pub(crate) Arc<dyn Sign>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// Where content-addressed data is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct IpfsNodes {
    /// Gives blocks and archives of blocks to anybody.
    pub(crate) gateway: Option<Url>,
    /// A node's own interface, which takes data too.
    pub(crate) api: Option<Url>,
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Without any byte moving.
    pub stall: Duration,
    /// For reading one whole object; bounds a server that drips.
    pub total: Duration,
    /// Bytes a second; a server that takes an upload more slowly than that in all is given up.
    pub slowest: u64,
}

impl Timeouts {
    /// For a server that takes so many bytes.
    pub(crate) fn taking(&self, len: u64) -> Duration {
        self.stall + Duration::from_secs_f64(len as f64 / self.slowest.max(1) as f64)
    }
}

/// A host, as locations spell it, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// The text isn't `host:port`, or the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} isn't the address of a server")]
pub struct AccessError(String);

/// Credentials for one image registry, sent to it and the token service that it names, over HTTPS or to this machine.
#[derive(Clone)]
pub struct Login {
    /// The registry.
    pub registry: HostPort,
    /// User name.
    pub user: String,
    /// Password or token.
    pub password: Zeroizing<String>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            roots: vec![],
            trusted: vec![],
            only_trusted: false,
            logins: vec![],
            signer: None,
            ipfs: IpfsNodes::default(),
            max_object: MAX_OBJECT,
            timeouts: Timeouts {
                connect: Duration::from_secs(10),
                stall: Duration::from_secs(30),
                total: Duration::from_secs(24 * 3600),
                slowest: 64 << 10,
            },
            attempts: 5,
        }
    }
}

impl Access {
    /// Also allows locations in or below this directory.
    #[must_use]
    pub fn allow_root(mut self, directory: &Path) -> Self {
        self.roots.push(directory.into());
        self
    }

    /// Also allows this host at this port, wherever it is.
    #[must_use]
    pub fn allow_host(mut self, host: HostPort) -> Self {
        self.trusted.push(host);
        self
    }

    /// Forbids every host that isn't named by [`Self::allow_host`].
    #[must_use]
    pub fn only_allowed_hosts(mut self) -> Self {
        self.only_trusted = true;
        self
    }

    /// Logs in at one image registry.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.logins.push(login);
        self
    }

    /// Has requests to S3-compatible storage signed; without it, there is no such storage.
    #[must_use]
    pub fn sign_with(mut self, signer: Arc<dyn Sign>) -> Self {
        self.signer = Some(Signer(signer));
        self
    }

    /// The keys to a bucket, for a secret.
    ///
    /// # Errors
    /// There are none, or whoever signs here doesn't have them.
    pub fn dangerous_keys(&self, bucket: &str) -> Result<BucketAccess, SignError> {
        match &self.signer {
            Some(signer) => signer.0.dangerous_keys(bucket),
            None => Err(SignError::NoKeys(bucket.into())),
        }
    }

    /// Asks these nodes for content-addressed data, wherever they are. No other location leads there by that.
    ///
    /// # Errors
    /// An address is no URL of a server.
    pub fn ask_ipfs(mut self, gateway: Option<&str>, api: Option<&str>) -> Result<Self, AccessError> {
        let base = |text: &str| {
            let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
            url.filter(|url| url.query().is_none()).ok_or_else(|| AccessError(text.into()))
        };
        self.ipfs = IpfsNodes { gateway: gateway.map(base).transpose()?, api: api.map(base).transpose()? };
        Ok(self)
    }

    /// The policy for requests to the nodes of [`Self::ask_ipfs`], and for nothing else.
    pub(crate) fn for_ipfs(&self) -> Self {
        let nodes = [&self.ipfs.gateway, &self.ipfs.api].into_iter().flatten();
        nodes.filter_map(HostPort::of).fold(self.clone(), Self::allow_host)
    }

    /// Checks host and port, and the address if the host is one. Names are checked again once resolved.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), Refused> {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Refused::Host(url.to_string()));
        };
        let name = url.host_str().unwrap_or_default();
        if self.trusted.iter().any(|trusted| trusted.host == name && trusted.port == port) {
            return Ok(());
        }
        let address = match host {
            _ if self.only_trusted => return Err(Refused::Host(format!("{name}:{port}"))),
            // Its other ports aren't allowed, and resolving it tells nothing of the port.
            Host::Domain(_) if self.trusted.iter().any(|trusted| trusted.host == name) => {
                return Err(Refused::Host(format!("{name}:{port}")));
            }
            Host::Domain(_) => return Ok(()),
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
        };
        check_public(name, address)
    }

    /// Checks where a name leads. The port was checked with the URL.
    pub(crate) fn check_resolved(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        if self.trusted.iter().any(|trusted| trusted.host == host) {
            return Ok(());
        }
        check_public(host, address)
    }
}

impl FromStr for HostPort {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, AccessError> {
        let error = || AccessError(text.into());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        // Spelled as URLs spell it: lower case, punycode, brackets around IPv6.
        let host = Host::parse(host).map_err(|_| error())?;
        if !can_exist(&host) {
            return Err(error());
        }
        Ok(Self { host: host.to_string(), port: port.parse().map_err(|_| error())? })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl HostPort {
    pub(crate) fn of(url: &Url) -> Option<Self> {
        Some(Self { host: url.host_str()?.into(), port: url.port_or_known_default()? })
    }

    /// Whether it is this machine, going by its spelling alone.
    pub(crate) fn is_loopback(&self) -> bool {
        match Host::parse(&self.host) {
            Ok(Host::Ipv4(address)) => address.is_loopback(),
            Ok(Host::Ipv6(address)) => address.is_loopback(),
            Ok(Host::Domain(name)) => name == "localhost",
            Err(_) => false,
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("registry", &self.registry)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Whether there can be a host of this name, in the one spelling that names have here: URL parsers let through others, which
/// lead nowhere and of which some have two spellings.
pub(crate) fn can_exist<S: AsRef<str>>(host: &Host<S>) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    let label = |label: &str| !label.is_empty() && label.bytes().all(allowed);
    match host {
        Host::Domain(name) => name.as_ref().len() <= MAX_HOST && name.as_ref().split('.').all(label),
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    }
}

fn check_public(host: &str, address: IpAddr) -> Result<(), Refused> {
    let public = match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    };
    if public { Ok(()) } else { Err(Refused::Address { host: host.into(), address }) }
}

/// False for every block that the IANA special-purpose registry marks as not globally reachable.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

/// Only global unicast; forms that carry an IPv4 address are as public as that is.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo, benchmarking, ORCHID, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// 1 TiB: above any dataset that is sealed as one object.
const MAX_OBJECT: u64 = 1 << 40;
/// What DNS carries, in bytes.
const MAX_HOST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, url: &str) -> Result<(), Refused> {
        access.check_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn private_addresses_are_refused_however_spelled() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://10.1.2.3/",
            "http://172.31.0.1/",
            "http://192.168.1.1/",
            "http://169.254.169.254/latest",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://255.255.255.255/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "http://[ff02::1]/",
            "http://[2001:db8::1]/",
        ] {
            assert!(matches!(check(&Access::default(), url), Err(Refused::Address { .. })), "{url}");
        }
        for url in ["http://8.8.8.8/", "http://[2606:4700::1111]/", "https://example.org/"] {
            assert_eq!(check(&Access::default(), url), Ok(()), "{url}");
        }
    }

    #[test]
    fn allowing_a_host_allows_one_port() {
        let access = Access::default().allow_host("127.0.0.1:5000".parse().unwrap());
        assert_eq!(check(&access, "http://127.0.0.1:5000/v2/"), Ok(()));
        assert!(check(&access, "http://127.0.0.1:5001/").is_err());
        let access = access.only_allowed_hosts();
        assert!(matches!(check(&access, "https://example.org/"), Err(Refused::Host(_))));
        let v6: HostPort = "[::1]:80".parse().unwrap();
        assert_eq!(check(&Access::default().allow_host(v6), "http://[::1]/"), Ok(()));
    }

    #[test]
    fn a_name_is_judged_by_where_it_leads() {
        let access = Access::default();
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(access.check_resolved("rebind.example", local).is_err());
        let access = access.allow_host("localhost:80".parse().unwrap());
        assert_eq!(access.check_resolved("localhost", local), Ok(()));
        assert!(matches!(check(&access, "http://localhost:81/"), Err(Refused::Host(_))));
    }

    #[test]
    fn a_login_does_not_show_its_password() {
        let login = Login {
            registry: "127.0.0.1:5000".parse().unwrap(),
            user: "me".into(),
            password: Zeroizing::new("hunter2".into()),
        };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
