//! The configuration files the started processes read. Their reader belongs to the `aether` program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How many accounts the load uses at least, and how many each of its workers.
const LOAD_ACCOUNTS_MIN: usize = 64;
const ACCOUNTS_A_WORKER: usize = 8;

/// The first line of every file written here. By it `cluster-up` knows which files it may remove.
const MARK: &str = "# Written by cargo xtask; the next cluster-up in this folder removes it.";

/// Whether the file at `path` is one that [`NodeConfig::write`] has written.
pub(super) fn is_ours(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.lines().next() == Some(MARK))
}

/// A named set of timings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A dead node is replaced within seconds.
    #[default]
    Default,
    /// Much shorter still, for tests.
    Fast,
    /// The unhurried timings of the first design.
    Seed,
}

/// What a node's configuration file says.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The name under which everything of the cluster is stored.
    pub namespace: String,
    /// Which timings it uses.
    pub profile: Profile,
    /// The node's id.
    pub id: String,
    /// Which zone it is in.
    pub zone: Option<String>,
    /// The newest format it reads, if not its build's.
    pub format_max: Option<u8>,
    /// Where it connects.
    pub nats_urls: Vec<String>,
    /// How many copies of each stream there must be.
    pub replicas: usize,
    /// Where it writes its admin URL once it listens.
    pub announce: PathBuf,
}

#[derive(Serialize)]
struct File<'a> {
    namespace: &'a str,
    profile: Profile,
    node: Node<'a>,
    nats: Nats<'a>,
    admin: Admin<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<Load>,
}

#[derive(Serialize)]
struct Node<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format_max: Option<u8>,
}

#[derive(Serialize)]
struct Nats<'a> {
    urls: &'a [String],
    replicas: usize,
}

#[derive(Serialize)]
struct Admin<'a> {
    listen: &'static str,
    announce: &'a Path,
}

#[derive(Serialize)]
struct Load {
    workers: usize,
    accounts: usize,
}

impl NodeConfig {
    /// The file as text. With `workers` it is the load's, with that many asking at once.
    ///
    /// # Errors
    /// A path is not text.
    pub fn render(&self, workers: Option<usize>) -> Result<String> {
        let file = File {
            namespace: &self.namespace,
            profile: self.profile,
            node: Node { id: &self.id, zone: self.zone.as_deref(), format_max: self.format_max },
            nats: Nats { urls: &self.nats_urls, replicas: self.replicas },
            admin: Admin { listen: "127.0.0.1:0", announce: &self.announce },
            load: workers.map(|workers| Load { workers, accounts: LOAD_ACCOUNTS_MIN.max(workers * ACCOUNTS_A_WORKER) }),
        };
        let settings = toml::to_string(&file).context("writing a configuration file")?;
        Ok(format!("{MARK}\n{settings}"))
    }

    /// Writes the file to `path`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path, workers: Option<usize>) -> Result<()> {
        fs::write(path, self.render(workers)?).with_context(|| format!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NodeConfig {
        NodeConfig {
            namespace: "demo".to_owned(),
            profile: Profile::Fast,
            id: "n1".to_owned(),
            zone: None,
            format_max: None,
            nats_urls: vec!["nats://127.0.0.1:4222".to_owned()],
            replicas: 3,
            announce: "/tmp/n1.url".into(),
        }
    }

    #[test]
    fn a_node_is_told_its_name_its_servers_and_where_to_announce_itself() {
        let expected = r#"# Written by cargo xtask; the next cluster-up in this folder removes it.
namespace = "demo"
profile = "fast"

[node]
id = "n1"

[nats]
urls = ["nats://127.0.0.1:4222"]
replicas = 3

[admin]
listen = "127.0.0.1:0"
announce = "/tmp/n1.url"
"#;
        assert_eq!(config().render(None).expect("text"), expected);
    }

    #[test]
    fn a_node_with_a_zone_or_a_newest_format_is_told_it() {
        let config = NodeConfig { zone: Some("z2".to_owned()), format_max: Some(2), ..config() };
        let text = config.render(None).expect("text");
        assert!(text.contains("[node]\nid = \"n1\"\nzone = \"z2\"\nformat_max = 2\n"), "{text}");
    }

    #[test]
    fn the_load_reads_the_same_file_with_a_section_of_its_own() {
        let text = config().render(Some(8)).expect("text");
        assert!(text.ends_with("\n[load]\nworkers = 8\naccounts = 64\n"), "{text}");
    }

    #[test]
    fn every_worker_has_accounts_of_its_own() {
        for (workers, accounts) in [(1, 64), (33, 264), (1024, 8192)] {
            let text = config().render(Some(workers)).expect("text");
            assert!(text.ends_with(&format!("\naccounts = {accounts}\n")), "{text}");
        }
    }
}
