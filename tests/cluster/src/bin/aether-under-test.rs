//! The `aether` program, for tests that start it as processes of their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    aether::program::main()
}
