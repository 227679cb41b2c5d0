//! Certificates and credentials that end.

use aether_infra_nats::Validity;

use crate::program::doctor::facts::{Certificates, Facts};
use crate::program::doctor::finding::{Kind, Report};
use crate::program::when;

pub(super) static KINDS: &[&Kind] = &[&EXPIRED, &EXPIRING, &UNREADABLE, &USER_EXPIRED, &USER_EXPIRING];

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

static USER_EXPIRED: Kind = Kind::fault(
    "credentials-expired",
    "The user in the credentials file holds no more.",
    "NATS does not take it: who is connected is sent away, and nobody starts.",
    "give the user another end (`nsc edit user --name USER --expiry 1y`), write its file anew (`nsc generate creds`), and put the file where `nats.creds` points",
);
static USER_EXPIRING: Kind = Kind::warning(
    "credentials-expiring",
    "The user in the credentials file ends within 30 days.",
    "From then on NATS sends away everybody who uses it, all at once.",
    "give the user another end (`nsc edit user --name USER --expiry 1y`), write its file anew (`nsc generate creds`), put the file where `nats.creds` points, and start the nodes one by one",
);

/// How long before its end somebody should see to a certificate.
const SOON_SECONDS: i64 = 30 * 24 * 60 * 60;

pub(super) fn judge(facts: &Facts, report: &mut Report) {
    credentials(facts, report);
    for Certificates { setting, file, held } in &facts.host.certificates {
        let name = format!("{setting} ({})", file.display());
        match held {
            Err(why) => report.find(&UNREADABLE, format!("{name}: {why}")),
            Ok(none) if none.is_empty() => report.find(&UNREADABLE, format!("{name}: there is no certificate in it")),
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

fn credentials(facts: &Facts, report: &mut Report) {
    let Some((file, until)) = &facts.host.credentials else { return };
    let name = format!("nats.creds ({})", file.display());
    match until {
        Ok(Some(until)) => {
            report.saw("user", format!("{name} holds until {}", day(*until)));
            lasts(facts, &name, *until, (&USER_EXPIRED, &USER_EXPIRING), report);
        }
        Ok(None) => report.saw("user", format!("{name} has no end")),
        // What is wrong with it the server says.
        Err(why) => report.note(format!("until when {name} holds was not seen: {why}")),
    }
}

/// Judges a certificate that holds then.
pub(super) fn ends(facts: &Facts, name: &str, Validity { from, until }: Validity, report: &mut Report) {
    if now(facts) < from {
        report.find(&EXPIRED, format!("{name} begins on {}, which is not yet", day(from)));
    } else {
        lasts(facts, name, until, (&EXPIRED, &EXPIRING), report);
    }
}

/// Finds that something has ended, or ends soon.
fn lasts(facts: &Facts, name: &str, until: i64, kinds: (&'static Kind, &'static Kind), report: &mut Report) {
    let left = until.saturating_sub(now(facts));
    if left < 0 {
        report.find(kinds.0, format!("{name} has ended on {}", day(until)));
    } else if left < SOON_SECONDS {
        report.find(kinds.1, format!("{name} ends on {}, in {} days", day(until), left / (24 * 60 * 60)));
    }
}

fn now(facts: &Facts) -> i64 {
    i64::try_from(facts.now.unix_millis / 1000).unwrap_or(i64::MAX)
}

fn day(seconds: i64) -> String {
    let text = when::utc(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    text.split('T').next().unwrap_or_default().to_owned()
}
