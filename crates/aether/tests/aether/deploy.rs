//! What lies in docs/deploy is true: every name in it exists, and the programs that read it take it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aether::config::Layers;
use aether::metrics::names::{self, Kind};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::program::program;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy")
}

fn text(name: &str) -> String {
    fs::read_to_string(deploy().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(name: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a program that must be there.
fn run(command: &mut Command, install: &str) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install it: {install}"))
}

fn promtool(arguments: &[&str]) -> Output {
    let mut command = Command::new("promtool");
    run(command.args(arguments).current_dir(deploy().join("prometheus")), "apt-get install prometheus")
}

/// Every metric as it is scraped.
fn scraped() -> BTreeSet<String> {
    let suffixes = |kind| match kind {
        Kind::Gauge => &[""][..],
        Kind::Counter => &["_total"],
        Kind::Histogram => &["_bucket", "_count", "_sum"],
    };
    let names = names::ALL
        .iter()
        .flat_map(|metric| suffixes(metric.kind).iter().map(|suffix| format!("{}{suffix}", metric.name)));
    names.collect()
}

/// The words of an expression that name a metric of ours.
fn named(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("aether_"))
}

#[track_caller]
fn names_only_what_is_scraped(expression: &str) {
    let scraped = scraped();
    for name in named(expression) {
        assert!(scraped.contains(name), "there is no metric {name}: {expression}");
    }
}

/// The name and the expression of each alert.
fn alerts() -> Vec<(String, String)> {
    let rules = yaml("prometheus/aether-alerts.yml");
    let groups = rules[0]["groups"].as_vec().expect("groups");
    let rules = groups.iter().flat_map(|group| group["rules"].as_vec().expect("rules"));
    let text = |yaml: &Yaml| yaml.as_str().expect("text").to_owned();
    rules.map(|rule| (text(&rule["alert"]), text(&rule["expr"]))).collect()
}

#[test]
fn each_alert_asks_for_metrics_that_there_are_and_has_a_runbook_and_a_test_of_its_beginning_and_end() {
    let (runbooks, tests) = (text("RUNBOOKS.md"), yaml("prometheus/aether-alerts.test.yml"));
    let tests = tests[0]["tests"].as_vec().expect("tests");
    let alerts = alerts();
    assert!(alerts.len() >= 20, "{}", alerts.len());
    for (alert, expression) in alerts {
        names_only_what_is_scraped(&expression);
        assert!(named(&expression).next().is_some() || expression.contains("up{"), "{alert} asks for nothing of ours");
        assert!(runbooks.contains(&format!("## {alert}\n")), "{alert} has no runbook");
        let test = tests
            .iter()
            .find(|test| test["name"].as_str() == Some(&alert))
            .unwrap_or_else(|| panic!("{alert} has no test"));
        let expected = test["alert_rule_test"].as_vec().expect("what is expected");
        let fires = |at: &Yaml| !at["exp_alerts"].as_vec().expect("a list").is_empty();
        assert!(expected.iter().any(fires) && expected.last().is_some_and(|last| !fires(last)), "{alert}");
    }
}

#[test]
fn promtool_takes_the_alerts_and_their_tests_pass() {
    for arguments in [
        &["check", "rules", "aether-alerts.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "aether-alerts.test.yml"],
    ] {
        let output = promtool(arguments);
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(&text("grafana/aether-overview.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut asked = 0;
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets")) {
        let expression = target["expr"].as_str().expect("an expression");
        assert!(named(expression).next().is_some(), "{expression}");
        names_only_what_is_scraped(expression);
        asked += 1;
    }
    assert!(asked >= 20, "{asked}");
    names_only_what_is_scraped(dashboard["annotations"]["list"][0]["expr"].as_str().expect("an expression"));
}

/// Puts files where the settings name them, and the settings' own text in their place.
fn with_files(settings: &str, folder: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    for (name, content) in [("nats.creds", "a creds file"), ("ca.pem", "-----BEGIN CERTIFICATE-----")] {
        fs::write(folder.join(name), content).expect("written");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o400)).expect("ours");
    }
    settings.replace("/etc/aether/secret", &folder.display().to_string())
}

#[test]
fn the_kubernetes_manifests_name_the_settings_pages_and_ports_that_there_are() {
    let documents = yaml("kubernetes/aether.yaml");
    let of_kind = |kind: &str| {
        documents.iter().find(|document| document["kind"].as_str() == Some(kind)).unwrap_or_else(|| panic!("no {kind}"))
    };
    let kinds: Vec<_> = documents.iter().filter_map(|document| document["kind"].as_str()).collect();
    let expected = [
        "ServiceAccount",
        "ConfigMap",
        "StatefulSet",
        "Service",
        "Service",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "PodMonitor",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(of_kind("PodDisruptionBudget")["spec"]["maxUnavailable"].as_i64(), Some(1));

    let pod = &of_kind("StatefulSet")["spec"]["template"]["spec"];
    assert!(pod["terminationGracePeriodSeconds"].as_i64() > Some(22), "a drain takes as long");
    let node = &pod["containers"][0];
    let arguments: Vec<_> = node["args"].as_vec().expect("arguments").iter().filter_map(Yaml::as_str).collect();
    assert_eq!(arguments, ["supervise", "--config", "/etc/aether/aether.toml"]);
    for (probe, page) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(node[probe]["httpGet"]["path"].as_str(), Some(page), "{probe}");
        assert_eq!(node[probe]["httpGet"]["port"].as_str(), node["ports"][0]["name"].as_str(), "{probe}");
    }

    let folder = tempfile::tempdir().expect("a folder");
    let settings = of_kind("ConfigMap")["data"]["aether.toml"].as_str().expect("settings");
    let variables = node["env"].as_vec().expect("variables").iter();
    let variables =
        variables.map(|variable| (variable["name"].as_str().expect("a name").to_owned(), "bank-0".to_owned()));
    let layers = Layers::text("aether.toml", with_files(settings, folder.path())).with_environment(variables);
    let settings = layers.load().expect("settings that a node takes");
    assert_eq!(settings.node.id.as_str(), "bank-0", "the pod's name is the node's id");
    assert_eq!(i64::from(settings.admin.listen.port()), node["ports"][0]["containerPort"].as_i64().expect("a port"));
    assert!(settings.nats.replicas == 3 && settings.nats.creds.is_some());
}

#[test]
fn the_systemd_unit_starts_a_supervisor_and_gives_it_settings_that_there_are() {
    let unit = text("systemd/aether-node@.service");
    let value = |key: &str| {
        unit.lines().filter_map(|line| line.strip_prefix(&format!("{key}="))).map(str::to_owned).collect::<Vec<_>>()
    };
    let started = value("ExecStart");
    let words: Vec<_> = started[0].split(' ').collect();
    assert_eq!(words, ["/usr/local/bin/aether", "supervise", "--config", "/etc/aether/%i.toml", "--id", "%i"]);
    assert_eq!(value("KillMode"), ["mixed"], "the supervisor alone is asked to end");
    assert!(value("TimeoutStopSec")[0].parse::<u32>().expect("seconds") > 22, "a drain takes as long");
    assert!(value("RestartPreventExitStatus")[0].contains("78"));
    let loaded: Vec<_> =
        value("LoadCredential").iter().map(|line| line.split(':').next().expect("a name").to_owned()).collect();
    for variable in value("Environment") {
        let (name, path) = variable.split_once('=').expect("a variable");
        assert!(loaded.iter().any(|loaded| path == format!("%d/{loaded}")), "{variable}");
        // A setting that is known is refused for its file, which is not there; one that is not known for itself.
        let pair = (name.to_owned(), "/no/such/file".to_owned());
        let refused =
            Layers::text("n1.toml", "[node]\nid = \"n1\"").with_environment([pair]).load().expect_err("no file");
        assert!(refused.to_string().contains("/no/such/file"), "{refused}");
    }
    // Where systemd is, it is asked too.
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("aether-node@.service");
    fs::write(&copy, unit.replace(words[0], env!("CARGO_BIN_EXE_aether"))).expect("written");
    if let Ok(verified) = Command::new("systemd-analyze").arg("verify").arg(&copy).output() {
        assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    }
}

#[test]
fn nats_server_takes_the_production_configuration_with_the_permissions_that_are_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["acl", "tls"] {
        fs::create_dir(folder.path().join(part)).expect("made");
    }
    for role in ["node", "operator", "client", "observer"] {
        let printed = program().args(["acl", "--ns", "bank", "--role", role]).output().expect("it runs");
        fs::write(folder.path().join("acl").join(format!("{role}.conf")), printed.stdout).expect("written");
    }
    let made = rcgen::generate_simple_self_signed(["nats-0.nats".to_owned()]).expect("a certificate");
    for (name, pem) in
        [("ca.pem", made.cert.pem()), ("server.pem", made.cert.pem()), ("server.key", made.signing_key.serialize_pem())]
    {
        fs::write(folder.path().join("tls").join(name), pem).expect("written");
    }
    let shown = folder.path().display().to_string();
    let configuration = text("nats/nats-server.conf");
    assert!(configuration.contains("sync_interval: always") && configuration.contains("verify: true"));
    let file = folder.path().join("nats-server.conf");
    let moved = configuration.replace("/etc/nats", &shown).replace("/var/lib/nats", &format!("{shown}/store"));
    fs::write(&file, moved).expect("written");
    let server = xtask::nats::locate(&xtask::nats::Options::default()).expect("a nats-server");
    let mut command = Command::new(server);
    command.arg("-t").arg("-c").arg(&file).env("SERVER_NAME", "nats-0").env("SYS_PASSWORD", "s");
    for role in ["NODE", "OPERATOR", "CLIENT", "OBSERVER"] {
        command.env(format!("BANK_{role}_PASSWORD"), format!("p-{role}"));
    }
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("is valid"), "{said}");
}

#[test]
fn the_container_starts_the_program_as_nobody() {
    let file = text("Containerfile");
    assert!(file.contains("--package aether --bin aether") && file.contains("ENTRYPOINT [\"/usr/local/bin/aether\"]"));
    assert!(file.contains("USER 65532") && file.contains("EXPOSE 7400"));
}
