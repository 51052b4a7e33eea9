use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Compression, Digest, Invalid};

/// An image manifest: which config and which layers, each by digest and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first. At least one.
    pub layers: Vec<Layer>,
}

/// A blob by digest and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
}

/// One layer, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// The stored bytes.
    pub blob: Descriptor,
    /// How the tar archive in them is compressed.
    pub compression: Compression,
}

impl Manifest {
    /// Parses an OCI or Docker (schema version 2) image manifest.
    ///
    /// Indexes, schema version 1, documents that could be read as either, layers that are fetched from elsewhere and
    /// unknown media types are refused. Unknown properties are ignored, as the OCI image specification demands.
    /// This says nothing about the blobs.
    ///
    /// # Errors
    /// [`Invalid::Manifest`] or [`Invalid::MediaType`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let raw: RawManifest =
            serde_json::from_slice(bytes).map_err(|error| Invalid::Manifest(error.to_string()))?;
        if raw.schema_version != 2 {
            return Err(Invalid::Manifest("schemaVersion isn't 2".into()));
        }
        if raw.manifests.is_some() || raw.fs_layers.is_some() {
            return Err(Invalid::Manifest("also has the parts of another kind of manifest".into()));
        }
        if let Some(found) = raw.media_type.filter(|found| !MANIFEST_TYPES.contains(&found.as_str())) {
            return Err(Invalid::MediaType { what: "manifest", found });
        }
        if !CONFIG_TYPES.contains(&raw.config.media_type.as_str()) {
            return Err(Invalid::MediaType { what: "config", found: raw.config.media_type });
        }
        if raw.layers.is_empty() {
            return Err(Invalid::Manifest("has no layers".into()));
        }
        let layers = raw.layers.into_iter().map(Layer::try_from).collect::<Result<_, _>>()?;
        Ok(Self { config: Descriptor { digest: raw.config.digest, size: raw.config.size }, layers })
    }
}

impl TryFrom<RawDescriptor> for Layer {
    type Error = Invalid;

    fn try_from(raw: RawDescriptor) -> Result<Self, Invalid> {
        let compression = match raw.media_type.as_str() {
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
                Compression::None
            }
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Compression::Gzip,
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Compression::Zstd,
            _ => return Err(Invalid::MediaType { what: "layer", found: raw.media_type }),
        };
        Ok(Self { blob: Descriptor { digest: raw.digest, size: raw.size }, compression })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: u32,
    media_type: Option<String>,
    config: RawDescriptor,
    layers: Vec<RawDescriptor>,
    manifests: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: Digest,
    size: u64,
}

const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sample() -> Value {
        let digest = Digest::of(b"x").to_string();
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": CONFIG_TYPES[0], "digest": digest, "size": 1},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "digest": digest, "size": 1}],
            "annotations": {"a": "b"},
        })
    }

    fn parse(value: &Value) -> Result<Manifest, Invalid> {
        Manifest::parse(value.to_string().as_bytes())
    }

    fn with(pointer: &str, to: Value) -> Value {
        let mut value = sample();
        *value.pointer_mut(pointer).unwrap() = to;
        value
    }

    #[test]
    fn accepts_oci_and_docker() {
        assert_eq!(parse(&sample()).unwrap().layers[0].compression, Compression::Zstd);
        assert!(parse(&with("/mediaType", json!(MANIFEST_TYPES[1]))).is_ok());
        assert!(parse(&with("/mediaType", Value::Null)).is_ok());
    }

    #[test]
    fn refuses_other_documents() {
        for (pointer, to) in [
            ("/schemaVersion", json!(1)),
            ("/mediaType", json!("application/vnd.oci.image.index.v1+json")),
            ("/config/mediaType", json!("application/vnd.wasm.config.v1+json")),
            ("/layers/0/mediaType", json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")),
            ("/layers/0/mediaType", json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
            ("/layers/0/mediaType", json!("text/plain")),
            ("/layers/0/digest", json!("sha512:00")),
            ("/layers/0/size", json!(-1)),
            ("/layers", json!([])),
        ] {
            assert!(parse(&with(pointer, to.clone())).is_err(), "{pointer} = {to}");
        }
    }

    #[test]
    fn refuses_a_document_that_is_also_an_index() {
        let mut value = sample();
        value["manifests"] = json!([]);
        assert!(matches!(parse(&value), Err(Invalid::Manifest(_))));
    }

    #[test]
    fn refuses_a_repeated_key() {
        let text = sample().to_string().replacen("\"layers\"", "\"layers\":[],\"layers\"", 1);
        assert!(matches!(Manifest::parse(text.as_bytes()), Err(Invalid::Manifest(_))));
    }
}
