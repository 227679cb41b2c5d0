//! Several nats-servers as one replicated cluster, for streams with three replicas.
//!
//! It is ready when every server is healthy and all name the same leader of JetStream's meta group: before that,
//! creating a stream with three replicas fails.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{
    config::{Place, Routes, ServerOptions},
    locate::{Options, locate},
    ports,
    server::NatsServer,
};
use crate::clock::{Deadline, wait_for};

/// How long a cluster may take until it is ready. A fresh one takes under a second, one that lost its leader up to
/// nine seconds for the election.
const READY_LIMIT: Duration = Duration::from_secs(45);

/// How many sets of ports are tried when somebody else is faster.
const ATTEMPTS_MAX: usize = 8;

/// Replicated nats-servers on loopback. Dropping it kills them all.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts `count` fresh servers with the default options and waits until the cluster is ready.
    ///
    /// # Errors
    /// As [`NatsServer::start`]; nothing is left running.
    pub fn start(count: usize) -> Result<Self> {
        Self::start_with(count, &ServerOptions::default())
    }

    /// Starts `count` servers, each with `options` and a folder of its own: below `options.dir` if it is given.
    ///
    /// # Errors
    /// As [`NatsServer::start`]; nothing is left running.
    pub fn start_with(count: usize, options: &ServerOptions) -> Result<Self> {
        Self::start_between(count, options, |_, _, port| Ok(port))
    }

    /// As [`NatsCluster::start_with`], with something between the servers: `way` is asked on which port the server of the
    /// first index finds that of the second, which listens on the port it is told. It is asked anew when a port was taken.
    ///
    /// # Errors
    /// As [`NatsCluster::start_with`], or as `way`.
    pub fn start_between(
        count: usize,
        options: &ServerOptions,
        mut way: impl FnMut(usize, usize, u16) -> Result<u16>,
    ) -> Result<Self> {
        let program = options.program.clone().map_or_else(|| locate(&Options::default()), Ok)?;
        for _ in 0..ATTEMPTS_MAX {
            if let Some(cluster) = Self::attempt(count, &program, options, &mut way)? {
                cluster.wait_ready()?;
                return Ok(cluster);
            }
        }
        bail!("{ATTEMPTS_MAX} sets of ports were taken by somebody else between choosing and using them")
    }

    fn attempt(
        count: usize,
        program: &Path,
        options: &ServerOptions,
        way: &mut impl FnMut(usize, usize, u16) -> Result<u16>,
    ) -> Result<Option<Self>> {
        let own_ports = (0..count).map(|_| ports::free()).collect::<Result<Vec<_>>>()?;
        let mut servers = Vec::with_capacity(count);
        for (index, &own_port) in own_ports.iter().enumerate() {
            let name = format!("nats-{}", index + 1);
            let options = ServerOptions {
                program: Some(program.to_path_buf()),
                dir: options.dir.as_ref().map(|dir| dir.join(&name)),
                ..options.clone()
            };
            let way = |(other, &port)| if other == index { Ok(port) } else { way(index, other, port) };
            let found_at = own_ports.iter().enumerate().map(way).collect::<Result<Vec<_>>>()?;
            let hidden = found_at.iter().any(|port| !own_ports.contains(port));
            let routes = Routes { own_port, found_at, hidden };
            let place = Place { name, client_port: ports::free()?, routes: Some(routes) };
            match NatsServer::start_member(options, place)? {
                Some(server) => servers.push(server),
                None => return Ok(None),
            }
        }
        Ok(Some(Self { servers }))
    }

    /// Where clients connect: one URL for each server, dead ones included.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::url).collect()
    }

    /// The server at `index`, from 0.
    ///
    /// # Panics
    /// There is no such server.
    pub fn server(&self, index: usize) -> &NatsServer {
        &self.servers[index]
    }

    /// The server at `index`, from 0, to kill or restart it.
    ///
    /// # Panics
    /// There is no such server.
    pub fn server_mut(&mut self, index: usize) -> &mut NatsServer {
        &mut self.servers[index]
    }

    /// All servers.
    pub fn servers(&self) -> &[NatsServer] {
        &self.servers
    }

    /// Gives the servers out of the cluster, to own each alone.
    pub fn into_servers(self) -> Vec<NatsServer> {
        self.servers
    }

    /// The index of the server that leads JetStream's meta group, as the running servers agree on it; `None` while
    /// they do not.
    pub fn meta_leader(&self) -> Option<usize> {
        let running = self.servers.iter().filter(|server| server.pid().is_some());
        let mut leaders = running.map(|server| meta_leader_seen_by(server).ok().flatten());
        let first = leaders.next()??;
        leaders.all(|leader| leader.as_ref() == Some(&first)).then_some(())?;
        self.servers.iter().position(|server| server.name() == first)
    }

    /// Waits until every running server is healthy and they agree on a meta leader.
    ///
    /// # Errors
    /// Not within 45 s.
    pub fn wait_ready(&self) -> Result<()> {
        wait_for("the NATS cluster to be healthy with a leader", Deadline::after(READY_LIMIT), || {
            let healthy = self.servers.iter().filter(|s| s.pid().is_some()).all(NatsServer::is_healthy);
            Ok((healthy && self.meta_leader().is_some()).then_some(()))
        })
        .with_context(|| {
            let logs: Vec<_> = self.servers.iter().map(|s| s.log_path().display().to_string()).collect();
            format!("the logs are {} (set `keep` to have them left)", logs.join(", "))
        })
    }
}

fn meta_leader_seen_by(server: &NatsServer) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Jsz {
        meta_cluster: Option<Meta>,
    }
    #[derive(Deserialize)]
    struct Meta {
        leader: Option<String>,
    }
    let seen: Jsz = server.ask("/jsz")?;
    Ok(seen.meta_cluster.and_then(|meta| meta.leader).filter(|leader| !leader.is_empty()))
}
