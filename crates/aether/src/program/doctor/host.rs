//! This machine and this process, as far as a file says how they are.

use std::path::Path;

use aether_infra_nats::{Credentials, Tls, credentials_until, validity};

use super::facts::{Certificates, Host, Told};

/// Variables that hold a secret themselves.
const SECRET_VARIABLES: [&str; 2] = ["AETHER_NATS__PASSWORD", "AETHER_NATS__TOKEN"];

/// How this machine is for a node that is told that.
pub(super) fn host(told: Option<&Told>) -> Host {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let secret_variables: Vec<_> =
        SECRET_VARIABLES.into_iter().filter(|name| std::env::var_os(name).is_some()).collect();
    let open_file = told.filter(|told| holds_secret(told) && secret_variables.is_empty()).and_then(open);
    let announced = told.and_then(|told| std::fs::read_to_string(told.settings.admin.announce.as_deref()?).ok());
    Host {
        open_files_max: read("/proc/self/limits").and_then(|text| open_files_max(&text)),
        memory_bytes: memory_bytes(read("/proc/meminfo").as_deref(), read("/sys/fs/cgroup/memory.max").as_deref()),
        secret_variables,
        open_file,
        certificates: told.map(|told| certificates(&told.nats.tls)).unwrap_or_default(),
        credentials: told.and_then(|told| match &told.nats.credentials {
            Credentials::File(file) => Some((file.clone(), credentials_until(file))),
            _ => None,
        }),
        announced: announced.map(|url| url.trim().to_owned()),
    }
}

fn holds_secret(Told { settings, .. }: &Told) -> bool {
    settings.nats.password.is_some() || settings.nats.token.is_some()
}

/// The mode of the node's file, if others may read it.
#[cfg(unix)]
fn open(told: &Told) -> Option<u32> {
    crate::config::open_to_others(&std::fs::metadata(told.file.as_deref()?).ok()?)
}

#[cfg(not(unix))]
fn open(_: &Told) -> Option<u32> {
    None
}

fn certificates(tls: &Tls) -> Vec<Certificates> {
    let of = |setting, file: &Path| Certificates { setting, file: file.to_owned(), held: validity(file) };
    let authorities = tls.authorities.iter().map(|file| of("nats.tls_ca", file));
    authorities.chain(tls.identity.iter().map(|(file, _)| of("nats.tls_cert", file))).collect()
}

/// The soft limit of open files in the text of `/proc/self/limits`.
fn open_files_max(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

/// The smaller of what the machine has, in the text of `/proc/meminfo`, and what its control group may use.
fn memory_bytes(machine: Option<&str>, group: Option<&str>) -> Option<u64> {
    let machine = machine.and_then(|text| {
        let kib: u64 =
            text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.split_whitespace().next()?.parse().ok()?;
        kib.checked_mul(1024)
    });
    let group = group.and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_linux_writes_them() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 20000                files     \n";
        assert_eq!(open_files_max(limits), Some(1024));
        for odd in ["", "Max open files            unlimited            unlimited            files", "Max open files"] {
            assert_eq!(open_files_max(odd), None, "{odd}");
        }
    }

    #[test]
    fn memory_is_the_machines_or_what_its_group_may_use() {
        let machine = Some("MemTotal:       24717248 kB\nMemFree: 1 kB\n");
        for (machine, group, bytes) in [
            (machine, None, Some(24_717_248 * 1024)),
            (machine, Some("max\n"), Some(24_717_248 * 1024)),
            (machine, Some("1073741824\n"), Some(1 << 30)),
            (None, Some("1073741824\n"), Some(1 << 30)),
            (Some("MemTotal: many"), None, None),
            (None, None, None),
        ] {
            assert_eq!(memory_bytes(machine, group), bytes, "{machine:?} {group:?}");
        }
    }
}
