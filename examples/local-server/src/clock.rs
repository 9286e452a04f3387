//! Time stamps as the API writes them: ISO 8601 with microseconds and offset zero.

use std::time::SystemTime;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// One point in time, taken once for each call so that all its fields agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(DateTime<Utc>);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(SystemTime::now().into())
    }

    /// Milliseconds since the epoch, as requests carry them.
    pub(crate) fn from_milliseconds(milliseconds: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(milliseconds).map(Self)
    }

    pub(crate) fn milliseconds(self) -> i64 {
        self.0.timestamp_millis()
    }

    pub(crate) fn seconds(self) -> i64 {
        self.0.timestamp()
    }

    /// Full precision: what the answer to a change shows.
    pub(crate) fn text(self) -> String {
        self.0.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
    }

    /// Whole milliseconds: what the database keeps and later reads show.
    pub(crate) fn stored(self) -> String {
        Self(self.0.trunc_subsecs(3)).text()
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text)
            .map(|moment| Self(moment.to_utc()))
            .ok()
    }

    /// Whole seconds from `earlier` to this moment, negative if `earlier` lies later.
    pub(crate) fn seconds_since(self, earlier: Self) -> i64 {
        (self.0 - earlier.0).num_seconds()
    }

    pub(crate) fn minus_seconds(self, seconds: i64) -> Self {
        let span = TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::zero());
        Self(
            self.0
                .checked_sub_signed(span)
                .unwrap_or(DateTime::UNIX_EPOCH),
        )
    }
}

/// The database keeps milliseconds: cuts a time stamp of the answer to what a later read will show.
pub(crate) fn stored_form(text: &str) -> Option<String> {
    Moment::parse(text).map(Moment::stored)
}
