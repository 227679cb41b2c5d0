//! From when until when certificates hold, read from PEM files. Nothing else of them is looked at: whether they are trusted is
//! the TLS library's to say.

use std::path::Path;

use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject as _;

/// The most certificates of a file that are looked at.
const CERTIFICATES_MAX: usize = 512;

/// When a certificate holds, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: i64,
    /// Not after.
    pub until: i64,
}

/// The validity of every certificate in a PEM file, at most 512 of them.
///
/// # Errors
/// Why the file or a certificate in it cannot be read, for people.
pub fn validity(path: &Path) -> Result<Vec<Validity>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let of = |certificate: Result<CertificateDer<'_>, _>| {
        let certificate = certificate.map_err(|error: async_nats::rustls::pki_types::pem::Error| error.to_string())?;
        of_der(&certificate).ok_or_else(|| "a certificate in it cannot be understood".to_owned())
    };
    certificates.take(CERTIFICATES_MAX).map(of).collect()
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, the version, which the oldest certificates lack.
const VERSION: u8 = 0xa0;

/// The validity in a certificate's DER: `SEQUENCE { SEQUENCE { [0] version?, serial, algorithm, issuer, validity, … } … }`.
fn of_der(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if *rest.first()? == VERSION {
        rest = element(rest, VERSION)?.1;
    }
    for _ in ["serial number", "algorithm", "issuer"] {
        rest = element(rest, *rest.first()?)?.1;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some(Validity { from, until })
}

/// The content of the first element, which has that tag, and what is behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        // More than 16 MiB, or of no length: no certificate.
        _ => return None,
    };
    (*found == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// The time that is first, in seconds since 1970, and what is behind it.
fn time(der: &[u8]) -> Option<(i64, &[u8])> {
    let tag = *der.first()?;
    let (content, rest) = element(der, tag)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let (year, text) = match tag {
        UTC_TIME => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let mut parts = (0..5).map(|nth| text.get(nth * 2..nth * 2 + 2)?.parse::<i64>().ok());
    let (month, day) = (parts.next()??, parts.next()??);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    (text.len() == 10 && (1..=12).contains(&month)).then_some(())?;
    Some((((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second, rest))
}

/// Days since 1970, by the rules of the Gregorian calendar, in years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * from_march + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(from: (i32, u8, u8), until: (i32, u8, u8)) -> String {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("signed").pem()
    }

    #[test]
    fn each_certificate_of_a_file_says_until_when_it_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("chain.pem");
        // Times before 2050 are written in one way and later ones in another.
        let both = made((2024, 2, 29), (2026, 11, 28)) + &made((2000, 1, 1), (2100, 3, 1));
        std::fs::write(&path, both).expect("written");
        let found = validity(&path).expect("two certificates");
        let of = |from, until| Validity { from, until };
        assert_eq!(found, [of(1_709_164_800, 1_795_824_000), of(946_684_800, 4_107_542_400)]);
        assert!(validity(&folder.path().join("none")).is_err());
    }

    #[test]
    fn what_is_no_certificate_is_none_and_harms_nobody() {
        let pem = made((2024, 1, 1), (2025, 1, 1));
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        assert!(of_der(&der).is_some());
        for cut in 0..der.len() - 1 {
            assert_eq!(of_der(&der[..cut]), None, "cut at {cut}");
        }
        for (at, byte) in (0..der.len().min(200)).flat_map(|at| [0, 0x30, 0x7f, 0x84, 0xff].map(|byte| (at, byte))) {
            let mut damaged = der.to_vec();
            damaged[at] = byte;
            // Whatever it says, it is said.
            let _ = of_der(&damaged);
        }
    }
}
