use std::collections::HashMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use pox_core::UnixTime;
use pox_core::s3::{BadAccess, BucketAccess, Operation, URL_SECONDS};

use url::Url;

use super::{Profile, ProfileError};
use crate::HostPort;

/// Gives signed URLs for requests to S3-compatible storage.
pub trait Sign: Send + Sync {
    /// A URL with which this one request about this one object can be made, soon.
    ///
    /// # Errors
    /// There are no keys for that bucket, or whoever has them doesn't sign this.
    fn sign(&self, bucket: &str, key: &str, operation: &Operation) -> Result<String, SignError>;

    /// The keys themselves, for a secret.
    ///
    /// # Errors
    /// Whoever signs doesn't have them, or doesn't give them away.
    fn dangerous_keys(&self, bucket: &str) -> Result<BucketAccess, SignError> {
        Err(SignError::NoKeys(bucket.into()))
    }
}

/// There is no signed URL to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Nobody here has keys for the bucket.
    #[error("there are no access keys for bucket {0}")]
    NoKeys(String),
    /// The keys, or what they are for, can't be used.
    #[error("bucket {bucket}: {reason}")]
    Access {
        /// The bucket.
        bucket: String,
        /// What is wrong.
        reason: BadAccess,
    },
    /// Whoever has the keys refused, or is gone.
    #[error("no signature for the storage: {0}")]
    Refused(String),
}

/// Signs with keys that this process has.
pub struct Keys {
    buckets: HashMap<String, BucketAccess>,
    others: Result<Profile, Option<ProfileError>>,
}

impl Keys {
    /// Takes the keys of some buckets, and of no others.
    pub fn of(buckets: impl IntoIterator<Item = BucketAccess>) -> Self {
        let buckets = buckets.into_iter().map(|access| (access.bucket.clone(), access)).collect();
        Self { buckets, others: Err(None) }
    }

    /// Takes the same keys for all buckets, as [`Profile::load`] finds them. What is wrong with them is said when they are needed.
    pub fn load(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        Self { buckets: HashMap::new(), others: Profile::load(environment).map_err(Some) }
    }

    /// The service that a user's settings name, if it isn't AWS's own.
    pub fn endpoint(&self) -> Option<HostPort> {
        let url = Url::parse(self.others.as_ref().ok()?.endpoint()?).ok()?;
        HostPort::of(&url)
    }

    fn access(&self, bucket: &str) -> Result<BucketAccess, SignError> {
        match (self.buckets.get(bucket), &self.others) {
            (Some(access), _) => Ok(access.clone()),
            (None, Ok(profile)) => Ok(profile.access(bucket)),
            (None, Err(None | Some(ProfileError::NoKeys))) => Err(SignError::NoKeys(bucket.into())),
            (None, Err(Some(error))) => Err(SignError::Refused(error.to_string())),
        }
    }
}

impl Sign for Keys {
    fn sign(&self, bucket: &str, key: &str, operation: &Operation) -> Result<String, SignError> {
        // A clock before 1970 makes signatures that the storage refuses, and says why.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.access(bucket)?
            .presign(key, operation, UnixTime(now), URL_SECONDS)
            .map_err(|reason| SignError::Access { bucket: bucket.into(), reason })
    }

    fn dangerous_keys(&self, bucket: &str) -> Result<BucketAccess, SignError> {
        self.access(bucket)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("buckets", &self.buckets).finish_non_exhaustive()
    }
}
