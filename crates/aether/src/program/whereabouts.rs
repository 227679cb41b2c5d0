//! `aether where`: an actor's shard, by the cluster's own hash, and who owns that.

use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, Namespace, ShardCount, ShardId};
use aether_placement::ShardHash;
use anyhow::bail;
use serde_json::{Value, json};

use super::args::{Global, WhereArgs};
use super::ask::{Form, Nodes};
use super::ink::{Ink, Tone};
use super::out;
use super::pages::ShardPage;
use super::shards::state;
use super::table::{Cell, Table};
use crate::admin::ClusterView;

/// An actor, and where it is.
pub(super) struct Whereabouts {
    address: ActorAddress,
    /// Where its history is stored, where that is NATS.
    subject: Option<String>,
    cluster: ClusterView,
    shard: ShardPage,
}

pub(super) async fn run(args: WhereArgs, global: &Global) -> anyhow::Result<()> {
    let form = global.form()?;
    let found = Whereabouts::find(&Nodes::of(global)?, &args).await?;
    match form {
        Form::Json => out::line(found.json()),
        Form::Table | Form::Wide => out::line(found.lines(global.ink())),
    }
    Ok(())
}

/// Which shard an actor of that cluster is in.
///
/// # Errors
/// The kind or the id is none, or the cluster goes by a hash that this build does not know.
pub(super) fn address(cluster: &ClusterView, args: &WhereArgs) -> anyhow::Result<(ActorAddress, ShardId)> {
    let Ok(seed) = u64::from_str_radix(&cluster.hash_seed, 16) else {
        bail!("the node says no seed of the cluster's hash: it is of another build, or knows no cluster yet");
    };
    if cluster.hash != ShardHash::ID {
        bail!("the cluster goes by hash {}, which this build does not know: use the nodes' own", cluster.hash);
    }
    let hash = ShardHash::v1(seed, &Namespace::new(&cluster.namespace)?);
    let key = ActorKey { kind: ActorKind::new(&args.kind)?, id: ActorId::new(&args.id)? };
    let address = hash.address(key);
    let shards = ShardCount::new(u32::try_from(cluster.shards.total).unwrap_or(u32::MAX))?;
    let shard = address.slot.shard(shards);
    Ok((address, shard))
}

impl Whereabouts {
    /// Asks a node where that actor is.
    pub(super) async fn find(nodes: &Nodes, args: &WhereArgs) -> anyhow::Result<Self> {
        let cluster: ClusterView = nodes.view("/v1/cluster").await?;
        let (address, shard) = address(&cluster, args)?;
        let shard: ShardPage = nodes.view(&format!("/v1/shards/{shard}")).await?;
        let subject = subject(&cluster, &address)?;
        Ok(Self { address, subject, cluster, shard })
    }

    fn admin_url(&self) -> Option<&str> {
        let owner = self.shard.owner.as_ref()?;
        self.cluster.nodes.iter().find(|node| node.id == *owner)?.admin_url.as_deref()
    }

    fn json(&self) -> Value {
        let ShardPage { epoch, shard, state, owner, incarnation, shard_epoch, to, drain_epoch } = &self.shard;
        json!({
            "epoch": epoch, "kind": self.address.key.kind.as_str(), "id": self.address.key.id.as_str(),
            "slot": self.address.slot.0, "shard": shard, "shards": self.cluster.shards.total, "state": state,
            "owner": owner, "incarnation": incarnation, "shard_epoch": shard_epoch, "to": to, "drain_epoch": drain_epoch,
            "admin_url": self.admin_url(), "subject": self.subject,
        })
    }

    fn lines(&self, ink: Ink) -> String {
        let mut table = Table::new(["", ""]);
        let slots = 1_u32 << 16;
        let life = self.shard.incarnation.as_deref();
        let owner = match &self.shard.owner {
            Some(owner) => Cell::from(owner.as_str()),
            None => Cell::toned(Tone::Bad, "nobody"),
        };
        table
            .row(["actor".into(), self.address.key.to_string().into()])
            .row(["slot".into(), format!("{} of {slots}", self.address.slot.0).into()])
            .row(["shard".into(), format!("{} of {}", self.shard.shard, self.cluster.shards.total).into()])
            .row(["owner".into(), owner])
            .row(["life".into(), life.unwrap_or("-").into()])
            .row(["pages".into(), self.admin_url().unwrap_or("-").into()]);
        if let Some(subject) = &self.subject {
            table.row(["history".into(), subject.as_str().into()]);
        }
        table.row(["path".into(), self.path().into()]);
        format!("{}\n{}", table.shown(ink), state(&self.shard))
    }

    /// How a command gets there.
    fn path(&self) -> String {
        let ShardPage { shard, owner, to, .. } = &self.shard;
        let (key, slot) = (&self.address.key, self.address.slot.0);
        let owner = owner.as_deref().unwrap_or("nobody");
        let then = to.as_ref().map(|to| format!(" -> {to}, once released")).unwrap_or_default();
        format!("{key} -> slot {slot} -> shard {shard} -> {owner}{then}")
    }
}

#[cfg(feature = "nats")]
fn subject(cluster: &ClusterView, address: &ActorAddress) -> anyhow::Result<Option<String>> {
    let names = aether_infra_nats::names::Names::new(Namespace::new(&cluster.namespace)?);
    Ok(Some(names.event_subject(address)))
}

#[cfg(not(feature = "nats"))]
#[expect(clippy::unnecessary_wraps, reason = "with NATS there is one, or an error")]
fn subject(_: &ClusterView, _: &ActorAddress) -> anyhow::Result<Option<String>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(hash: u8, seed: &str) -> ClusterView {
        let node = json!({
            "id": "n2", "incarnation": "2", "status": "active", "shards": 1, "actors": 7,
            "admin_url": "http://127.0.0.1:2", "commands_per_second": 5, "weight": 1, "zone": null, "tags": [],
            "since_epoch": 3, "trust": "trusted", "view_epoch": 9, "build": "0.1.0",
        });
        serde_json::from_value(json!({
            "namespace": "bank", "cluster_uid": "07", "epoch": 9, "term": 2, "leader": "n1", "nodes": [node],
            "shards": { "total": 1024, "assigned": 1024, "orphaned": 0, "moving": 0 }, "hash": hash, "hash_seed": seed,
        }))
        .expect("a view")
    }

    fn args(kind: &str, id: &str) -> WhereArgs {
        WhereArgs { kind: kind.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn an_actor_is_where_the_clusters_hash_says() {
        let (found, shard) = address(&cluster(1, "0"), &args("account", "7")).expect("an actor");
        let hash = ShardHash::v1(0, &Namespace::new("bank").expect("a name"));
        let key = ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new("7").expect("an id") };
        assert_eq!(found, hash.address(key));
        assert_eq!(shard, found.slot.shard(ShardCount::DEFAULT));
        let (seeded, _) = address(&cluster(1, "00000000000000ff"), &args("account", "7")).expect("an actor");
        assert_ne!(seeded.slot, found.slot, "by its seed too");
    }

    #[test]
    fn what_cannot_be_found_is_said() {
        for (hash, seed, kind, why) in
            [(2, "0", "account", "hash 2"), (1, "", "account", "no seed"), (1, "0", "No Kind", "kind")]
        {
            let error = address(&cluster(hash, seed), &args(kind, "7")).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn where_an_actor_is_is_shown_with_how_a_command_gets_there() {
        let cluster = cluster(1, "0");
        let (address, _) = address(&cluster, &args("account", "7")).expect("an actor");
        let shard = ShardPage {
            epoch: 9,
            shard: 417,
            state: "draining".into(),
            owner: Some("n2".into()),
            incarnation: Some("00000000000004d2".into()),
            shard_epoch: Some(5),
            to: Some("n3".into()),
            drain_epoch: Some(8),
        };
        let slot = address.slot.0;
        let found = Whereabouts { address, subject: Some("aether.bank.ev".into()), cluster, shard };
        let expected = format!(
            "\
actor    account/7
slot     {slot} of 65536
shard    417 of 1024
owner    n2
life     00000000000004d2
pages    http://127.0.0.1:2
history  aether.bank.ev
path     account/7 -> slot {slot} -> shard 417 -> n2 -> n3, once released
shard 417 is n2's since epoch 5, and on its way to n3 since epoch 8"
        );
        assert_eq!(found.lines(Ink::NONE), expected);
        assert_eq!(found.json()["admin_url"], "http://127.0.0.1:2");
    }
}
