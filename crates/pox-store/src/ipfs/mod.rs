//! Content-addressed storage (IPFS): what an address names is checked here, block by block, whoever delivers it.
//!
//! Blocks come from a gateway (as one archive, or one by one) or from a node's own interface. None of them is believed: a block
//! whose hash isn't in the address, or in a block that was checked before, is an error and never content.

mod add;
mod car;
mod cid;
mod file;
mod node;

pub use add::add;
pub use car::{Car, Section};
pub use cid::{BadCid, Cid};
pub use node::{Link, Node};

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Method};
use reqwest::Request;
use url::Url;

use crate::net::{Body, Fault, Net, block_on};
use crate::reader::retry;
use crate::{Error, Name, Result};

pub(crate) use file::File;

/// Content-addressed data can't be had, or isn't what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IpfsError {
    /// Nobody was named who could be asked.
    #[error("no IPFS gateway or node is named")]
    NoNode,
    /// A node's interface is needed, and only a gateway was named.
    #[error("no IPFS node is named that takes data")]
    NoApi,
    /// Somebody delivered other bytes.
    #[error("the bytes delivered for {0} aren't what it names")]
    Mismatch(String),
    /// The bytes are what the address names, and aren't what this program reads.
    #[error("{0} can't be read: {1}")]
    Node(String, &'static str),
}

/// A folder in content-addressed storage.
#[derive(Clone)]
pub(crate) struct Folder {
    source: Source,
    root: Cid,
    path: String,
}

/// Whoever is asked for blocks.
#[derive(Clone)]
pub(crate) struct Source {
    net: Net,
    gateway: Option<Url>,
    api: Option<Url>,
}

impl Folder {
    pub(crate) fn open(net: Net, root: &Cid, path: &str) -> Result<Self> {
        let nodes = net.access.ipfs.clone();
        if nodes.gateway.is_none() && nodes.api.is_none() {
            return Err(IpfsError::NoNode.into());
        }
        let source = Source { net, gateway: nodes.gateway, api: nodes.api };
        Ok(Self { source, root: root.clone(), path: path.into() })
    }

    /// Finds a file, by the links of the folders above it.
    pub(crate) fn object(&self, name: &Name) -> Result<File> {
        let attempts = self.source.net.access.attempts.max(1);
        let mut at = self.root.clone();
        let path = self.path.split('/').filter(|part| !part.is_empty());
        for part in path.chain(name.parts()) {
            let block = retry(attempts, || block_on(self.source.block(&at)));
            let block = block.map_err(|fault| Error::from_fault(fault, name.as_str()))?;
            let Node::Folder(links) = Node::decode(&at, &block)? else {
                return Err(Error::NotFound(name.to_string()));
            };
            let found = links.into_iter().find(|link| link.name == part);
            at = found.ok_or_else(|| Error::NotFound(name.to_string()))?.cid;
        }
        let block = retry(attempts, || block_on(self.source.block(&at)));
        let block = block.map_err(|fault| Error::from_fault(fault, name.as_str()))?;
        match Node::decode(&at, &block)? {
            Node::Folder(_) => Err(Error::NotFound(name.to_string())),
            Node::File { size, .. } => Ok(File::new(self.source.clone(), at, size)),
        }
    }
}

impl Source {
    /// Fetches one block, and checks it.
    pub(crate) async fn block(&self, cid: &Cid) -> std::result::Result<Bytes, Fault> {
        if let Some(content) = cid.inline() {
            return Ok(Bytes::copy_from_slice(content));
        }
        let request = match (&self.gateway, &self.api) {
            (Some(gateway), _) => {
                let mut url = self.content(gateway, cid);
                url.query_pairs_mut().append_pair("format", "raw");
                asking(Method::GET, url, "application/vnd.ipld.raw")
            }
            (None, Some(api)) => {
                let mut url = below(api, &["api", "v0", "block", "get"]);
                url.query_pairs_mut().append_pair("arg", &cid.to_string());
                asking(Method::POST, url, "application/octet-stream")
            }
            (None, None) => return Err(Fault::Ipfs(IpfsError::NoNode)),
        };
        let response = self.net.send(request, Some(self.net.access.timeouts.stall)).await?;
        let block = self.net.small_body(response, MAX_BLOCK).await?;
        if cid.names(&block) {
            Ok(block.into())
        } else {
            Err(Fault::Ipfs(IpfsError::Mismatch(cid.to_string())))
        }
    }

    /// Asks a gateway for the blocks of a file as one archive; nothing if there is none to be had.
    pub(crate) async fn archive(&self, cid: &Cid, start: u64, end: u64) -> Option<Body> {
        let mut url = self.content(self.gateway.as_ref()?, cid);
        let range = format!("{start}:{}", end.checked_sub(1)?);
        url.query_pairs_mut()
            .append_pair("format", "car")
            .append_pair("dag-scope", "entity")
            .append_pair("entity-bytes", &range);
        let request = asking(Method::GET, url, "application/vnd.ipld.car;version=1;order=dfs;dups=y");
        let response = self.net.send(request, Some(self.net.access.timeouts.stall)).await.ok()?;
        Some(self.net.body(response))
    }

    fn content(&self, gateway: &Url, cid: &Cid) -> Url {
        below(gateway, &["ipfs", &cid.to_string()])
    }
}

fn below(base: &Url, parts: &[&str]) -> Url {
    let mut url = base.clone();
    // Always possible, since the base is a URL of a server.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
    url
}

fn asking(method: Method, url: Url, accept: &'static str) -> Request {
    let mut request = Request::new(method, url);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
    request
}

/// What nodes pass on to each other.
pub(crate) const MAX_BLOCK: usize = 2 << 20;
