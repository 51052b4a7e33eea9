//! How registries ask for credentials, by the distribution specification.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::{Method, Request, Response};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::net::{Fault, Net};
use crate::{HostPort, Login, Refused};

/// Answers a registry's challenge: fetches a token, or uses the login itself. Nothing if neither helps.
pub(crate) async fn answer(
    net: &Net,
    refusal: &Response,
    login: Option<&Login>,
) -> Result<Option<HeaderValue>, Fault> {
    let challenges = refusal.headers().get_all(WWW_AUTHENTICATE);
    for challenge in challenges.iter().filter_map(|value| value.to_str().ok()) {
        let (scheme, parameters) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            return token(net, parameters, login).await.map(Some);
        }
        if let (true, Some(login)) = (scheme.eq_ignore_ascii_case("basic"), login) {
            check_channel(refusal.url())?;
            return basic(login).map(Some);
        }
    }
    Ok(None)
}

async fn token(net: &Net, parameters: &str, login: Option<&Login>) -> Result<HeaderValue, Fault> {
    let realm = parameter(parameters, "realm").ok_or(Fault::Protocol("its challenge has no realm"))?;
    let mut url =
        Url::parse(realm).map_err(|_| Fault::Protocol("its token service has no usable address"))?;
    for key in ["service", "scope"] {
        if let Some(value) = parameter(parameters, key) {
            url.query_pairs_mut().append_pair(key, value);
        }
    }
    // A token is worth as much as a login, so it isn't fetched in the clear either.
    check_channel(&url)?;
    let mut request = Request::new(Method::GET, url);
    if let Some(login) = login {
        request.headers_mut().insert(AUTHORIZATION, basic(login)?);
    }
    let response = net.send(request, Some(net.access.timeouts.stall)).await?;
    let bytes = Zeroizing::new(net.small_body(response, MAX_TOKEN).await?);
    let answer: Token =
        serde_json::from_slice(&bytes).map_err(|_| Fault::Protocol("its token service sends no token"))?;
    let token = answer
        .token
        .or(answer.access_token)
        .map(Zeroizing::new)
        .ok_or(Fault::Protocol("its token service sends no token"))?;
    secret(Zeroizing::new(format!("Bearer {}", token.as_str())))
}

fn basic(login: &Login) -> Result<HeaderValue, Fault> {
    let pair = Zeroizing::new(format!("{}:{}", login.user, login.password.as_str()));
    secret(Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))))
}

fn secret(text: Zeroizing<String>) -> Result<HeaderValue, Fault> {
    let mut value =
        HeaderValue::from_str(&text).map_err(|_| Fault::Protocol("its token can't be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn check_channel(url: &Url) -> Result<(), Fault> {
    let host = HostPort::of(url);
    if url.scheme() == "https" || host.as_ref().is_some_and(HostPort::is_loopback) {
        return Ok(());
    }
    Err(Fault::Refused(Refused::PlainCredentials(url.host_str().unwrap_or_default().into())))
}

/// Finds `key="value"` among parameters; values hold no escaped quotes in practice.
fn parameter<'a>(parameters: &'a str, key: &str) -> Option<&'a str> {
    let mut rest = parameters;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if name.trim_matches([' ', ',']).eq_ignore_ascii_case(key) {
            return Some(value);
        }
        rest = next;
    }
    None
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// Tokens are some kilobytes.
const MAX_TOKEN: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_challenges() {
        let text =
            r#"realm="https://auth.example/token",service="reg, istry",scope="repository:a/b:pull,push""#;
        assert_eq!(parameter(text, "realm"), Some("https://auth.example/token"));
        assert_eq!(parameter(text, "service"), Some("reg, istry"));
        assert_eq!(parameter(text, "scope"), Some("repository:a/b:pull,push"));
        assert_eq!(parameter(text, "error"), None);
        assert_eq!(parameter("realm=plain,x=y", "x"), Some("y"));
        assert_eq!(parameter("realm=\"unfinished", "realm"), None);
    }

    #[test]
    fn credentials_stay_off_plain_channels() {
        for (url, ok) in [("https://h/", true), ("http://127.0.0.1:5000/", true), ("http://h/", false)] {
            assert_eq!(check_channel(&Url::parse(url).unwrap()).is_ok(), ok, "{url}");
        }
    }
}
