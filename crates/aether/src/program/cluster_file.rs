//! What a `cargo xtask cluster-up` in this folder has written down of its cluster, so that nobody need say where it is.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

/// Where it is, below the folder in which the program runs.
pub(super) const PATH: &str = "target/aether/cluster.json";

/// A cluster that was started here.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ClusterUp {
    /// Where its NATS is; nothing for a cluster in memory.
    #[cfg(feature = "nats")]
    pub(super) nats_urls: Vec<String>,
    /// The cluster's name.
    #[cfg(feature = "nats")]
    pub(super) namespace: String,
    /// How many copies of each stream its NATS keeps.
    #[cfg(feature = "nats")]
    #[serde(default = "one")]
    pub(super) replicas: usize,
    /// Its timers, by their name; the default ones unless said.
    #[cfg(feature = "nats")]
    #[serde(default)]
    pub(super) profile: Option<String>,
    /// Its nodes.
    pub(super) nodes: Vec<NodeUp>,
}

#[cfg(feature = "nats")]
fn one() -> usize {
    1
}

/// One of its nodes.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct NodeUp {
    /// Where its pages are; empty before it has said so.
    pub(super) admin_url: String,
}

/// The cluster of this folder, if there is one.
///
/// # Errors
/// There is such a file, and it cannot be understood.
pub(super) fn find() -> anyhow::Result<Option<ClusterUp>> {
    read(Path::new(PATH))
}

fn read(path: &Path) -> anyhow::Result<Option<ClusterUp>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    let what = || format!("{} cannot be understood; say --url, or --nats-url and --namespace", path.display());
    serde_json::from_str(&text).map(Some).with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_a_cluster_that_was_started_here_are_known_and_a_spoilt_file_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cluster.json");
        assert_eq!(read(&path).expect("no file is no fault"), None);
        let text = r#"{"nats_urls": ["nats://127.0.0.1:1"], "namespace": "bank", "replicas": 3, "profile": "fast",
            "nodes": [{"id": "n1", "pid": 7, "admin_url": "http://127.0.0.1:2"}]}"#;
        std::fs::write(&path, text).expect("written");
        let found = read(&path).expect("understood").expect("there");
        assert_eq!(found.nodes[0].admin_url, "http://127.0.0.1:2");
        #[cfg(feature = "nats")]
        assert_eq!((found.replicas, found.profile.as_deref()), (3, Some("fast")));
        #[cfg(feature = "nats")]
        assert_eq!((found.nats_urls, found.namespace.as_str()), (vec!["nats://127.0.0.1:1".to_owned()], "bank"));
        std::fs::write(&path, "{").expect("written");
        assert!(read(&path).expect_err("half a file").to_string().contains("say --url"));
    }
}
