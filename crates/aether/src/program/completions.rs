//! `aether completions`: what a shell reads to complete commands and options.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};

use super::args::{Args, CompletionsArgs, Shell};

pub(super) fn run(CompletionsArgs { shell }: CompletionsArgs) {
    let text = text(shell);
    // If nobody reads any more there is nobody to tell.
    drop(std::io::stdout().lock().write_all(&text));
}

fn text(shell: Shell) -> Vec<u8> {
    let (mut command, mut text) = (Args::command(), Vec::new());
    match shell {
        Shell::Bash => generate(Bash, &mut command, "aether", &mut text),
        Shell::Zsh => generate(Zsh, &mut command, "aether", &mut text),
        Shell::Fish => generate(Fish, &mut command, "aether", &mut text),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_one_that_clap_can_go_by() {
        Args::command().debug_assert();
    }

    #[test]
    fn each_shell_is_told_of_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = String::from_utf8(text(shell)).expect("text");
            for command in Args::command().get_subcommands() {
                assert!(text.contains(command.get_name()), "{shell:?}: {}", command.get_name());
            }
            assert!(text.contains("no-color") && text.contains("nagios"), "{shell:?}");
        }
    }
}
