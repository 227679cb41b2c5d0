//! The machine against its rules, without a clock, a store or a task.

mod commits;
mod counter;
mod failures;
mod histories;
mod memory;
mod oracle;
mod outcomes;
mod owners;
mod ownership;
mod reads;
mod reconciled;
mod repeats;
mod said;
mod scene;
mod snapshots;
mod timers;
mod warm;
