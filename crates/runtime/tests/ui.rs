//! What the compiler says about the commonest mistakes: each message names the cure.
//!
//! One program is compiled again and again, once as it should be and then with each mistake, against the libraries that
//! this test itself was built with. Some mistakes are found only where a program is built and not merely checked.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Each mistake, and what the compiler must say of it.
const MISTAKES: [(&str, &[&str]); 9] = [
    (
        "command_not_listed",
        &["`Dim` is not one of this actor's commands", "add it to `type Commands = (..)` in the actor's `impl Actor`"],
    ),
    (
        "command_not_listed_among_two",
        &["`Dim` is not one of this actor's commands", "add it to `type Commands = (..)` in the actor's `impl Actor`"],
    ),
    (
        "handler_missing",
        &[
            "`Lamp` lists the command `Light` but does not handle it",
            "`impl Handle<Light> for Lamp` is missing",
            "every command in `type Commands = (..)` needs a handler",
        ],
    ),
    (
        "wrong_reply_type",
        &[
            "the command's `Reply` is `u64`, but its handler answers `String`",
            "answer a `u64`, with `.reply(..)` behind the events or with `Self::answer(..)`",
            "or write `type Reply = String` in the command's `impl Command`",
        ],
    ),
    (
        "wrong_answer_type",
        &["the command's `Reply` is `u64`, but its handler answers `bool`", "or write `type Reply = bool` in"],
    ),
    (
        "reply_missing",
        &[
            "the command's `Reply` is `u64`, but its handler answers `()`",
            "answer a `u64`, with `.reply(..)` behind the events",
        ],
    ),
    ("command_name_twice", &["two commands of the actor `lamp` have the name `light`: give each its own `NAME`"]),
    (
        "command_name_reserved",
        &["a command of the actor `lamp` has the name `$dim`: give it a `NAME` that has letters and no `$` in front"],
    ),
    (
        "upcaster_missing",
        &["this event's VERSION is not 1, and nothing reads its older versions: write `fn upcast` in its `impl Event`"],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the program is linked with: of the same build as all tests of the workspace, so that nothing is built anew.
fn parts() -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["build", "--workspace", "--features", "aether/test-kit", "--locked"]);
    cargo.args(["--example", "lamp_parts", "--message-format", "json", "--quiet"]);
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo starts");
    assert!(output.status.success(), "the libraries are built: {}", output.status);
    let said = String::from_utf8(output.stdout).expect("cargo writes text");
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut of_parts = messages.filter(|message| message["target"]["name"] == "lamp_parts");
    let files = of_parts.find_map(|message| message["filenames"].as_array().cloned()).expect("cargo names its files");
    let mut files = files.iter().filter_map(|file| file.as_str().map(PathBuf::from));
    files.find(|file| file.extension().is_some_and(|kind| kind == "rlib")).expect("a library among them")
}

fn compile(parts: &Path, mistake: Option<&str>, program: &Path) -> Output {
    // Beside the examples: `…/debug/examples` and `…/debug/deps`.
    let libraries = parts.parent().and_then(Path::parent).expect("it is in a folder of its build").join("deps");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(root()).args(["--edition", "2024", "--color", "never", "--crate-name", "lamp"]);
    rustc.arg("--extern").arg(format!("lamp_parts={}", parts.display()));
    rustc.arg("-L").arg(format!("dependency={}", libraries.display()));
    rustc.args(mistake.iter().flat_map(|mistake| ["--cfg", mistake]));
    rustc.arg("-o").arg(program).arg("crates/runtime/tests/ui/lamp.rs");
    rustc.output().expect("rustc starts")
}

#[test]
fn the_commonest_mistakes_are_met_by_a_message_that_names_the_cure() {
    let parts = parts();
    let folder = tempfile::tempdir().expect("a folder");
    let right = folder.path().join("right");
    let output = compile(&parts, None, &right);
    assert!(output.status.success(), "without a mistake: {}", String::from_utf8_lossy(&output.stderr));
    assert!(Command::new(right).status().expect("it starts").success(), "what is right runs");
    for (mistake, texts) in MISTAKES {
        let output = compile(&parts, Some(mistake), &folder.path().join(mistake));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{mistake} compiles");
        for text in texts {
            assert!(said.contains(text), "{mistake}: {text:?} is missing from\n{said}");
        }
        let errors = said.lines().filter(|line| line.starts_with("error") && !line.starts_with("error: aborting"));
        assert_eq!(errors.count(), 1, "{mistake} is one error:\n{said}");
    }
}
