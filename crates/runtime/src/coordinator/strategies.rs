//! The placement strategies that a node knows, by name and version: a leader plans with the one that was adopted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aether_domain::policy::Strategy;
use aether_domain::{InvalidId, StrategyName};
use aether_placement::{BoundedRing, ConsistentHashRing150, PlacementStrategy, Rendezvous, StickyBalanced};

/// The strategies that a node knows. By default those that come with Aether; a clone shares them.
///
/// Every node of a cluster should know the same: a leader that does not know the adopted one moves only what must move.
#[derive(Clone)]
pub struct Strategies {
    known: Arc<BTreeMap<Strategy, Arc<dyn PlacementStrategy>>>,
}

/// Why a strategy cannot be made known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterStrategyError {
    /// Its name is none that could be stored.
    #[error("the placement strategy cannot be adopted under its name")]
    Name(#[from] InvalidId),
    /// Versions count from 1.
    #[error("the placement strategy {name} has version 0; count from 1")]
    Version {
        /// What it is called.
        name: StrategyName,
    },
    /// Another is known under its name and version.
    #[error("the placement strategy {0} is known already")]
    Twice(Strategy),
}

impl Default for Strategies {
    fn default() -> Self {
        let mut strategies = Self { known: Arc::default() };
        let built_in = strategies
            .register(StickyBalanced)
            .and_then(|()| strategies.register(ConsistentHashRing150))
            .and_then(|()| strategies.register(BoundedRing::default()))
            .and_then(|()| strategies.register(Rendezvous));
        built_in.expect("their names are good, and different");
        strategies
    }
}

impl Strategies {
    /// Makes one more known.
    ///
    /// # Errors
    /// [`RegisterStrategyError`]; the others are as before.
    pub fn register(&mut self, strategy: impl PlacementStrategy) -> Result<(), RegisterStrategyError> {
        let id = strategy.id();
        let name = StrategyName::new(id.name)?;
        if id.version == 0 {
            return Err(RegisterStrategyError::Version { name });
        }
        let key = Strategy { name, version: id.version };
        if self.known.contains_key(&key) {
            return Err(RegisterStrategyError::Twice(key));
        }
        Arc::make_mut(&mut self.known).insert(key, Arc::new(strategy));
        Ok(())
    }

    /// Whether that one is known.
    pub fn knows(&self, strategy: &Strategy) -> bool {
        self.known.contains_key(strategy)
    }

    /// What is known, by name and version.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Strategy> {
        self.known.keys()
    }

    pub(super) fn get(&self, strategy: &Strategy) -> Option<&dyn PlacementStrategy> {
        self.known.get(strategy).map(|known| &**known)
    }
}

impl fmt::Debug for Strategies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys().map(ToString::to_string)).finish()
    }
}

#[cfg(test)]
mod tests {
    use aether_placement::{PlacementError, PlacementInput, PlacementPlan, StrategyId};

    use super::*;

    struct Named(&'static str, u16);

    impl PlacementStrategy for Named {
        fn id(&self) -> StrategyId {
            StrategyId { name: self.0, version: self.1 }
        }
        fn plan(&self, _: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
            Ok(PlacementPlan::default())
        }
    }

    #[test]
    fn a_strategy_is_known_by_its_name_and_version_and_only_once() {
        let mut strategies = Strategies::default();
        assert!(strategies.knows(&Strategy::built_in()));
        let before = strategies.clone();
        assert_eq!(strategies.register(Named("own", 2)), Ok(()));
        let own: Strategy = "own/2".parse().expect("a strategy");
        assert!(strategies.knows(&own) && !before.knows(&own));
        assert_eq!(strategies.register(Named("own", 2)), Err(RegisterStrategyError::Twice(own)));
        assert_eq!(strategies.register(Named("own", 3)), Ok(()));
        assert_eq!(strategies.register(StickyBalanced), Err(RegisterStrategyError::Twice(Strategy::built_in())));
        assert!(matches!(strategies.register(Named("Own", 1)), Err(RegisterStrategyError::Name(_))));
        assert!(matches!(strategies.register(Named("own", 0)), Err(RegisterStrategyError::Version { .. })));
        let names: Vec<_> = strategies.names().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["bounded-ring/1", "consistent-hash-ring-150/1", "own/2", "own/3", "rendezvous/1", "sticky-balanced/1",]
        );
    }
}
