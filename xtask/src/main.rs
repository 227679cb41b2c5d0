//! `cargo xtask`: the commands of the workspace.

fn main() {}
