//! The machine against its rules, without a clock, a store or a task.

mod commits;
mod counter;
mod failures;
mod histories;
mod oracle;
mod outcomes;
mod owners;
mod ownership;
mod reads;
mod repeats;
mod scene;
mod snapshots;
mod timers;
