//! nats-servers that find each other through links, so that they can be kept apart without any right to touch the network.

use std::collections::BTreeMap;

use anyhow::Result;
use xtask::nats::{NatsCluster, NatsServer, ServerOptions};

use crate::{Carrier, Link, Weather};

/// What is between servers: a link for each way from one to another. Servers without it are next to each other.
#[derive(Debug, Default)]
pub struct Routes(BTreeMap<(usize, usize), Link>);

impl Routes {
    /// Starts so many servers as one cluster, with a link between each two, and waits until it is ready.
    ///
    /// # Errors
    /// As [`NatsCluster::start_with`]; or there is no port for a link.
    pub fn start(carrier: &Carrier, count: usize, options: &ServerOptions) -> Result<(Vec<NatsServer>, Self)> {
        let mut links = BTreeMap::new();
        let servers = NatsCluster::start_between(count, options, |from, to, port| {
            let link = carrier.link(&[format!("127.0.0.1:{port}")])?;
            let found_at = link.ports()[0];
            links.insert((from, to), link);
            Ok(found_at)
        })?;
        Ok((servers.into_servers(), Self(links)))
    }

    /// From now on it is so between these two, whoever of them has connected.
    pub fn become_between(&self, one: usize, other: usize, weather: Weather) {
        for ends in [(one, other), (other, one)] {
            if let Some(link) = self.0.get(&ends) {
                link.becomes(weather);
            }
        }
    }

    /// From now on it is so between this one and all others.
    pub fn become_around(&self, server: usize, weather: Weather) {
        let around = self.0.iter().filter(|((from, to), _)| [*from, *to].contains(&server));
        around.for_each(|(_, link)| link.becomes(weather));
    }

    /// Everything between servers is carried at once again.
    pub fn clear(&self) {
        self.0.values().for_each(|link| link.becomes(Weather::Fair));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use xtask::clock::{Deadline, wait_for};

    use super::*;

    /// With how many others each server is connected, once that is so.
    fn connected_with(servers: &[NatsServer], expected: [usize; 3]) {
        let mut seen = Vec::new();
        let waited = wait_for("that many routes", Deadline::after(Duration::from_secs(20)), || {
            seen = servers.iter().map(others).collect::<Result<Vec<_>>>()?;
            Ok((seen == expected).then_some(()))
        });
        assert!(waited.is_ok(), "expected {expected:?}, seen {seen:?}");
    }

    fn others(server: &NatsServer) -> Result<usize> {
        let said: Value = server.ask("/routez")?;
        let routes = said["routes"].as_array().into_iter().flatten();
        // One of them is several connections.
        Ok(routes.map(|route| route["remote_id"].to_string()).collect::<std::collections::BTreeSet<_>>().len())
    }

    #[test]
    fn servers_that_are_cut_from_each_other_find_no_way_around_until_it_is_over() -> Result<()> {
        let carrier = Carrier::new()?;
        let (servers, routes) = Routes::start(&carrier, 3, &ServerOptions::default())?;
        connected_with(&servers, [2, 2, 2]);
        routes.become_between(0, 1, Weather::Cut);
        connected_with(&servers, [1, 1, 2]);
        routes.become_around(2, Weather::Cut);
        connected_with(&servers, [0, 0, 0]);
        routes.become_around(2, Weather::Fair);
        // Each of the two is told of the other by the third, and must not learn a way to it.
        connected_with(&servers, [1, 1, 2]);
        routes.clear();
        connected_with(&servers, [2, 2, 2]);
        Ok(())
    }
}
