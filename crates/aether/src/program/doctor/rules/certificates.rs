//! Certificates that end.

use aether_infra_nats::Validity;

use crate::program::doctor::facts::{Certificates, Facts};
use crate::program::doctor::finding::{Kind, Report};
use crate::program::when;

pub(super) static KINDS: &[&Kind] = &[&EXPIRED, &EXPIRING, &UNREADABLE];

static EXPIRED: Kind = Kind::fault(
    "certificate-expired",
    "A certificate holds no more, or not yet.",
    "No encrypted connection can be made with it.",
    "issue a new one and put it where the setting points; if it holds not yet, look at the clocks",
);
static EXPIRING: Kind = Kind::warning(
    "certificate-expiring",
    "A certificate ends within 30 days.",
    "From then on nobody who starts or reconnects gets through, all at once.",
    "issue a new one, put it where the setting points, and start the nodes, or reload nats-server, one after the other",
);
static UNREADABLE: Kind = Kind::fault(
    "certificate-unreadable",
    "A file of certificates cannot be understood.",
    "No encrypted connection can be made with it.",
    "write it anew as PEM; `openssl x509 -in FILE -noout -text` shows what is in it",
);

/// How long before its end somebody should see to a certificate.
const SOON_SECONDS: i64 = 30 * 24 * 60 * 60;

pub(super) fn judge(facts: &Facts, report: &mut Report) {
    for Certificates { setting, file, held } in &facts.host.certificates {
        let name = format!("{setting} ({})", file.display());
        match held {
            Err(why) => report.find(&UNREADABLE, format!("{name}: {why}")),
            // Of authorities each counts for itself: that the last one ends is the end. Who we are is said by the first.
            Ok(held) => {
                let counts = match *setting {
                    "nats.tls_ca" => held.iter().max_by_key(|validity| validity.until),
                    _ => held.first(),
                };
                if let Some(validity) = counts {
                    ends(facts, &name, *validity, report);
                    report.saw("certificate", format!("{name} holds until {}", day(validity.until)));
                }
            }
        }
    }
}

/// Judges one that holds until then.
pub(super) fn ends(facts: &Facts, name: &str, Validity { from, until }: Validity, report: &mut Report) {
    let now = i64::try_from(facts.now.unix_millis / 1000).unwrap_or(i64::MAX);
    if now > until {
        report.find(&EXPIRED, format!("{name} has ended on {}", day(until)));
    } else if now < from {
        report.find(&EXPIRED, format!("{name} begins on {}, which is not yet", day(from)));
    } else if until - now < SOON_SECONDS {
        let days = (until - now) / (24 * 60 * 60);
        report.find(&EXPIRING, format!("{name} ends on {}, in {days} days", day(until)));
    }
}

fn day(seconds: i64) -> String {
    let text = when::utc(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    text.split('T').next().unwrap_or_default().to_owned()
}
