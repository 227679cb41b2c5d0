//! The section `nats`: where the servers are, who we are to them, and how the way there is kept private.

use std::path::PathBuf;

use serde::Deserialize;

use super::raw::{Misfit, list_or_commas, misfit};
use super::{NatsSettings, NatsTls, Secret, files};

/// How many characters the seed of an nkey has.
const SEED_CHARS: usize = 58;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawNats {
    #[serde(deserialize_with = "list_or_commas")]
    urls: Option<Vec<String>>,
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    creds: Option<PathBuf>,
    nkey: Option<PathBuf>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    insecure: Option<bool>,
    inbox_prefix: Option<String>,
    replicas: Option<usize>,
}

impl std::fmt::Debug for RawNats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawNats").finish_non_exhaustive()
    }
}

impl RawNats {
    pub(super) fn check(self) -> Result<NatsSettings, Misfit> {
        let urls = checked_urls(self.urls)?;
        let replicas = self.replicas.unwrap_or(1);
        if ![1, 3].contains(&replicas) {
            return Err(misfit("nats.replicas", format!("{replicas} is not possible"), "write 1 or 3"));
        }
        if self.user.is_some() != self.password.is_some() {
            let problem = "a user and a password go together";
            return Err(misfit("nats.password", problem, "set both nats.user and nats.password, or neither"));
        }
        let ways = [
            ("nats.creds", self.creds.is_some()),
            ("nats.nkey", self.nkey.is_some()),
            ("nats.token", self.token.is_some()),
            ("nats.user", self.user.is_some()),
        ];
        let given: Vec<_> = ways.into_iter().filter_map(|(key, given)| given.then_some(key)).collect();
        if let [first, second, ..] = given[..] {
            let problem = format!("{second} is given as well, and NATS is told who we are in one way only");
            return Err(misfit(first, problem, format!("keep one of {} and remove the others", given.join(", "))));
        }
        if let Some(creds) = &self.creds {
            files::private("nats.creds", creds)?;
        }
        if self.inbox_prefix.as_deref().is_some_and(|prefix| !is_inbox_prefix(prefix)) {
            let cure = "write what `aether acl` prints for this user's inboxes, without the .>, or leave the key out";
            return Err(misfit("nats.inbox_prefix", "it does not begin with _INBOX, or has a wildcard", cure));
        }
        Ok(NatsSettings {
            urls,
            user: self.user,
            password: self.password,
            token: self.token,
            creds: self.creds,
            nkey: self.nkey.map(seed).transpose()?,
            tls: tls(self.tls_ca, self.tls_cert, self.tls_key, self.insecure.unwrap_or(false))?,
            inbox_prefix: self.inbox_prefix,
            replicas,
        })
    }
}

fn checked_urls(urls: Option<Vec<String>>) -> Result<Vec<String>, Misfit> {
    let urls = urls.unwrap_or_else(|| vec!["nats://127.0.0.1:4222".to_owned()]);
    if urls.is_empty() {
        let cure = "name at least one server, or leave the key out for nats://127.0.0.1:4222";
        return Err(misfit("nats.urls", "the list is empty", cure));
    }
    for url in &urls {
        let known = ["nats://", "tls://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
        if !known || url.contains(char::is_whitespace) {
            // The text itself may hold a password: it is not repeated.
            let problem = "an entry is not a URL that begins with nats:// or tls://";
            return Err(misfit("nats.urls", problem, "write for example [\"nats://127.0.0.1:4222\"]"));
        }
        if url.contains('@') {
            let problem = "an entry carries credentials";
            let cure = "use nats.user and nats.password, nats.token, nats.nkey or nats.creds";
            return Err(misfit("nats.urls", problem, cure));
        }
    }
    Ok(urls)
}

/// Whether an inbox may begin so. Without NATS there is nothing that it could be held against.
fn is_inbox_prefix(prefix: &str) -> bool {
    #[cfg(feature = "nats")]
    return aether_infra_nats::NatsConfig::is_inbox_prefix(prefix);
    #[cfg(not(feature = "nats"))]
    return prefix.starts_with("_INBOX");
}

/// The seed of a user's nkey, in a file of its own.
fn seed(path: PathBuf) -> Result<Secret, Misfit> {
    const KEY: &str = "nats.nkey";
    let held = files::secret(KEY, &path)?;
    let seed = held.reveal().trim();
    let base32 = |c: u8| c.is_ascii_uppercase() || (b'2'..=b'7').contains(&c);
    if seed.len() == SEED_CHARS && seed.starts_with("SU") && seed.bytes().all(base32) {
        return Ok(Secret::new(seed));
    }
    let problem = format!("{} does not hold the seed of a user's nkey", path.display());
    Err(misfit(KEY, problem, format!("run: nk -gen user > {}", path.display())))
}

fn tls(ca: Option<PathBuf>, cert: Option<PathBuf>, key: Option<PathBuf>, insecure: bool) -> Result<NatsTls, Misfit> {
    let authorities = ca.map(|path| files::pem("nats.tls_ca", path, "CERTIFICATE")).transpose()?;
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => {
            files::private("nats.tls_key", &key)?;
            let cert = files::pem("nats.tls_cert", cert, "CERTIFICATE")?;
            Some((cert, files::pem("nats.tls_key", key, "PRIVATE KEY")?))
        }
        (None, None) => None,
        (Some(_), None) => {
            return Err(misfit("nats.tls_cert", "a certificate needs its key", "name it in nats.tls_key"));
        }
        (None, Some(_)) => {
            return Err(misfit("nats.tls_key", "a key needs its certificate", "name it in nats.tls_cert"));
        }
    };
    if insecure && (authorities.is_some() || identity.is_some()) {
        let problem = "certificates are named as well, with which every connection is encrypted";
        return Err(misfit("nats.insecure", problem, "remove it, or the certificates"));
    }
    Ok(NatsTls { authorities, identity, insecure })
}
