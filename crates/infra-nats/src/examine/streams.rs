//! What JetStream's answer says of a stream.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{ReplicaSeen, StreamState, limit};
use crate::provision;

/// How a stream is, held against how it must be.
pub(super) fn state_of(wanted: &Value, answer: &Map<String, Value>) -> StreamState {
    let none = Map::new();
    let part = |key: &str| answer.get(key).and_then(Value::as_object).unwrap_or(&none);
    let (settings, state) = (part("config"), part("state"));
    let number = |of: &Map<String, Value>, key: &str| of.get(key).and_then(Value::as_u64).unwrap_or(0);
    let cluster = answer.get("cluster").and_then(Value::as_object);
    let replicas = cluster.and_then(|cluster| cluster.get("replicas")?.as_array()).into_iter().flatten();
    StreamState {
        differences: provision::differences(wanted, settings),
        messages: number(state, "messages"),
        messages_max: settings.get("max_msgs").and_then(limit),
        bytes: number(state, "bytes"),
        bytes_max: settings.get("max_bytes").and_then(limit),
        consumers: number(state, "consumer_count"),
        clustered: cluster.is_some(),
        leader: cluster
            .and_then(|cluster| cluster.get("leader")?.as_str())
            .filter(|leader| !leader.is_empty())
            .map(str::to_owned),
        replicas: replicas.map(replica).collect(),
    }
}

fn replica(value: &Value) -> ReplicaSeen {
    ReplicaSeen {
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        offline: value["offline"].as_bool().unwrap_or(false),
        current: value["current"].as_bool().unwrap_or(false),
        heard: value["active"].as_u64().filter(|nanos| *nanos > 0).map(Duration::from_nanos),
        lag: value["lag"].as_u64().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::Namespace;
    use serde_json::json;

    use super::*;
    use crate::names::Names;

    #[test]
    fn an_answer_is_read_with_everything_that_may_be_missing() {
        let wanted = provision::streams(&Names::new(Namespace::new("t").expect("a namespace")), 3).remove(0);
        let answer = |cluster: Value| {
            let mut config = wanted.clone();
            config["max_bytes"] = json!(1000);
            let answer = json!({ "config": config, "state": { "messages": 7, "bytes": 900, "consumer_count": 3 }, "cluster": cluster });
            answer.as_object().expect("an object").clone()
        };
        let alone = state_of(&wanted, &answer(Value::Null));
        let expected =
            StreamState { messages: 7, bytes: 900, bytes_max: Some(1000), consumers: 3, ..StreamState::default() };
        assert_eq!(alone, expected);
        let peers = json!({ "leader": "a", "replicas": [
            { "name": "b", "current": true, "active": 1 }, { "name": "c", "current": false, "offline": true, "lag": 9 },
        ] });
        let led = state_of(&wanted, &answer(peers));
        assert_eq!((led.clustered, led.leader.as_deref()), (true, Some("a")));
        let replica = |name: &str, offline, current, heard, lag| ReplicaSeen {
            name: name.to_owned(),
            offline,
            current,
            heard,
            lag,
        };
        let heard = Some(Duration::from_nanos(1));
        assert_eq!(led.replicas, [replica("b", false, true, heard, 0), replica("c", true, false, None, 9)]);
        assert_eq!(state_of(&wanted, &answer(json!({ "leader": "" }))).leader, None);
    }
}
