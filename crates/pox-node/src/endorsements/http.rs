//! One request to a service: bounded, timed, and made again if what went wrong may pass.

use super::{FetchError, Sources};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;
use ureq::Agent;
use ureq::http::header::RETRY_AFTER;
use ureq::http::{HeaderMap, StatusCode, Uri};

/// What asks.
pub(super) struct Client {
    agent: Agent,
    rounds: u32,
    first_pause: Duration,
    /// What was given already, by its URL.
    given: RefCell<BTreeMap<String, Answer>>,
}

/// What a service gave.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    headers: HeaderMap,
    service: String,
    what: &'static str,
}

/// Why there is no answer, and whether there may be one later.
enum Failure {
    Lasting(FetchError),
    Passing { error: FetchError, wait: Duration },
}

impl Client {
    pub(super) fn new(sources: &Sources) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(sources.timeout))
            .http_status_as_error(false)
            // Nobody whom the configuration does not name is told which machine this is.
            .max_redirects(0)
            .max_redirects_will_error(true)
            .user_agent(concat!("pox/", env!("CARGO_PKG_VERSION")));
        let agent = config.build().new_agent();
        Self {
            agent,
            rounds: sources.rounds.max(1),
            first_pause: sources.first_pause,
            given: RefCell::default(),
        }
    }

    /// Asks for something of at most so many bytes, if it was not given already.
    pub(super) fn get(&self, url: &str, what: &'static str, most: u64) -> Result<Answer, FetchError> {
        if let Some(given) = self.given.borrow().get(url) {
            return Ok(given.clone());
        }
        let answer = self.ask_patiently(url, what, most)?;
        self.given.borrow_mut().insert(url.to_owned(), answer.clone());
        Ok(answer)
    }

    fn ask_patiently(&self, url: &str, what: &'static str, most: u64) -> Result<Answer, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::Url(url.to_owned()))?;
        let (Some("http" | "https"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(FetchError::Url(url.to_owned()));
        };
        let port = uri.port_u16().map_or_else(String::new, |port| format!(":{port}"));
        let service = format!("{host}{port}");
        let mut pause = self.first_pause;
        let mut round = 1;
        loop {
            match self.ask(&uri, &service, what, most) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing { error, .. }) if round == self.rounds => return Err(error),
                Err(Failure::Passing { wait, .. }) => sleep(pause.max(wait)),
            }
            pause = pause.saturating_mul(2);
            round += 1;
        }
    }

    fn ask(&self, uri: &Uri, service: &str, what: &'static str, most: u64) -> Result<Answer, Failure> {
        let mut response = self.agent.get(uri).call().map_err(|error| failed(error, service, what))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(refused(status, response.headers(), service, what));
        }
        let body = response.body_mut().with_config().limit(most).read_to_vec();
        Ok(Answer {
            body: body.map_err(|error| failed(error, service, what))?,
            headers: response.headers().clone(),
            service: service.to_owned(),
            what,
        })
    }
}

fn failed(error: ureq::Error, service: &str, what: &'static str) -> Failure {
    let service = service.to_owned();
    let lasting = |reason| Failure::Lasting(FetchError::Malformed { service: service.clone(), what, reason });
    match error {
        ureq::Error::BodyExceedsLimit(most) => lasting(format!("more than {most} bytes")),
        ureq::Error::TooManyRedirects => lasting("it sends elsewhere".to_owned()),
        error => Failure::Passing {
            error: FetchError::Unreachable { service, reason: error.to_string() },
            wait: Duration::ZERO,
        },
    }
}

fn refused(status: StatusCode, headers: &HeaderMap, service: &str, what: &'static str) -> Failure {
    let service = service.to_owned();
    if status == StatusCode::NOT_FOUND {
        return Failure::Lasting(FetchError::NotFound { service, what });
    }
    if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
        return Failure::Lasting(FetchError::Refused { service, what, status: status.as_u16() });
    }
    let told = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Failure::Passing {
        error: FetchError::Unreachable { service, reason: format!("HTTP status {status}") },
        wait: told.map_or(Duration::ZERO, Duration::from_secs).min(MAX_WAIT),
    }
}

impl Answer {
    /// The body, which is DER or, as caches have it, the same in hexadecimal.
    pub(super) fn der(self) -> Result<Vec<u8>, FetchError> {
        if self.body.first() == Some(&DER_SEQUENCE) {
            return Ok(self.body);
        }
        let decoded = hex::decode(self.body.trim_ascii()).ok();
        let decoded = decoded.filter(|der| der.first() == Some(&DER_SEQUENCE));
        decoded.ok_or_else(|| self.malformed("neither DER nor hexadecimal"))
    }

    /// A header with a certificate chain, as PEM that is percent-encoded.
    pub(super) fn chain(&self, header: &'static str) -> Result<Vec<u8>, FetchError> {
        let value = self.headers.get(header).and_then(|value| percent_decoded(value.as_bytes()));
        value.ok_or_else(|| self.malformed(header))
    }

    /// The service's fault.
    pub(super) fn malformed(&self, reason: &str) -> FetchError {
        FetchError::Malformed { service: self.service.clone(), what: self.what, reason: reason.to_owned() }
    }
}

/// RFC 3986 §2.1; `None` if what follows a percent sign is no number.
fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', after) => {
                let mut byte = [0];
                hex::decode_to_slice(after.get(..2)?, &mut byte).ok()?;
                (byte[0], &after[2..])
            }
            (byte, after) => (*byte, after),
        };
        decoded.push(byte);
        rest = after;
    }
    Some(decoded)
}

/// However long a service asks to wait.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// What DER of certificates and lists begins with.
const DER_SEQUENCE: u8 = 0x30;
