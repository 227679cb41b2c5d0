//! Times for people: in UTC, and as spans before now.

use std::time::Duration;

const MILLIS_A_DAY: u64 = 24 * 60 * 60 * 1000;

/// A time as `2026-11-28T11:44:24.123Z`.
pub(super) fn utc(unix_millis: u64) -> String {
    let (year, month, day) = date(unix_millis / MILLIS_A_DAY);
    let millis = unix_millis % MILLIS_A_DAY;
    let (hour, minute, second) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", millis % 1000)
}

/// Year, month and day of a number of days since 1970, by the rules of the Gregorian calendar: eras of 400 years that begin on
/// the first of March, so that a leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// A time as the servers write it, `2026-11-28T11:44:24.123456789Z`, in whole milliseconds since 1970; nothing of any other form.
#[cfg(any(test, feature = "nats"))]
pub(super) fn unix_millis(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let numbers = |text: &str, between: char| -> Option<[u64; 3]> {
        let numbers: Option<Vec<u64>> = text.split(between).map(|number| number.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(whole, ':')?);
    let fits = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    (fits && hour < 24 && minute < 60 && second <= 60).then_some(())?;
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let seconds = (days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    Some(seconds * 1000 + digits.parse::<u64>().ok()?)
}

/// The number of days since 1970: what [`date`] turns back.
#[cfg(any(test, feature = "nats"))]
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era, from_march) = (year / 400, year % 400, (month + 9) % 12);
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era - 719_468
}

/// From when on something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Behind that entry.
    Epoch(u64),
    /// For that long.
    Span(Duration),
}

impl Since {
    /// Reads `1h` or an epoch.
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Ok(epoch) = text.parse() {
            return Some(Self::Epoch(epoch));
        }
        let unit = text.chars().last()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            'w' => 7 * 24 * 60 * 60,
            _ => return None,
        };
        let count: u64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
        Some(Self::Span(Duration::from_secs(count.checked_mul(seconds)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (millis, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_001, "2000-03-01T00:00:00.001Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_866_264_123, "2026-11-28T11:44:24.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(millis), shown);
            assert_eq!(unix_millis(shown), Some(millis));
        }
    }

    #[test]
    fn a_time_of_a_server_is_read_and_anything_else_is_not() {
        for (text, read) in [
            ("2026-11-28T11:44:24.123456789Z", Some(1_795_866_264_123)),
            ("2026-11-28T11:44:24.1Z", Some(1_795_866_264_100)),
            ("2026-11-28T11:44:24Z", Some(1_795_866_264_000)),
            ("0001-01-01T00:00:00Z", None),
            ("2026-11-28T11:44:24+01:00", None),
            ("2026-13-28T11:44:24Z", None),
            ("2026-11-28 11:44:24Z", None),
            ("99999999999999999999-01-01T00:00:00Z", None),
            ("2026-11-28T11:44:24.éZ", None),
            ("", None),
        ] {
            assert_eq!(unix_millis(text), read, "{text:?}");
        }
    }

    #[test]
    fn a_span_has_a_unit_and_a_number_without_one_is_an_epoch() {
        let span = |seconds| Some(Since::Span(Duration::from_secs(seconds)));
        for (text, read) in [
            ("417", Some(Since::Epoch(417))),
            ("90s", span(90)),
            ("15m", span(900)),
            ("1h", span(3600)),
            ("2d", span(172_800)),
            ("1w", span(604_800)),
            ("h", None),
            ("", None),
            ("-1h", None),
            ("1.5h", None),
            ("1y", None),
            ("é", None),
            ("99999999999999999999w", None),
            ("18446744073709551615w", None),
        ] {
            assert_eq!(Since::read(text), read, "{text:?}");
        }
    }
}
