//! Where NATS is and who asks: by a node's file, the environment, a context of the nats program, and flags, later ones winning.
//! If none of them says anything, by the `cluster-up` of this folder.

use std::path::Path;

use aether_domain::Namespace;
use aether_infra_nats::{NatsConfig, NatsPorts, connect};

use super::args::{Global, NatsArgs};
use super::contexts::Context;
use super::{cluster_file, nats_config};
use crate::config::{Layers, Settings};

/// A namespace and the way to it.
#[derive(Clone, Debug)]
pub(super) struct Store {
    /// Whose it is.
    pub(super) namespace: Namespace,
    /// How NATS is reached.
    pub(super) config: NatsConfig,
}

impl Store {
    /// What a command was told; `name` is how the server's monitoring shows the connection.
    ///
    /// # Errors
    /// Something of it cannot be used.
    pub(super) fn of(global: &Global, file: Option<&Path>, name: &str) -> anyhow::Result<Self> {
        let over = Over::of(global)?;
        over.store(&over.node_settings(file, None)?, name)
    }

    /// The same for whoever only looks: it makes no stream.
    pub(super) fn to_look(&self) -> Self {
        let mut store = self.clone();
        store.config.create_streams = false;
        store
    }

    /// Connects.
    pub(super) async fn connect(&self) -> anyhow::Result<NatsPorts> {
        Ok(connect(&self.config, &self.namespace).await?)
    }
}

/// What the command line says of NATS, over everything else.
#[derive(Debug)]
pub(super) struct Over {
    told: NatsArgs,
    context: Option<Context>,
}

impl Over {
    /// What this one says.
    ///
    /// # Errors
    /// There is no such context, or it says what cannot be obeyed.
    pub(super) fn of(global: &Global) -> anyhow::Result<Self> {
        let context = global.nats.context.as_deref().map(Context::named).transpose()?;
        Ok(Self { told: global.nats.clone(), context })
    }

    /// Whether it says anything.
    fn is_silent(&self) -> bool {
        self.told.nats_url.is_empty() && self.told.namespace.is_none() && self.context.is_none()
    }

    /// Those settings with what it says over them.
    pub(super) fn settings(&self, layers: Layers) -> Layers {
        let urls = Some(self.told.nats_url.join(",")).filter(|urls| !urls.is_empty());
        layers.with_flag("namespace", self.told.namespace.as_deref()).with_flag("nats.urls", urls)
    }

    /// The settings of a command that is no node: of NATS and of the log. A file that is no node's names no node.
    ///
    /// # Errors
    /// They are refused.
    pub(super) fn node_settings(&self, file: Option<&Path>, id: Option<&str>) -> anyhow::Result<Settings> {
        let layers = self.layers(file)?;
        let named = layers.clone().with_flag("node.id", id).load();
        Ok(named.or_else(|_| layers.with_flag("node.id", Some("unnamed")).load())?)
    }

    /// The sources of those settings: the file, or what `cluster-up` has written in this folder if nothing says where NATS is;
    /// the environment; and the command line.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn layers(&self, file: Option<&Path>) -> anyhow::Result<Layers> {
        let elsewhere = std::env::vars_os().any(|(name, _)| says_where(&name.to_string_lossy()));
        let layers = match file {
            Some(file) => Layers::file(file)?,
            None if self.is_silent() && !elsewhere => of_this_folder()?,
            None => Layers::none(),
        };
        Ok(self.settings(layers.with_process_environment()))
    }

    /// Where that leads; a context's servers and credentials stand instead of all of the settings'.
    ///
    /// # Errors
    /// A file that the context names cannot be read.
    pub(super) fn store(&self, settings: &Settings, name: &str) -> anyhow::Result<Store> {
        let mut config = nats_config(settings, name);
        if let Some(context) = &self.context {
            context.apply(&mut config)?;
        }
        if !self.told.nats_url.is_empty() {
            config.urls.clone_from(&settings.nats.urls);
        }
        Ok(Store { namespace: settings.namespace.clone(), config })
    }

    /// The same, for a program that this one starts.
    pub(super) fn arguments(&self) -> Vec<String> {
        let NatsArgs { context, nats_url, namespace } = &self.told;
        let urls = Some(nats_url.join(",")).filter(|urls| !urls.is_empty());
        let told = [("--context", context.clone()), ("--nats-url", urls), ("--namespace", namespace.clone())];
        told.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?])).flatten().collect()
    }
}

/// Whether a variable says where NATS or which cluster it is.
fn says_where(variable: &str) -> bool {
    variable == "AETHER_NAMESPACE" || variable.starts_with("AETHER_NATS__")
}

fn of_this_folder() -> anyhow::Result<Layers> {
    let Some(found) = cluster_file::find()? else { return Ok(Layers::none()) };
    if found.nats_urls.is_empty() {
        anyhow::bail!(
            "the cluster of {} is in memory, so there is no NATS to ask; say --nats-url, --context or --config",
            cluster_file::PATH
        );
    }
    let urls: Vec<_> = found.nats_urls.iter().map(|url| format!("{url:?}")).collect();
    let profile = found.profile.map(|profile| format!("profile = {profile:?}\n")).unwrap_or_default();
    let (namespace, replicas) = (found.namespace, found.replicas);
    let text =
        format!("namespace = {namespace:?}\n{profile}[nats]\nurls = [{}]\nreplicas = {replicas}\n", urls.join(", "));
    Ok(Layers::text(cluster_file::PATH, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(told: NatsArgs) -> Over {
        Over { told, context: None }
    }

    #[test]
    fn flags_win_over_a_file_and_are_passed_on() {
        let told = NatsArgs {
            context: None,
            nats_url: vec!["nats://a:1".into(), "nats://b:2".into()],
            namespace: Some("bank".into()),
        };
        let over = over(told);
        let file = "namespace = \"other\"\n[node]\nid = \"n1\"\n[nats]\nurls = [\"nats://c:3\"]\nuser = \"ann\"\npassword = \"x\"\n";
        let settings = over.settings(Layers::text("n1.toml", file)).load().expect("settings");
        let store = over.store(&settings, "test").expect("a store");
        assert_eq!(store.namespace.as_str(), "bank");
        assert_eq!(store.config.urls, ["nats://a:1", "nats://b:2"]);
        assert!(format!("{:?}", store.config.credentials).contains("ann"), "who asks is as the file says");
        assert_eq!(over.arguments(), ["--nats-url", "nats://a:1,nats://b:2", "--namespace", "bank"]);
    }

    #[test]
    fn the_environment_says_where_nats_is_by_names_of_its_settings_only() {
        for (name, says) in [
            ("AETHER_NATS__URLS", true),
            ("AETHER_NATS__CREDS", true),
            ("AETHER_NAMESPACE", true),
            ("AETHER_NATS_URL", false),
            ("AETHER_ADMIN_URL", false),
            ("AETHER_LOG__LEVEL", false),
        ] {
            assert_eq!(says_where(name), says, "{name}");
        }
    }
}
