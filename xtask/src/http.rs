//! A blocking GET to a process on this machine, as nodes' and servers' status pages need it.
//!
//! It is not a web client: no redirects are expected, no TLS, and every call has a short limit.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status, 200 when all is well.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// Asks `url` and answers whatever status comes back, within `limit` in total.
///
/// # Errors
/// Nothing listens, the limit passed, or the body is not text.
pub fn get(url: &str, limit: Duration) -> Result<Reply> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut reply = agent.get(url).call().with_context(|| format!("asking {url}"))?;
    let body = reply.body_mut().read_to_string().with_context(|| format!("reading the answer of {url}"))?;
    Ok(Reply { status: reply.status().as_u16(), body })
}

/// Asks `url` for JSON and reads it as `T`.
///
/// # Errors
/// As [`get`]; also a status other than 200, or a body that is not a `T`.
pub fn get_json<T: DeserializeOwned>(url: &str, limit: Duration) -> Result<T> {
    let reply = get(url, limit)?;
    if reply.status != 200 {
        bail!("{url} answered {}: {}", reply.status, reply.body.trim());
    }
    serde_json::from_str(&reply.body).with_context(|| format!("{url} did not answer the JSON expected: {}", reply.body))
}
