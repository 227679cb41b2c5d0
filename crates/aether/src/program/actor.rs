//! `aether actor history`: what happened to one actor, read from the store, and what it was at a version.

use std::fmt::Write as _;

use aether_domain::cluster::ClusterEvent;
use aether_domain::ports::Ports;
use aether_domain::records::{CommitRecord, EventRecord, PayloadCodec, StoredCommit};
use aether_domain::topology::TopologyEvent;
use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, MessageId, Namespace, Sequence, Version};
use aether_placement::ShardHash;
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::args::{Global, HistoryArgs};
use super::ask::Form;
use super::ink::{Ink, Tone};
use super::out;
use super::readers::Readers;
use super::store::Store;
use super::when::utc;

/// The most characters of an event on a line, unless everything is asked for.
const EVENT_CHARS_MAX: usize = 160;

pub(super) async fn history(args: HistoryArgs, global: &Global, readers: &Readers) -> anyhow::Result<()> {
    let (form, ink) = (global.form()?, global.ink());
    let store = Store::of(global, args.store.config.as_deref(), "history")?;
    let key = ActorKey { kind: ActorKind::new(&args.kind)?, id: ActorId::new(&args.id)? };
    let nats = store.to_look().connect().await?;
    let lines = lines(&nats.ports, &store.namespace, key, &args, readers, form, ink).await;
    nats.session.close().await;
    lines?.into_iter().for_each(out::line);
    Ok(())
}

async fn lines(
    ports: &Ports,
    namespace: &Namespace,
    key: ActorKey,
    args: &HistoryArgs,
    readers: &Readers,
    form: Form,
    ink: Ink,
) -> anyhow::Result<Vec<String>> {
    let actor = address(ports, namespace, key).await?;
    let commits = ports.events.read(&actor, Sequence::ZERO).await?;
    if commits.is_empty() {
        bail!("{} has no history in namespace {namespace}; is it the right kind and id?", actor.key);
    }
    let kind = actor.key.kind.as_str();
    if let Some(at) = args.at {
        let shown = at_version(ports, &actor, &commits, Version(at), readers).await?;
        return Ok(vec![match form {
            Form::Json => shown.to_string(),
            Form::Table | Form::Wide => state_lines(&actor, &shown, ink)?,
        }]);
    }
    let first = commits.len().saturating_sub(args.limit);
    let shown = commits[first..].iter().map(|commit| match form {
        Form::Json => commit_json(kind, commit, readers).to_string(),
        Form::Table | Form::Wide => commit_lines(kind, commit, readers, form == Form::Wide, ink),
    });
    let mut shown: Vec<_> = shown.collect();
    if first > 0 && form != Form::Json {
        shown.insert(0, format!("{first} earlier commits are left out: see --limit"));
    }
    Ok(shown)
}

/// The actor's place in the hash space, as the cluster fixed it when it was created.
async fn address(ports: &Ports, namespace: &Namespace, key: ActorKey) -> anyhow::Result<ActorAddress> {
    let first = ports.log.read(Sequence::ZERO, 1).await?;
    let created = first.iter().flat_map(|stored| &stored.entry.events).find_map(|event| match event {
        TopologyEvent::Cluster(ClusterEvent::ClusterCreated { settings, .. }) => Some(*settings),
        _ => None,
    });
    let settings = created.with_context(|| format!("there is no cluster in namespace {namespace}: see --namespace"))?;
    if settings.hash != ShardHash::ID {
        bail!("the cluster goes by hash {}, which this build does not know: use the nodes' own", settings.hash);
    }
    Ok(ShardHash::v1(settings.hash_seed, namespace).address(key))
}

/// The state at a version: made by the kind's type, or as far as a snapshot that is JSON goes.
async fn at_version(
    ports: &Ports,
    actor: &ActorAddress,
    commits: &[StoredCommit],
    at: Version,
    readers: &Readers,
) -> anyhow::Result<Value> {
    let last = commits.last().map_or(Version(0), |commit| commit.record.version());
    if at > last {
        bail!("{} is at version {last}, not yet at {at}", actor.key);
    }
    let kind = actor.key.kind.as_str();
    let mut shown = json!({ "kind": kind, "id": actor.key.id.as_str(), "version": at.0 });
    if let Some(state) = readers.state(kind, commits, at) {
        let state = state.map_err(|fault| anyhow::anyhow!("the state of {} at {at}: {fault}", actor.key))?;
        (shown["from"], shown["state"]) = (json!("events"), state);
        return Ok(shown);
    }
    let before = commits.iter().take_while(|commit| commit.record.version() <= at).last();
    let snapshot = match before {
        Some(commit) => ports.snapshots.load(actor, commit.at.sequence).await?,
        None => None,
    };
    let known = snapshot.filter(|snapshot| snapshot.codec == PayloadCodec::Json);
    let state = known.and_then(|snapshot| Some((snapshot.version, serde_json::from_slice(&snapshot.state).ok()?)));
    let Some((version, state)): Option<(Version, Value)> = state else {
        bail!(
            "this program does not know the kind {kind:?}, and there is no snapshot in JSON up to version {at}: only the kind's \
             type can make a state of events. Build the program with it (see aether::program::main_with), or look at the events \
             without --at"
        );
    };
    (shown["from"], shown["version"], shown["state"]) = (json!("snapshot"), json!(version.0), state);
    shown["events_behind"] = json!(at.0 - version.0);
    Ok(shown)
}

fn state_lines(actor: &ActorAddress, shown: &Value, ink: Ink) -> anyhow::Result<String> {
    let mut head = format!("{} at version {}", actor.key, shown["version"]);
    if shown["from"] == "snapshot" {
        write!(
            head,
            ", as its snapshot has it: this program does not know the kind, so the {} events behind that are not in it",
            shown["events_behind"]
        )?;
    }
    Ok(format!("{}\n{}", ink.paint(Tone::Good, &head), serde_json::to_string_pretty(&shown["state"])?))
}

/// One commit as a program reads it.
fn commit_json(kind: &str, StoredCommit { record, at }: &StoredCommit, readers: &Readers) -> Value {
    let commands = record.commands.iter().map(|mark| {
        let message = mark.message.map(|MessageId(id)| format!("{id:032x}"));
        json!({ "command_id": mark.id.to_string(), "message_id": message, "reply_bytes": mark.reply.len() })
    });
    let events = record.events.iter().zip(record.base.0 + 1..).map(|(event, version)| {
        let mut shown = Map::new();
        shown.insert("version".into(), json!(version));
        shown.insert("name".into(), json!(event.name));
        shown.insert("schema".into(), json!(event.schema));
        shown.insert("bytes".into(), json!(event.payload.len()));
        match readable(kind, record.codec, event, readers) {
            Ok(value) => shown.insert("event".into(), value),
            Err(hex) => shown.insert("hex".into(), json!(hex)),
        };
        Value::Object(shown)
    });
    json!({
        "sequence": at.sequence.0, "version": record.version().0, "at_ms": record.at.unix_millis,
        "shard_epoch": record.shard_epoch.0, "owner": record.owner.to_string(), "codec": codec(record.codec),
        "commands": commands.collect::<Vec<_>>(), "events": events.collect::<Vec<_>>(), "timers": record.timers.len(),
    })
}

/// One commit as lines for people: one an event, or one that says what else it was.
fn commit_lines(
    kind: &str,
    StoredCommit { record, at: _ }: &StoredCommit,
    readers: &Readers,
    wide: bool,
    ink: Ink,
) -> String {
    let time = ink.paint(Tone::Faint, &utc(record.at.unix_millis));
    let by = ink.paint(Tone::Faint, &by(record));
    if record.events.is_empty() {
        let what = match (record.commands.len(), record.timers.len()) {
            (0, 0) => "no event: the owner confirmed that it is".to_owned(),
            (commands, timers) => format!("no event: {commands} commands answered, {timers} changes of timers"),
        };
        return format!("{:>6}  {time}  {what}  {by}", record.base.0);
    }
    let line = |(event, version): (&EventRecord, u64)| {
        let name = if event.name.is_empty() { String::new() } else { format!("{} ", event.name) };
        let schema = if event.schema == 1 { String::new() } else { format!("v{} ", event.schema) };
        let shown = match readable(kind, record.codec, event, readers) {
            Ok(value) => value.to_string(),
            Err(hex) => format!("{} bytes, {}: {hex}", event.payload.len(), codec(record.codec)),
        };
        let shown = if wide { shown } else { cut(&shown) };
        format!("{version:>6}  {time}  {name}{schema}{shown}  {by}")
    };
    record.events.iter().zip(record.base.0 + 1..).map(line).collect::<Vec<_>>().join("\n")
}

/// Which commands it answers, and under which epoch of its shard.
fn by(record: &CommitRecord) -> String {
    let commands: Vec<_> = record.commands.iter().map(|mark| mark.id.to_string()).collect();
    let commands = match commands.as_slice() {
        [] => "no command".to_owned(),
        [one] => format!("command {one}"),
        [first, rest @ ..] => format!("command {first} and {} more", rest.len()),
    };
    format!("({commands}; shard epoch {})", record.shard_epoch)
}

/// An event as JSON, or its bytes as hex: by the kind's type if that is known and can read it, else as it is stored.
fn readable(kind: &str, codec: PayloadCodec, event: &EventRecord, readers: &Readers) -> Result<Value, String> {
    let stored = || match codec {
        PayloadCodec::Json => serde_json::from_slice(&event.payload).ok(),
        PayloadCodec::Binary => None,
    };
    let typed = || readers.event(kind, codec, event)?.ok();
    // What is stored as JSON is shown as it was written, not as this build would write it.
    stored().or_else(typed).ok_or_else(|| {
        event.payload.iter().fold(String::with_capacity(event.payload.len() * 2), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    })
}

fn codec(codec: PayloadCodec) -> &'static str {
    match codec {
        PayloadCodec::Json => "json",
        PayloadCodec::Binary => "binary",
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(EVENT_CHARS_MAX) {
        Some((end, _)) => format!("{}… (-o wide shows all)", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
