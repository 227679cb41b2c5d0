//! How a nats-server is to run, and the configuration file that says so.
//!
//! Only what tests and local clusters vary is an option; the rest is fixed here: loopback, its own folder, a port for
//! clients that survives a restart and a monitoring port the server chooses.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// When JetStream tells the disk to keep what it acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// The server's own default: every two minutes. An acknowledged write survives `kill -9`, not a power cut.
    #[default]
    ServerDefault,
    /// Before each acknowledgement: the full promise.
    Always,
    /// This often.
    Every(Duration),
}

/// How a server is to run. The default is a fast throw-away server for tests, with JetStream and without passwords.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The program; without it whatever [`super::locate`] finds with its default options.
    pub program: Option<PathBuf>,
    /// The folder for configuration, log and store; it is the caller's and stays. Without it a folder of its own
    /// among the system's temporary files, removed in the end.
    pub dir: Option<PathBuf>,
    /// Leave the temporary folder when the value is dropped, to look into it.
    pub keep: bool,
    /// When JetStream writes to disk.
    pub sync: Sync,
    /// Whether JetStream is on.
    pub jetstream: bool,
    /// User and password that clients must give; without it anybody on this machine may connect.
    pub login: Option<(String, String)>,
    /// Lines added to the configuration file.
    pub extra: String,
    /// Runs in a process group of its own, so that an interrupt from the terminal does not reach it.
    pub own_group: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            program: None,
            dir: None,
            keep: false,
            sync: Sync::default(),
            jetstream: true,
            login: None,
            extra: String::new(),
            own_group: false,
        }
    }
}

/// Where one server listens and whom it knows.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Unique within a cluster.
    pub(super) name: String,
    pub(super) client_port: u16,
    pub(super) routes: Option<Routes>,
}

/// How the servers of a cluster find each other.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    pub(super) own_port: u16,
    /// Where this one finds each of them, itself among them.
    pub(super) found_at: Vec<u16>,
    /// Whether something is between them: then no server tells a third one where another really listens.
    pub(super) hidden: bool,
}

/// A port of this machine on which nobody listens.
const NOWHERE: u16 = 1;

/// The configuration file of one server whose folder is `dir`.
pub(super) fn render(options: &ServerOptions, place: &Place, dir: &Path) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{args}");
    };
    line(format_args!("server_name: {}", quoted(&place.name)));
    line(format_args!("listen: \"127.0.0.1:{}\"", place.client_port));
    line(format_args!("http: \"127.0.0.1:-1\""));
    line(format_args!("ports_file_dir: {}", quoted(&dir.display().to_string())));
    line(format_args!("write_deadline: \"5s\""));
    line(format_args!("ping_interval: \"10s\""));
    if options.jetstream {
        let store = quoted(&dir.join("store").display().to_string());
        let sync = match options.sync {
            Sync::ServerDefault => String::new(),
            Sync::Always => ", sync_interval: always".to_owned(),
            Sync::Every(span) => format!(", sync_interval: \"{}ms\"", span.as_millis()),
        };
        line(format_args!("jetstream {{ store_dir: {store}{sync} }}"));
    }
    if let Some((user, password)) = &options.login {
        line(format_args!("authorization {{ user: {}, password: {} }}", quoted(user), quoted(password)));
    }
    if let Some(routes) = &place.routes {
        let all: Vec<_> = routes.found_at.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let told = if routes.hidden { format!(", advertise: \"127.0.0.1:{NOWHERE}\"") } else { String::new() };
        // Clients are told all addresses by whoever starts them: one that goes through a proxy must not learn a way past it.
        line(format_args!(
            "cluster {{ name: \"aether-local\", listen: \"127.0.0.1:{}\", routes: [{}], connect_backoff: true, no_advertise: true{told} }}",
            routes.own_port,
            all.join(", ")
        ));
    }
    text.push_str(&options.extra);
    text
}

/// A string as nats-server's configuration reads it back unchanged.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(routes: Option<Routes>) -> Place {
        Place { name: "s1".to_owned(), client_port: 15_000, routes }
    }

    #[test]
    fn what_is_not_asked_for_is_not_in_the_file() {
        let options = ServerOptions { jetstream: false, ..ServerOptions::default() };
        let text = render(&options, &place(None), Path::new("/d"));
        for word in ["jetstream", "authorization", "cluster", "sync_interval"] {
            assert!(!text.contains(word), "{word} in\n{text}");
        }
        assert!(text.contains("listen: \"127.0.0.1:15000\""), "{text}");
    }

    #[test]
    fn each_option_has_its_line() {
        let options = ServerOptions {
            sync: Sync::Always,
            login: Some(("u".to_owned(), "p\"q".to_owned())),
            extra: "max_payload: 65536\n".to_owned(),
            ..ServerOptions::default()
        };
        let routes = Routes { own_port: 15_001, found_at: vec![15_001, 15_002], hidden: false };
        let text = render(&options, &place(Some(routes)), Path::new("/d"));
        for expected in [
            "jetstream { store_dir: \"/d/store\", sync_interval: always }",
            "authorization { user: \"u\", password: \"p\\\"q\" }",
            "listen: \"127.0.0.1:15001\", routes: [\"nats://127.0.0.1:15001\", \"nats://127.0.0.1:15002\"]",
            "no_advertise: true",
            "max_payload: 65536",
        ] {
            assert!(text.contains(expected), "{expected} not in\n{text}");
        }
        assert!(!text.contains(" advertise"), "each may tell the others of a third:\n{text}");
    }

    #[test]
    fn a_server_behind_something_tells_nobody_where_it_really_listens() {
        let routes = Routes { own_port: 15_001, found_at: vec![15_001, 40_002], hidden: true };
        let text = render(&ServerOptions::default(), &place(Some(routes)), Path::new("/d"));
        assert!(text.contains(", advertise: \"127.0.0.1:1\" }"), "{text}");
    }
}
