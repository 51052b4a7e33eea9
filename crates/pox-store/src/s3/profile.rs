//! Keys and places of S3 where AWS's own tools look for them: the environment, then files.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use pox_core::s3::{BadAccess, BucketAccess, Style};
use zeroize::Zeroizing;

/// Access keys, and the service that they are for.
#[derive(Clone)]
pub struct Profile {
    endpoint: Option<String>,
    region: String,
    style: Option<Style>,
    key_id: String,
    secret_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
}

/// There are no usable settings for S3.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// No keys in the environment, and no file has any.
    #[error("there are no access keys for S3")]
    NoKeys,
    /// One of two that belong together.
    #[error("{0} is set without its other half")]
    Half(&'static str),
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{} is too large", .0.display())]
    TooLarge(PathBuf),
    /// A setting has none of its values.
    #[error("{0} can't be used")]
    Setting(&'static str),
    /// The settings make no access.
    #[error(transparent)]
    Access(#[from] BadAccess),
}

/// Where settings come from.
struct Sources<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    credentials: Zeroizing<String>,
    config: Zeroizing<String>,
    profile: String,
}

impl Profile {
    /// Reads the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` or
    /// `AWS_DEFAULT_REGION`, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, `AWS_S3_ADDRESSING_STYLE`), then the profile that
    /// `AWS_PROFILE` names (`default`) in `AWS_SHARED_CREDENTIALS_FILE` (`~/.aws/credentials`) and `AWS_CONFIG_FILE`
    /// (`~/.aws/config`). The keys come together from one place.
    ///
    /// # Errors
    /// There are no keys, or a setting or file can't be used.
    pub fn load(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ProfileError> {
        let file = |variable: &str, usual: &str| {
            let named = environment(variable).map(PathBuf::from);
            let path = named.or_else(|| Some(PathBuf::from(environment("HOME")?).join(usual)));
            path.map_or(Ok(Zeroizing::default()), |path| read(&path))
        };
        Self::from_sources(&Sources {
            environment,
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")?,
            config: file("AWS_CONFIG_FILE", ".aws/config")?,
            profile: environment("AWS_PROFILE").unwrap_or_else(|| "default".into()),
        })
    }

    fn from_sources(sources: &Sources<'_>) -> Result<Self, ProfileError> {
        let (key_id, secret_key, session_token) = sources.keys()?;
        let region = sources.setting(&["AWS_REGION", "AWS_DEFAULT_REGION"], "region");
        let style = sources.setting(&["AWS_S3_ADDRESSING_STYLE"], "addressing_style");
        let style = match style.as_deref() {
            None | Some("auto") => None,
            Some("path") => Some(Style::Path),
            Some("virtual") => Some(Style::Host),
            Some(_) => return Err(ProfileError::Setting("the addressing style")),
        };
        let profile = Self {
            endpoint: sources
                .setting(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"], "endpoint_url")
                .map(|url| url.trim_end_matches('/').to_owned()),
            region: region.unwrap_or_else(|| "us-east-1".into()),
            style,
            key_id,
            secret_key,
            session_token,
        };
        profile.access("bucket").check()?;
        Ok(profile)
    }

    /// The access to one bucket.
    pub fn access(&self, bucket: &str) -> BucketAccess {
        let aws = || format!("https://s3.{}.amazonaws.com", self.region);
        // Names with dots don't fit AWS's certificates; services of one's own seldom have names for buckets.
        let usual = if self.endpoint.is_some() || bucket.contains('.') { Style::Path } else { Style::Host };
        BucketAccess {
            bucket: bucket.into(),
            endpoint: self.endpoint.clone().unwrap_or_else(aws),
            region: self.region.clone(),
            style: self.style.unwrap_or(usual),
            key_id: self.key_id.clone(),
            secret_key: self.secret_key.to_string(),
            session_token: self.session_token.as_ref().map(|token| token.to_string()),
        }
    }

    /// The service, if it isn't AWS's own.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

type KeyParts = (String, Zeroizing<String>, Option<Zeroizing<String>>);

impl Sources<'_> {
    fn keys(&self) -> Result<KeyParts, ProfileError> {
        let environment = |name: &str| (self.environment)(name).filter(|value| !value.is_empty());
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        match names.map(environment) {
            [Some(id), Some(key)] => {
                let token = environment("AWS_SESSION_TOKEN").map(Zeroizing::new);
                return Ok((id, Zeroizing::new(key), token));
            }
            [None, None] => {}
            [Some(_), None] => return Err(ProfileError::Half(names[0])),
            [None, Some(_)] => return Err(ProfileError::Half(names[1])),
        }
        for (text, section) in [(&self.credentials, self.profile.clone()), (&self.config, self.section())] {
            let value = |name| in_section(text, &section, name).map(str::to_owned);
            match ["aws_access_key_id", "aws_secret_access_key"].map(value) {
                [Some(id), Some(key)] => {
                    let token = value("aws_session_token").map(Zeroizing::new);
                    return Ok((id, Zeroizing::new(key), token));
                }
                [None, None] => {}
                [Some(_), None] => return Err(ProfileError::Half("aws_access_key_id")),
                [None, Some(_)] => return Err(ProfileError::Half("aws_secret_access_key")),
            }
        }
        Err(ProfileError::NoKeys)
    }

    fn setting(&self, variables: &[&str], name: &str) -> Option<String> {
        let environment = |name: &&str| (self.environment)(name).filter(|value| !value.is_empty());
        let in_file = || in_section(&self.config, &self.section(), name).map(str::to_owned);
        variables.iter().find_map(environment).or_else(in_file)
    }

    /// The section of the configuration file, whose names are longer than those of the other.
    fn section(&self) -> String {
        if self.profile == "default" { self.profile.clone() } else { format!("profile {}", self.profile) }
    }
}

/// Finds `name = value` in a section, also below another name (`s3 =`, whose own settings are indented).
fn in_section<'a>(text: &'a str, section: &str, name: &str) -> Option<&'a str> {
    let mut inside = false;
    let mut found = None;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = head.trim() == section;
        } else if let Some((key, value)) = line.split_once('=')
            && inside
            && key.trim() == name
            && !value.trim().is_empty()
        {
            found = Some(value.trim());
        }
    }
    found
}

fn read(path: &Path) -> Result<Zeroizing<String>, ProfileError> {
    let failed = |source| ProfileError::File { path: path.into(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Zeroizing::default()),
        other => other.map_err(failed)?,
    };
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE { Err(ProfileError::TooLarge(path.into())) } else { Ok(text) }
}

/// Some thousand profiles.
const MAX_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(
        variables: &[(&str, &str)],
        credentials: &str,
        config: &str,
    ) -> Result<BucketAccess, ProfileError> {
        let environment = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        };
        let sources = Sources {
            environment: &environment,
            credentials: Zeroizing::new(credentials.into()),
            config: Zeroizing::new(config.into()),
            profile: environment("AWS_PROFILE").unwrap_or_else(|| "default".into()),
        };
        Profile::from_sources(&sources).map(|profile| profile.access("data"))
    }

    const FILE: &str = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=B\n\
                        [lab]\naws_access_key_id = C\naws_secret_access_key = D\naws_session_token = E\n";

    #[test]
    fn keys_come_together_from_one_place() {
        let keys = [("AWS_ACCESS_KEY_ID", "X"), ("AWS_SECRET_ACCESS_KEY", "Y")];
        let access = profile(&keys, FILE, "").unwrap();
        assert_eq!((access.key_id.as_str(), access.secret_key.as_str()), ("X", "Y"));
        // Not the file's token beside the environment's keys.
        assert_eq!(access.session_token, None);
        let access = profile(&[], FILE, "").unwrap();
        assert_eq!((access.key_id.as_str(), access.secret_key.as_str()), ("A", "B"));
        let access = profile(&[("AWS_PROFILE", "lab")], FILE, "").unwrap();
        assert_eq!((access.key_id.as_str(), access.session_token.as_deref()), ("C", Some("E")));
        assert!(matches!(profile(&keys[..1], FILE, ""), Err(ProfileError::Half(_))));
        assert!(matches!(profile(&[], "", ""), Err(ProfileError::NoKeys)));
        assert!(matches!(profile(&[("AWS_PROFILE", "none")], FILE, ""), Err(ProfileError::NoKeys)));
    }

    #[test]
    fn places_follow_the_settings() {
        let aws = profile(&[("AWS_REGION", "eu-west-1")], FILE, "").unwrap();
        assert_eq!((aws.endpoint.as_str(), aws.style), ("https://s3.eu-west-1.amazonaws.com", Style::Host));
        let own = profile(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/")], FILE, "").unwrap();
        assert_eq!((own.endpoint.as_str(), own.style), ("http://127.0.0.1:9000", Style::Path));
        let config = "[profile lab]\nregion = eu-north-1\nendpoint_url = https://s3.lab.example\n\
                      s3 =\n    addressing_style = virtual\n[default]\nregion = x\n";
        let lab = profile(&[("AWS_PROFILE", "lab")], FILE, config).unwrap();
        assert_eq!((lab.region.as_str(), lab.style), ("eu-north-1", Style::Host));
        assert!(matches!(
            profile(&[("AWS_S3_ADDRESSING_STYLE", "odd")], FILE, ""),
            Err(ProfileError::Setting(_))
        ));
        assert!(matches!(
            profile(&[("AWS_ENDPOINT_URL", "http://h/path")], FILE, ""),
            Err(ProfileError::Access(BadAccess::Endpoint))
        ));
    }

    #[test]
    fn a_profile_shows_no_key() {
        let keys = [("AWS_ACCESS_KEY_ID", "XKEYX"), ("AWS_SECRET_ACCESS_KEY", "YSECRETY")];
        let environment =
            |name: &str| keys.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let shown = format!("{:?}", Profile::load(&environment).unwrap());
        assert!(!shown.contains("XKEYX") && !shown.contains("YSECRETY"), "{shown}");
    }
}
