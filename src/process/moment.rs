//! Clocks: one that neither jumps nor stands still while the machine sleeps, and that of the calendar.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// A time since the machine has booted, its sleep included.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(Duration);

impl Moment {
    /// This one.
    pub fn now() -> Self {
        // Linux has had this clock since 2.6.39.
        let time = clock_gettime(ClockId::CLOCK_BOOTTIME);
        let time = time.or_else(|_| clock_gettime(ClockId::CLOCK_MONOTONIC));
        Self(time.map_or(Duration::ZERO, Duration::from))
    }

    /// So long ago; zero for what is to come.
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// From `earlier` to this one.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// So much earlier.
    #[cfg(test)]
    pub(crate) fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .checked_sub(duration)
                .expect("the machine is up for longer"),
        )
    }
}

/// What the calendar says, since the epoch; zero where it is set to before that.
pub fn since_epoch() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// The same, in milliseconds.
pub fn milliseconds_since_epoch() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on() {
        let moment = Moment::now();
        assert!(moment.before(Duration::from_millis(5)).elapsed() >= Duration::from_millis(5));
        assert!(Moment::now() >= moment);
        assert_eq!(
            moment.before(Duration::from_millis(1)).since(moment),
            Duration::ZERO
        );
    }
}
