//! `aether doctor`: what is wrong or unwise, and the cure. [`look`] gathers facts, [`rules`] judges them, [`form`] shows it.
//!
//! It runs with what a node would run with, before one is deployed or while it runs, and writes nothing. What is refused or warned
//! of when a node starts is decided there; here it is said with the rest, before a node has to end for it.

mod facts;
mod finding;
mod form;
mod host;
mod look;
mod monitor;
mod rules;

use super::args::{DoctorArgs, Global};
use super::{exit, out};
use finding::Severity;

pub(super) async fn run(args: DoctorArgs, global: &Global) -> anyhow::Result<u8> {
    let form = global.form()?;
    if args.list {
        out::line(form::listed(rules::kinds(), form, global.ink()));
        return Ok(exit::OK);
    }
    let facts = look::facts(args, global).await?;
    let report = rules::report(&facts);
    out::line(form::shown(&report, form, global.ink()));
    Ok(match report.worst() {
        Some(Severity::Fault) => exit::CRITICAL,
        Some(Severity::Warning) => exit::WARNING,
        None => exit::OK,
    })
}
