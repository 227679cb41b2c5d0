//! From settings to working ports: connect within a bounded time, check the server, provision, hand out the adapters.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::Namespace;
use aether_domain::ports::{BoxError, Ports};
use aether_domain::records::Format;
use async_nats::jetstream::context::AccountErrorKind;
use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use tokio::time::sleep;

use crate::bus::NatsEventBus;
use crate::checkpoints::NatsCheckpointStore;
use crate::claims::NatsClaims;
use crate::config::{Credentials, NatsConfig};
use crate::connection::{Connection, ConnectionCounters, Observer};
use crate::control::NatsControlStore;
use crate::dead_letters::NatsDeadLetters;
use crate::event_store::NatsEventStore;
use crate::gateway::NatsGateway;
use crate::names::Names;
use crate::provision::{Promise, provision};
use crate::snapshots::NatsSnapshotStore;
use crate::start_error::StartError;
use crate::tls;
use crate::topology_log::NatsTopologyLog;
use crate::transport::NatsTransport;
use crate::wakes::NatsWakeStore;
use crate::wire::formats::{Formats, NEWEST};

/// The oldest nats-server that has what we build on. In 2.12.0 and 2.12.1 a batch of direct gets beside a write may lock a
/// stream for good.
pub(crate) const OLDEST_SERVER: &str = "2.12.2";

/// The smallest `max_payload` in which every record, and the largest command with its frame, has room.
pub(crate) const PAYLOAD_BYTES_MIN: usize = 1024 * 1024;

/// How often the client asks the server whether it is still there; two missed answers are a lost connection.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// How long one attempt to reach one server may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest pause between two attempts to reconnect.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(200);

/// How many messages a subscription holds for a reader that is busy before it loses some, which is told.
pub(crate) const SUBSCRIPTION_MESSAGES_MAX: usize = 65_536;

/// The ports of one namespace on one connection.
#[derive(Clone)]
pub struct NatsPorts {
    /// The ports.
    pub ports: Ports,
    /// The connection itself: its health, and the means to move or end it.
    pub session: NatsSession,
}

impl std::ops::Deref for NatsPorts {
    type Target = Ports;
    fn deref(&self) -> &Ports {
        &self.ports
    }
}

/// The connection behind a set of ports.
#[derive(Clone, Debug)]
pub struct NatsSession {
    connection: Connection,
    promise: Promise,
}

impl NatsSession {
    /// Whether the connection is up now.
    pub fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }
    /// What happened on it so far.
    pub fn counters(&self) -> ConnectionCounters {
        self.connection.counters()
    }
    /// The version of the server we are, or were last, connected to.
    pub fn server_version(&self) -> String {
        self.connection.client.server_info().version
    }
    /// How far acknowledged writes can be relied on.
    pub fn promise(&self) -> &Promise {
        &self.promise
    }
    /// Gives this connection up and reconnects, to one of the servers by chance: for a node whose heartbeats fail
    /// although it is connected, because its server is cut off from the others. Where that did not help, ask again. Does
    /// not wait; writes in flight become unknown.
    pub async fn force_reconnect(&self) {
        // The only failure is a connection that was closed for good.
        let asked = tokio::time::timeout(self.connection.request_timeout, self.connection.client.force_reconnect());
        if !matches!(asked.await, Ok(Ok(()))) {
            tracing::warn!("the NATS client did not take the request to reconnect");
        }
    }
    /// Ends all subscriptions and then the connection. The streams handed out end; everything else fails from now on.
    pub async fn close(&self) {
        self.connection.close().await;
    }
}

/// Connects, checks the server, makes the namespace's streams if they are missing (and [`NatsConfig::create_streams`] says so) and
/// checks them.
///
/// # Errors
/// [`StartError`], each with what to do. It comes within `connect_within` when no server answers, and within
/// `provision_within` a stream when JetStream does not.
pub async fn connect(config: &NatsConfig, namespace: &Namespace) -> Result<NatsPorts, StartError> {
    let connection = open(config, namespace).await?;
    check_server(config, &connection).await?;
    provision(&connection, config).await?;
    let promise = Promise::with(config.replicas);
    let ports = Ports {
        control: Arc::new(NatsControlStore::new(connection.clone())),
        log: Arc::new(NatsTopologyLog::new(connection.clone())),
        events: Arc::new(NatsEventStore::new(connection.clone())),
        snapshots: Arc::new(NatsSnapshotStore::new(connection.clone())),
        wakes: Arc::new(NatsWakeStore::new(connection.clone())),
        bus: Arc::new(NatsEventBus::new(connection.clone())),
        checkpoints: Arc::new(NatsCheckpointStore::new(connection.clone())),
        dead_letters: Arc::new(NatsDeadLetters::new(connection.clone())),
        transport: Arc::new(NatsTransport::new(connection.clone())),
        gateway: Arc::new(NatsGateway::new(connection.clone())),
        claims: Arc::new(NatsClaims::new(connection.clone())),
        reads: connection.formats.reads(),
    };
    Ok(NatsPorts { ports, session: NatsSession { connection, promise } })
}

/// A connection, as soon as some server takes us.
pub(crate) async fn open(config: &NatsConfig, namespace: &Namespace) -> Result<Connection, StartError> {
    let names = Names::new(namespace.clone());
    let observer = Observer::new();
    let client = client(config, &names, &observer).await?;
    let formats = Formats::new(Format(config.format_max));
    let listening = Connection::new(client, names, config.request_timeout, observer, formats).await;
    let (servers, within) = (config.servers(), config.connect_within);
    listening.map_err(|error| StartError::NoServer { servers, within, cause: Some(error.into()) })
}

/// The client library's part of a connection: whoever uses it alone needs no right to hear itself.
pub(crate) async fn client(config: &NatsConfig, names: &Names, observer: &Arc<Observer>) -> Result<Client, StartError> {
    if !(Format::FIRST.0..=NEWEST.0).contains(&config.format_max) {
        let (asked, newest) = (config.format_max, NEWEST);
        return Err(StartError::Settings { reason: format!("this build knows formats 1 to {newest}, not {asked}") });
    }
    if config.urls.is_empty() {
        return Err(StartError::Settings { reason: "no server's address is given".to_owned() });
    }
    if config.inbox_prefix.as_deref().is_some_and(|prefix| !NatsConfig::is_inbox_prefix(prefix)) {
        return Err(StartError::Settings { reason: "an inbox begins with `_INBOX`, without wildcards".to_owned() });
    }
    let within = config.connect_within;
    let mut last: Option<BoxError> = None;
    let attempts = async {
        loop {
            let options = options(config, names, observer).await?;
            match options.connect(config.urls.clone()).await {
                Ok(client) => return Ok(client),
                Err(error) => match (tls::fault(&error), error.kind()) {
                    (Some((fault, reason)), _) => {
                        return Err(StartError::Tls { servers: config.servers(), fault, reason });
                    }
                    (None, ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication) => {
                        let servers = config.servers();
                        return Err(StartError::Credentials { servers, cause: error.into() });
                    }
                    (None, ConnectErrorKind::ServerParse | ConnectErrorKind::Tls) => {
                        let cause = error.source().map_or_else(String::new, |source| format!(": {source}"));
                        return Err(StartError::Settings { reason: format!("{error}{cause}") });
                    }
                    _ => last = Some(error.into()),
                },
            }
            sleep(RECONNECT_PAUSE_MAX).await;
        }
    };
    let connected: Result<Result<Client, StartError>, _> = tokio::time::timeout(within, attempts).await;
    connected.unwrap_or_else(|_| Err(StartError::NoServer { servers: config.servers(), within, cause: last }))
}

async fn options(config: &NatsConfig, names: &Names, observer: &Arc<Observer>) -> Result<ConnectOptions, StartError> {
    let observer = Arc::clone(observer);
    let mut options = ConnectOptions::new()
        .name(&config.name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(ATTEMPT_TIMEOUT)
        .request_timeout(Some(config.request_timeout))
        .custom_inbox_prefix(config.inbox_prefix.clone().unwrap_or_else(|| names.inbox_prefix()))
        .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
        .reconnect_delay_callback(reconnect_pause)
        .event_callback(move |event| {
            observer.on(&event);
            std::future::ready(())
        });
    options = options.require_tls(tls::required(config));
    if let Some(path) = &config.tls.authorities {
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &config.tls.identity {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(match &config.credentials {
        Credentials::None => options,
        Credentials::Password { user, password } => options.user_and_password(user.clone(), password.clone()),
        Credentials::Token(token) => options.token(token.clone()),
        Credentials::NkeySeed(seed) => options.nkey(seed.clone()),
        Credentials::File(path) => options.credentials_file(path).await.map_err(|error| {
            let reason = format!("the credentials file {} cannot be used ({error})", path.display());
            StartError::Settings { reason }
        })?,
    })
}

/// At once the first time, then doubling up to the bound.
fn reconnect_pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(2)).unwrap_or(u32::MAX).min(16);
    if attempts <= 1 {
        Duration::ZERO
    } else {
        (Duration::from_millis(10) * 2u32.pow(doublings)).min(RECONNECT_PAUSE_MAX)
    }
}

/// Whether the server we are connected to is older than [`OLDEST_SERVER`].
pub(crate) fn is_too_old(client: &Client) -> bool {
    !client.is_server_compatible(2, 12, 2)
}

async fn check_server(config: &NatsConfig, connection: &Connection) -> Result<(), StartError> {
    let info = connection.client.server_info();
    if is_too_old(&connection.client) {
        return Err(StartError::ServerTooOld { found: info.version, needed: OLDEST_SERVER });
    }
    if info.max_payload < PAYLOAD_BYTES_MIN {
        return Err(StartError::PayloadLimit { found: info.max_payload, needed: PAYLOAD_BYTES_MIN });
    }
    let within = config.connect_within;
    let mut last: BoxError = "no answer".into();
    let attempts = async {
        loop {
            let Err(error) = connection.js.query_account().await else { return Ok(()) };
            let off = match error.kind() {
                AccountErrorKind::JetStream(ref answer) => is_off(answer.error_code().0),
                // A lone server without JetStream will not get it by waiting; one of a cluster may find a peer.
                AccountErrorKind::JetStreamUnavailable => !info.jetstream && info.cluster.is_none(),
                _ => false,
            };
            if off {
                return Err(StartError::JetStreamOff { servers: config.servers(), cause: error.into() });
            }
            last = error.into();
            sleep(RECONNECT_PAUSE_MAX).await;
        }
    };
    let answered = tokio::time::timeout(within, attempts).await;
    answered.unwrap_or_else(|_| {
        let last_server_error = connection.observer.last_server_error();
        Err(StartError::JetStreamSilent { within, last_server_error, cause: last })
    })
}

/// Whether that answer means that there is no JetStream: not for this account, or on no server.
fn is_off(code: u64) -> bool {
    code == OFF_FOR_ACCOUNT || code == OFF
}

/// JetStream is not enabled for the account.
pub(crate) const OFF_FOR_ACCOUNT: u64 = 10039;
/// JetStream is not enabled.
pub(crate) const OFF: u64 = 10076;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_begins_at_once_and_never_waits_long() {
        let pauses: Vec<_> = (0..9).map(|attempt| reconnect_pause(attempt).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 10, 20, 40, 80, 160, 200, 200]);
        assert_eq!(reconnect_pause(usize::MAX), RECONNECT_PAUSE_MAX);
    }
}
