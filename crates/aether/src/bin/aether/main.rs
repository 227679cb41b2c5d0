//! The `aether` program; see `aether::program`.

use std::process::ExitCode;

fn main() -> ExitCode {
    aether::program::main()
}
