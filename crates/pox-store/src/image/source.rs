use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::archive::Archive;
use super::layout::Layout;
use super::registry::Registry;
use super::{Architecture, Digest, Image, ImageError, docker};
use crate::{Access, HostPort, Location, Result, Store};

/// Where an image is, or goes to.
///
/// `docker://host[:port]/name[:tag][@digest]`, `oci:<directory or URL>[:tag]`, `oci-archive:<file or URL>[:tag]`,
/// `docker-archive:<file or URL>[:tag]`. A registry on this machine is spoken to over HTTP, any other over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A registry.
    Registry(Reference),
    /// An OCI image layout: `oci-layout`, `index.json` and `blobs/` below a location.
    Layout {
        /// Where it is.
        location: Location,
        /// Which of its images; may be left out if there is one.
        tag: Option<String>,
    },
    /// A tar file that holds an OCI image layout.
    OciArchive {
        /// The file.
        location: Location,
        /// Which of its images; may be left out if there is one.
        tag: Option<String>,
    },
    /// A tar file as `docker save` writes it, old or new.
    DockerArchive {
        /// The file.
        location: Location,
        /// Which of its images, as `name:tag`; may be left out if there is one.
        tag: Option<String>,
    },
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host and port.
    pub host: HostPort,
    /// Repository in the registry.
    pub repository: String,
    /// Tag; `latest` if neither tag nor digest is given.
    pub tag: Option<String>,
    /// Digest of the manifest or index, which goes before the tag.
    pub digest: Option<Digest>,
}

impl ImageSource {
    /// Tells the host and port that it leads to; none for a path.
    pub fn host(&self) -> Option<HostPort> {
        match self {
            Self::Registry(reference) => Some(reference.host.clone()),
            Self::Layout { location, .. }
            | Self::OciArchive { location, .. }
            | Self::DockerArchive { location, .. } => location.host(),
        }
    }

    /// Opens the image for a platform: on the owner's side, where a tag becomes a digest.
    ///
    /// # Errors
    /// What is wrong with the image, the storage or the policy.
    pub fn open(&self, platform: Architecture, access: &Access) -> Result<Image> {
        match self {
            Self::Registry(reference) => {
                let registry = Registry::open(reference, access)?;
                let digest = match reference.digest {
                    Some(digest) => digest,
                    None => registry.resolve(reference.tag.as_deref().unwrap_or("latest"))?,
                };
                Image::for_platform(Arc::new(registry), &digest, platform)
            }
            Self::Layout { location, tag } => {
                let layout = Layout::new(Store::open_existing(location, access)?);
                let digest = layout.find(tag.as_deref())?;
                Image::for_platform(Arc::new(layout), &digest, platform)
            }
            Self::OciArchive { location, tag } => {
                let layout = Layout::new(Archive::open(location, access)?);
                let digest = layout.find(tag.as_deref())?;
                Image::for_platform(Arc::new(layout), &digest, platform)
            }
            Self::DockerArchive { location, tag } => {
                docker::open(Archive::open(location, access)?, tag.as_deref(), platform)
            }
        }
    }

    /// Opens exactly the image with this manifest digest: on the processor's side, where the task names it.
    ///
    /// # Errors
    /// As [`Self::open`]; [`ImageError::OtherImage`] if a `docker save` archive holds another image.
    pub fn open_exact(&self, digest: &Digest, access: &Access) -> Result<Image> {
        match self {
            Self::Registry(reference) => Image::exact(Arc::new(Registry::open(reference, access)?), digest),
            Self::Layout { location, .. } => {
                Image::exact(Arc::new(Layout::new(Store::open_existing(location, access)?)), digest)
            }
            Self::OciArchive { location, .. } => {
                Image::exact(Arc::new(Layout::new(Archive::open(location, access)?)), digest)
            }
            Self::DockerArchive { location, tag } => {
                docker::open_exact(Archive::open(location, access)?, tag.as_deref(), digest)
            }
        }
    }
}

impl FromStr for ImageSource {
    type Err = ImageError;

    fn from_str(text: &str) -> std::result::Result<Self, ImageError> {
        if text.len() > MAX_REFERENCE {
            return Err(ImageError::Reference(format!("longer than {MAX_REFERENCE} bytes")));
        }
        let (transport, rest) = text.split_once(':').ok_or_else(|| {
            ImageError::Reference(format!("{text:?} has no transport, such as docker:// or oci:"))
        })?;
        if transport == "docker" {
            let rest = rest.strip_prefix("//").ok_or_else(|| bad(text, "docker: isn't followed by //"))?;
            return rest.parse().map(Self::Registry);
        }
        let (location, tag) = located(rest)?;
        if tag.as_ref().is_some_and(|tag| tag.len() > MAX_NAMED_TAG) {
            return Err(bad(text, "its tag is too long"));
        }
        match transport {
            "oci" => Ok(Self::Layout { location, tag }),
            "oci-archive" => Ok(Self::OciArchive { location, tag }),
            "docker-archive" => Ok(Self::DockerArchive { location, tag }),
            _ => Err(bad(text, "its transport is none of docker, oci, oci-archive, docker-archive")),
        }
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, location, tag) = match self {
            Self::Registry(reference) => return write!(f, "docker://{reference}"),
            Self::Layout { location, tag } => ("oci", location, tag),
            Self::OciArchive { location, tag } => ("oci-archive", location, tag),
            Self::DockerArchive { location, tag } => ("docker-archive", location, tag),
        };
        write!(f, "{transport}:{location}")?;
        tag.iter().try_for_each(|tag| write!(f, ":{tag}"))
    }
}

impl FromStr for Reference {
    type Err = ImageError;

    fn from_str(text: &str) -> std::result::Result<Self, ImageError> {
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| bad(text, "its digest isn't sha256:<hex>"))?))
            }
        };
        let (host, path) = rest.split_once('/').ok_or_else(|| bad(text, "it names no repository"))?;
        let (repository, tag) = match path.split_once(':') {
            None => (path, None),
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
        };
        // A colon inside the brackets of an IPv6 address is no port.
        let port_given = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let with_port = if port_given { host.to_owned() } else { format!("{host}:443") };
        let host = with_port.parse().map_err(|_| bad(text, "its host can't be used"))?;
        if repository.len() > MAX_REPOSITORY || !repository.split('/').all(is_repository_part) {
            return Err(bad(text, "its repository isn't made of lower-case letters, digits and . _ -"));
        }
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(bad(text, "its tag isn't made of letters, digits and . _ -"));
        }
        Ok(Self { host, repository: repository.into(), tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// Splits `<location>[:tag]` at the first colon of the path, so paths with colons can't be used here.
fn located(text: &str) -> std::result::Result<(Location, Option<String>), ImageError> {
    let scheme = text.find("://").filter(|at| !text[..*at].contains('/'));
    let path_start = match scheme {
        None => 0,
        Some(scheme) => {
            let authority = scheme + "://".len();
            text[authority..].find('/').map_or(text.len(), |at| authority + at)
        }
    };
    let (location, tag) = match text[path_start..].find(':') {
        None => (text, None),
        Some(at) => (&text[..path_start + at], Some(&text[path_start + at + 1..])),
    };
    // `docker save` has whole names, `name:tag`, and names have slashes.
    if tag.is_some_and(|tag| !tag.split([':', '/']).all(is_tag)) {
        return Err(bad(text, "its tag isn't made of letters, digits and . _ -"));
    }
    let parsed = if path_start > 0 { location.parse() } else { Location::from_path(Path::new(location)) };
    let location = parsed.map_err(|error| bad(text, &error.to_string()))?;
    // One that was percent-encoded, or is above the current directory, would be shown as the start of a tag.
    if location.directory().is_some_and(|path| path.as_os_str().as_bytes().contains(&b':')) {
        return Err(bad(text, "its path has a colon"));
    }
    Ok((location, tag.map(str::to_owned)))
}

fn is_repository_part(part: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = part.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b);
    part.len() <= MAX_TAG && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

fn is_tag(tag: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !tag.is_empty() && tag.len() <= MAX_TAG && !tag.starts_with(['.', '-']) && tag.bytes().all(inner)
}

fn bad(text: &str, why: &str) -> ImageError {
    ImageError::Reference(format!("{text:?}: {why}"))
}

/// As for locations, with room for a transport and a tag.
const MAX_REFERENCE: usize = 2048 + 20 + MAX_NAMED_TAG;
/// A repository's name and a tag.
const MAX_NAMED_TAG: usize = MAX_REPOSITORY + 1 + MAX_TAG;
/// What common registries take, in bytes.
const MAX_REPOSITORY: usize = 255;
/// The distribution specification's bound for tags.
const MAX_TAG: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_one_spelling() {
        let digest = Digest::of(b"x");
        for text in [
            format!("docker://127.0.0.1:5000/pox/py@{digest}"),
            "docker://registry.example:443/a/b_c:v1.2".into(),
            "docker://[::1]:5000/a".into(),
            "oci:file:///tmp/layout:v1".into(),
            "oci:file:///tmp/layout".into(),
            "oci:http://127.0.0.1:80/a".into(),
            "oci-archive:https://h.example/x/image.tar:v1".into(),
            "docker-archive:file:///tmp/saved.tar:pox/task:v1".into(),
            "oci:https://h.example:8443/".into(),
        ] {
            let source: ImageSource = text.parse().unwrap();
            let shown = source.to_string();
            assert_eq!(shown.parse::<ImageSource>().unwrap(), source, "{text}");
            assert_eq!(shown.replace(":80/", "/"), text.replace(":80/", "/"));
        }
        let plain: ImageSource = "docker://registry.example/a".parse().unwrap();
        assert_eq!(plain.to_string(), "docker://registry.example:443/a");
        let path: ImageSource = "oci:/tmp/layout:v1".parse().unwrap();
        assert_eq!(path.to_string(), "oci:file:///tmp/layout:v1");
    }

    #[test]
    fn refuses_what_registries_do_not_have() {
        for bad in [
            "ubuntu",
            "docker:x",
            "docker://h/UPPER",
            "docker://h/a:ta g",
            "docker://h/a@sha256:00",
            "docker://h/../x",
            "docker://h",
            "docker://user@h/a",
            "oci:https://u:p@h/x",
            "oci:file:///tmp/a%3Ab",
            "oci:/tmp/a://b/c:v1",
            "tarball:/x",
        ] {
            assert!(bad.parse::<ImageSource>().is_err(), "{bad}");
        }
    }
}
