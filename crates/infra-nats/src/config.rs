//! What a connection to NATS needs to be told. Reading it from files and the environment is the caller's work.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::is_loopback;

/// The most bytes an inbox prefix may have.
const INBOX_PREFIX_BYTES_MAX: usize = 128;

/// How to reach NATS and how much to ask of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsConfig {
    /// Where the servers are: `nats://host:4222` or `tls://…`. All of one NATS cluster.
    pub urls: Vec<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// How TLS is done. It is required as soon as a server is not on loopback.
    pub tls: Tls,
    /// What this connection's inboxes begin with, for a user whose rights name another prefix than the nodes'
    /// `_INBOX_<namespace>`: `_INBOX` and what follows, without wildcards.
    pub inbox_prefix: Option<String>,
    /// How the connection is named in the server's monitoring.
    pub name: String,
    /// How many servers keep each stream: 1 or 3. Every node of a cluster says the same.
    pub replicas: usize,
    /// Whether streams that are missing are made. Whoever only looks makes none, and is told that one is missing.
    pub create_streams: bool,
    /// How long to look for a server that answers before giving up.
    pub connect_within: Duration,
    /// How long creating and checking the streams may take. Servers that have just started elect leaders first.
    pub provision_within: Duration,
    /// How long one request or publish may take before its outcome counts as unknown.
    pub request_timeout: Duration,
    /// The newest format that this node reads, and so the newest that the cluster writes while it is a member. An older one
    /// than this build's newest keeps the way back open until every node has been upgraded.
    pub format_max: u8,
}

impl NatsConfig {
    /// The newest format that this build knows.
    pub const FORMAT_NEWEST: u8 = 1;
    /// How long one request or publish may take by default.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

    /// One replica, no credentials, default patience: for the given servers.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            credentials: Credentials::None,
            tls: Tls::default(),
            inbox_prefix: None,
            name: "aether".to_owned(),
            replicas: 1,
            create_streams: true,
            connect_within: Duration::from_secs(5),
            provision_within: Duration::from_secs(20),
            request_timeout: Self::REQUEST_TIMEOUT,
            format_max: Self::FORMAT_NEWEST,
        }
    }

    /// Whether an inbox may begin so: where nodes answer and where nobody else listens.
    pub fn is_inbox_prefix(prefix: &str) -> bool {
        let token =
            |token: &str| !token.is_empty() && token.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c));
        prefix.starts_with("_INBOX") && prefix.len() <= INBOX_PREFIX_BYTES_MAX && prefix.split('.').all(token)
    }

    /// Those of the servers that are on another machine. A name that is not `localhost` is taken for another one.
    pub fn remote_urls(&self) -> impl Iterator<Item = &str> {
        self.urls.iter().map(String::as_str).filter(|url| !is_loopback(url))
    }

    /// The servers for an error text, without what may be secret in a URL.
    pub fn servers(&self) -> String {
        self.urls.iter().map(|url| without_login(url)).collect::<Vec<_>>().join(", ")
    }

    /// Those on another machine, for people: without what may be secret in a URL.
    pub fn remote_servers(&self) -> Vec<String> {
        self.remote_urls().map(without_login).collect()
    }
}

fn without_login(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => url.to_owned(),
    }
}

/// Who we are to NATS. What is secret is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody, or whoever the URL says.
    None,
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
    /// A `.creds` file: a JWT and its key.
    File(PathBuf),
    /// The seed of an nkey, `SU…`.
    NkeySeed(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password { user, .. } => write!(f, "Password {{ user: {user:?}, .. }}"),
            Self::Token(_) => f.write_str("Token(..)"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::NkeySeed(_) => f.write_str("NkeySeed(..)"),
        }
    }
}

/// How TLS is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Take a connection without TLS to another machine too, over which passwords, commands and events are readable and can be
    /// forged. Without this only servers on loopback are talked to in the clear.
    pub insecure: bool,
    /// Certificates of authorities to trust instead of the platform's, as a PEM file. TLS is required then.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and its key, as PEM files. TLS is required then.
    pub identity: Option<(PathBuf, PathBuf)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_begins_like_one() {
        for good in ["_INBOX", "_INBOX_bank", "_INBOX_CLIENT_bank.alice"] {
            assert!(NatsConfig::is_inbox_prefix(good), "{good}");
        }
        for bad in [
            "",
            "aether.bank.top",
            "_INBOX.",
            "_INBOX.*",
            "_INBOX.>",
            "_INBOX a",
            &format!("_INBOX{}", "x".repeat(128)),
        ] {
            assert!(!NatsConfig::is_inbox_prefix(bad), "{bad}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let mut config = NatsConfig::new(["nats://me:secret@host:4222", "host2:4222", "secret@host3"]);
        assert_eq!(config.servers(), "nats://host:4222, host2:4222, host3");
        assert_eq!(config.remote_servers(), ["nats://host:4222", "host2:4222", "host3"]);
        for credentials in [
            Credentials::Password { user: "me".to_owned(), password: "secret".to_owned() },
            Credentials::Token("secret".to_owned()),
            Credentials::NkeySeed("secret".to_owned()),
        ] {
            config.credentials = credentials;
            assert!(!format!("{:?}", config.credentials).contains("secret"));
        }
    }
}
