//! Every subject, bucket, stream and key Aether uses on NATS, and nothing that uses them.
//!
//! `<ns>` is the namespace, `<slot>` an actor's slot as two tokens, one hex digit (the *lane*) and three.
//!
//! | name | writer | readers | lives | payload |
//! |---|---|---|---|---|
//! | stream `AETHER_<ns>_TOP`, subject `aether.<ns>.top` | the leader of the current term, by compare-and-set | every node, operators | for ever | JSON entry |
//! | stream `KV_aether_<ns>_ctl`, key `lease` | contenders, by compare-and-set | every node | last record | JSON lease |
//! | … key `node.<id>` | that node; to fence it, the leader; both by compare-and-set | every node | last record | JSON member record |
//! | … key `rel.<id>` | that node, by compare-and-set | the leader | last record | JSON release report |
//! | … key `placement` | operators, by compare-and-set | every node | last record | JSON desired placement |
//! | … key `orders` | operators, by compare-and-set | every node | last record | JSON orders |
//! | … key `top.snap` | the leader, by compare-and-set | nodes that start | last record | binary snapshot of the topology |
//! | stream `AETHER_<ns>_EVT_<p>`, subject `aether.<ns>.ev.<slot>.<kind>.<id>` | the shard's owner, by compare-and-set | the shard's owner, feeds | for ever | JSON or binary commit record |
//! | stream `AETHER_<ns>_SNP`, subject `aether.<ns>.sn.<slot>.<kind>.<id>` | the shard's owner | the shard's owner | last two | binary snapshot |
//! | … subject `aether.<ns>.sn.<slot>.<kind>.<id>.<n>` | the same | the same | last two | binary chunk of a large snapshot |
//! | stream `AETHER_<ns>_WKE`, subject `aether.<ns>.wk.<slot>.<kind>.<id>` | the shard's owner, by compare-and-set | the shard's owner | last wake | binary wake |
//! | stream `AETHER_<ns>_FDS`, subject `aether.<ns>.fd.<name>` | whoever works on the feed, by compare-and-set | every node, operators | last record | JSON checkpoint |
//! | stream `AETHER_<ns>_DLQ`, subject `aether.<ns>.dlq.<kind>.<id>` | nodes | operators | until removed | JSON |
//! | subject `aether.<ns>.n.<id>.<inc>` | other nodes | that life of that node | in flight | binary frames |
//! | subject `aether.<ns>.gw`, queue group `gw` | any client | one node | in flight | JSON request and answer |
//! | subject `aether.<ns>.claims` | every node | every node | in flight | binary claim |
//! | subject `aether.<ns>.api.STREAM.MSG.GET.AETHER_<ns>_TOP`, in the observers' account | observers | JetStream | in flight | JSON request and answer |
//! | subject `_INBOX_<ns>.>` | whoever answers | the asking connection | in flight | answers |
//!
//! The key `<k>` of the control bucket is the subject `$KV.aether_<ns>_ctl.<k>`.

use aether_domain::records::ControlKey;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, FeedName, Incarnation, Namespace, NodeId, NodeRef, Slot,
};
use std::borrow::Cow;

use crate::base64url;

/// The queue group in which nodes share the gateway's requests.
pub const GATEWAY_GROUP: &str = "gw";

/// How many lanes the slots are divided into; an event stream owns whole lanes.
pub const LANES: u16 = 16;

/// The most characters an actor id has as a token: `=` and the base64url of its most bytes.
pub const TOKEN_BYTES_MAX: usize = 1 + (ActorId::BYTES_MAX * 4).div_ceil(3);

/// The names of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    namespace: Namespace,
}

impl Names {
    /// The names of `namespace`.
    pub fn new(namespace: Namespace) -> Self {
        Self { namespace }
    }
    /// Whose names these are.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
    /// The stream of the topology log.
    pub fn topology_stream(&self) -> String {
        format!("AETHER_{}_TOP", self.namespace)
    }
    /// The only subject of the topology log.
    pub fn topology_subject(&self) -> String {
        format!("aether.{}.top", self.namespace)
    }
    /// The control bucket, as NATS tools name it.
    pub fn control_bucket(&self) -> String {
        format!("aether_{}_ctl", self.namespace)
    }
    /// The stream behind the control bucket.
    pub fn control_stream(&self) -> String {
        format!("KV_{}", self.control_bucket())
    }
    /// All keys of the control bucket, as a subject.
    pub fn control_subjects(&self) -> String {
        format!("$KV.{}.>", self.control_bucket())
    }
    /// The subject of one control record.
    pub fn control_subject(&self, key: &ControlKey) -> String {
        self.control_subject_of(&control_key(key))
    }
    /// The subject of the control records with that key, in which `*` stands for any token.
    pub(crate) fn control_subject_of(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.control_bucket())
    }
    /// The key in a subject of the control bucket; `None` if it is not one of ours.
    pub fn control_key_of(&self, subject: &str) -> Option<ControlKey> {
        let key = subject.strip_prefix("$KV.")?.strip_prefix(&self.control_bucket())?.strip_prefix('.')?;
        match key.split_once('.') {
            None if key == "lease" => Some(ControlKey::Lease),
            None if key == "placement" => Some(ControlKey::Placement),
            None if key == "orders" => Some(ControlKey::Orders),
            Some(("node", id)) => NodeId::new(id).ok().map(ControlKey::Member),
            Some(("top", "snap")) => Some(ControlKey::TopologySnapshot),
            Some(("rel", id)) => NodeId::new(id).ok().map(ControlKey::Release),
            _ => None,
        }
    }
    /// The event stream that owns `lane`. One stream owns them all today.
    pub fn event_stream(&self, _lane: u16) -> String {
        format!("AETHER_{}_EVT_0", self.namespace)
    }
    /// The subjects of the event stream: one wildcard for each lane it owns.
    pub fn event_stream_subjects(&self) -> Vec<String> {
        (0..LANES).map(|lane| format!("aether.{}.ev.{lane:x}.>", self.namespace)).collect()
    }
    /// All subjects of histories.
    pub fn event_subjects(&self) -> String {
        format!("aether.{}.ev.>", self.namespace)
    }
    /// All subjects of histories of a kind.
    pub fn event_subjects_of(&self, kind: &ActorKind) -> String {
        format!("aether.{}.ev.*.*.{kind}.>", self.namespace)
    }
    /// The subject of an actor's history.
    pub fn event_subject(&self, actor: &ActorAddress) -> String {
        self.actor_subject("ev", actor)
    }
    /// The actor whose history has that subject; `None` if it is not one of ours.
    pub fn actor_of(&self, event_subject: &str) -> Option<ActorAddress> {
        self.actor_in("ev", event_subject)
    }

    fn actor_in(&self, area: &str, subject: &str) -> Option<ActorAddress> {
        let rest = subject.strip_prefix("aether.")?.strip_prefix(self.namespace.as_str())?;
        let mut tokens = rest.strip_prefix('.')?.strip_prefix(area)?.strip_prefix('.')?.split('.');
        let slot = slot_of(tokens.next()?, tokens.next()?)?;
        let kind = ActorKind::new(tokens.next()?).ok()?;
        let id = actor_id_of(tokens.next()?)?;
        tokens.next().is_none().then_some(ActorAddress { key: ActorKey { kind, id }, slot })
    }
    /// The stream of actor snapshots.
    pub fn snapshot_stream(&self) -> String {
        format!("AETHER_{}_SNP", self.namespace)
    }
    /// All subjects of actor snapshots.
    pub fn snapshot_subjects(&self) -> String {
        format!("aether.{}.sn.>", self.namespace)
    }
    /// The subject of an actor's snapshots.
    pub fn snapshot_subject(&self, actor: &ActorAddress) -> String {
        self.actor_subject("sn", actor)
    }
    /// The subject of the `nth` chunk, from 0, of an actor's large snapshots.
    pub fn snapshot_chunk_subject(&self, actor: &ActorAddress, nth: usize) -> String {
        format!("{}.{nth}", self.snapshot_subject(actor))
    }
    /// The stream of wakes.
    pub fn wake_stream(&self) -> String {
        format!("AETHER_{}_WKE", self.namespace)
    }
    /// All subjects of wakes.
    pub fn wake_subjects(&self) -> String {
        format!("aether.{}.wk.>", self.namespace)
    }
    /// The subjects of the wakes of one lane.
    pub fn wake_subjects_of(&self, lane: u16) -> String {
        format!("aether.{}.wk.{lane:x}.>", self.namespace)
    }
    /// The actor whose wake has that subject; `None` if it is not one of ours.
    pub fn wake_actor(&self, wake_subject: &str) -> Option<ActorAddress> {
        self.actor_in("wk", wake_subject)
    }
    /// The subject of an actor's wake.
    pub fn wake_subject(&self, actor: &ActorAddress) -> String {
        self.actor_subject("wk", actor)
    }
    /// The stream of feeds' checkpoints.
    pub fn feed_stream(&self) -> String {
        format!("AETHER_{}_FDS", self.namespace)
    }
    /// All subjects of feeds' checkpoints.
    pub fn feed_subjects(&self) -> String {
        format!("aether.{}.fd.>", self.namespace)
    }
    /// The subject of a feed's checkpoint.
    pub fn feed_subject(&self, feed: &FeedName) -> String {
        format!("aether.{}.fd.{feed}", self.namespace)
    }
    /// The feed whose checkpoint has that subject; `None` if it is not one of ours.
    pub fn feed_of(&self, subject: &str) -> Option<FeedName> {
        let feed = subject.strip_prefix("aether.")?.strip_prefix(self.namespace.as_str())?.strip_prefix(".fd.")?;
        FeedName::new(feed).ok()
    }
    /// The stream of dead letters.
    pub fn dead_letter_stream(&self) -> String {
        format!("AETHER_{}_DLQ", self.namespace)
    }
    /// All subjects of dead letters.
    pub fn dead_letter_subjects(&self) -> String {
        format!("aether.{}.dlq.>", self.namespace)
    }
    /// The subject of an actor's dead letters.
    pub fn dead_letter_subject(&self, actor: &ActorAddress) -> String {
        format!("aether.{}.dlq.{}.{}", self.namespace, actor.key.kind, actor_token(&actor.key.id))
    }
    /// Where frames for one life of a node go.
    pub fn node_subject(&self, node: &NodeRef) -> String {
        format!("aether.{}.n.{}.{}", self.namespace, node.node, node.incarnation)
    }
    /// Where frames for any life of any node go.
    pub fn node_subjects(&self) -> String {
        format!("aether.{}.n.>", self.namespace)
    }
    /// Where clients that are no node send their commands.
    pub fn gateway_subject(&self) -> String {
        format!("aether.{}.gw", self.namespace)
    }
    /// Where nodes tell each other what they believe.
    pub fn claims_subject(&self) -> String {
        format!("aether.{}.claims", self.namespace)
    }
    /// What JetStream's requests begin with in an account that may only look: `$JS.API` of the nodes' account, imported.
    pub fn observer_api(&self) -> String {
        format!("aether.{}.api", self.namespace)
    }
    /// Every stream, in the order in which they are made.
    pub fn streams(&self) -> [String; 7] {
        [
            self.topology_stream(),
            self.control_stream(),
            self.event_stream(0),
            self.snapshot_stream(),
            self.wake_stream(),
            self.feed_stream(),
            self.dead_letter_stream(),
        ]
    }
    /// What every inbox of a node's connection begins with, so that permissions can name it.
    pub fn inbox_prefix(&self) -> String {
        format!("_INBOX_{}", self.namespace)
    }

    /// Written for every commit, so without the machinery of formats, and into as much memory as it takes: what has more
    /// is moved or counted when it becomes a message's subject.
    fn actor_subject(&self, area: &str, actor: &ActorAddress) -> String {
        let Slot(slot) = actor.slot;
        let ActorKey { kind, id } = &actor.key;
        let hex = |shift: u32| char::from(HEX[usize::from(slot >> shift & 0xf)]);
        let begin = ["aether.", self.namespace.as_str(), ".", area, "."];
        let bytes = begin.iter().map(|part| part.len()).sum::<usize>() + "0.000.".len();
        let (kind, token) = (kind.as_str(), token_of(id));
        let mut subject = String::with_capacity(bytes + kind.len() + 1 + token.len());
        for part in begin {
            subject.push_str(part);
        }
        subject.extend([hex(12), '.', hex(8), hex(4), hex(0), '.']);
        subject.push_str(kind);
        subject.push('.');
        subject.push_str(&token);
        subject
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A control key as the bucket names it.
pub fn control_key(key: &ControlKey) -> String {
    match key {
        ControlKey::Lease => "lease".to_owned(),
        ControlKey::Member(node) => format!("node.{node}"),
        ControlKey::Release(node) => format!("rel.{node}"),
        ControlKey::TopologySnapshot => "top.snap".to_owned(),
        ControlKey::Placement => "placement".to_owned(),
        ControlKey::Orders => "orders".to_owned(),
    }
}

/// An actor id as one subject token: itself if it is made of `A-Z a-z 0-9 _ -`, else `=` and its base64url.
///
/// ```
/// # use aether_domain::ActorId;
/// # use aether_infra_nats::names::{actor_id_of, actor_token};
/// let plain = ActorId::new("alice-7")?;
/// let spaced = ActorId::new("alice 7")?;
/// assert_eq!(actor_token(&plain), "alice-7");
/// assert_eq!(actor_token(&spaced), "=YWxpY2UgNw");
/// assert_eq!(actor_id_of("=YWxpY2UgNw"), Some(spaced));
/// assert_eq!(actor_id_of("=YWxpY2UtNw"), None, "this one would have been written plainly");
/// # Ok::<(), aether_domain::InvalidId>(())
/// ```
pub fn actor_token(id: &ActorId) -> String {
    token_of(id).into_owned()
}

fn token_of(id: &ActorId) -> Cow<'_, str> {
    let text = id.as_str();
    if is_plain(text) { text.into() } else { format!("={}", base64url::encode(text.as_bytes())).into() }
}

/// The actor id a token stands for; `None` if [`actor_token`] would not have written it.
pub fn actor_id_of(token: &str) -> Option<ActorId> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let Some(encoded) = token.strip_prefix('=') else {
        return is_plain(token).then(|| ActorId::new(token).ok()).flatten();
    };
    let text = String::from_utf8(base64url::decode(encoded)?).ok()?;
    if is_plain(&text) { None } else { ActorId::new(text).ok() }
}

/// A life of a node as one token: `<id>=<inc>`.
pub(crate) fn node_token(node: &NodeRef) -> String {
    format!("{}={}", node.node, node.incarnation)
}

/// The life a token stands for.
pub(crate) fn node_of(token: &str) -> Option<NodeRef> {
    let (node, incarnation) = token.split_once('=')?;
    let incarnation = Incarnation(hex_digits(incarnation, 16)?);
    Some(NodeRef { node: NodeId::new(node).ok()?, incarnation })
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
}

fn slot_of(lane: &str, rest: &str) -> Option<Slot> {
    let (lane, rest) = (hex_digits(lane, 1)?, hex_digits(rest, 3)?);
    u16::try_from(lane << 12 | rest).ok().map(Slot)
}

/// Exactly `digits` lower-case hex digits.
fn hex_digits(text: &str, digits: usize) -> Option<u64> {
    let lower_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    (text.len() == digits && text.bytes().all(lower_hex)).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use aether_domain::testing::life;
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::new(Namespace::new("bank-eu").expect("a namespace"))
    }

    fn address(kind: &str, id: &str, slot: u16) -> ActorAddress {
        let kind = ActorKind::new(kind).expect("a kind");
        ActorAddress { key: ActorKey { kind, id: ActorId::new(id).expect("an id") }, slot: Slot(slot) }
    }

    #[test]
    fn an_actors_subject_takes_as_much_memory_as_it_has_bytes() {
        for id in ["a", "alice-7", "alice 7", "über", "a.b", &"x".repeat(128), &"ü".repeat(64)] {
            let subject = names().event_subject(&address("account", id, 0x0a5b));
            assert_eq!(subject.capacity(), subject.len(), "{subject}");
        }
    }

    #[test]
    fn the_names_are_these_for_ever() {
        let names = names();
        let actor = address("account", "alice", 0x0a5b);
        for (name, expected) in [
            (names.topology_stream(), "AETHER_bank-eu_TOP"),
            (names.topology_subject(), "aether.bank-eu.top"),
            (names.control_stream(), "KV_aether_bank-eu_ctl"),
            (names.control_subjects(), "$KV.aether_bank-eu_ctl.>"),
            (names.control_subject(&ControlKey::Lease), "$KV.aether_bank-eu_ctl.lease"),
            (names.control_subject(&ControlKey::Member(life("n1", 1).node)), "$KV.aether_bank-eu_ctl.node.n1"),
            (names.control_subject(&ControlKey::Release(life("n1", 1).node)), "$KV.aether_bank-eu_ctl.rel.n1"),
            (names.control_subject(&ControlKey::TopologySnapshot), "$KV.aether_bank-eu_ctl.top.snap"),
            (names.control_subject(&ControlKey::Placement), "$KV.aether_bank-eu_ctl.placement"),
            (names.control_subject(&ControlKey::Orders), "$KV.aether_bank-eu_ctl.orders"),
            (names.event_stream(0), "AETHER_bank-eu_EVT_0"),
            (names.event_stream_subjects()[15].clone(), "aether.bank-eu.ev.f.>"),
            (names.event_subject(&actor), "aether.bank-eu.ev.0.a5b.account.alice"),
            (names.snapshot_stream(), "AETHER_bank-eu_SNP"),
            (names.snapshot_subject(&actor), "aether.bank-eu.sn.0.a5b.account.alice"),
            (names.snapshot_chunk_subject(&actor, 7), "aether.bank-eu.sn.0.a5b.account.alice.7"),
            (names.dead_letter_stream(), "AETHER_bank-eu_DLQ"),
            (names.dead_letter_subject(&actor), "aether.bank-eu.dlq.account.alice"),
            (names.node_subject(&life("n1", 1)), "aether.bank-eu.n.n1.0000000697f2f19e"),
            (names.gateway_subject(), "aether.bank-eu.gw"),
            (names.claims_subject(), "aether.bank-eu.claims"),
            (names.observer_api(), "aether.bank-eu.api"),
            (names.inbox_prefix(), "_INBOX_bank-eu"),
        ] {
            assert_eq!(name, expected);
        }
    }

    #[test]
    fn a_slot_is_one_hex_digit_and_three() {
        for (slot, tokens) in [(0, "0.000"), (0xfff, "0.fff"), (0x1000, "1.000"), (0xffff, "f.fff")] {
            let subject = names().event_subject(&address("k", "a", slot));
            assert_eq!(subject, format!("aether.bank-eu.ev.{tokens}.k.a"));
        }
    }

    #[test]
    fn a_subject_that_is_not_ours_names_no_actor() {
        for bad in [
            "aether.bank-eu.ev.0.a5b.account",
            "aether.bank-eu.ev.0.a5b.account.alice.x",
            "aether.bank-eu.ev.0.a5.account.alice",
            "aether.bank-eu.ev.0.A5B.account.alice",
            "aether.bank-eu.ev.0.a5b.Account.alice",
            "aether.bank.ev.0.a5b.account.alice",
            "aether.bank-eu2.ev.0.a5b.account.alice",
            "aether.bank-eu.sn.0.a5b.account.alice",
            "aether.bank-eu.ev.0.a5b.account.=YWxpY2U",
        ] {
            assert_eq!(names().actor_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_that_is_not_ours_names_no_record() {
        for bad in ["$KV.aether_bank-eu_ctl.lease.x", "$KV.aether_bank-eu_ctl.node.N1", "$KV.aether_x_ctl.lease", ""] {
            assert_eq!(names().control_key_of(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_actor_is_read_from_its_own_subject(kind in "[a-z0-9_-]{1,32}", id in "\\PC{1,32}", slot: u16) {
            let actor = address(&kind, &id, slot);
            let subject = names().event_subject(&actor);
            prop_assert!(!subject.contains(['*', '>', ' ']));
            prop_assert_eq!(subject.split('.').count(), 7);
            prop_assert!(actor_token(&actor.key.id).len() <= TOKEN_BYTES_MAX);
            prop_assert_eq!(names().actor_of(&subject), Some(actor));
        }

        #[test]
        fn no_two_tokens_name_one_actor(token in "=?[A-Za-z0-9_-]{1,24}") {
            if let Some(id) = actor_id_of(&token) {
                prop_assert_eq!(actor_token(&id), token);
            }
        }

        #[test]
        fn control_keys_and_nodes_are_read_back(node in "[a-z0-9_-]{1,32}", inc: u64) {
            let node = NodeRef { node: NodeId::new(&node).expect("a node id"), incarnation: Incarnation(inc) };
            let of_node = [ControlKey::Member(node.node.clone()), ControlKey::Release(node.node.clone())];
            for key in of_node.into_iter().chain([
                ControlKey::Lease,
                ControlKey::TopologySnapshot,
                ControlKey::Placement,
                ControlKey::Orders,
            ]) {
                prop_assert_eq!(names().control_key_of(&names().control_subject(&key)), Some(key));
            }
            prop_assert_eq!(node_of(&node_token(&node)), Some(node));
        }
    }
}
