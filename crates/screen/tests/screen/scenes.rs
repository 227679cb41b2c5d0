//! Clusters in every state that the screen must show.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use aether_screen::model::{Alert, Entry, Shards, Story, View};
use aether_screen::{Dialog, Key, Look, Map, Pane, State, Text, Told, Verb, Wish, grid_of};
use serde_json::{Value, json};

/// When each scene is looked at.
pub(crate) const NOW: Duration = Duration::from_secs(100);

pub(crate) const COLOUR: Look = Look { colour: true, styles: true };
pub(crate) const NO_COLOUR: Look = Look { colour: false, styles: true };

pub(crate) const VERBS: [Verb; 3] = [Verb::Drain, Verb::StepDown, Verb::Pause];

/// As large as a cluster can be.
pub(crate) static MANY: LazyLock<View> = LazyLock::new(|| well(100, 65_536));

fn node(id: &str, status: &str, shards: usize) -> Value {
    let heard = if status == "failed" { Value::Null } else { json!(340) };
    json!({
        "id": id, "incarnation": "33f1638675e48752", "status": status, "shards": shards, "actors": shards * 37,
        "admin_url": "http://127.0.0.1:41745", "commands_per_second": shards * 3, "weight": 1, "zone": "z1",
        "tags": ["ssd"], "since_epoch": 2, "trust": "trusted", "view_epoch": 45, "build": "0.1.0", "heard_ms": heard,
    })
}

/// Whose shard `nth` of the map is, spread as a hash would.
fn spread(nth: usize, nodes: usize) -> usize {
    ((nth * 2_654_435_761) >> 7) % nodes
}

/// As runs: the shards that fit.
pub(crate) fn runs(total: usize, fits: impl Fn(usize) -> bool) -> String {
    let all: Vec<_> = (0..total).filter(|shard| fits(*shard)).map(|shard| shard.to_string()).collect();
    all.join(",")
}

fn page(total: usize, owner: impl Fn(usize) -> Option<String>, moving: &str) -> Shards {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for shard in 0..total {
        if let Some(owner) = owner(shard) {
            owners.entry(owner).or_default().push(shard.to_string());
        }
    }
    let owners: BTreeMap<_, _> = owners.into_iter().map(|(owner, shards)| (owner, shards.join(","))).collect();
    let orphaned = runs(total, |shard| owner(shard).is_none());
    serde_json::from_value(
        json!({ "epoch": 45, "total": total, "owners": owners, "orphaned": orphaned, "moving": moving }),
    )
    .expect("a page")
}

fn entry(epoch: u64, cause: &str, events: Value) -> Entry {
    serde_json::from_value(json!({
        "epoch": epoch, "term": 1, "leader": "n3", "cause": cause, "unix_millis": 1_795_866_264_123_u64 + epoch * 1000,
        "events": events,
    }))
    .expect("an entry")
}

pub(crate) fn entries() -> Vec<Entry> {
    vec![
        entry(
            1,
            "creation by n3",
            json!([
                { "name": "NodeJoined", "nodes": ["n3"] }, { "name": "TermStarted", "nodes": ["n3"] },
                { "name": "ShardAssigned", "nodes": ["n3"], "shards": "0-1023" },
            ]),
        ),
        entry(
            2,
            "join of n1, join of n2",
            json!([
                { "name": "NodeJoined", "nodes": ["n1"] }, { "name": "NodeJoined", "nodes": ["n2"] },
            ]),
        ),
        entry(
            3,
            "rebalance after join, moves begin",
            json!([
                { "name": "RebalancingTriggered", "reason": "join" },
                { "name": "ShardMigrationStarted", "nodes": ["n3", "n1"], "shards": "4,9,17-21" },
            ]),
        ),
        entry(
            45,
            "7 shards from n3 to n1, rebalance done",
            json!([
                { "name": "ShardMigrated", "nodes": ["n3", "n1"], "shards": "4,9,17-21" }, { "name": "RebalancingCompleted" },
            ]),
        ),
    ]
}

/// A cluster of so many nodes and shards, in which all is well.
pub(crate) fn well(nodes: usize, total: usize) -> View {
    let count = |nth: usize| (0..total).filter(|shard| spread(*shard, nodes) == nth).count();
    let all: Vec<_> = (0..nodes).map(|nth| node(&format!("n{}", nth + 1), "active", count(nth))).collect();
    let health: Vec<_> = (0..nodes).map(|nth| json!({ "id": format!("n{}", nth + 1), "verdict": "healthy" })).collect();
    let cluster = json!({
        "namespace": "bank", "cluster_uid": "07", "me": "n1", "epoch": 45, "term": 1, "leader": format!("n{nodes}"),
        "lease": { "ttl_ms": 10_000, "left_ms": 8_300, "renewed_ms": 1_700 }, "nodes": all,
        "shards": { "total": total, "assigned": total, "orphaned": 0, "moving": 0 }, "order": null, "newer": 1,
    });
    View {
        cluster: serde_json::from_value(cluster).expect("a page"),
        health: serde_json::from_value(json!({ "verdict": "ok", "reasons": [], "nodes": health })).expect("a page"),
        moves: serde_json::from_value(json!({ "epoch": 45, "plan": null })).expect("a page"),
        map: Map::of(&page(total, |shard| Some(format!("n{}", spread(shard, nodes) + 1)), "")).expect("a map"),
        alerts: Vec::new(),
        connected: true,
        plan_ms: None,
        load: None,
    }
}

fn alert(critical: bool, text: &str) -> Alert {
    Alert { critical, text: Text::new(text) }
}

/// Some shards have no owner, and some are on their way.
pub(crate) fn odd() -> View {
    let mut view = well(3, 1024);
    let moving = "64-80,512,900-930";
    let owner = |shard: usize| (!(200..=210).contains(&shard)).then(|| format!("n{}", spread(shard, 3) + 1));
    view.map = Map::of(&page(1024, owner, moving)).expect("a map");
    let shards = json!({ "total": 1024, "assigned": 1013, "orphaned": 11, "moving": 49 });
    view.cluster.shards = serde_json::from_value(shards).expect("counts");
    view.health.verdict = "critical".into();
    view.alerts = vec![
        alert(true, "11 of 1024 shards are not served: 11 have no owner, 0 have one that is not heard"),
        alert(false, "plan 31 (join) has been under way for 61 s: 12 of 61 moved"),
        alert(false, "n2 is late"),
    ];
    view.moves = serde_json::from_value(json!({
        "plan": { "id": 31, "cause": "join", "planned": 61, "moved": 12 },
        "draining": [{ "shards": "64-80,512", "from": "n1", "to": "n3" }, { "shards": "900-930", "from": "n2", "to": "n3" }],
        "pending": [{ "shards": "1000-1010", "from": "n1", "to": "n3" }],
        "here": [
            { "shard": 64, "drain_epoch": 40, "phase": "paused", "reached": [{ "at_ms": 1 }] },
            { "shard": 65, "drain_epoch": 40, "phase": "sent", "reached": [{ "at_ms": 1 }, { "at_ms": 2 }] },
            { "shard": 3, "drain_epoch": 30, "phase": "completed", "reached": [{ "at_ms": 1 }] },
        ],
    }))
    .expect("moves");
    view.plan_ms = Some(61_000);
    view
}

/// A node has died, and the others have what it had.
pub(crate) fn dead() -> View {
    let mut view = well(3, 1024);
    let owner = |shard: usize| {
        Some(
            if spread(shard, 3) == 1 { ["n1", "n3"][shard % 2] } else { ["n1", "", "n3"][spread(shard, 3)] }.to_owned(),
        )
    };
    view.map = Map::of(&page(1024, owner, "")).expect("a map");
    view.cluster.nodes[1] = serde_json::from_value(node("n2", "failed", 0)).expect("a node");
    view.health.verdict = "degraded".into();
    view.health.nodes[1].verdict = "failed".into();
    view.alerts =
        vec![alert(false, "failed: n2 (certificate)"), alert(false, "degraded: shards have been moving for 61 s")];
    view
}

/// Nobody leads.
pub(crate) fn headless() -> View {
    let mut view = well(3, 1024);
    (view.cluster.leader, view.cluster.lease) = (None, None);
    view.health.verdict = "critical".into();
    view.alerts = vec![alert(true, "nobody leads since term 1")];
    view
}

/// Nobody hears the owner of a third of the shards any more.
pub(crate) fn silent() -> View {
    let mut view = well(3, 1024);
    view.health.verdict = "critical".into();
    view.health.nodes[1].verdict = "silent".into();
    view.cluster.nodes[1].heard_ms = Some(5_800);
    view.alerts = vec![alert(true, "nobody serves 342 shards: n2 has them and has not been heard for 5.8s")];
    view
}

/// A state that has been told so much.
pub(crate) fn told(look: Look, told: Vec<Told>) -> State {
    let mut state = State::new(look, VERBS.to_vec(), true);
    for one in told {
        state.hear(NOW, one);
    }
    state
}

pub(crate) fn of(look: Look, view: View) -> State {
    told(look, vec![Told::View(Box::new(view)), Told::Entries(entries())])
}

/// Presses those keys, as on a screen of that size.
pub(crate) fn press(state: &mut State, size: (u16, u16), keys: &[Key]) -> Vec<Wish> {
    keys.iter().filter_map(|key| state.press(*key, grid_of(state, size.0, size.1))).collect()
}

pub(crate) fn story() -> Story {
    let now = json!({ "shard": 417, "state": "draining", "owner": "n2", "incarnation": "328a9fbdcd0b99a9", "shard_epoch": 5, "to": "n3" });
    Story { now: serde_json::from_value(now).expect("a shard"), entries: entries(), whole: false }
}

/// Every scene by its name.
pub(crate) fn all(look: Look, size: (u16, u16)) -> Vec<(&'static str, State)> {
    let keys = |mut state: State, keys: &[Key]| {
        press(&mut state, size, keys);
        state
    };
    let slash: Vec<_> = [Key::Char('/')].into_iter().chain("NodeJoined".chars().map(Key::Char)).collect();
    let mut shard = of(look, odd());
    shard.dialog = Some(Dialog::Shard { shard: 417, story: Some(Ok(Box::new(story()))) });
    let mut map = of(look, odd());
    map.pane = Pane::Shards;
    let mut old = of(look, well(3, 1024));
    old.hear(NOW, Told::Silent("http://127.0.0.1:41745: connection refused".into()));
    let mut cut_off = well(3, 1024);
    cut_off.connected = false;
    vec![
        ("nothing", told(look, vec![])),
        ("nobody", told(look, vec![Told::Silent("http://127.0.0.1:41745: connection refused".into())])),
        ("well", of(look, well(3, 1024))),
        ("odd", of(look, odd())),
        ("dead", of(look, dead())),
        ("silent", of(look, silent())),
        ("headless", of(look, headless())),
        ("old", old),
        ("cut-off", of(look, cut_off)),
        ("many", of(look, MANY.clone())),
        ("help", keys(of(look, well(3, 1024)), &[Key::Char('?')])),
        ("node", keys(of(look, odd()), &[Key::Down, Key::Enter])),
        ("shard", shard),
        ("map", map),
        ("confirm", keys(of(look, well(3, 1024)), &[Key::Char('d')])),
        ("filter", keys(of(look, well(3, 1024)), &slash)),
    ]
}
