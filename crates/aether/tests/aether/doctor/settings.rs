//! What is wrong with settings and files, beside a server that is well.

use std::process::Command;
use std::time::Duration;

use aether_runtime::clock::{BootClock, Clock as _};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use xtask::nats::{NatsServer, ServerOptions};

use super::scene::{Files, Report, doctor, provision, set_mode};

/// A certificate that holds until so many days from now.
fn certificate(days: i64) -> String {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    valid_for(&mut params, days);
    params.self_signed(&KeyPair::generate().expect("a key")).expect("signed").pem()
}

/// It has been valid for long, and is for so many days from now.
pub(super) fn valid_for(params: &mut CertificateParams, days: i64) {
    let today = i64::try_from(BootClock.wall().unix_millis / 86_400_000).expect("our time");
    let from_now = |days: i64| {
        let seconds = u64::try_from(today + days).expect("after 1970") * 86_400;
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (from_now(-400), from_now(days));
}

#[test]
fn what_is_wrong_with_settings_is_named_and_gone_with_them() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let (files, url) = (Files::new(), server.url());
    let healthy = files.plain("n1", &url);
    provision(&healthy);
    Report::of(&mut doctor(&["--config", &healthy])).is_healthy();

    let token = files.write("token", &"t".repeat(32), 0o600);
    let open = files.write("open", &"t".repeat(32), 0o644);
    let ca = |name: &str, days| files.write(name, &certificate(days), 0o600);
    let (ended, ending) = (ca("ended.pem", -1), ca("ending.pem", 20));
    let creds = |name: &str, claims: &str| {
        let text = format!("-----BEGIN NATS USER JWT-----\ne30.{claims}.x\n------END NATS USER JWT------\n");
        files.write(name, &text, 0o600)
    };
    let odd = files.write("odd.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o600);
    // The claims are {"exp":1700000000} and {"exp":4102444800}.
    let (old, new) = (creds("old.creds", "eyJleHAiOjE3MDAwMDAwMDB9"), creds("new.creds", "eyJleHAiOjQxMDI0NDQ4MDB9"));
    let admin = |listen: &str, token: &str| format!("[admin]\nlisten = \"{listen}\"\n{token}");
    let settings =
        |node: &str, nats: &str, rest: &str| files.node("wrong", std::slice::from_ref(&url), ["", node, nats, rest]);
    for (code, words, node, nats, rest) in [
        ("settings-refused", "node.weight: 0", "weight = 0", String::new(), String::new()),
        ("settings-refused", "node.wait", "wait = 0", String::new(), String::new()),
        ("file-missing", "/no/such/ca.pem", "", "tls_ca = \"/no/such/ca.pem\"".to_owned(), String::new()),
        (
            "secret-file-exposed",
            &format!("chmod 600 {open}"),
            "",
            String::new(),
            admin("127.0.0.1:0", &format!("token_file = {open:?}")),
        ),
        ("losses-accepted", "node.on_regression", "on_regression = \"accept_log\"", String::new(), String::new()),
        ("handlers-unending", "handler_end_after_ms", "handler_end_after_ms = 0", String::new(), String::new()),
        ("admin-off-loopback", "0.0.0.0:7400", "", String::new(), admin("0.0.0.0:7400", "")),
        (
            "admin-writes-in-clear",
            "0.0.0.0:7400",
            "",
            String::new(),
            admin("0.0.0.0:7400", &format!("token_file = {token:?}")),
        ),
        (
            "memory-over-machine",
            "memory.resident_bytes_max",
            "",
            String::new(),
            "[memory]\nresident_bytes_max = 1000000000000000".to_owned(),
        ),
        ("copies-impossible", "nats.replicas = 1", "", "replicas = 3".to_owned(), String::new()),
        ("one-server-named", &url, "", "replicas = 3".to_owned(), String::new()),
        ("stream-copies", "num_replicas is 1 instead of 3", "", "replicas = 3".to_owned(), String::new()),
        ("certificate-expired", "nats.tls_ca", "", format!("tls_ca = {ended:?}"), String::new()),
        ("certificate-expiring", "nats.tls_ca", "", format!("tls_ca = {ending:?}"), String::new()),
        ("credentials-expired", "2023-11-14", "", format!("creds = {old:?}"), String::new()),
        ("tls-not-spoken", "nats.insecure", "", format!("tls_ca = {ending:?}"), String::new()),
    ] {
        Report::of(&mut doctor(&["--config", &settings(node, &nats, &rest)])).names(code, words);
    }
    Report::of(&mut doctor(&["--config", &settings("", &format!("creds = {new:?}"), "")]))
        .does_not_name("credentials-expired");
    Report::of(&mut doctor(&["--config", &settings("", &format!("tls_ca = {odd:?}"), "")]))
        .names("certificate-unreadable", &odd);
    Report::of(&mut doctor(&["--config", "/no/such/node.toml"])).names("file-missing", "/no/such/node.toml");
    Report::of(&mut doctor(&["--config", &healthy])).is_healthy();
}

#[test]
fn what_is_wrong_around_settings_is_named_and_its_cure_works() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let (files, url) = (Files::new(), server.url());
    let healthy = files.plain("n1", &url);
    provision(&healthy);

    // A password in a file that others may read, until it is done what the cure says.
    let named =
        files.node("n2", std::slice::from_ref(&url), ["", "", "user = \"ann\"\npassword = \"horse-battery\"", ""]);
    set_mode(&files.path("n2.toml"), 0o644);
    let report = Report::of(&mut doctor(&["--config", &named]));
    report.names("settings-file-exposed", &format!("chmod 600 {named}"));
    assert!(!report.0.to_string().contains("horse-battery"), "{}", report.0);
    set_mode(&files.path("n2.toml"), 0o600);
    Report::of(&mut doctor(&["--config", &named])).is_healthy();

    Report::of(doctor(&["--config", &healthy]).env("AETHER_NATS__TOKEN", "a-token"))
        .names("secret-in-environment", "AETHER_NATS__TOKEN");

    // A file without an id, and the three ways to give one.
    let text = format!("namespace = \"bank\"\n[nats]\nurls = [{url:?}]\n");
    let nameless = files.write("nameless.toml", &text, 0o600);
    Report::of(&mut doctor(&["--config", &nameless])).names("node-id-missing", "AETHER_NODE__ID");
    Report::of(&mut doctor(&["--config", &nameless, "--id", "n3"])).is_healthy();
    Report::of(doctor(&["--config", &nameless]).env("AETHER_NODE__ID", "n3")).is_healthy();
    // Who is no node needs none.
    Report::of(&mut doctor(&["--nats-url", &url, "--namespace", "bank"])).is_healthy();

    // To NATS 127.1 is this machine; whoever reads it as a name does not know that.
    let far = url.replace("127.0.0.1", "127.1");
    let in_clear = files.node("n4", std::slice::from_ref(&far), ["", "", "insecure = true", ""]);
    let report = Report::of(&mut doctor(&["--config", &in_clear]));
    report.names("nats-in-clear", "tls_ca").names("server-takes-anybody", "aether acl");
    let encrypted = files.node("n4", std::slice::from_ref(&far), ["", "", "", ""]);
    Report::of(&mut doctor(&["--config", &encrypted])).does_not_name("nats-in-clear");

    let limited = format!("ulimit -n 300; exec {} doctor -o json --config {healthy}", env!("CARGO_BIN_EXE_aether"));
    Report::of(Command::new("sh").args(["-c", &limited])).names("few-open-files", "300 open files");
}

#[test]
fn who_cannot_look_is_told_so_and_everything_there_is_can_be_listed() {
    let output = doctor(&["--context", "no-such-context"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = doctor(&["--role", "king"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let listed = crate::program::run(&["doctor", "--list"]);
    assert!(listed.status.success());
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("fault    server-unreachable\n  what   "), "{listed}");
}

#[test]
fn the_page_of_findings_has_a_line_for_each_that_says_what_the_program_says() {
    let listed = crate::program::run(&["doctor", "--list", "-o", "json"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let row = |line: &str| {
        let finding: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |key: &str| finding[key].as_str().expect("text").replace('|', "\\|");
        format!("| `{}` | {} | {} {} | {} |", text("code"), text("severity"), text("what"), text("why"), text("cure"))
    };
    let expected: Vec<_> = listed.lines().map(row).collect();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/DOCTOR.md");
    let page = std::fs::read_to_string(page).expect("a page");
    let found: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(found == expected, "the rows of docs/DOCTOR.md are to be\n{}", expected.join("\n"));
}
