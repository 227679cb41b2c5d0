//! Where settings come from, and which source wins: file, then environment, then flags.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Config, ConfigError, Environment, File, FileFormat, Format as _, Value, ValueKind};

use super::raw::{KEYS, Misfit, Raw};
use super::{ConfigRefused, RefusedKind, Settings};

const ENVIRONMENT: &str = "environment variables";
const FLAGS: &str = "command line";

/// How many steps a key may have; none that is known has more than four. The `config` crate makes a table of each step and copies
/// them all for each: a name of very many would cost the square of its length.
const STEPS_MAX: usize = 8;

/// The sources of one process's settings, later ones winning.
#[derive(Clone, Debug)]
pub struct Layers {
    /// What the file is called in errors, and its text.
    file: (String, String),
    environment: Vec<(String, String)>,
    flags: Vec<(&'static str, String)>,
}

impl Layers {
    /// Nothing but defaults, for a process without a file.
    pub fn none() -> Self {
        Self::text("no file", "")
    }

    /// A file's text, called `name` in errors.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: (name.into(), text.into()), environment: Vec::new(), flags: Vec::new() }
    }

    /// A file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(path: &Path) -> Result<Self, ConfigRefused> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigRefused {
            kind: RefusedKind::NoFile,
            reason: format!("the file cannot be read: {error}"),
            place: name.clone(),
            cure: "name a TOML file that exists and that this user may read".into(),
        })?;
        Ok(Self::text(name, text))
    }

    /// The variables of this process over the file.
    #[must_use]
    pub fn with_process_environment(self) -> Self {
        let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        self.with_environment(ours.map(|(name, value)| (name, value.to_string_lossy().into_owned())))
    }

    /// These variables over the file; those that do not name a setting are passed over.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables.into_iter().filter(|(name, _)| {
            let key = name.strip_prefix("AETHER_");
            key.is_some_and(|key| is_plain(key) && (key.contains("__") || key == "NAMESPACE" || key == "PROFILE"))
        }));
        self
    }

    /// One setting over everything else, by its full key such as `node.id`.
    #[must_use]
    pub fn with_flag(mut self, key: &'static str, value: Option<impl ToString>) -> Self {
        self.flags.extend(value.map(|value| (key, value.to_string())));
        self
    }

    /// Whether anything says that setting, by its full key.
    #[cfg(feature = "nats")]
    pub(crate) fn says(&self, key: &str) -> bool {
        let of_file = || {
            let file = Config::builder().add_source(File::from_str(&self.file.1, FileFormat::Toml)).build();
            file.is_ok_and(|file| file.get::<Value>(key).is_ok())
        };
        self.says_beside_file(key) || of_file()
    }

    /// Reads, merges and checks everything.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and its cure. Secrets are never part of it.
    pub fn load(self) -> Result<Settings, ConfigRefused> {
        let refuse = |error: ConfigError| self.refuse_source(error);
        if let Some(key) = odd_key(&self.file.1) {
            let reason = format!("there is no setting {key:?}");
            let cure = "see docs/FORMATS.md".to_owned();
            let place = self.file.0.clone();
            return Err(ConfigRefused { kind: RefusedKind::Setting, reason, place, cure });
        }
        if let Some((name, _)) = self.environment.iter().find(|(name, _)| name.split("__").count() > STEPS_MAX) {
            let name: String = name.chars().take(64).collect();
            let reason = format!("there is no setting that begins with {name}");
            return Err(ConfigRefused {
                kind: RefusedKind::Setting,
                reason,
                place: ENVIRONMENT.to_owned(),
                cure: "see docs/FORMATS.md".to_owned(),
            });
        }
        let file = File::from_str(&self.file.1, FileFormat::Toml);
        let file = Config::builder().add_source(file).build().map_err(refuse)?;
        let environment = Environment::with_prefix("AETHER").prefix_separator("_").separator("__");
        let environment = environment.source(Some(self.environment.iter().cloned().collect()));
        let environment = Config::builder().add_source(environment).build().map_err(refuse)?;
        for (layer, place) in [(&file, self.file.0.as_str()), (&environment, ENVIRONMENT)] {
            known(&layer.cache, place)?;
        }
        let mut merged = Config::builder().add_source(file).add_source(environment);
        for (key, value) in &self.flags {
            merged = merged.set_override(key, value.as_str()).map_err(refuse)?;
        }
        let merged = merged.build().map_err(refuse)?;
        let raw: Raw = merged.try_deserialize().map_err(refuse)?;
        raw.check().map_err(|misfit| self.refuse_value(misfit))
    }

    fn says_beside_file(&self, key: &str) -> bool {
        let variable = variable_of(key);
        self.flags.iter().any(|(flag, _)| *flag == key) || self.environment.iter().any(|(name, _)| *name == variable)
    }

    fn refuse_value(&self, Misfit { kind, key, problem, cure }: Misfit) -> ConfigRefused {
        ConfigRefused { kind, reason: format!("{key}: {problem}"), place: self.place_of(key), cure }
    }

    fn refuse_source(&self, error: ConfigError) -> ConfigRefused {
        let (reason, place, cure) = match error {
            ConfigError::FileParse { cause, .. } => (
                format!("this is not TOML: {}", one_line(&redacted(&cause.to_string()))),
                self.file.0.clone(),
                "correct the line it names".to_owned(),
            ),
            ConfigError::Type { expected, key, .. } => {
                let key = key.unwrap_or_else(|| "a key".into());
                (format!("{key} has the wrong type"), self.place_of(&key), format!("write {expected} there"))
            }
            ConfigError::At { key: Some(key), .. } => {
                (format!("{key} has a value it cannot have"), self.place_of(&key), "see docs/FORMATS.md".to_owned())
            }
            _ => ("a value has the wrong type".to_owned(), self.file.0.clone(), "see docs/FORMATS.md".to_owned()),
        };
        ConfigRefused { kind: RefusedKind::Setting, reason, place, cure }
    }

    /// Which source the value of that key came from.
    fn place_of(&self, key: &str) -> String {
        if self.flags.iter().any(|(flag, _)| *flag == key) {
            FLAGS.to_owned()
        } else if self.says_beside_file(key) {
            format!("environment variable {}", variable_of(key))
        } else {
            self.file.0.clone()
        }
    }
}

/// The variable that says the setting with that key.
fn variable_of(key: &str) -> String {
    format!("AETHER_{}", key.to_uppercase().replace('.', "__"))
}

/// A key at the top of a TOML text that is no plain word, or has more steps than any that is known. To the `config` crate the
/// former is a path, and a number in it the length of a list that it makes.
pub(crate) fn odd_key(toml: &str) -> Option<String> {
    let keys = FileFormat::Toml.parse(None, toml).ok()?;
    let mut names = BTreeMap::new();
    names.extend(keys);
    let odd = |(key, value): &(String, Value)| !is_plain(key) || is_deeper(value, STEPS_MAX - 1);
    names.into_iter().find(odd).map(|(key, _)| key.chars().take(64).collect())
}

/// Whether there are more tables and lists within each other than that.
fn is_deeper(value: &Value, than: usize) -> bool {
    let deeper = |value: &Value| than == 0 || is_deeper(value, than - 1);
    match &value.kind {
        ValueKind::Table(entries) => {
            let mut names = BTreeMap::new();
            names.extend(entries);
            names.into_values().any(deeper)
        }
        ValueKind::Array(values) => values.iter().any(deeper),
        _ => false,
    }
}

fn is_plain(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Refuses keys nobody reads: a misspelt setting must not be a silent default.
fn known(root: &Value, place: &str) -> Result<(), ConfigRefused> {
    let ValueKind::Table(top) = &root.kind else { return Ok(()) };
    let mut names = BTreeMap::new();
    names.extend(top);
    let refuse = |key: String, section: &str| {
        let keys = KEYS.iter().find(|(name, _)| *name == section).map_or(&[][..], |(_, keys)| keys);
        let mut cure = format!("the keys here are {}", keys.join(", "));
        if section.is_empty() {
            cure = format!("{cure}, and the sections node, nats, admin, load, log");
        }
        let reason = format!("there is no setting {key}");
        Err(ConfigRefused { kind: RefusedKind::Setting, reason, place: place.to_owned(), cure })
    };
    for (name, value) in names {
        let section = KEYS.iter().find(|(section, _)| !section.is_empty() && section == name);
        match (&value.kind, section) {
            (ValueKind::Table(entries), Some((section, keys))) => {
                let mut found = BTreeMap::new();
                found.extend(entries);
                if let Some((key, _)) = found.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
                    return refuse(format!("{section}.{key}"), section);
                }
            }
            (_, Some((section, _))) => {
                let reason = format!("{section} is a section, not a value");
                let cure = format!("write [{section}] and its keys below");
                return Err(ConfigRefused { kind: RefusedKind::Setting, reason, place: place.to_owned(), cure });
            }
            (_, None) if KEYS[0].1.contains(&name.as_str()) => {}
            (_, None) => return refuse(name.clone(), ""),
        }
    }
    Ok(())
}

/// The parser's message without the line it quotes: that line may be a password.
fn redacted(message: &str) -> String {
    message
        .lines()
        .filter(|line| !line.contains(" | ") && !line.trim_end().ends_with('|'))
        .collect::<Vec<_>>()
        .join(" ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
