//! What the placement crate promises, checked from outside.

mod check;
mod exhaustive;
mod extremes;
mod flow;
mod flow_edges;
mod flow_oracle;
mod flow_world;
mod golden;
mod hash;
mod kit;
mod load;
mod loads;
mod maps;
mod proof;
mod properties;
mod rolling;
mod table;
mod waves;
mod wire;
mod wire_replica;
mod world;

// What `cargo xtask placement prove` runs, here in a slice.
#[path = "../../benches/prove/churn.rs"]
mod churn;
#[path = "../../benches/prove/natural.rs"]
mod natural;
#[path = "../../benches/prove/promises.rs"]
mod promises;
#[path = "../../benches/prove/slow.rs"]
mod slow;

use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};

/// Properties run on `bounded` cases, or on `AETHER_CASES` of them where more time is at hand; the seed is
/// `AETHER_SEED`, fixed if absent, so that a run can be repeated.
fn cases(bounded: u32) -> Config {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a whole number"));
    Config {
        cases: number("AETHER_CASES").map_or(bounded, |cases| u32::try_from(cases).expect("a number of cases")),
        rng_seed: RngSeed::Fixed(number("AETHER_SEED").unwrap_or(20_261_122)),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/placement/regressions.txt"))),
        ..Config::default()
    }
}
