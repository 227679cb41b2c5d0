//! Facts that are made up: a node, a cluster and servers that are well.

use std::time::Duration;

use aether_domain::cluster::NodeInfo;
use aether_domain::records::{Format, Health, Load, MemberRecord, MemberState};
use aether_domain::timing::Profile;
use aether_domain::{Epoch, Incarnation, NodeId, NodeRef, Nonce, WallTime, Zone};
use aether_infra_nats::{
    AccountSeen, ClockSeen, Examined, LogSeen, MemberSeen, NatsConfig, ReplicaSeen, RightsSeen, Role, ServerSeen,
    StreamSeen, StreamState, Validity,
};

use crate::config::{Layers, Settings};
use crate::node::builder::founding;
use crate::program::doctor::facts::{Certificates, Facts, Host, Told};
use crate::program::doctor::monitor::{Jetstream, JetstreamConfig, JetstreamStats, Monitor, Server};
use crate::program::when;

pub(super) const NOW: &str = "2026-11-28T12:00:00.500Z";

pub(super) fn now() -> WallTime {
    WallTime { unix_millis: when::unix_millis(NOW).expect("a time") }
}

pub(super) fn ago(span: Duration) -> WallTime {
    let now = now().unix_millis;
    WallTime { unix_millis: now - u64::try_from(span.as_millis()).expect("short") }
}

pub(super) fn settings(more: &str) -> Settings {
    let text = format!(
        "namespace = \"bank\"\n[nats]\nurls = [\"tls://nats.example:4222\"]\nreplicas = 3\n[node]\nid = \"n1\"\n{more}"
    );
    Layers::text("n1.toml", text).load().expect("settings")
}

pub(super) fn told(more: &str) -> Told {
    let settings = settings(more);
    let mut nats = NatsConfig::new(settings.nats.urls.iter().cloned());
    nats.replicas = settings.nats.replicas;
    nats.tls.insecure = settings.nats.tls.insecure;
    Told { settings, nats, file: Some("n1.toml".into()), says_profile: true, says_replicas: true }
}

pub(super) fn member(id: &str) -> MemberSeen {
    let record = MemberRecord {
        node: NodeRef { node: NodeId::new(id).expect("an id"), incarnation: Incarnation(7) },
        state: MemberState::Alive,
        heartbeat: 9,
        nonce: Nonce(1),
        heartbeat_every: Duration::from_secs(1),
        view: Epoch(9),
        load: Load::default(),
        info: NodeInfo { zone: Some(Zone::new("a").expect("a zone")), ..NodeInfo::default() },
        admin_url: format!("http://10.0.0.1:74{id}"),
        build: "0.1.0".to_owned(),
        supervisor: None,
        health: Health::default(),
        shard_loads: Vec::new(),
        digest: 0,
        reads: Format::FIRST,
    };
    MemberSeen { id: id.to_owned(), record: Ok(Box::new(record)), written: ago(Duration::from_millis(700)) }
}

pub(super) fn stream(name: &str) -> StreamSeen {
    let replica = |name: &str| ReplicaSeen {
        name: name.to_owned(),
        offline: false,
        current: true,
        heard: Some(Duration::from_millis(700)),
        lag: 0,
    };
    let state = StreamState {
        messages: 10,
        bytes: 1000,
        consumers: 75,
        clustered: true,
        leader: Some("nats-0".to_owned()),
        replicas: vec![replica("nats-1"), replica("nats-2")],
        ..StreamState::default()
    };
    StreamSeen { name: name.to_owned(), found: Ok(state) }
}

pub(super) fn examined() -> Examined {
    Examined {
        server: ServerSeen {
            name: "nats-0".to_owned(),
            version: "2.15.1".to_owned(),
            older_than: None,
            cluster: Some("aether".to_owned()),
            jetstream: true,
            payload_bytes_max: 1 << 20,
            payload_bytes_needed: 1 << 20,
            asks_who: true,
        },
        rights: RightsSeen { tried: 44, ..RightsSeen::default() },
        account: Ok(AccountSeen {
            api_level: 5,
            streams: 2,
            streams_max: Some(7),
            // The limit is for each stream.
            consumers: 150,
            consumers_max: Some(100),
            storage_bytes: 1 << 20,
            storage_bytes_max: Some(1 << 30),
            byte_limits_required: false,
        }),
        streams: vec![stream("AETHER_bank_EVT_0"), stream("AETHER_bank_DLQ")],
        clock: Some(ClockSeen { asked: ago(Duration::from_millis(2)), said: NOW.to_owned(), answered: now() }),
        members: Ok(vec![member("n2"), member("n3")]),
        log: Ok(LogSeen { founded: Some(founding(Profile::Default)), epoch: Epoch(9), format: Some(Format::FIRST) }),
    }
}

pub(super) fn monitor(name: &str) -> Monitor {
    let config = JetstreamConfig { sync_always: true, sync_interval: 120_000_000_000, max_storage: 1 << 40 };
    let server = Server {
        name: name.to_owned(),
        version: "2.15.1".to_owned(),
        now: NOW.to_owned(),
        tls_cert_not_after: Some("2027-11-28T12:00:00Z".to_owned()),
        jetstream: Jetstream { config: Some(config), stats: JetstreamStats { storage: 1 << 20 } },
    };
    Monitor { url: format!("http://{name}:8222"), asked: now(), answered: now(), page: Ok(server) }
}

pub(super) fn facts() -> Facts {
    let certificate = Certificates {
        setting: "nats.tls_cert",
        file: "me.pem".into(),
        held: Ok(vec![Validity { from: 0, until: 1_900_000_000 }]),
    };
    let host = Host {
        open_files_max: Some(1024),
        memory_bytes: Some(8 << 30),
        certificates: vec![certificate],
        ..Host::default()
    };
    Facts {
        now: now(),
        role: Role::Node,
        told: Ok(told("")),
        nameless: false,
        host,
        nats: Some(Ok(examined())),
        monitors: vec![monitor("nats-0"), monitor("nats-1")],
    }
}
