//! Why a node cannot begin to work with NATS: each in one paragraph that says what to do.

use std::fmt;
use std::time::Duration;

use aether_domain::ports::BoxError;

/// Why connecting or provisioning was given up. Nothing was changed, but streams that were missing may exist now.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration itself is wrong.
    #[error("the NATS settings cannot be used: {reason}; correct them and start again")]
    Settings {
        /// What is wrong.
        reason: String,
    },
    /// No server answered.
    #[error(
        "no NATS server answered at {servers} within {within:?}; check that nats-server runs there, that the address is \
         right and that no firewall is in between"
    )]
    NoServer {
        /// Where we looked, without credentials.
        servers: String,
        /// For how long.
        within: Duration,
        /// The last attempt's failure.
        #[source]
        cause: Option<BoxError>,
    },
    /// A server answered and does not know us.
    #[error(
        "NATS at {servers} refused the credentials; check the user, password, token, creds file or nkey seed against the \
         server's configuration, and the server's log for the reason"
    )]
    Credentials {
        /// Where, without credentials.
        servers: String,
        /// What the client says.
        #[source]
        cause: BoxError,
    },
    /// The connection cannot be encrypted as it has to be.
    #[error("no encrypted connection to NATS at {servers}: {reason}")]
    Tls {
        /// Where, without credentials.
        servers: String,
        /// What kind of fault it is.
        fault: TlsFault,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The server lacks what we build on.
    #[error(
        "nats-server {found} is too old: Aether needs {needed} or newer (2.15 recommended); upgrade the servers and start \
         again"
    )]
    ServerTooOld {
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// The server has no JetStream for us.
    #[error(
        "JetStream is not available at {servers}; enable it (`jetstream {{ store_dir: ... }}` in nats-server's \
         configuration, or `-js`) and, if accounts are used, for this account too"
    )]
    JetStreamOff {
        /// Where, without credentials.
        servers: String,
        /// What the server says.
        #[source]
        cause: BoxError,
    },
    /// JetStream does not answer.
    #[error(
        "JetStream did not answer within {within:?}{}; check the user's permissions for `$JS.API.>` and its inbox \
         `_INBOX_<namespace>.>`, and that the NATS cluster has a majority of its servers",
        heard(.last_server_error.as_ref())
    )]
    JetStreamSilent {
        /// For how long we asked.
        within: Duration,
        /// What the server complained about last on this connection, if anything.
        last_server_error: Option<String>,
        /// The last attempt's failure.
        #[source]
        cause: BoxError,
    },
    /// Messages may be too small for our records.
    #[error(
        "the server's max_payload of {found} bytes is below the {needed} bytes that records and commands need; raise \
         `max_payload` in nats-server's configuration"
    )]
    PayloadLimit {
        /// What the server takes.
        found: usize,
        /// What we need.
        needed: usize,
    },
    /// A stream is not as the protocol needs it.
    #[error(
        "stream {stream} is not set up as Aether needs it: {}; somebody changed it or it belongs to something else. \
         Set these back (`nats stream edit {stream}`), or use another namespace; Aether changes no stream that exists",
        listed(.differences)
    )]
    ConfigDrift {
        /// The stream.
        stream: String,
        /// Every setting that differs.
        differences: Vec<Difference>,
    },
    /// The user may not make or read a stream.
    #[error(
        "the NATS user may not do what setting up stream {stream} takes (the server: {said}); give it the rights that \
         `aether acl` prints for its role, and if streams are missing let an operator make them once: `aether provision`"
    )]
    Denied {
        /// The stream.
        stream: String,
        /// What the server says.
        said: String,
    },
    /// A stream could not be made or read.
    #[error(
        "stream {stream} could not be set up: {reason}; check free disk space, the account's JetStream limits and, with \
         {replicas} replicas, that as many servers are up"
    )]
    Provision {
        /// The stream.
        stream: String,
        /// What the server says.
        reason: String,
        /// How many servers were to keep it.
        replicas: usize,
    },
}

/// Why a connection could not be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The server's certificate is for another host.
    OtherHost,
    /// Nobody who is trusted has issued the server's certificate.
    Untrusted,
    /// The server's certificate is out of date, or not valid yet.
    OutOfDate,
    /// The server wants a certificate of ours, or another one.
    OurCertificate,
    /// The server does not speak TLS.
    NotSpoken,
    /// Something else.
    Other,
}

/// A setting of a stream that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting, as NATS names it.
    pub setting: String,
    /// What it is, as JSON; `unset` if it is not there.
    pub found: String,
    /// What it must be.
    pub expected: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} instead of {}", self.setting, self.found, self.expected)
    }
}

fn listed(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn heard(last: Option<&String>) -> String {
    last.map_or_else(String::new, |error| format!(" (the server's last complaint: {error})"))
}
