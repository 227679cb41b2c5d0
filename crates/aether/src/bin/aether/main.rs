//! The `aether` program; see `aether::program`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// See docs/adr/0023-the-program-brings-its-own-allocator.md.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    aether::program::main()
}
