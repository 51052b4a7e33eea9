//! Asks time-stamping authorities and calendars for time anchors. What they answer is for `pox-verify` to judge.

use std::time::Duration;
use ureq::Agent;
use ureq::http::StatusCode;

/// Most time for one exchange; authorities wait for nothing.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A service gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum TimestampServiceError {
    /// The URL is none of HTTP.
    #[error("{0:?} is no http:// or https:// URL")]
    Url(String),
    /// It can't be reached.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// Who.
        url: String,
        /// Why.
        reason: String,
    },
    /// It declines.
    #[error("{url} answers with HTTP status {status}")]
    Refused {
        /// Who.
        url: String,
        /// How.
        status: u16,
    },
}

/// Services that are asked, each only where the user says.
#[derive(Debug)]
pub struct TimestampServices(Agent);

impl Default for TimestampServices {
    fn default() -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // Nobody whom the user does not name learns that there is something to stamp.
            .max_redirects(0)
            .max_redirects_will_error(true)
            .user_agent(concat!("pox/", env!("CARGO_PKG_VERSION")));
        Self(config.build().new_agent())
    }
}

impl TimestampServices {
    /// Sends an authority a query, and gives its answer of at most so many bytes.
    ///
    /// # Errors
    /// It gives none.
    pub fn stamp(&self, url: &str, query: &[u8], most: usize) -> Result<Vec<u8>, TimestampServiceError> {
        self.post(url, "application/timestamp-query", "application/timestamp-reply", query, most)
    }

    /// Submits a message to a calendar, and gives its answer.
    ///
    /// # Errors
    /// It gives none.
    pub fn submit(
        &self,
        calendar: &str,
        message: &[u8],
        most: usize,
    ) -> Result<Vec<u8>, TimestampServiceError> {
        let url = format!("{}/digest", calendar.trim_end_matches('/'));
        self.post(&url, "application/octet-stream", CALENDAR_ANSWER, message, most)
    }

    /// Asks a calendar what has become of a message; `None` if it has nothing yet.
    ///
    /// # Errors
    /// It gives no answer.
    pub fn upgrade(
        &self,
        calendar: &str,
        message: &[u8],
        most: usize,
    ) -> Result<Option<Vec<u8>>, TimestampServiceError> {
        let url = format!("{}/timestamp/{}", calendar.trim_end_matches('/'), hex::encode(message));
        check(&url)?;
        let answer = self.0.get(&url).header("accept", CALENDAR_ANSWER).call();
        let answer = answer.map_err(|error| unreachable(&url, &error))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        read(answer, &url, most).map(Some)
    }

    fn post(
        &self,
        url: &str,
        kind: &str,
        accept: &str,
        body: &[u8],
        most: usize,
    ) -> Result<Vec<u8>, TimestampServiceError> {
        check(url)?;
        let request = self.0.post(url).header("content-type", kind).header("accept", accept);
        let answer = request.send(body).map_err(|error| unreachable(url, &error))?;
        read(answer, url, most)
    }
}

fn check(url: &str) -> Result<(), TimestampServiceError> {
    if url.starts_with("http://") || url.starts_with("https://") {
        Ok(())
    } else {
        Err(TimestampServiceError::Url(url.to_owned()))
    }
}

fn read(
    mut answer: ureq::http::Response<ureq::Body>,
    url: &str,
    most: usize,
) -> Result<Vec<u8>, TimestampServiceError> {
    let status = answer.status();
    if status != StatusCode::OK {
        return Err(TimestampServiceError::Refused { url: url.to_owned(), status: status.as_u16() });
    }
    let body = answer.body_mut().with_config().limit(most as u64).read_to_vec();
    body.map_err(|error| unreachable(url, &error))
}

fn unreachable(url: &str, error: &ureq::Error) -> TimestampServiceError {
    TimestampServiceError::Unreachable { url: url.to_owned(), reason: error.to_string() }
}

const CALENDAR_ANSWER: &str = "application/vnd.opentimestamps.v1";
