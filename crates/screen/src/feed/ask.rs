//! Pages, asked for one at a time.

use std::time::Duration;

use serde::de::DeserializeOwned;

/// How long a node may take to answer.
pub(super) const LIMIT: Duration = Duration::from_secs(2);
/// How long one may take that knows only a little more.
pub(super) const LIMIT_BESIDE: Duration = Duration::from_millis(500);
/// The most bytes of a page: every shard's owner, and as much again.
const PAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What asks.
#[derive(Clone, Debug)]
pub(super) struct Asker(ureq::Agent);

impl Asker {
    pub(super) fn new() -> Self {
        Self(ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into())
    }

    /// What is answered, whatever its status is.
    pub(super) fn any(&self, url: &str, path: &str, limit: Duration) -> Result<(bool, String), String> {
        let asked = format!("{}{path}", url.trim_end_matches('/'));
        let request = self.0.get(&asked).config().timeout_global(Some(limit)).build();
        let mut reply = request.call().map_err(|fault| format!("{asked}: {fault}"))?;
        let body = reply.body_mut().with_config().limit(PAGE_BYTES_MAX).read_to_string();
        Ok((reply.status().is_success(), body.map_err(|fault| format!("{asked}: {fault}"))?))
    }

    /// The page.
    pub(super) fn page(&self, url: &str, path: &str, limit: Duration) -> Result<String, String> {
        match self.any(url, path, limit)? {
            (true, body) => Ok(body),
            (false, body) => Err(format!("{url}{path}: {}", body.trim())),
        }
    }

    /// The page, understood.
    pub(super) fn read<V: DeserializeOwned>(&self, url: &str, path: &str, limit: Duration) -> Result<V, String> {
        understood(url, &self.page(url, path, limit)?)
    }
}

pub(super) fn understood<V: DeserializeOwned>(url: &str, page: &str) -> Result<V, String> {
    serde_json::from_str(page).map_err(|fault| format!("{url} does not answer as a node does: {fault}"))
}
