//! `cargo xtask big-endian`: the tests of the pure crates, on an emulated machine whose bytes are the other way round.
//!
//! A plan, a digest and a frame must be the same on every machine; nearly every machine at hand is little-endian. The target
//! is s390x Linux, emulated by QEMU. It needs a compiler with that target's standard library: the toolchain's own, where
//! `rustup target add` can bring it, or with `--debian` the one that Debian packages, unpacked below target/ and not
//! installed. That one may be older than the workspace allows; what it lacks is switched on by name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::out;

const TARGET: &str = "s390x-unknown-linux-gnu";
const LINKER: &str = "s390x-linux-gnu-gcc";
const EMULATOR: &str = "qemu-s390x";
/// What Debian calls the linker, the libraries to link with, and the emulator.
const DEBIAN_TOOLS: &str = "gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user";
/// The crates whose results must not depend on the machine, and that need no C.
const PACKAGES: [&str; 2] = ["aether-domain", "aether-placement"];
/// What the sources use that became stable only after Debian's compiler.
const NEWER: &str = "-Zcrate-attr=feature(let_chains,unsigned_is_multiple_of,integer_sign_cast)";

/// Runs the tests of the pure crates for s390x Linux; with `debian`, by a compiler fetched from Debian's packages.
///
/// # Errors
/// A tool is missing (it is named, and how to get it), or a test fails.
pub fn run(root: &Path, debian: bool) -> Result<()> {
    for tool in [LINKER, EMULATOR] {
        ensure!(answers(tool), "{tool} is missing; Debian has it: apt-get install {DEBIAN_TOOLS}");
    }
    let folder = root.join("target").join("big-endian");
    fs::create_dir_all(&folder)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).stdin(Stdio::null());
    cargo.args(["test", "--locked", "--ignore-rust-version", "--lib", "--tests", "--target", TARGET]);
    cargo.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    if debian {
        let rustc = unpacked(&folder.join("debian"))?;
        let wrapper = folder.join("wrapper.sh");
        fs::write(&wrapper, format!("#!/bin/sh\nexec \"$@\" '{NEWER}'\n"))?;
        make_executable(&wrapper)?;
        let libraries = folder.join("debian/usr/lib/x86_64-linux-gnu");
        cargo.env("RUSTC", rustc).env("LD_LIBRARY_PATH", libraries);
        cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    } else {
        ensure!(
            has_target("rustc", None),
            "the toolchain has no standard library for {TARGET}: rustup target add {TARGET}, or use --debian"
        );
    }
    let upper = TARGET.to_uppercase().replace('-', "_");
    cargo.env(format!("CARGO_TARGET_{upper}_LINKER"), LINKER);
    cargo.env(format!("CARGO_TARGET_{upper}_RUNNER"), format!("{EMULATOR} -L /usr/s390x-linux-gnu"));
    cargo.env("CARGO_TARGET_DIR", folder.join("target"));
    let status = cargo.status().context("starting cargo")?;
    ensure!(status.success(), "the tests ended with {status} on {TARGET}");
    Ok(())
}

fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether that compiler has the target's standard library.
fn has_target(rustc: impl AsRef<std::ffi::OsStr>, libraries: Option<&Path>) -> bool {
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", TARGET]).stdin(Stdio::null());
    command.envs(libraries.map(|folder| ("LD_LIBRARY_PATH", folder)));
    let Ok(output) = command.output() else { return false };
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    output.status.success() && fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
}

/// Debian's compiler with both standard libraries, unpacked in `folder`; fetched if it is not there yet.
fn unpacked(folder: &Path) -> Result<PathBuf> {
    let rustc = folder.join("usr/bin/rustc");
    let libraries = folder.join("usr/lib/x86_64-linux-gnu");
    if !has_target(&rustc, Some(&libraries)) {
        fs::create_dir_all(folder)?;
        let foreign = "libstd-rust-web-dev:s390x";
        said("dpkg", &["--add-architecture", "s390x"], folder)?;
        said("apt-get", &["update", "-qq"], folder)?;
        let policy = said("apt-cache", &["policy", foreign], folder)?;
        let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: ")).unwrap_or("(none)");
        ensure!(version != "(none)", "Debian has no {foreign} here");
        let release: Vec<&str> = version.splitn(3, '.').take(2).collect();
        let own = format!("libstd-rust-web-{}", release.join("."));
        let exact = [foreign, "rustc-web", "libstd-rust-web-dev"].map(|package| format!("{package}={version}"));
        out::note(format!("fetching Debian's Rust {version}"));
        let mut download = vec!["download", own.as_str()];
        download.extend(exact.iter().map(String::as_str));
        said("apt-get", &download, folder)?;
        for package in fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path()) {
            if package.extension().is_some_and(|ending| ending == "deb") {
                said("dpkg", &["-x", &package.display().to_string(), "."], folder)?;
                fs::remove_file(&package)?;
            }
        }
    }
    ensure!(
        has_target(&rustc, Some(&libraries)),
        "Debian's Rust does not start in {}: it needs libllvm (apt-cache depends rustc-web names which)",
        folder.display()
    );
    Ok(rustc)
}

fn said(program: &str, arguments: &[&str], folder: &Path) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("starting {program}: --debian is for Debian and its like"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {} ended with {}: {}", arguments.join(" "), output.status, error.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
