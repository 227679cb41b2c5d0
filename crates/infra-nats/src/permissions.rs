//! Who may do what on NATS: the least that each role needs, as nats-server's configuration has it.
//!
//! These lists are all that a connection may publish to and subscribe to; the server denies everything else. They are made of
//! [`names`](crate::names), so a subject that is added there and not here is noticed by the tests that run nodes under them.
//!
//! Two things no list can express, and what is done about them:
//!
//! - Whoever asks JetStream or a node something also names the subject that the answer goes to, and the server does not check
//!   it: an answer may end in a stream. Nodes answer into inboxes alone (`gateway`). JetStream answers anywhere, so an observer,
//!   who may ask JetStream, belongs in an account of its own, where no stream is ([`Role::Observer`]).
//! - Nodes are one party: each may write whatever any of them may, and compare-and-set decides among them.

use std::fmt;

use aether_domain::Namespace;
use aether_domain::records::ControlKey;

use crate::names::{GATEWAY_GROUP, Names, control_key};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A node, or its supervisor: writes what the protocol writes, makes no stream and removes none.
    Node,
    /// A program outside the cluster: asks the gateway and hears its own answers.
    Client,
    /// Somebody who reads the topology log, message by message, and nothing else.
    Observer,
    /// A person at work: makes the streams, asks for moves and drains, sees to dead letters, and reads everything.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Node, Self::Client, Self::Observer, Self::Operator];

    /// Its name: `node`, `client`, `observer`, `operator`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Client => "client",
            Self::Observer => "observer",
            Self::Operator => "operator",
        }
    }

    /// The role of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// All that a connection of one role may do. `Display` gives nats-server's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    namespace: Namespace,
    role: Role,
    /// The subjects it may publish to, wildcards among them.
    pub publish: Vec<String>,
    /// The subjects it may subscribe to; a queue group behind a space.
    pub subscribe: Vec<String>,
}

/// The subject prefix of JetStream's own requests.
pub(crate) const API: &str = "$JS.API";

impl Permissions {
    /// What `role` needs in `namespace`. `inbox` is what the connection's inboxes begin with (`nats.inbox_prefix`); unless told,
    /// [`Self::inbox_of`] the role.
    pub fn of(namespace: &Namespace, role: Role, inbox: Option<&str>) -> Self {
        let names = Names::new(namespace.clone());
        let inbox = format!("{}.>", inbox.map_or_else(|| Self::inbox_of(namespace, role), str::to_owned));
        let mut publish = match role {
            Role::Node => Self::of_node(&names),
            Role::Client => vec![names.gateway_subject()],
            Role::Observer => vec![Self::observed(&names).1],
            Role::Operator => Self::of_operator(&names),
        };
        let mut subscribe = vec![inbox.clone()];
        match role {
            Role::Node => {
                subscribe.extend([
                    names.node_subjects(),
                    names.claims_subject(),
                    format!("{} {GATEWAY_GROUP}", names.gateway_subject()),
                ]);
                publish.extend([inbox, format!("{}.>", Self::inbox_of(namespace, Role::Client))]);
            }
            // Whoever shares the nodes' code sends itself a message to learn that the server has worked off what it sent before.
            Role::Operator => publish.push(inbox),
            Role::Client | Role::Observer => {}
        }
        Self { namespace: namespace.clone(), role, publish, subscribe }
    }

    /// What the inboxes of that role begin with unless told: one prefix for the nodes and another for clients, who must not hear
    /// what nodes are answered. Clients that must not hear each other each have a prefix of their own below it.
    pub fn inbox_of(namespace: &Namespace, role: Role) -> String {
        match role {
            Role::Node | Role::Operator => Names::new(namespace.clone()).inbox_prefix(),
            Role::Client => format!("_INBOX_CLIENT_{namespace}"),
            Role::Observer => format!("_INBOX_OBSERVER_{namespace}"),
        }
    }

    /// What an observer may ask: as JetStream names it, and as it is imported. Under its own name JetStream would answer twice,
    /// once for the observers' account, which has none.
    fn observed(names: &Names) -> (String, String) {
        let request = format!("STREAM.MSG.GET.{}", names.topology_stream());
        (format!("{API}.{request}"), format!("{}.{request}", names.observer_api()))
    }

    fn of_node(names: &Names) -> Vec<String> {
        let written = ["lease", "node.*", "rel.*"].map(str::to_owned);
        let keys = [ControlKey::TopologySnapshot, ControlKey::Orders].map(|key| control_key(&key));
        let control = written.into_iter().chain(keys).map(|key| names.control_subject_of(&key));
        let mut publish = reading(names);
        publish.extend(control);
        publish.extend([
            names.topology_subject(),
            names.event_subjects(),
            names.snapshot_subjects(),
            names.wake_subjects(),
            names.feed_subjects(),
            names.dead_letter_subjects(),
            names.node_subjects(),
            names.claims_subject(),
        ]);
        publish
    }

    fn of_operator(names: &Names) -> Vec<String> {
        let mut publish = reading(names);
        publish.extend(names.streams().iter().map(|stream| format!("{API}.STREAM.CREATE.{stream}")));
        publish.push(format!("{API}.STREAM.MSG.DELETE.{}", names.dead_letter_stream()));
        publish.extend([ControlKey::Placement, ControlKey::Orders].map(|key| names.control_subject(&key)));
        publish.push(names.gateway_subject());
        publish
    }
}

/// What reading and following everything of a namespace takes.
fn reading(names: &Names) -> Vec<String> {
    let streams = names.streams();
    let mut subjects = vec![format!("{API}.INFO")];
    for stream in &streams {
        subjects.push(format!("{API}.STREAM.INFO.{stream}"));
        subjects.push(message_get(stream));
    }
    // Snapshots and histories are read from any replica; whatever is followed has a consumer, whose pace is agreed upon.
    for stream in [names.event_stream(0), names.snapshot_stream()] {
        subjects.push(format!("{API}.DIRECT.GET.{stream}"));
    }
    for stream in [
        names.topology_stream(),
        names.control_stream(),
        names.event_stream(0),
        names.wake_stream(),
        names.feed_stream(),
    ] {
        subjects.extend([format!("{API}.CONSUMER.CREATE.{stream}"), format!("$JS.FC.{stream}.>")]);
    }
    subjects
}

fn message_get(stream: &str) -> String {
    format!("{API}.STREAM.MSG.GET.{stream}")
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, role, publish, subscribe } = self;
        writeln!(f, "# What a user with the role {} may do in the namespace {namespace}.", role.as_str())?;
        if *role == Role::Observer {
            let (subject, imported) = Self::observed(&Names::new(namespace.clone()));
            writeln!(
                f,
                "# It belongs in an account of its own, because the server lets whoever asks JetStream something"
            )?;
            writeln!(
                f,
                "# name any subject of the account for the answer, one that a stream stores too. The account of the"
            )?;
            writeln!(f, "# nodes, here NODES, and the one of the observers, here OBSERVERS, say:")?;
            writeln!(f, "#   exports: [ {{ service: \"{subject}\", accounts: [OBSERVERS] }} ]")?;
            writeln!(
                f,
                "#   imports: [ {{ service: {{ account: NODES, subject: \"{subject}\" }}, to: \"{imported}\" }} ]"
            )?;
        }
        writeln!(f, "permissions {{")?;
        for (what, subjects) in [("publish", publish), ("subscribe", subscribe)] {
            writeln!(f, "  {what} {{")?;
            writeln!(f, "    allow: [")?;
            for subject in subjects {
                writeln!(f, "      \"{subject}\"")?;
            }
            writeln!(f, "    ]")?;
            writeln!(f, "  }}")?;
        }
        writeln!(f, "}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(role: Role) -> Permissions {
        Permissions::of(&Namespace::new("bank-eu").expect("a namespace"), role, None)
    }

    #[test]
    fn clients_and_observers_may_do_this_and_nothing_else() {
        let client = of(Role::Client);
        assert_eq!(client.publish, ["aether.bank-eu.gw"]);
        assert_eq!(client.subscribe, ["_INBOX_CLIENT_bank-eu.>"]);
        let observer = of(Role::Observer);
        assert_eq!(observer.publish, ["aether.bank-eu.api.STREAM.MSG.GET.AETHER_bank-eu_TOP"]);
        assert_eq!(observer.subscribe, ["_INBOX_OBSERVER_bank-eu.>"]);
    }

    #[test]
    fn nobody_may_remove_empty_or_change_a_stream_and_only_operators_make_one() {
        for role in Role::ALL {
            let permissions = of(role);
            let all = permissions.publish.iter().chain(&permissions.subscribe);
            for subject in all {
                for never in
                    ["STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.RESTORE", "CONSUMER.DELETE", "$SYS"]
                {
                    assert!(!subject.contains(never), "{role:?}: {subject}");
                }
                assert!(role == Role::Operator || !subject.contains("STREAM.CREATE"), "{role:?}: {subject}");
                assert!(!matches!(subject.as_str(), ">" | "$JS.>" | "$JS.API.>" | "$KV.>" | "_INBOX.>"), "{subject}");
                assert!(subject.contains("bank-eu") || subject == "$JS.API.INFO", "{role:?}: {subject}");
            }
        }
    }

    #[test]
    fn the_prefix_of_the_inboxes_can_be_told() {
        let namespace = Namespace::new("t").expect("a namespace");
        let client = Permissions::of(&namespace, Role::Client, Some("_INBOX_CLIENT_t.alice"));
        assert_eq!(client.subscribe, ["_INBOX_CLIENT_t.alice.>"]);
    }

    #[test]
    fn a_role_is_found_by_its_name() {
        for role in Role::ALL {
            assert_eq!(Role::named(role.as_str()), Some(role));
        }
        assert_eq!(Role::named("admin"), None);
    }
}
