use serde::Deserialize;

use super::{Digest, Invalid};

/// An image config: what to run by default, on which platform, and what each layer decompresses to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// What the image runs by default.
    pub run: RunConfig,
    /// Operating system, as the image states it.
    pub os: String,
    /// Architecture in OCI words (`amd64`, `arm64`), as the image states it.
    pub architecture: String,
    /// SHA-256 of each layer's uncompressed tar archive, lowest first.
    pub diff_ids: Vec<Digest>,
}

/// What an image runs by default. No string holds a NUL byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// First arguments of the command; may be empty.
    pub entrypoint: Vec<String>,
    /// Further arguments, which a request may replace; may be empty.
    pub cmd: Vec<String>,
    /// Environment as `NAME=value`; the name isn't empty.
    pub env: Vec<String>,
    /// Absolute path inside the image; `/` where the image states none.
    pub working_dir: String,
    /// User as the image states it (`name`, `uid`, `uid:gid`, …); may be empty. The sandbox runs every task as one
    /// unprivileged user, so this is for information only.
    pub user: String,
}

impl ImageConfig {
    /// Parses an OCI or Docker image config.
    ///
    /// # Errors
    /// [`Invalid::Config`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let raw: RawConfig =
            serde_json::from_slice(bytes).map_err(|error| Invalid::Config(error.to_string()))?;
        if raw.rootfs.kind != "layers" {
            return Err(Invalid::Config("rootfs.type isn't \"layers\"".into()));
        }
        let run = RunConfig::try_from(raw.config.unwrap_or_default())?;
        Ok(Self { run, os: raw.os, architecture: raw.architecture, diff_ids: raw.rootfs.diff_ids })
    }

    /// Checks that the image is for Linux on this machine's architecture.
    ///
    /// # Errors
    /// [`Invalid::Platform`].
    pub fn check_platform(&self) -> Result<(), Invalid> {
        if self.os == "linux" && self.architecture == native_architecture() {
            return Ok(());
        }
        Err(Invalid::Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            native: format!("linux/{}", native_architecture()),
        })
    }
}

impl RunConfig {
    /// Parses what to run out of a whole image config.
    ///
    /// # Errors
    /// [`Invalid::Config`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        ImageConfig::parse(bytes).map(|config| config.run)
    }
}

/// Names this build's architecture in OCI words.
pub const fn native_architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        std::env::consts::ARCH
    }
}

impl TryFrom<RawRun> for RunConfig {
    type Error = Invalid;

    fn try_from(raw: RawRun) -> Result<Self, Invalid> {
        let bad = |what: &str| Err(Invalid::Config(what.into()));
        let run = Self {
            entrypoint: raw.entrypoint.unwrap_or_default(),
            cmd: raw.cmd.unwrap_or_default(),
            env: raw.env.unwrap_or_default(),
            working_dir: raw.working_dir.filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".into()),
            user: raw.user.unwrap_or_default(),
        };
        let lists = [&run.entrypoint, &run.cmd, &run.env].into_iter().flatten();
        if lists.chain([&run.working_dir, &run.user]).any(|text| text.contains('\0')) {
            return bad("a string holds a NUL byte");
        }
        if run.env.iter().any(|pair| pair.find('=').is_none_or(|at| at == 0)) {
            return bad("Env has an entry without a name");
        }
        if !run.working_dir.starts_with('/') {
            return bad("WorkingDir isn't absolute");
        }
        Ok(run)
    }
}

#[derive(Deserialize)]
struct RawConfig {
    os: String,
    architecture: String,
    config: Option<RawRun>,
    rootfs: RawRootfs,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawRun {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Vec<Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(config: Value) -> Result<RunConfig, Invalid> {
        let document = json!({
            "os": "linux", "architecture": "amd64", "config": config, "history": [],
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"x").to_string()]},
        });
        RunConfig::parse(document.to_string().as_bytes())
    }

    #[test]
    fn reads_what_to_run() {
        let run = parse(json!({
            "Entrypoint": ["/task"], "Cmd": null, "Env": ["A=b=c", "E="], "WorkingDir": "/w", "User": "1000:1000",
            "Labels": {"x": "y"},
        }))
        .unwrap();
        assert_eq!(run.entrypoint, ["/task"]);
        assert_eq!((run.cmd.len(), run.env.len()), (0, 2));
        assert_eq!((run.working_dir.as_str(), run.user.as_str()), ("/w", "1000:1000"));
        assert_eq!(parse(Value::Null).unwrap().working_dir, "/");
    }

    #[test]
    fn refuses_what_cannot_be_run() {
        for bad in [
            json!({"Cmd": ["a\u{0}b"]}),
            json!({"Env": ["NOVALUE"]}),
            json!({"Env": ["=x"]}),
            json!({"WorkingDir": "relative"}),
            json!({"Cmd": "shell form"}),
        ] {
            assert!(matches!(parse(bad.clone()), Err(Invalid::Config(_))), "{bad}");
        }
    }

    #[test]
    fn tells_another_platform() {
        let text = format!(
            r#"{{"os":"plan9","architecture":"{}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#,
            native_architecture()
        );
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert!(matches!(config.check_platform(), Err(Invalid::Platform { .. })));
    }
}
