//! Contexts of the nats program: files that say where NATS is and who asks.
//!
//! They lie below `$XDG_CONFIG_HOME/nats` (or `~/.config/nats`): `context/NAME.json` each, and `context.txt` names the one that
//! is selected. What a context says and this program cannot do is an error, never passed over: it would connect as somebody else.

use std::path::{Path, PathBuf};

use aether_infra_nats::{Credentials, NatsConfig, Tls};
use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

/// What asks for the context that is selected.
const SELECTED: &str = "-";

/// One context.
#[derive(Debug)]
pub(super) struct Context {
    name: String,
    home: Option<PathBuf>,
    text: Text,
}

/// What its file says, and means something to this program.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Text {
    url: String,
    user: String,
    password: String,
    token: String,
    creds: String,
    nkey: String,
    ca: String,
    cert: String,
    key: String,
    /// What it says besides.
    #[serde(flatten)]
    more: std::collections::BTreeMap<String, Value>,
}

/// What changes nothing about how this program connects.
const HARMLESS: [&str; 3] = ["description", "color_scheme", "jetstream_event_prefix"];

impl Context {
    /// The context of that name, or the one that is selected.
    ///
    /// # Errors
    /// There is none, or it cannot be obeyed.
    pub(super) fn named(name: &str) -> anyhow::Result<Self> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let config = config.or_else(|| home.as_ref().map(|home| home.join(".config")));
        let config = config.context("neither XDG_CONFIG_HOME nor HOME says where contexts of the nats program are")?;
        Self::in_folder(&config.join("nats"), name, home)
    }

    fn in_folder(folder: &Path, name: &str, home: Option<PathBuf>) -> anyhow::Result<Self> {
        let name = if name == SELECTED {
            let selected = std::fs::read_to_string(folder.join("context.txt")).unwrap_or_default();
            let selected = selected.trim().to_owned();
            if selected.is_empty() {
                bail!("no context is selected; see `nats context select`, or name one with --context");
            }
            selected
        } else {
            name.to_owned()
        };
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            bail!("there is no context {name:?}; see `nats context ls`");
        }
        let file = folder.join("context").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!("there is no context {name:?}: {} cannot be read; see `nats context ls`", file.display())
        })?;
        let text: Text = serde_json::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{} is no context: {}", file.display(), told(&error)))?;
        let unknown = text.more.iter().find(|(key, value)| !is_empty(value) && !HARMLESS.contains(&key.as_str()));
        if let Some((key, _)) = unknown {
            bail!("context {name:?} says {key:?}, which this program cannot do; use --config or --nats-url instead");
        }
        Ok(Self { name, home, text })
    }

    /// Its servers, credentials and certificates instead of those that are there.
    ///
    /// # Errors
    /// It says things that do not go together, or a file that it names cannot be read.
    pub(super) fn apply(&self, config: &mut NatsConfig) -> anyhow::Result<()> {
        let text = &self.text;
        if !text.url.is_empty() {
            config.urls = text.url.split(',').map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect();
        }
        config.credentials = self.credentials()?;
        let identity = match (text.cert.as_str(), text.key.as_str()) {
            ("", "") => None,
            ("", _) | (_, "") => bail!("context {:?} must say both `cert` and `key`, or neither", self.name),
            (cert, key) => Some((self.path(cert), self.path(key))),
        };
        let authorities = Some(text.ca.as_str()).filter(|ca| !ca.is_empty()).map(|ca| self.path(ca));
        config.tls = Tls { insecure: config.tls.insecure, authorities, identity };
        Ok(())
    }

    fn credentials(&self) -> anyhow::Result<Credentials> {
        let text = &self.text;
        let told = [("creds", &text.creds), ("nkey", &text.nkey), ("token", &text.token), ("user", &text.user)];
        let told: Vec<_> = told.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Ok(match told[..] {
            [] => Credentials::None,
            [("creds", file)] => Credentials::File(self.path(file)),
            [("nkey", file)] => Credentials::NkeySeed(self.seed(file)?),
            [("token", token)] => Credentials::Token(token.clone()),
            [(_, user)] => Credentials::Password { user: user.clone(), password: text.password.clone() },
            [(first, _), (second, _), ..] => {
                bail!("context {:?} says both {first:?} and {second:?}: keep one of them", self.name)
            }
        })
    }

    /// The line of that file that is a seed.
    fn seed(&self, file: &str) -> anyhow::Result<String> {
        let path = self.path(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("the nkey of context {:?}: {} cannot be read", self.name, path.display()))?;
        let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU"));
        let seed = seed.with_context(|| format!("{} has no user's seed (SU…) in it", path.display()))?;
        Ok(seed.to_owned())
    }

    fn path(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        }
    }
}

/// Where a file is no JSON of the right shape, without what stands there: that may be a password.
fn told(error: &serde_json::Error) -> String {
    format!("line {}, column {} is not as the nats program writes it", error.line(), error.column())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as the nats program keeps it, with these contexts.
    fn folder(contexts: &[(&str, &str)], selected: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("context")).expect("a folder");
        for (name, text) in contexts {
            std::fs::write(folder.path().join("context").join(format!("{name}.json")), text).expect("written");
        }
        std::fs::write(folder.path().join("context.txt"), selected).expect("written");
        folder
    }

    fn applied(text: &str) -> anyhow::Result<NatsConfig> {
        let folder = folder(&[("prod", text)], "");
        let mut config = NatsConfig::new(["nats://settings:1"]);
        config.credentials = Credentials::Token("of the settings".into());
        Context::in_folder(folder.path(), "prod", Some("/home/ann".into()))?.apply(&mut config)?;
        Ok(config)
    }

    #[test]
    fn servers_and_credentials_are_the_contexts_instead_of_the_settings() {
        let password = |user: &str| Credentials::Password { user: user.into(), password: "x".into() };
        for (text, urls, credentials) in [
            (r#"{"url": "nats://a:1, nats://b:2"}"#, &["nats://a:1", "nats://b:2"][..], Credentials::None),
            (r#"{"user": "ann", "password": "x"}"#, &["nats://settings:1"], password("ann")),
            (r#"{"token": "t"}"#, &["nats://settings:1"], Credentials::Token("t".into())),
            (r#"{"creds": "~/a.creds"}"#, &["nats://settings:1"], Credentials::File("/home/ann/a.creds".into())),
            // As the nats program writes a new one, with everything that nobody has said.
            (
                r#"{"description": "d", "url": "nats://a:1", "socks_proxy": "", "token": "", "user": "", "password": "",
                    "creds": "", "nkey": "", "cert": "", "key": "", "ca": "", "nsc": "", "jetstream_domain": "",
                    "jetstream_api_prefix": "", "jetstream_event_prefix": "", "inbox_prefix": "", "user_jwt": "",
                    "color_scheme": "", "tls_first": false, "windows_ca_certs_match": null}"#,
                &["nats://a:1"],
                Credentials::None,
            ),
        ] {
            let config = applied(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (&config.urls[..], &config.credentials),
                (&urls.iter().map(ToString::to_string).collect::<Vec<_>>()[..], &credentials)
            );
            assert_eq!(config.tls, Tls::default());
        }
        let config = applied(r#"{"ca": "/ca.pem", "cert": "/me.pem", "key": "~/me.key"}"#).expect("a context");
        let identity = Some(("/me.pem".into(), "/home/ann/me.key".into()));
        assert_eq!(config.tls, Tls { insecure: false, authorities: Some("/ca.pem".into()), identity });
    }

    #[test]
    fn an_nkey_is_the_seed_in_the_file_that_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ann.nk");
        std::fs::write(&file, "# ann\nSUAEXAMPLE\n").expect("written");
        let config = applied(&format!(r#"{{"nkey": {:?}}}"#, file.display().to_string())).expect("a context");
        assert_eq!(config.credentials, Credentials::NkeySeed("SUAEXAMPLE".into()));
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_with_its_name_and_without_its_secrets() {
        for (text, why) in [
            (r#"{"token": "secret", "user": "ann"}"#, "both"),
            (r#"{"cert": "/me.pem"}"#, "both `cert` and `key`"),
            (r#"{"user_jwt": "secret"}"#, "user_jwt"),
            (r#"{"tls_first": true}"#, "tls_first"),
            (r#"{"inbox_prefix": "_ME"}"#, "inbox_prefix"),
            (r#"{"nkey": "/no/such/file"}"#, "/no/such/file"),
            (r#"{"password": ["secret"]}"#, "line 1"),
            ("{\"token\": \"secret", "is no context"),
        ] {
            let error = format!("{:#}", applied(text).expect_err(text));
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn a_context_is_found_by_its_name_or_because_it_is_selected() {
        let folder = folder(&[("prod", r#"{"url": "nats://a:1"}"#)], "prod\n");
        let find = |name: &str| Context::in_folder(folder.path(), name, None).map(|context| context.name);
        assert_eq!(find("prod").expect("there"), "prod");
        assert_eq!(find("-").expect("selected"), "prod");
        for name in ["test", "", "../context/prod", ".", "a/b"] {
            assert!(format!("{:#}", find(name).expect_err(name)).contains("nats context ls"), "{name}");
        }
        std::fs::write(folder.path().join("context.txt"), "").expect("written");
        assert!(find("-").expect_err("none").to_string().contains("nats context select"));
    }
}
