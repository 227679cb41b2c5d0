//! Encrypted connections and identities that are keys, on a real server: what is taken, what is refused, and the cure.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aether_infra_nats::{Credentials, NatsConfig, Permissions, Role, StartError, Tls, connect};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair as TlsKey, KeyUsagePurpose};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::nats::{NatsServer, ServerOptions};

use crate::support::namespace;

/// An authority, and what it has issued, as files.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, TlsKey>,
}

/// A certificate and its key.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = TlsKey::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("written");
        Self { folder, issuer: Issuer::new(params, key) }
    }
    fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
    fn issue(&self, name: &str) -> Identity {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let own = TlsKey::generate().expect("a key");
        let signed = params.signed_by(&own, &self.issuer).expect("signed");
        let file = |kind: &str, text: String| {
            let path = self.folder.path().join(format!("{name}.{kind}.pem"));
            fs::write(&path, text).expect("written");
            path
        };
        Identity { certificate: file("cert", signed.pem()), key: file("key", own.serialize_pem()) }
    }
}

/// A server whose certificate is `identity`; clients need one of `asked`'s, if that is given.
fn server(identity: &Identity, asked: Option<&Authority>) -> NatsServer {
    let show = |path: &Path| path.display().to_string();
    let verify = asked
        .map_or_else(String::new, |authority| format!(", verify: true, ca_file: {:?}", show(&authority.certificate())));
    let (certificate, key) = (show(&identity.certificate), show(&identity.key));
    let extra = format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}{verify} }}\n");
    NatsServer::start(ServerOptions { extra, ..ServerOptions::default() }).expect("a server")
}

fn settings(server: &NatsServer, trusted: Option<&Authority>, identity: Option<&Identity>) -> NatsConfig {
    let tls = Tls {
        insecure: false,
        authorities: trusted.map(Authority::certificate),
        identity: identity.map(|identity| (identity.certificate.clone(), identity.key.clone())),
    };
    NatsConfig { tls, connect_within: Duration::from_secs(15), ..NatsConfig::new([server.url()]) }
}

async fn refused(config: &NatsConfig) -> StartError {
    connect(config, &namespace()).await.err().expect("refused")
}

#[tokio::test]
async fn a_server_is_believed_if_somebody_trusted_says_who_it_is_and_it_is_the_one_that_was_meant() {
    let (ours, others) = (Authority::new(), Authority::new());
    let server = server(&ours.issue("localhost"), None);
    let mut good = settings(&server, Some(&ours), None);
    good.urls = vec![server.url().replace("127.0.0.1", "localhost")];
    connect(&good, &namespace()).await.expect("all is as it should be").session.close().await;
    let of_others = NatsConfig { tls: settings(&server, Some(&others), None).tls, ..good.clone() };
    let by_address = NatsConfig { urls: vec![server.url()], ..good.clone() };
    let by_platform = NatsConfig { tls: Tls::default(), ..good.clone() };
    for (config, cure) in [
        (of_others, "nats.tls_ca"),
        (by_platform, "nats.tls_ca"),
        (by_address, "the certificate is for another host: use a name in nats.urls"),
    ] {
        let error = refused(&config).await;
        assert!(matches!(error, StartError::Tls { .. }), "{error:?}");
        assert!(error.to_string().contains(cure), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_one_or_nothing() {
    let (ours, others) = (Authority::new(), Authority::new());
    let server = server(&ours.issue("127.0.0.1"), Some(&ours));
    let (mine, foreign) = (ours.issue("node"), others.issue("node"));
    connect(&settings(&server, Some(&ours), Some(&mine)), &namespace()).await.expect("known").session.close().await;
    for (identity, cure) in [(None, "nats.tls_cert"), (Some(&foreign), "nats.tls_cert")] {
        let error = refused(&settings(&server, Some(&ours), identity)).await;
        assert!(matches!(error, StartError::Tls { .. }), "{error:?}");
        assert!(error.to_string().contains(cure), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_to_whoever_must_be_talked_to_in_secret() {
    let ours = Authority::new();
    let plain = NatsServer::start(ServerOptions::default()).expect("a server");
    // Certificates are named, so even this machine's server has to encrypt.
    let error = refused(&settings(&plain, Some(&ours), None)).await;
    assert!(matches!(error, StartError::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("does not speak TLS") && error.to_string().contains("nats.insecure"), "{error}");
    // On loopback, and where nothing is said, all is as before.
    connect(&NatsConfig::new([plain.url()]), &namespace()).await.expect("loopback").session.close().await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_before_anything_is_sent() {
    let ours = Authority::new();
    let server = server(&ours.issue("127.0.0.1"), None);
    let mut config = settings(&server, Some(&ours), None);
    config.tls.authorities = Some(PathBuf::from("/no/such/ca.pem"));
    let error = refused(&config).await;
    assert!(matches!(error, StartError::Settings { .. }), "{error:?}");
    assert!(error.to_string().contains("TLS error"), "{error}");
}

#[tokio::test]
async fn a_user_is_a_key_that_never_leaves_its_owner() {
    let (mine, others) = (KeyPair::new_user(), KeyPair::new_user());
    let extra = format!("authorization {{ users: [ {{ nkey: {} }} ] }}\n", mine.public_key());
    let server = NatsServer::start(ServerOptions { extra, ..ServerOptions::default() }).expect("a server");
    let with =
        |seed: String| NatsConfig { credentials: Credentials::NkeySeed(seed), ..NatsConfig::new([server.url()]) };
    let seed = |pair: &KeyPair| pair.seed().expect("it has one");
    connect(&with(seed(&mine)), &namespace()).await.expect("known").session.close().await;
    for wrong in [seed(&others), "SUNOSEED".to_owned()] {
        let error = refused(&with(wrong.clone())).await;
        assert!(matches!(error, StartError::Credentials { .. }), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("nkey seed") && !shown.contains(&wrong), "{shown}");
    }
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().chain(&[0; 2]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        text.extend((0..=three.len()).map(|digit| char::from(DIGITS[bits >> (18 - 6 * digit) & 63])));
    }
    text
}

/// A claim about `subject`, signed by `issuer`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: Value) -> String {
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name, "sub": subject.public_key(), "nats": nats,
    });
    let header = base64url(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", base64url(claims.to_string().as_bytes()));
    let signature = issuer.sign(signed.as_bytes()).expect("a key that can sign");
    format!("{signed}.{}", base64url(&signature))
}

#[tokio::test]
async fn in_operator_mode_a_creds_file_is_all_that_a_node_needs() {
    let (operator, account, system) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let no_store = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let of_account = |limits: &Value| json!({ "type": "account", "version": 2, "limits": limits });
    let of_operator = json!({ "type": "operator", "version": 2, "system_account": system.public_key() });
    let extra = format!(
        "operator: {}\nresolver: MEMORY\nsystem_account: {}\nresolver_preload {{\n {}: {}\n {}: {}\n}}\n",
        jwt(&operator, &operator, "operator", of_operator),
        system.public_key(),
        account.public_key(),
        jwt(&operator, &account, "nodes", of_account(&limits)),
        system.public_key(),
        jwt(&operator, &system, "system", of_account(&no_store)),
    );
    let server = NatsServer::start(ServerOptions { extra, ..ServerOptions::default() }).expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let creds = |name: &str, issuer: &KeyPair, role| {
        let user = KeyPair::new_user();
        let Permissions { publish, subscribe, .. } = Permissions::of(&namespace(), role, None);
        let nats = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
            "pub": { "allow": publish }, "sub": { "allow": subscribe },
        });
        let (token, seed) = (jwt(issuer, &user, name, nats), user.seed().expect("it has one"));
        let path = folder.path().join(format!("{name}.creds"));
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY \
             SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        fs::write(&path, text).expect("written");
        NatsConfig { credentials: Credentials::File(path), ..NatsConfig::new([server.url()]) }
    };
    let makes = connect(&creds("operator", &account, Role::Operator), &namespace()).await;
    makes.expect("an operator makes the streams").session.close().await;
    connect(&creds("node", &account, Role::Node), &namespace()).await.expect("a node works").session.close().await;
    let forged = refused(&creds("forged", &KeyPair::new_account(), Role::Node)).await;
    assert!(matches!(forged, StartError::Credentials { .. }), "{forged:?}");
}
