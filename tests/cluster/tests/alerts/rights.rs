//! A server that takes rights away and gives them back.

use std::path::Path;

use aether_cluster_tests::alone;
use anyhow::{Result, ensure};
use xtask::nats::{NatsServer, ServerOptions};

use crate::stage::Stage;
use crate::together::Together;

const NAMESPACE: &str = "rights";

/// What everybody may do, in a file of its own: all but to write these subjects.
fn write_rights(folder: &Path, denied: &[&str]) -> Result<()> {
    let denied: Vec<_> = denied.iter().map(|subject| format!("{subject:?}")).collect();
    let user = format!(
        "{{ user: anybody, password: anything, permissions: {{ publish: {{ allow: \">\", deny: [{}] }}, subscribe: \">\" }} }}",
        denied.join(", ")
    );
    Ok(std::fs::write(folder.join("rights.conf"), format!("authorization {{ users: [ {user} ] }}\n"))?)
}

#[test]
fn a_right_that_is_missing_makes_alerts_hold_until_it_is_given() -> Result<()> {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    write_rights(folder.path(), &[])?;
    let server = NatsServer::start(ServerOptions {
        dir: Some(folder.path().to_owned()),
        extra: "no_auth_user: anybody\ninclude rights.conf\n".to_owned(),
        ..ServerOptions::default()
    })?;
    let may_not_write = |denied: &[&str]| {
        write_rights(folder.path(), denied)?;
        server.reload()
    };
    let together = Together::on(server.url(), NAMESPACE)?;
    let node = together.start("n1")?;
    let mut stage = Stage::new(&together, folder.path())?;
    stage.until_quiet("one node in good order")?;

    may_not_write(&["aether.*.claims"])?;
    stage.until_hold("it may not tell what it believes", &["AetherNatsComplains"])?;
    may_not_write(&[])?;
    stage.until_quiet("it may again")?;

    // The last of all takes the lead and every owner with it; and whoever comes next may not lead.
    let ended = together.runtime().block_on(node.drain());
    ensure!(matches!(ended, aether::prelude::Ended::Left { .. }), "{ended:?}");
    together.kill("n1")?;
    may_not_write(&["$KV.*.lease"])?;
    together.launch("n2")?;
    stage.until_hold(
        "nobody may lead",
        &["AetherOrphanedShards", "AetherNoLeader", "AetherClusterCritical", "AetherNatsComplains"],
    )?;
    may_not_write(&[])?;
    stage.until_quiet("somebody may, and gives every shard an owner")
}
