//! Times as programs read them.

use chrono::{DateTime, SecondsFormat};

/// RFC 3339 in UTC, to the millisecond: `2026-01-31T12:00:00.000Z`; none where the year has no name.
pub fn timestamp(milliseconds: u64) -> Option<String> {
    let time = DateTime::from_timestamp_millis(i64::try_from(milliseconds).ok()?)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_milliseconds_and_a_zone() {
        let text = timestamp(1_700_000_000_007);
        assert_eq!(text.as_deref(), Some("2023-11-14T22:13:20.007Z"));
        assert_eq!(timestamp(u64::MAX), None);
    }
}
