//! Loads as clusters have them: drawn with a seed, for the tests and for the benchmark.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "what is drawn may be rounded; what is planned is whole numbers"
)]

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Numbers drawn from a seed.
pub(crate) struct Draw {
    seed: u64,
    drawn: u64,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Above 0 and below 1.
    fn fraction(&mut self) -> f64 {
        self.drawn += 1;
        ((xxh3_64_with_seed(&self.drawn.to_le_bytes(), self.seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// With mean 0 and deviation 1.
    fn normal(&mut self) -> f64 {
        let (length, angle) = (self.fraction(), self.fraction());
        (-2.0 * length.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Some shards much heavier than most: the logarithm of the load is normal, with deviation 1.
    pub(crate) fn lognormal(&mut self, shards: usize) -> Vec<f64> {
        (0..shards).map(|_| self.normal().exp()).collect()
    }

    /// `actors` actors, the nth of which has a load of `n^-0.9`, each in a shard that is drawn.
    pub(crate) fn zipf(&mut self, shards: usize, actors: u32) -> Vec<f64> {
        let mut loads = vec![0.0; shards];
        for nth in 1..=actors {
            loads[(self.fraction() * shards as f64) as usize] += f64::from(nth).powf(-0.9);
        }
        loads
    }

    /// Each load becomes another by a tenth, up or down.
    pub(crate) fn drift(&mut self, loads: &mut [f64]) {
        for load in loads {
            *load *= (0.1 * self.normal()).exp();
        }
    }
}

/// The loads as nodes would report them, the mean being 10,000.
pub(crate) fn measured(loads: &[f64]) -> Vec<u32> {
    let unit = loads.iter().sum::<f64>() / loads.len() as f64 / 10_000.0;
    loads.iter().map(|load| (load / unit) as u32).collect()
}

/// The load of each of `nodes` nodes of one weight, by the owners' indices, highest first, and the least that the highest
/// can be: the mean, or the heaviest shard.
pub(crate) fn heats(owners: impl Iterator<Item = usize>, loads: &[u32], nodes: usize) -> (Vec<f64>, f64) {
    let mut heats = vec![0.0; nodes];
    for (owner, load) in owners.zip(loads) {
        heats[owner] += f64::from(*load);
    }
    let mean = heats.iter().sum::<f64>() / nodes as f64;
    let heaviest = loads.iter().copied().max().unwrap_or(0);
    heats.sort_unstable_by(|a, b| b.total_cmp(a));
    (heats, mean.max(heaviest.into()))
}
