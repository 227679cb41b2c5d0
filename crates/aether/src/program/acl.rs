//! `aether acl` and `aether provision`: who may do what on NATS, and what only somebody with more rights than a node does.

use aether_domain::Namespace;
use aether_infra_nats::{NatsConfig, Permissions, Role};
use anyhow::Context as _;

use super::args::{AclArgs, Global, StoreArgs};
use super::out;
use super::store::Store;

/// Prints the permissions of a role.
pub(super) fn print(AclArgs { ns, role, inbox }: AclArgs, global: &Global) -> anyhow::Result<()> {
    let named = ns.or_else(|| global.nats.namespace.clone()).unwrap_or_default();
    let namespace = Namespace::new(named).context("a namespace has 1 to 32 lower-case letters, digits, _ and -")?;
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
pub(super) async fn provision(StoreArgs { config }: StoreArgs, global: &Global) -> anyhow::Result<()> {
    let store = Store::of(global, config.as_deref(), "provision")?;
    store.connect().await?.session.close().await;
    out::line(format!("every stream of the namespace {} is there and as it must be", store.namespace));
    Ok(())
}
