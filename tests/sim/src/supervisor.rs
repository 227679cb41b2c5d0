//! Supervisors: whoever runs a process sees it end, and writes so where everybody reads it.
//!
//! Each death is a certificate of the product's on a way of its own to the server, with all that can befall it there. A
//! supervisor is not cut off with its node: a certificate may arrive while what the node had sent is still on its way.

use std::time::Duration;

use aether_domain::{Monotonic, Nonce};
use aether_infra_memory::fabric::Op;
use aether_runtime::certificate::{Certificate, Verdict};
use aether_runtime::control::{Effect, Input};
use rand::Rng;

use crate::node::Purpose;
use crate::render::{In, Out};
use crate::world::{Happening, World};

/// How long after its end a process has been reaped.
const REAPED_AFTER: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(200);
/// How long a certificate is tried for, as in the product.
const CERTIFY_WITHIN: Duration = Duration::from_secs(30);

/// One certificate under way.
#[derive(Debug)]
pub(crate) struct Supervisor {
    certificate: Certificate,
    /// The place whose process has died.
    of: usize,
}

impl World {
    /// A process that was supervised is gone.
    pub(crate) fn will_be_reaped(&mut self, of: usize, token: Nonce) {
        let after = self.draw(REAPED_AFTER);
        self.plan((self.now + after).since_start(), Happening::Reaped { of, token });
    }

    pub(crate) fn reaped(&mut self, of: usize, token: Nonce) {
        self.supervisors_begun += 1;
        // Numbers that no node has.
        let link = self.nodes.len() + self.supervisors_begun;
        let (seed, local) = (self.dice.next_u64(), self.nodes[of].clock.shows(self.now));
        let certificate = Certificate::new(token, seed, local, CERTIFY_WITHIN);
        self.supervisors.insert(link, Supervisor { certificate, of });
        self.fabric.watch(self.now, link);
        self.plan_certificate(link);
    }

    /// Whether that number is a supervisor's, or was.
    pub(crate) fn is_supervisor(&self, link: usize) -> bool {
        link >= self.nodes.len()
    }

    pub(crate) fn certify(&mut self, link: usize, input: Input) {
        let Some(supervisor) = self.supervisors.get_mut(&link) else { return };
        let place = &self.nodes[supervisor.of];
        let local = place.clock.shows(self.now);
        self.trace.line(self.now, format_args!("supervisor {link} of {} < {}", place.name, In(&input)));
        let effects = supervisor.certificate.step(local, input);
        let verdict = supervisor.certificate.verdict().cloned();
        for effect in effects {
            self.trace.line(self.now, format_args!("supervisor {link}   > {}", Out(&effect)));
            let (purpose, op) = match effect {
                Effect::Write { token, record, expected } => {
                    (Purpose::Write(token), Op::WriteControl { record, expected })
                }
                Effect::ReadBack { token, key } => (Purpose::ReadBack(token), Op::ReadControl(key)),
                // A certificate asks for nothing else.
                _ => continue,
            };
            self.submit(link, purpose, op);
        }
        let Some(verdict) = verdict else { return self.plan_certificate(link) };
        self.count(match verdict {
            Verdict::Settled { dead, .. } if dead.is_empty() => "certificate came too late",
            Verdict::Settled { .. } => "certificate",
            Verdict::NoRecord => "certificate of nobody",
            Verdict::TimedOut { .. } => "certificate given up",
        });
        self.supervisors.remove(&link);
        self.fabric.crash(link);
    }

    fn plan_certificate(&mut self, link: usize) {
        let Some(supervisor) = self.supervisors.get(&link) else { return };
        let clock = self.nodes[supervisor.of].clock;
        let at: Option<Monotonic> = supervisor.certificate.wakes_at().map(|at| clock.when(at));
        if let Some(at) = at {
            self.plan(at.since_start(), Happening::Certify { link });
        }
    }
}
