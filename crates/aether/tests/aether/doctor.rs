//! `aether doctor` on real servers and real files: faults are made, named with their cures, and gone once they are cured.

mod nodes;
mod scene;
mod servers;
mod settings;
mod streams;
