//! Settings: what is taken, what is refused, and what a refusal says.

use std::time::Duration;

use aether::OnRegression;
use aether::config::{Layers, LogFormat};
use aether_domain::timing::Profile;

const WHOLE: &str = r#"
namespace = "bank"
profile = "fast"
[node]
id = "n1"
weight = 2
zone = "z1"
tags = ["ssd", "eu"]
on_regression = "accept_log"
format_max = 1
handler_slow_after_ms = 500
handler_end_after_ms = 0
[nats]
urls = ["nats://127.0.0.1:4222", "tls://nats.example:4222"]
user = "app"
password = "do-not-print-me"
replicas = 3
[admin]
listen = "127.0.0.1:8080"
announce = "/run/aether/n1.url"
[load]
workers = 4
accounts = 64
[log]
format = "json"
level = "aether=debug,info"
"#;

const TOO_MANY_TAGS: &str = "[node]\nid = \"n1\"\ntags = \"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\"";

#[test]
fn every_key_reaches_its_setting() {
    let settings = Layers::text("node.toml", WHOLE).load().expect("all of it is known");
    assert_eq!((settings.namespace.as_str(), settings.profile), ("bank", Profile::Fast));
    assert_eq!((settings.node.id.as_str(), settings.node.weight), ("n1", 2));
    let tags: Vec<_> = settings.node.tags.iter().map(ToString::to_string).collect();
    assert_eq!(
        (settings.node.zone.as_ref().map(ToString::to_string), tags),
        (Some("z1".into()), vec!["eu".into(), "ssd".into()])
    );
    assert_eq!((settings.node.on_regression, settings.node.format_max), (OnRegression::AcceptLog, Some(1)));
    assert_eq!((settings.node.slow_after, settings.node.end_after), (Duration::from_millis(500), None));
    assert_eq!((settings.nats.urls.len(), settings.nats.replicas), (2, 3));
    assert_eq!(settings.nats.password.as_ref().map(aether::config::Secret::reveal), Some("do-not-print-me"));
    assert_eq!(settings.admin.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((settings.load.workers, settings.load.accounts), (4, 64));
    assert_eq!((settings.log.format, settings.log.level.as_str()), (LogFormat::Json, "aether=debug,info"));
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let layers = Layers::text("node.toml", WHOLE).with_environment(
        [
            ("AETHER_NAMESPACE", "other"),
            ("AETHER_NODE__ID", "n2"),
            ("AETHER_NODE__WEIGHT", "3"),
            ("AETHER_NODE__ZONE", "z9"),
            ("AETHER_NODE__TAGS", "gpu, us"),
            ("AETHER_NATS__URLS", "nats://a:1, nats://b:2"),
            ("AETHER_NATS_URL", "not a setting: one underscore"),
            ("AETHER_CACHE_DIR", "not a setting either"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let settings = layers.with_flag("node.id", Some("n3")).load().expect("all known");
    assert_eq!((settings.namespace.as_str(), settings.node.id.as_str(), settings.node.weight), ("other", "n3", 3));
    assert_eq!(settings.nats.urls, ["nats://a:1", "nats://b:2"]);
    let tags: Vec<_> = settings.node.tags.iter().map(ToString::to_string).collect();
    assert_eq!(
        (settings.node.zone.as_ref().map(ToString::to_string), tags),
        (Some("z9".into()), vec!["gpu".into(), "us".into()])
    );
    let least = Layers::text("node.toml", "[node]\nid = \"n1\"").load().expect("enough");
    assert_eq!(least.node.on_regression, OnRegression::Halt);
    assert_eq!(least.node.slow_after, Duration::from_secs(10));
    assert_eq!(least.node.end_after, Some(Duration::from_secs(60)));
    assert!(least.node.zone.is_none() && least.node.tags.is_empty());
}

#[test]
fn a_refusal_names_the_place_the_key_and_what_to_do() {
    for (text, expected) in [
        ("[node]\nidd = \"n1\"", &["no setting node.idd", "node.toml", "id, weight, zone, tags, on_regression"][..]),
        ("nodes = 3", &["no setting nodes", "node.toml", "namespace, profile"]),
        ("node = 3", &["node is a section", "write [node]"]),
        ("", &["node.id", "missing", "node.toml", "give each node an id"]),
        ("[node]\nid = \"N 1\"", &["node.id", "N 1", "lower-case"]),
        (
            "[node]\nid = \"n1\"\non_regression = \"forget\"",
            &["node.on_regression", "\"forget\"", "`halt` or `accept_log`"],
        ),
        ("[node]\nid = \"n1\"\nformat_max = 0", &["node.format_max", "numbered from 1"]),
        ("[node]\nid = \"n1\"\nhandler_slow_after_ms = 99", &["node.handler_slow_after_ms", "99ms", "at least 100"]),
        (
            "[node]\nid = \"n1\"\nhandler_end_after_ms = 9999",
            &["node.handler_end_after_ms", "before it is slow", "for ever"],
        ),
        ("[node]\nid = \"n1\"\nweight = 0", &["node.weight", "0 is out of range", "1 to 1000"]),
        ("[node]\nid = \"n1\"\nweight = \"two\"", &["node.weight", "wrong type", "node.toml"]),
        ("[node]\nid = \"n1\"\nzone = \"Room 1\"", &["node.zone", "Room 1", "leave the key out"]),
        ("[node]\nid = \"n1\"\ntags = [\"SSD\"]", &["node.tags", "SSD", "for example"]),
        (TOO_MANY_TAGS, &["node.tags", "17 tags are too many", "at most 16"]),
        ("[node]\nid = [1]", &["node.id", "wrong type"]),
        ("profile = \"slow\"\n[node]\nid = \"n1\"", &["profile", "slow", "fast"]),
        ("namespace = \"\"\n[node]\nid = \"n1\"", &["namespace", "choose a name"]),
        ("[node]\nid = \"n1\"\n[nats]\nurls = [\"http://x\"]", &["nats.urls", "nats://"]),
        ("[node]\nid = \"n1\"\n[nats]\nurls = [\"nats://me:pw@x\"]", &["nats.urls", "credentials", "nats.user"]),
        ("[node]\nid = \"n1\"\n[nats]\nurls = []", &["nats.urls", "empty", "leave the key out"]),
        (
            "[node]\nid = \"n1\"\n[nats]\ncreds = \"/x\"\nuser = \"me\"\npassword = \"pw\"",
            &["nats.creds", "nats.user is given as well", "keep one"],
        ),
        (
            "[node]\nid = \"n1\"\n[nats]\ntoken = \"t\"\nuser = \"me\"\npassword = \"pw\"",
            &["nats.token", "nats.user is given as well", "keep one"],
        ),
        ("[node]\nid = \"n1\"\n[nats]\ncreds = \"/x\"\ntoken = \"t\"", &["nats.creds", "nats.token"]),
        ("[node]\nid = \"n1\"\n[nats]\nreplicas = 2", &["nats.replicas", "1 or 3"]),
        ("[node]\nid = \"n1\"\n[nats]\nuser = \"me\"", &["nats.password", "both"]),
        ("[node]\nid = \"n1\"\n[nats]\ncreds = \"/no/such/file\"", &["nats.creds", "/no/such/file"]),
        ("[node]\nid = \"n1\"\n[admin]\nlisten = \"8080\"", &["admin.listen", "127.0.0.1:8080"]),
        ("[node]\nid = \"n1\"\n[load]\nworkers = 0", &["load.workers", "1 to 1024"]),
        ("[node]\nid = \"n1\"\n[load]\nworkers = 8\naccounts = 3", &["load.accounts", "two a worker"]),
        ("[node]\nid = \"n1\"\n[log]\nformat = \"xml\"", &["log.format", "json"]),
        ("[node]\nid = \"n1\"\n[log]\nlevel = \"=\"", &["log.level"]),
        ("[node\nid", &["not TOML", "node.toml", "line"]),
    ] {
        let refusal = Layers::text("node.toml", text).load().expect_err(text).to_string();
        for part in expected {
            assert!(refusal.contains(part), "{text:?} was refused without {part:?}: {refusal}");
        }
        assert!(!refusal.contains('\n'), "more than a paragraph: {refusal}");
    }
}

#[test]
fn a_bad_variable_is_named_instead_of_the_file() {
    let variables = [("AETHER_NODE__WEIGHT".to_owned(), "many".to_owned())];
    let refusal = Layers::text("node.toml", WHOLE).with_environment(variables).load().expect_err("not a number");
    assert!(refusal.to_string().contains("AETHER_NODE__WEIGHT"), "{refusal}");
    let variables = [("AETHER_NODE__WAIT".to_owned(), "1".to_owned())];
    let refusal = Layers::text("node.toml", WHOLE).with_environment(variables).load().expect_err("no such key");
    assert!(refusal.to_string().contains("environment"), "{refusal}");
}

#[test]
fn a_secret_is_never_printed() {
    let settings = Layers::text("node.toml", WHOLE).load().expect("known");
    assert!(!format!("{settings:?}").contains("do-not-print-me"));
    for spoiled in
        ["password = [\"do-not-print-me\"]", "password = \"do-not-print-me", "token = {a = \"do-not-print-me\"}"]
    {
        let text = WHOLE.replace("password = \"do-not-print-me\"", spoiled);
        let refusal = Layers::text("node.toml", text).load().expect_err(spoiled);
        assert!(!format!("{refusal} {refusal:?}").contains("do-not-print-me"), "{refusal}");
    }
}

#[test]
#[cfg(unix)]
fn a_credentials_file_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let creds = folder.path().join("app.creds");
    std::fs::write(&creds, "secret").expect("written");
    let text = format!("[node]\nid = \"n1\"\n[nats]\ncreds = {creds:?}");
    // A file of root's may be given to a group: these are root's if the tests run as root.
    let of_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&creds).expect("there")) == 0;
    for (mode, taken) in [(0o644, false), (0o640, of_root), (0o660, false), (0o600, true), (0o400, true)] {
        std::fs::set_permissions(&creds, std::fs::Permissions::from_mode(mode)).expect("ours");
        let loaded = Layers::text("node.toml", text.as_str()).load();
        assert_eq!(loaded.is_ok(), taken, "mode {mode:o}: {loaded:?}");
    }
}

#[test]
#[cfg(unix)]
fn who_we_are_and_whom_we_trust_is_read_from_files_that_hold_it() {
    use std::os::unix::fs::PermissionsExt;
    const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        path.display().to_string()
    };
    let certificate = file("cert.pem", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n", 0o644);
    let key = file("key.pem", "-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----\n", 0o600);
    let open_key = file("open.pem", "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n", 0o644);
    let seed = file("user.nk", &format!("{SEED}\n"), 0o600);
    let open_seed = file("open.nk", SEED, 0o644);
    let account_seed = file("account.nk", &SEED.replacen("SU", "SA", 1), 0o600);
    let load = |nats: &str| Layers::text("node.toml", format!("[node]\nid = \"n1\"\n[nats]\n{nats}")).load();

    let all = format!(
        "nkey = {seed:?}\ntls_ca = {certificate:?}\ntls_cert = {certificate:?}\ntls_key = {key:?}\n\
         inbox_prefix = \"_INBOX_CLIENT_bank.alice\""
    );
    let settings = load(&all).expect("all of it holds what it must").nats;
    assert_eq!(settings.nkey.as_ref().map(aether::config::Secret::reveal), Some(SEED));
    assert_eq!(settings.tls.authorities.as_ref().map(|path| path.display().to_string()), Some(certificate.clone()));
    assert!(settings.tls.identity.is_some() && !settings.tls.insecure);
    assert_eq!(settings.inbox_prefix.as_deref(), Some("_INBOX_CLIENT_bank.alice"));
    assert!(!format!("{settings:?}").contains(SEED), "{settings:?}");
    assert!(load("insecure = true").expect("a choice").nats.tls.insecure);
    let variable = [("AETHER_NATS__INSECURE".to_owned(), "true".to_owned())];
    let layers = Layers::text("node.toml", "[node]\nid = \"n1\"").with_environment(variable);
    assert!(layers.load().expect("a choice").nats.tls.insecure);

    for (nats, expected) in [
        (format!("nkey = {open_seed:?}"), &["nats.nkey", "may be read by others (mode 644)", "chmod 600"][..]),
        (format!("nkey = {account_seed:?}"), &["nats.nkey", "user's nkey", "nk -gen user"]),
        (format!("nkey = {seed:?}\ntoken = \"t\""), &["nats.nkey", "nats.token is given as well"]),
        (format!("tls_cert = {certificate:?}"), &["nats.tls_cert", "nats.tls_key"]),
        (format!("tls_key = {key:?}"), &["nats.tls_key", "nats.tls_cert"]),
        (format!("tls_cert = {certificate:?}\ntls_key = {open_key:?}"), &["nats.tls_key", "may be read by others"]),
        (format!("tls_cert = {key:?}\ntls_key = {key:?}"), &["nats.tls_cert", "holds no certificate"]),
        (format!("tls_cert = {certificate:?}\ntls_key = {seed:?}"), &["nats.tls_key", "holds no private key"]),
        (format!("tls_ca = {seed:?}"), &["nats.tls_ca", "holds no certificate", "BEGIN CERTIFICATE"]),
        ("tls_ca = \"/no/such/ca.pem\"".to_owned(), &["nats.tls_ca", "/no/such/ca.pem"]),
        (format!("insecure = true\ntls_ca = {certificate:?}"), &["nats.insecure", "remove it"]),
        ("inbox_prefix = \"aether.bank.top\"".to_owned(), &["nats.inbox_prefix", "_INBOX", "aether acl"]),
    ] {
        let refusal = load(&nats).expect_err(&nats).to_string();
        for part in expected {
            assert!(refusal.contains(part), "{nats:?} was refused without {part:?}: {refusal}");
        }
        assert!(!refusal.contains(SEED) && !refusal.contains('\n'), "{refusal}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let refusal = Layers::file("/no/such/node.toml".as_ref()).expect_err("it is not there");
    assert!(refusal.to_string().contains("/no/such/node.toml"), "{refusal}");
}

/// A thousand steps in each way that there is to write them: none may take long, much memory or the whole stack.
#[test]
fn a_key_of_very_many_steps_is_refused_and_costs_little() {
    let steps = |step: &str, between: &str| vec![step; 32 * 1024].join(between);
    let files =
        [format!("{}=1", steps("t", ".")), format!("[{}]", steps("t", ".")), format!("t={}", "[".repeat(32 * 1024))];
    for file in files {
        let refused = Layers::text("node.toml", file).load().expect_err("nothing has so many steps").to_string();
        assert!(refused.len() < 500 && refused.contains("node.toml"), "{refused}");
    }
    let variable = format!("AETHER_{}", steps("T", "__"));
    let refused = Layers::none().with_environment([(variable, "1".to_owned())]).load();
    let refused = refused.expect_err("nothing has so many steps").to_string();
    assert!(refused.len() < 500 && refused.contains("environment variable"), "{refused}");
}
