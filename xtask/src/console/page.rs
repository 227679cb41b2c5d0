//! What a document asks its reader to type, and what it says will come of it.

use anyhow::{Result, bail};

/// One command of a console block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The line of the document that it stands on, from 1.
    pub line: usize,
    /// What is typed, without the prompt and without a comment behind it.
    pub text: String,
    /// What it is said to say, line by line.
    pub shown: Vec<String>,
}

/// The commands of every console block, in order. Of a source file only the `//!` lines are read.
///
/// # Errors
/// A block has no end, or begins with what no command has said.
pub fn commands(document: &str) -> Result<Vec<Command>> {
    let source = document.starts_with("//!");
    let mut commands: Vec<Command> = Vec::new();
    let mut open = None;
    for (nth, line) in document.lines().enumerate() {
        let line = if source {
            let Some(line) = line.strip_prefix("//!") else { break };
            line.strip_prefix(' ').unwrap_or(line)
        } else {
            line
        };
        if open.is_none() {
            open = (line.trim_end() == "```console").then_some((nth + 1, commands.len()));
        } else if line.starts_with("```") {
            open = None;
        } else if let Some(typed) = line.strip_prefix("$ ") {
            let text = typed.split(" # ").next().unwrap_or(typed).trim_end().to_owned();
            commands.push(Command { line: nth + 1, text, shown: Vec::new() });
        } else {
            let first = open.map_or(0, |(_, first)| first);
            let Some(command) = commands.get_mut(first..).and_then(<[_]>::last_mut) else {
                bail!("line {}: nothing was typed that could say this", nth + 1);
            };
            command.shown.push(line.to_owned());
        }
    }
    if let Some((line, _)) = open {
        bail!("line {line}: the console block has no end");
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: usize, text: &str, shown: &[&str]) -> Command {
        Command { line, text: text.to_owned(), shown: shown.iter().map(|&line| line.to_owned()).collect() }
    }

    #[test]
    fn each_prompt_is_a_command_and_the_lines_below_it_are_what_it_says() {
        let text = "Type:\n\n```console\n$ one --a   # why\nfirst\n\nthird\n$ two\n```\n\n```text\n$ three\n```\n";
        let expected = [command(4, "one --a", &["first", "", "third"]), command(8, "two", &[])];
        assert_eq!(commands(text).expect("sound"), expected);
    }

    #[test]
    fn of_a_source_only_its_header_is_read() {
        let text = "//! A thing.\n//!\n//! ```console\n//! $ run it\n//! said\n//! ```\nfn main() {}\n// ```console\n";
        assert_eq!(commands(text).expect("sound"), [command(4, "run it", &["said"])]);
    }

    #[test]
    fn what_no_command_has_said_and_what_does_not_end_is_named_with_its_line() {
        let stray = commands("```console\nfirst\n```\n").expect_err("nobody said it").to_string();
        assert!(stray.starts_with("line 2:"), "{stray}");
        let later = commands("```console\n$ a\n```\n```console\nb\n```\n").expect_err("nobody said it").to_string();
        assert!(later.starts_with("line 5:"), "{later}");
        let endless = commands("\n```console\n$ a\n").expect_err("it has no end").to_string();
        assert!(endless.starts_with("line 2:"), "{endless}");
    }
}
