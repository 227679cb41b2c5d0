//! Gathers the facts: the settings as a node reads them, this machine, NATS as a node meets it, monitoring pages.

use std::path::PathBuf;
use std::time::Duration;

use aether_infra_nats::{Role, examine};
use aether_runtime::clock::{BootClock, Clock as _};

use super::facts::{Facts, Told};
use super::host::host;
use super::monitor::Monitor;
use crate::config::{ConfigRefused, Layers, RefusedKind};
use crate::program::args::{DoctorArgs, Global, StoreArgs};
use crate::program::store::Over;

/// How long to look for a server that answers: one that is there does at once, on a slow machine a little later.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// What a node without a name is called while it is looked at.
const UNNAMED: &str = "unnamed";

/// Everything that is judged.
///
/// # Errors
/// The command line names a context that there is not, or the `cluster-up` of this folder cannot be understood.
pub(super) async fn facts(args: DoctorArgs, global: &Global) -> anyhow::Result<Facts> {
    let DoctorArgs { store: StoreArgs { config: file }, id, role, monitor, list: _ } = args;
    let over = Over::of(global)?;
    let role = role.unwrap_or(if global.nats.context.is_some() { Role::Operator } else { Role::Node });
    let (told, nameless) = match over.layers(file.as_deref()) {
        Ok(layers) => told(&over, layers.with_flag("node.id", id), file)?,
        Err(error) => (Err(error.downcast::<ConfigRefused>()?), false),
    };
    let wall = || BootClock.wall();
    let nats = match &told {
        Ok(Told { settings, nats, .. }) => Some(examine(nats, &settings.namespace, role, wall).await),
        Err(_) => None,
    };
    let mut monitors = Vec::new();
    for url in monitor.iter().filter(|url| !url.trim().is_empty()) {
        monitors.push(Monitor::ask(url, wall).await);
    }
    let host = host(told.as_ref().ok());
    Ok(Facts { now: wall(), role, told, nameless, host, nats, monitors })
}

/// What a node would be told, and whether it lacks nothing but its name.
///
/// # Errors
/// The context cannot be obeyed.
fn told(over: &Over, layers: Layers, file: Option<PathBuf>) -> anyhow::Result<(Result<Told, ConfigRefused>, bool)> {
    let [says_profile, says_replicas] = ["profile", "nats.replicas"].map(|key| file.is_some() || layers.says(key));
    let (settings, nameless) = match layers.clone().load() {
        Err(ConfigRefused { kind: RefusedKind::NoNode, .. }) => {
            (layers.with_flag("node.id", Some(UNNAMED)).load(), file.is_some())
        }
        loaded => (loaded, false),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(refused) => return Ok((Err(refused), nameless)),
    };
    let mut nats = over.store(&settings, "doctor")?.config;
    nats.connect_within = CONNECT_WITHIN;
    Ok((Ok(Told { settings, nats, file, says_profile, says_replicas }), nameless))
}
