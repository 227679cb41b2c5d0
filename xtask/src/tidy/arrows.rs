//! Which crate may look at which: the table of the architecture, compared with the manifests.
//!
//! Only what a crate itself needs counts. Its tests may look further: a crate's own tests never become part of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Complaint, manifests::Manifest};

/// Every crate, and the crates of this workspace it may depend on. `xtask` looks at none that knows Aether's domain, so it can
/// test all; the screen is a leaf that both it and the program show.
const ARROWS: [(&str, &[&str]); 8] = [
    ("aether-domain", &[]),
    ("aether-placement", &["aether-domain"]),
    ("aether-runtime", &["aether-domain", "aether-placement"]),
    ("aether-infra-nats", &["aether-domain"]),
    ("aether-infra-memory", &["aether-domain"]),
    ("aether-screen", &[]),
    (
        "aether",
        &[
            "aether-domain",
            "aether-placement",
            "aether-runtime",
            "aether-infra-nats",
            "aether-infra-memory",
            "aether-screen",
        ],
    ),
    ("xtask", &["aether-screen"]),
];

/// Crates that hold decisions only: no clock, no randomness, no input or output, no serialisation format.
const PURE: [&str; 2] = ["aether-domain", "aether-placement"];

/// What the pure crates may use of other people's work: errors, what port traits are made of (`async-trait`, and
/// `futures-util` for `Stream`), bytes and hashes. All of it is free of the above; whoever adds to it says why here.
const PURE_MAY_USE: [&str; 7] =
    ["thiserror", "async-trait", "futures-util", "bytes", "xxhash-rust", "siphasher", "crc32c"];

/// Compares the manifests with the table.
pub fn check(manifests: &BTreeMap<String, Manifest>) -> Vec<Complaint> {
    let ours: BTreeSet<_> = manifests.keys().map(String::as_str).collect();
    let arrows = BTreeMap::from(ARROWS);
    let mut complaints = Vec::new();
    for manifest in manifests.values() {
        let Manifest { name, folder, .. } = manifest;
        let dependencies = manifest.dependencies();
        let allowed = arrows.get(name.as_str());
        if allowed.is_none() && folder.starts_with("crates/") {
            complaints
                .push(format!("{folder}/Cargo.toml: {name} is not in the table of arrows; decide its place there"));
        }
        for other in dependencies.iter().filter(|other| ours.contains(other.as_str())) {
            if allowed.is_some_and(|allowed| !allowed.contains(&other.as_str())) {
                complaints.push(format!("{folder}/Cargo.toml: {name} may not look at {other}"));
            }
        }
        if PURE.contains(&name.as_str()) {
            let foreign = dependencies.iter().filter(|other| !ours.contains(other.as_str()));
            for other in foreign.filter(|other| !PURE_MAY_USE.contains(&other.as_str())) {
                complaints.push(format!("{folder}/Cargo.toml: {name} is pure and may not use {other}"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(extra: &str, name: &str) -> Vec<Complaint> {
        let manifests = ARROWS.iter().map(|(package, allowed)| {
            let looks_at: Vec<_> = allowed.iter().map(|other| format!("{other}.workspace = true\n")).collect();
            let extra = if *package == name { extra } else { "" };
            let text = format!("[package]\nname = \"{package}\"\n[dependencies]\n{}{extra}", looks_at.concat());
            let manifest = Manifest::parse(&format!("crates/{package}"), &text).expect("a manifest");
            ((*package).to_owned(), manifest)
        });
        check(&manifests.collect())
    }

    #[test]
    fn the_table_itself_is_fine() {
        assert_eq!(check_one("", ""), Vec::<Complaint>::new());
    }

    #[test]
    fn an_arrow_that_is_not_in_the_table_is_named() {
        for (name, other) in [
            ("aether-domain", "aether-placement"),
            ("aether-runtime", "aether-infra-nats"),
            ("aether-infra-nats", "aether-runtime"),
            ("aether-infra-memory", "aether-placement"),
            ("xtask", "aether-domain"),
            ("aether-screen", "aether-domain"),
        ] {
            let found = check_one(&format!("{other}.workspace = true\n"), name);
            assert!(found.len() == 1 && found[0].contains(&format!("{name} may not look at {other}")), "{found:?}");
        }
    }

    #[test]
    fn a_test_may_look_where_the_crate_may_not() {
        assert!(check_one("[dev-dependencies]\naether-infra-memory.workspace = true\n", "aether-runtime").is_empty());
    }

    #[test]
    fn the_pure_crates_use_no_clock_no_chance_and_no_format() {
        for other in ["tokio", "serde", "serde_json", "rand", "bincode", "tracing"] {
            let found = check_one(&format!("{other}.workspace = true\n"), "aether-placement");
            assert_eq!(
                found,
                [format!("crates/aether-placement/Cargo.toml: aether-placement is pure and may not use {other}")]
            );
            assert!(check_one(&format!("{other}.workspace = true\n"), "aether-runtime").is_empty());
        }
        assert!(check_one("thiserror.workspace = true\n", "aether-domain").is_empty());
    }

    #[test]
    fn a_new_crate_needs_a_place_in_the_table() {
        let manifest = Manifest::parse("crates/new", "[package]\nname = \"aether-new\"\n").expect("a manifest");
        let found = check(&BTreeMap::from([("aether-new".to_owned(), manifest)]));
        assert!(found.len() == 1 && found[0].contains("not in the table"), "{found:?}");
    }
}
