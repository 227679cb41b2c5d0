//! The planner's promises on as many drawn cases as there is time for: `cargo xtask placement prove --cases 1000000`.
//!
//! Each is compared with what `slow` works out from the definition alone. The first that fails is printed with its seed, and
//! the run fails. `--cases N` (100,000), `--steps N` of churn (10,000), `--seed S` (1).

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a run of minutes says how it goes and how long it took"
)]

mod churn;
mod natural;
mod promises;
mod slow;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

fn main() {
    let (mut seed, mut count, mut steps) = (1_u64, 100_000_u32, 10_000_u32);
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(flag) = arguments.next() {
        let number = arguments.next().and_then(|text| text.parse::<u64>().ok());
        let small = number.and_then(|number| u32::try_from(number).ok());
        match (flag.as_str(), number, small) {
            ("--seed", Some(number), _) => seed = number,
            ("--cases", _, Some(number)) => count = number,
            ("--steps", _, Some(number)) => steps = number,
            _ => fail(&format!("{flag}: there are --cases N, --steps N and --seed S, each a number")),
        }
    }
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
    // The first case of all that failed; those behind it need not be looked at.
    let failed = AtomicU32::new(u32::MAX);
    let check = &|first: u32| {
        let mine = (first..count).step_by(threads as usize);
        for case in mine.take_while(|case| *case < failed.load(Ordering::Relaxed)) {
            if let Err(what) = promises::check(seed, case) {
                failed.fetch_min(case, Ordering::Relaxed);
                return Some((case, what));
            }
        }
        None
    };
    let failures = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|first| scope.spawn(move || check(first))).collect();
        all.into_iter().filter_map(|one| one.join().expect("a case that panics ends the run")).min()
    });
    if let Some((_, what)) = failures {
        fail(&what);
    }
    let took = began.elapsed();
    let each = f64::from(count) / took.as_secs_f64();
    println!("{count} cases of seed {seed} hold: {took:.1?} on {threads} threads, {each:.0} a second");
    let began = Instant::now();
    let tally = churn::run(seed, steps).unwrap_or_else(|what| fail(&what));
    println!("{steps} steps of churn of seed {seed} hold: {:.1?}, {tally:?}", began.elapsed());
}

fn fail(what: &str) -> ! {
    println!("{what}");
    std::process::exit(1);
}
