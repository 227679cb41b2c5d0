//! What can be seen of NATS and of a namespace without changing anything: facts for whoever judges them (`aether doctor`).
//!
//! Nothing is written, no stream and no consumer is made, and nothing that a node reads is sent. Whatever a user has no right
//! to see is said to be unseen, with the reason; only where no server takes us there is nothing to tell, which is a
//! [`StartError`] as for a node.

mod rights;
mod stored;
mod streams;

use std::time::Duration;

use aether_domain::cluster::ClusterSettings;
use aether_domain::records::{Format, MemberRecord};
use aether_domain::{Epoch, Namespace, WallTime};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use futures_util::future::join_all;
use serde_json::{Map, Value};

use crate::config::NatsConfig;
use crate::connect::{self, OFF, OFF_FOR_ACCOUNT, OLDEST_SERVER, PAYLOAD_BYTES_MIN};
use crate::connection::Observer;
use crate::names::Names;
use crate::permissions::{API, Role};
use crate::provision::{self, NO_RESPONDERS, NOT_FOUND};
use crate::start_error::{Difference, StartError};

/// How long one question may take: servers that elect a leader take longer, and are then said to be silent.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// What is known of something, or why nothing is.
pub type Seen<T> = Result<T, Unseen>;

/// Why something was not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// This user has no right to ask for it: the subject that it may not publish to.
    Denied(String),
    /// This user may not hear answers: the subject that it may not subscribe to.
    Deaf(String),
    /// There is no such thing.
    Missing,
    /// The server has no JetStream.
    Off,
    /// JetStream is not enabled for this user's account.
    OffForAccount,
    /// There is nobody who could answer: no server has JetStream for us, or those that do have no leader.
    Nobody,
    /// Nobody has answered in time: why, as far as that is known.
    Silent(String),
    /// The server says no, with these words.
    Refused(String),
    /// It is there and cannot be understood.
    Unreadable(String),
}

/// Everything that was seen.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The server that took us.
    pub server: ServerSeen,
    /// What the role may not do.
    pub rights: RightsSeen,
    /// The account's share of JetStream.
    pub account: Seen<AccountSeen>,
    /// Every stream that a namespace has, in the order in which they are made.
    pub streams: Vec<StreamSeen>,
    /// The server's clock beside ours; nothing if no stream was there to say it.
    pub clock: Option<ClockSeen>,
    /// The nodes' own records.
    pub members: Seen<Vec<MemberSeen>>,
    /// The topology log.
    pub log: Seen<LogSeen>,
}

/// The server that took us, by its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The oldest version that will do, if this one is older.
    pub older_than: Option<&'static str>,
    /// The cluster it belongs to, if it belongs to one.
    pub cluster: Option<String>,
    /// Whether it has JetStream itself.
    pub jetstream: bool,
    /// The most bytes that it takes in a message.
    pub payload_bytes_max: usize,
    /// The least that it must take.
    pub payload_bytes_needed: usize,
    /// Whether it asks who connects.
    pub asks_who: bool,
}

/// What the role may not do, although it needs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RightsSeen {
    /// How many subjects were tried.
    pub tried: usize,
    /// Subjects that it may not publish to.
    pub publish: Vec<String>,
    /// Subjects that it may not subscribe to.
    pub subscribe: Vec<String>,
}

/// An account's share of JetStream. A limit that is not set is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountSeen {
    /// The level of JetStream's API.
    pub api_level: u64,
    /// How many streams it has.
    pub streams: u64,
    /// How many it may have.
    pub streams_max: Option<u64>,
    /// How many consumers it has.
    pub consumers: u64,
    /// How many each of its streams may have.
    pub consumers_max: Option<u64>,
    /// How many bytes it has on disk.
    pub storage_bytes: u64,
    /// How many it may have there.
    pub storage_bytes_max: Option<u64>,
    /// Whether each of its streams must have a limit of bytes.
    pub byte_limits_required: bool,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSeen {
    /// Its name.
    pub name: String,
    /// What is known of it.
    pub found: Seen<StreamState>,
}

/// What is known of a stream that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// Every setting that is not as it must be.
    pub differences: Vec<Difference>,
    /// How many messages it has.
    pub messages: u64,
    /// How many it may have.
    pub messages_max: Option<u64>,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many it may have.
    pub bytes_max: Option<u64>,
    /// How many consumers it has.
    pub consumers: u64,
    /// Whether it belongs to a cluster of servers.
    pub clustered: bool,
    /// The server that leads it.
    pub leader: Option<String>,
    /// The other servers that keep it.
    pub replicas: Vec<ReplicaSeen>,
}

/// A server that keeps a stream and does not lead it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSeen {
    /// Its name.
    pub name: String,
    /// Whether the leader believes it to be down.
    pub offline: bool,
    /// Whether the leader hears of it, and it has everything.
    pub current: bool,
    /// How long ago the leader heard of it; nothing if it never has since it leads.
    pub heard: Option<Duration>,
    /// How many operations it is behind.
    pub lag: u64,
}

/// The server's clock beside ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockSeen {
    /// Our time before we asked.
    pub asked: WallTime,
    /// The server's, as it writes it.
    pub said: String,
    /// Our time when it had answered.
    pub answered: WallTime,
}

/// A node's own record.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberSeen {
    /// The node's id.
    pub id: String,
    /// Its record, or why it cannot be understood.
    pub record: Result<Box<MemberRecord>, String>,
    /// When it was written, by the server's clock.
    pub written: WallTime,
}

/// The topology log's two ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSeen {
    /// What the cluster was founded with; nothing before it is, or if a newer build has founded it.
    pub founded: Option<ClusterSettings>,
    /// The last entry.
    pub epoch: Epoch,
    /// The format that it is written in; nothing before there is an entry.
    pub format: Option<Format>,
}

/// Looks at everything, as `role`, whose rights are tried by what leaves nothing behind. `wall` is asked for this machine's time.
///
/// # Errors
/// No server takes us: [`StartError::Settings`], [`StartError::NoServer`], [`StartError::Credentials`] or [`StartError::Tls`].
pub async fn examine(
    config: &NatsConfig,
    namespace: &Namespace,
    role: Role,
    wall: impl Fn() -> WallTime,
) -> Result<Examined, StartError> {
    let (names, observer) = (Names::new(namespace.clone()), Observer::new());
    let client = connect::client(config, &names, &observer).await?;
    let info = client.server_info();
    let server = ServerSeen {
        older_than: connect::is_too_old(&client).then_some(OLDEST_SERVER),
        name: info.server_name,
        version: info.version,
        cluster: info.cluster,
        jetstream: info.jetstream,
        payload_bytes_max: info.max_payload,
        payload_bytes_needed: PAYLOAD_BYTES_MIN,
        asks_who: info.auth_required,
    };
    let inbox = config.inbox_prefix.clone().unwrap_or_else(|| names.inbox_prefix());
    let rights = rights::tried(&client, &observer, &names, role, &inbox).await;
    let js = ContextBuilder::new().timeout(ASK_LIMIT).build(client.clone());
    let asking = Asking { js, denied: rights.all_denied, deaf: rights.deaf, names };
    let account = asking.account().await;
    let (streams, clock) = asking.streams(config.replicas, wall).await;
    let members = asking.members(config.format_max).await;
    let of_log = streams.iter().find(|stream| stream.name == asking.names.topology_stream());
    let log = match of_log.map(|stream| &stream.found) {
        // Where not even its stream answers there is nothing to ask for.
        Some(Err(unseen)) if !matches!(unseen, Unseen::Denied(_) | Unseen::Deaf(_)) => Err(unseen.clone()),
        _ => asking.log(config.format_max).await,
    };
    // Whoever only looked has nothing to hand over; a connection that is gone already is as well.
    drop(client.drain().await);
    Ok(Examined { server, rights: rights.seen, account, streams, clock, members, log })
}

/// JetStream, and what we may not ask it.
struct Asking {
    js: Context,
    denied: Vec<String>,
    deaf: Option<String>,
    names: Names,
}

impl Asking {
    /// One request, unless we have no right to it.
    async fn ask(&self, request: &str, body: &Value) -> Seen<Map<String, Value>> {
        self.may(request)?;
        provision::ask(&self.js, request, body).await.map_err(|(code, words)| match code {
            Some(NOT_FOUND) => Unseen::Missing,
            Some(OFF) => Unseen::Off,
            Some(OFF_FOR_ACCOUNT) => Unseen::OffForAccount,
            Some(_) => Unseen::Refused(words),
            None if words == NO_RESPONDERS => Unseen::Nobody,
            None => Unseen::Silent(words),
        })
    }

    /// Whether we may ask for that.
    fn may(&self, request: &str) -> Seen<()> {
        if let Some(inbox) = &self.deaf {
            return Err(Unseen::Deaf(inbox.clone()));
        }
        let subject = format!("{API}.{request}");
        if self.denied.contains(&subject) { Err(Unseen::Denied(subject)) } else { Ok(()) }
    }

    async fn account(&self) -> Seen<AccountSeen> {
        let answer = self.ask("INFO", &Value::Null).await?;
        Ok(account_of(&answer))
    }

    async fn streams(&self, replicas: usize, wall: impl Fn() -> WallTime) -> (Vec<StreamSeen>, Option<ClockSeen>) {
        let wanted = provision::streams(&self.names, replicas);
        let wall = &wall;
        let asked = wanted.iter().map(|wanted| async move {
            let name = wanted["name"].as_str().unwrap_or_default().to_owned();
            let began = wall();
            let answer = self.ask(&format!("STREAM.INFO.{name}"), &Value::Null).await;
            let clock = answer.as_ref().ok().and_then(|answer| answer.get("ts")?.as_str()).map(|said| ClockSeen {
                asked: began,
                said: said.to_owned(),
                answered: wall(),
            });
            (StreamSeen { name, found: answer.map(|answer| streams::state_of(wanted, &answer)) }, clock)
        });
        let (streams, clocks): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
        // The answer that came soonest bounds the difference best.
        let took = |clock: &ClockSeen| clock.answered.unix_millis.saturating_sub(clock.asked.unix_millis);
        (streams, clocks.into_iter().flatten().min_by_key(took))
    }
}

fn account_of(answer: &Map<String, Value>) -> AccountSeen {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let (limits, of) =
        (&answer.get("limits").cloned().unwrap_or_default(), |key: &str| answer.get(key).map_or(0, number));
    AccountSeen {
        api_level: answer.get("api").map_or(0, |api| number(&api["level"])),
        streams: of("streams"),
        streams_max: limit(&limits["max_streams"]),
        consumers: of("consumers"),
        consumers_max: limit(&limits["max_consumers"]),
        storage_bytes: of("storage"),
        storage_bytes_max: limit(&limits["max_storage"]),
        byte_limits_required: limits["max_bytes_required"].as_bool().unwrap_or(false),
    }
}

/// A limit as JetStream says it: -1 and, of what cannot be 0, 0 are none.
fn limit(value: &Value) -> Option<u64> {
    value.as_u64().filter(|limit| *limit > 0)
}
