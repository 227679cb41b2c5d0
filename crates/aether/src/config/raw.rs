//! The file's shape, and the checks that turn it into [`Settings`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aether_domain::cluster::NodeInfo;
use aether_domain::timing::Profile;
use aether_domain::{InvalidId, Namespace, NodeId, Tag, Zone};
use aether_runtime::control::OnRegression;
use aether_runtime::shard::MemoryLimits;
use serde::{Deserialize, Deserializer};

use super::files;
use super::nats::RawNats;
use super::{AdminSettings, LoadSettings, LogFormat, LogSettings, NodeSettings, RefusedKind, Secret, Settings};

/// Every key there is, by section. The first entry of a pair is empty for keys at the top.
pub(super) const KEYS: [(&str, &[&str]); 7] = [
    ("", &["namespace", "profile"]),
    (
        "node",
        &[
            "id",
            "weight",
            "zone",
            "tags",
            "on_regression",
            "format_max",
            "handler_slow_after_ms",
            "handler_end_after_ms",
        ],
    ),
    ("memory", &["residents_max", "resident_bytes_max", "waiting_bytes_max"]),
    (
        "nats",
        &[
            "urls",
            "user",
            "password",
            "token",
            "creds",
            "nkey",
            "tls_ca",
            "tls_cert",
            "tls_key",
            "insecure",
            "inbox_prefix",
            "replicas",
        ],
    ),
    ("admin", &["listen", "announce", "token_file"]),
    ("load", &["workers", "accounts"]),
    ("log", &["format", "level"]),
];

/// The shortest and the longest token that whoever asks something of the cluster may have.
const TOKEN_CHARS_MIN: usize = 32;
const TOKEN_CHARS_MAX: usize = 512;

/// The soonest that a handler may be called slow.
const HANDLER_SLOW_AFTER_MIN: Duration = Duration::from_millis(100);

/// One thing that does not fit: which key, what about it, what would do.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) kind: RefusedKind,
    pub(super) key: &'static str,
    pub(super) problem: String,
    pub(super) cure: String,
}

pub(super) fn misfit(key: &'static str, problem: impl ToString, cure: impl Into<String>) -> Misfit {
    Misfit { kind: RefusedKind::Setting, key, problem: problem.to_string(), cure: cure.into() }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Raw {
    namespace: Option<String>,
    profile: Option<String>,
    node: RawNode,
    memory: RawMemory,
    nats: RawNats,
    admin: RawAdmin,
    load: RawLoad,
    log: RawLog,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawNode {
    id: Option<String>,
    weight: Option<u32>,
    zone: Option<String>,
    #[serde(deserialize_with = "list_or_commas")]
    tags: Option<Vec<String>>,
    on_regression: Option<String>,
    format_max: Option<u8>,
    handler_slow_after_ms: Option<u64>,
    handler_end_after_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names that the file has")]
struct RawMemory {
    residents_max: Option<usize>,
    resident_bytes_max: Option<usize>,
    waiting_bytes_max: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawAdmin {
    listen: Option<String>,
    announce: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawLoad {
    workers: Option<usize>,
    accounts: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawLog {
    format: Option<String>,
    level: Option<String>,
}

/// A list in the file, or one text with commas in the environment.
pub(super) fn list_or_commas<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        List(Vec<String>),
        Text(String),
    }
    Ok(Some(match Either::deserialize(from)? {
        Either::List(list) => list,
        Either::Text(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
    }))
}

impl Raw {
    pub(super) fn check(self) -> Result<Settings, Misfit> {
        let namespace = self.namespace.unwrap_or_else(|| "aether".to_owned());
        let namespace = Namespace::new(namespace).map_err(|error| {
            misfit("namespace", error, "choose a name of 1 to 32 lower-case letters, digits, _ and -")
        })?;
        let profile = self.profile.as_deref().unwrap_or("default");
        let profile = Profile::named(profile).ok_or_else(|| {
            misfit("profile", format!("there is no profile {profile:?}"), "write `default`, `fast` or `seed`")
        })?;
        Ok(Settings {
            namespace,
            profile,
            node: self.node.check()?,
            memory: self.memory.check()?,
            nats: self.nats.check()?,
            admin: self.admin.check()?,
            load: self.load.check()?,
            log: self.log.check()?,
        })
    }
}

impl RawMemory {
    fn check(self) -> Result<MemoryLimits, Misfit> {
        let at_least_one = |key, told: Option<usize>, default| match told {
            Some(0) => Err(misfit(key, "it is 0", "write at least 1, or leave the key out")),
            told => Ok(told.unwrap_or(default)),
        };
        let default = MemoryLimits::default();
        Ok(MemoryLimits {
            residents_max: at_least_one("memory.residents_max", self.residents_max, default.residents_max)?,
            resident_bytes_max: at_least_one(
                "memory.resident_bytes_max",
                self.resident_bytes_max,
                default.resident_bytes_max,
            )?,
            waiting_bytes_max: at_least_one(
                "memory.waiting_bytes_max",
                self.waiting_bytes_max,
                default.waiting_bytes_max,
            )?,
        })
    }
}

impl RawNode {
    fn check(self) -> Result<NodeSettings, Misfit> {
        let cure = "give each node an id of its own, 1 to 32 lower-case letters, digits, _ and -";
        let id =
            self.id.ok_or_else(|| Misfit { kind: RefusedKind::NoNode, ..misfit("node.id", "it is missing", cure) })?;
        let id = NodeId::new(id).map_err(|error| misfit("node.id", error, cure))?;
        let weight = self.weight.unwrap_or(1);
        if !(1..=1000).contains(&weight) {
            return Err(misfit("node.weight", format!("{weight} is out of range"), "write a number from 1 to 1000"));
        }
        let on_regression = self.on_regression.as_deref().unwrap_or("halt");
        let on_regression = OnRegression::named(on_regression).ok_or_else(|| {
            let problem = format!("there is no way {on_regression:?} to go on after a regression");
            misfit("node.on_regression", problem, "write `halt` or `accept_log`")
        })?;
        let zone = self.zone.map(Zone::new).transpose().map_err(|error| {
            misfit("node.zone", error, "name it with 1 to 32 lower-case letters, digits, _ and -, or leave the key out")
        })?;
        let tags = self.tags.unwrap_or_default().iter().filter(|tag| !tag.is_empty()).map(Tag::new).collect();
        let tags: BTreeSet<Tag> = Result::map_err(tags, |error: InvalidId| {
            misfit("node.tags", error, "write for example [\"ssd\", \"eu\"]")
        })?;
        if tags.len() > NodeInfo::TAGS_MAX {
            let problem = format!("{} tags are too many", tags.len());
            return Err(misfit("node.tags", problem, format!("keep at most {}", NodeInfo::TAGS_MAX)));
        }
        if self.format_max == Some(0) {
            let cure = "write 1 or more, or leave the key out for this build's newest";
            return Err(misfit("node.format_max", "formats are numbered from 1", cure));
        }
        let slow_after = Duration::from_millis(self.handler_slow_after_ms.unwrap_or(10_000));
        if slow_after < HANDLER_SLOW_AFTER_MIN {
            let problem = format!("{slow_after:?} is too soon to call a handler slow");
            let cure = format!("write at least {}, or leave the key out for 10000", HANDLER_SLOW_AFTER_MIN.as_millis());
            return Err(misfit("node.handler_slow_after_ms", problem, cure));
        }
        let end_after = match self.handler_end_after_ms.unwrap_or(60_000) {
            0 => None,
            millis => Some(Duration::from_millis(millis)),
        };
        if end_after.is_some_and(|end_after| end_after < slow_after) {
            let problem = "a handler would end its process before it is slow";
            let cure = "write at least handler_slow_after_ms, or 0 to let handlers run for ever";
            return Err(misfit("node.handler_end_after_ms", problem, cure));
        }
        Ok(NodeSettings { id, weight, zone, tags, on_regression, format_max: self.format_max, slow_after, end_after })
    }
}

/// The token in that file, which must be long enough that nobody guesses it: 32 hex digits have 128 bits.
fn admin_token(path: &Path) -> Result<Secret, Misfit> {
    const KEY: &str = "admin.token_file";
    let text = files::secret(KEY, path)?;
    let shown = path.display();
    let cure = format!("run: openssl rand -hex 32 > {shown}");
    let token = text.reveal().trim();
    let fits =
        (TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&token.len()) && token.bytes().all(|c| c.is_ascii_graphic());
    let problem = format!("{shown} does not hold one word of {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} characters");
    if fits { Ok(Secret::new(token)) } else { Err(misfit(KEY, problem, cure)) }
}

impl RawAdmin {
    fn check(self) -> Result<AdminSettings, Misfit> {
        let listen = self.listen.unwrap_or_else(|| "127.0.0.1:0".to_owned());
        let listen: SocketAddr = listen.parse().map_err(|_| {
            misfit("admin.listen", format!("{listen:?} is not an address and port"), "write for example 127.0.0.1:8080")
        })?;
        let token = self.token_file.as_deref().map(admin_token).transpose()?;
        Ok(AdminSettings { listen, announce: self.announce, token })
    }
}

impl RawLoad {
    fn check(self) -> Result<LoadSettings, Misfit> {
        let workers = self.workers.unwrap_or(8);
        if !(1..=1024).contains(&workers) {
            return Err(misfit("load.workers", format!("{workers} is out of range"), "write a number from 1 to 1024"));
        }
        let accounts = self.accounts.unwrap_or(workers * 8);
        if accounts < workers * 2 || accounts > 65_536 {
            let problem = format!("{accounts} accounts do not fit {workers} workers");
            return Err(misfit("load.accounts", problem, "write at least two a worker and at most 65536"));
        }
        Ok(LoadSettings { workers, accounts })
    }
}

impl RawLog {
    fn check(self) -> Result<LogSettings, Misfit> {
        let format = match self.format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                return Err(misfit("log.format", format!("there is no format {other:?}"), "write `text` or `json`"));
            }
        };
        let level = self.level.unwrap_or_else(|| "info".to_owned());
        if tracing_subscriber::EnvFilter::try_new(&level).is_err() {
            let cure = "write error, warn, info, debug or trace, or pairs like aether=debug";
            return Err(misfit("log.level", format!("{level:?} is not a level"), cure));
        }
        Ok(LogSettings { format, level })
    }
}
