//! `aether acl` and `aether provision`: who may do what on NATS, and what only somebody with more rights than a node does.

use aether_domain::Namespace;
use aether_infra_nats::{NatsConfig, Permissions, Role};
use anyhow::Context as _;

use super::args::{AclArgs, StoreArgs};
use super::{nats_config, out, settings};

/// Prints the permissions of a role.
pub(super) fn print(AclArgs { ns, role, inbox }: AclArgs) -> anyhow::Result<()> {
    let namespace = Namespace::new(ns).context("a namespace has 1 to 32 lower-case letters, digits, _ and -")?;
    if let Some(inbox) = &inbox {
        let fits = NatsConfig::is_inbox_prefix(inbox);
        anyhow::ensure!(
            fits,
            "an inbox begins with _INBOX and has no wildcard; write for example _INBOX_CLIENT_{namespace}.alice"
        );
    }
    out::line(Permissions::of(&namespace, role, inbox.as_deref()).to_string().trim_end());
    Ok(())
}

/// The role of that name, for the command line.
pub(super) fn role(name: &str) -> Result<Role, String> {
    Role::named(name).ok_or_else(|| format!("there are {}", Role::ALL.map(Role::as_str).join(", ")))
}

/// Makes the streams that are missing, and checks all of them.
pub(super) async fn provision(StoreArgs { config }: StoreArgs) -> anyhow::Result<()> {
    let settings = settings(config.as_deref(), None)?;
    let nats = aether_infra_nats::connect(&nats_config(&settings, "provision"), &settings.namespace).await?;
    nats.session.close().await;
    out::line(format!("every stream of the namespace {} is there and as it must be", settings.namespace));
    Ok(())
}
