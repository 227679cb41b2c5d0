//! The streams a namespace needs: made when missing, and checked setting by setting when they are there.
//!
//! A stream that exists is never changed. Operators may give a stream a description, metadata, a placement, compression,
//! a byte limit and another window for duplicates: none of these touches a promise. Anything else that differs is drift.

use std::time::Duration;

use aether_domain::records::DeadLetter;
use async_nats::jetstream::context::{Context, RequestErrorKind};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::config::NatsConfig;
use crate::connection::Connection;
use crate::names::Names;
use crate::start_error::{Difference, StartError};

/// The pause between two attempts while servers elect leaders.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Nobody is there to take a request of JetStream.
pub(crate) const NO_RESPONDERS: &str = "JetStream has no leader";

/// There is no such stream.
pub(crate) const NOT_FOUND: u64 = 10059;

/// Settings that change what a stream promises, and must be off where we do not name them.
const MUST_BE_OFF: [&str; 15] = [
    "allow_atomic",
    "allow_batched",
    "allow_msg_counter",
    "allow_msg_schedules",
    "allow_msg_ttl",
    "discard_new_per_subject",
    "first_seq",
    "mirror",
    "no_ack",
    "pause_until",
    "republish",
    "sealed",
    "sources",
    "subject_delete_marker_ttl",
    "subject_transform",
];

/// How far what JetStream acknowledges can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// In full, if every server syncs before it acknowledges (`sync_interval: always`), which a client cannot see.
    IfServersSync,
    /// Not in full.
    Reduced {
        /// Why, and what would be needed, for people.
        reason: String,
    },
}

impl Promise {
    /// What as many copies of each stream promise.
    pub fn with(replicas: usize) -> Self {
        if replicas >= 3 {
            return Self::IfServersSync;
        }
        let reason = format!(
            "each stream is kept by {replicas} server only: an acknowledged command survives the death of any process, \
             but not the loss of that server's disk, nor a power cut unless it runs with `sync_interval: always`; use 3 \
             replicas for the full promise"
        );
        Self::Reduced { reason }
    }
}

/// The settings of every stream, in the order in which they are made.
pub(crate) fn streams(names: &Names, replicas: usize) -> Vec<Value> {
    let stream = |name: String, subjects: Vec<String>| {
        json!({
            "name": name,
            "subjects": subjects,
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": replicas,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "max_msg_size": -1,
            "max_age": 0,
            "allow_direct": false,
            "mirror_direct": false,
            "allow_rollup_hdrs": false,
            "deny_delete": true,
            "deny_purge": false,
        })
    };
    let with = |mut stream: Value, settings: Value| {
        if let (Some(stream), Value::Object(settings)) = (stream.as_object_mut(), settings) {
            stream.extend(settings);
        }
        stream
    };
    let topology = stream(names.topology_stream(), vec![names.topology_subject()]);
    let control = stream(names.control_stream(), vec![names.control_subjects()]);
    let events = stream(names.event_stream(0), names.event_stream_subjects());
    let snapshots = stream(names.snapshot_stream(), vec![names.snapshot_subjects()]);
    let wakes = stream(names.wake_stream(), vec![names.wake_subjects()]);
    let feeds = stream(names.feed_stream(), vec![names.feed_subjects()]);
    let dead_letters = stream(names.dead_letter_stream(), vec![names.dead_letter_subjects()]);
    vec![
        with(topology, json!({ "deny_purge": true })),
        with(control, json!({ "deny_purge": true, "max_msgs_per_subject": 1 })),
        with(events, json!({ "allow_direct": true })),
        with(snapshots, json!({ "allow_direct": true, "max_msgs_per_subject": 2 })),
        with(wakes, json!({ "max_msgs_per_subject": 1 })),
        with(feeds, json!({ "max_msgs_per_subject": 1 })),
        with(dead_letters, json!({ "deny_delete": false, "max_msgs": DeadLetter::KEPT_MAX })),
    ]
}

/// Makes what is missing, if it may, and checks everything.
pub(crate) async fn provision(connection: &Connection, config: &NatsConfig) -> Result<(), StartError> {
    let NatsConfig { replicas, provision_within: within, create_streams: create, .. } = *config;
    if !matches!(replicas, 1 | 3) {
        return Err(StartError::Settings { reason: format!("{replicas} replicas; choose 1 or 3") });
    }
    for wanted in streams(&connection.names, replicas) {
        let name = wanted["name"].as_str().unwrap_or_default().to_owned();
        let mut last = "no answer".to_owned();
        let attempts = async {
            loop {
                match ensure(connection, &name, &wanted, create).await {
                    Ok(found) => return Ok(found),
                    Err(Fault::Final(reason)) => return Err(Fault::Final(reason)),
                    Err(Fault::Denied(said)) => return Err(Fault::Denied(said)),
                    Err(Fault::Passing(reason)) => last = reason,
                }
                sleep(RETRY_PAUSE).await;
            }
        };
        let found = tokio::time::timeout(within, attempts).await;
        let found = found.unwrap_or_else(|_| Err(Fault::Passing(format!("{last}, for {within:?}"))));
        let found = found.map_err(|fault| match fault {
            Fault::Denied(said) => StartError::Denied { stream: name.clone(), said },
            Fault::Passing(reason) | Fault::Final(reason) => {
                StartError::Provision { stream: name.clone(), reason, replicas }
            }
        })?;
        let differences = differences(&wanted, &found);
        if !differences.is_empty() {
            return Err(StartError::ConfigDrift { stream: name, differences });
        }
    }
    Ok(())
}

enum Fault {
    /// Worth another attempt: no leader yet, no answer.
    Passing(String),
    /// The server means it.
    Final(String),
    /// We have no right to ask.
    Denied(String),
}

/// The stream's settings as the server has them, after making it if it was missing.
async fn ensure(
    connection: &Connection,
    name: &str,
    wanted: &Value,
    create: bool,
) -> Result<Map<String, Value>, Fault> {
    const EXISTS_OTHERWISE: u64 = 10058;
    let info = format!("STREAM.INFO.{name}");
    let fault = |request: &str, code, reason| denied(connection, request).unwrap_or_else(|| fault(code, reason));
    match settings(connection, &info, &Value::Null).await {
        Err((Some(NOT_FOUND), _)) if create => {}
        Err((Some(NOT_FOUND), _)) => {
            return Err(Fault::Final("there is none, and only nodes make it (is the namespace right?)".to_owned()));
        }
        found => return found.map_err(|(code, reason)| fault(&info, code, reason)),
    }
    let make = format!("STREAM.CREATE.{name}");
    match settings(connection, &make, wanted).await {
        // Somebody was faster: made otherwise, which the check will tell, or made a moment ago.
        Ok(_) | Err((Some(EXISTS_OTHERWISE), _)) => {
            tracing::info!(stream = name, "stream set up");
            // Only a stream with a leader answers.
            settings(connection, &info, &Value::Null).await.map_err(|(code, reason)| match code {
                Some(NOT_FOUND) => Fault::Passing(reason),
                code => fault(&info, code, reason),
            })
        }
        Err((code, reason)) => Err(fault(&make, code, reason)),
    }
}

/// Whether that request had no answer because the user may not make it: the server says so to the connection, not to whoever asks.
fn denied(connection: &Connection, request: &str) -> Option<Fault> {
    let said = connection.observer.last_server_error()?;
    let violation = said.to_ascii_lowercase().contains("permissions violation") && said.contains(request);
    violation.then_some(Fault::Denied(said))
}

fn fault(code: Option<u64>, reason: String) -> Fault {
    // No answer; too few peers yet; temporarily unavailable; no leader; not enough resources while peers come up.
    match code {
        None | Some(10004 | 10005 | 10008 | 10009) => Fault::Passing(reason),
        Some(_) => Fault::Final(reason),
    }
}

/// One request to JetStream; the error is the server's code, if it answered, and its words.
pub(crate) async fn ask(
    js: &Context,
    subject: &str,
    body: &Value,
) -> Result<Map<String, Value>, (Option<u64>, String)> {
    let answer: Result<Map<String, Value>, _> = js.request(subject.to_owned(), body).await;
    let answer = answer.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => (None, NO_RESPONDERS.to_owned()),
        _ => (None, error.to_string()),
    })?;
    if let Some(error) = answer.get("error") {
        let words = error["description"].as_str().unwrap_or("refused without words").to_owned();
        return Err((error["err_code"].as_u64(), words));
    }
    Ok(answer)
}

/// A request whose answer has a stream's settings.
async fn settings(
    connection: &Connection,
    subject: &str,
    body: &Value,
) -> Result<Map<String, Value>, (Option<u64>, String)> {
    let mut answer = ask(&connection.js, subject, body).await?;
    match answer.remove("config") {
        Some(Value::Object(config)) => Ok(config),
        _ => Err((None, "an answer without settings".to_owned())),
    }
}

/// Every setting that matters and is not as wanted.
pub(crate) fn differences(wanted: &Value, found: &Map<String, Value>) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |setting: &str, expected: &Value| {
        let found = found.get(setting).unwrap_or(&Value::Null);
        if normal(setting, found) != normal(setting, expected) {
            let text = |value: &Value| if value.is_null() { "unset".to_owned() } else { value.to_string() };
            let (found, expected) = (text(found), text(expected));
            differences.push(Difference { setting: setting.to_owned(), found, expected });
        }
    };
    for (setting, expected) in wanted.as_object().into_iter().flatten() {
        compare(setting, expected);
    }
    for setting in MUST_BE_OFF {
        compare(setting, &Value::Null);
    }
    if found.get("persist_mode").is_some_and(|mode| mode == "async") {
        compare("persist_mode", &json!("default"));
    }
    differences
}

/// A value as it compares: what the server leaves out when it is off equals off; the order of subjects means nothing.
fn normal(setting: &str, value: &Value) -> Value {
    match value {
        Value::Bool(false) => Value::Null,
        Value::Number(number) if number.as_i64() == Some(0) => Value::Null,
        Value::Array(items) if items.is_empty() => Value::Null,
        Value::Array(items) if setting == "subjects" => {
            let mut items: Vec<_> = items.iter().map(ToString::to_string).collect();
            items.sort_unstable();
            json!(items)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::Namespace;

    use super::*;

    fn wanted() -> Vec<Value> {
        streams(&Names::new(Namespace::new("t").expect("a namespace")), 3)
    }

    fn settings(value: &Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn what_was_asked_for_is_no_drift() {
        for stream in wanted() {
            let mut found = settings(&stream);
            assert_eq!(differences(&stream, &found), []);
            for (setting, value) in [
                ("description", json!("ours")),
                ("metadata", json!({"_nats.ver": "2.15.1"})),
                ("placement", json!({"cluster": "eu"})),
                ("compression", json!("s2")),
                ("max_bytes", json!(1 << 30)),
                ("duplicate_window", json!(1_000_000_000)),
                ("sealed", json!(false)),
                ("consumer_limits", json!({})),
                ("a_setting_of_a_later_server", json!("default")),
            ] {
                found.insert(setting.to_owned(), value);
            }
            found.retain(|_, value| *value != json!(false));
            found["subjects"].as_array_mut().expect("subjects").reverse();
            assert_eq!(differences(&stream, &found), []);
        }
    }

    #[test]
    fn every_other_setting_that_differs_is_named() {
        let stream = &wanted()[0];
        for (setting, value) in [
            ("subjects", json!(["aether.t.top", "more"])),
            ("retention", json!("workqueue")),
            ("storage", json!("memory")),
            ("discard", json!("old")),
            ("num_replicas", json!(1)),
            ("max_msgs", json!(100)),
            ("max_msgs_per_subject", json!(1)),
            ("max_msg_size", json!(1000)),
            ("max_age", json!(1_000_000_000)),
            ("max_consumers", json!(3)),
            ("allow_direct", json!(true)),
            ("allow_rollup_hdrs", json!(true)),
            ("deny_delete", json!(false)),
            ("deny_purge", json!(false)),
            ("allow_msg_ttl", json!(true)),
            ("mirror", json!({"name": "other"})),
            ("sources", json!([{"name": "other"}])),
            ("sealed", json!(true)),
            ("persist_mode", json!("async")),
        ] {
            let mut found = settings(stream);
            found.insert(setting.to_owned(), value);
            let differences = differences(stream, &found);
            assert_eq!(differences.len(), 1, "{setting}: {differences:?}");
            assert_eq!(differences[0].setting, setting);
        }
    }

    #[test]
    fn fewer_than_three_replicas_are_a_reduced_promise() {
        assert_eq!(Promise::with(3), Promise::IfServersSync);
        assert!(matches!(Promise::with(1), Promise::Reduced { .. }));
    }
}
