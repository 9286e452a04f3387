//! Which failures are tried again, how often, and after which wait (A-021 to A-025, D-166, D-167).

use std::time::Duration;

use super::error::{ApiError, ConnectionFault, Delivery};

/// Whether a call may be repeated after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// One try.
    Never,
    /// Only where the server certainly did not act: for calls that would act twice.
    WhenNotSent,
    /// After every failure that may pass.
    Always,
}

/// `api.http.retries` and its companions.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Limit of all retries of a call; none: no limit.
    pub total: Option<u32>,
    /// Limit of retries after failed connections.
    pub connect: Option<u32>,
    /// Limit of retries after requests without an answer.
    pub read: Option<u32>,
    /// Limit of retries after 429, 502, 503, 504 and 509.
    pub status: Option<u32>,
    /// Limit of `connect` until the first login succeeded; none: `connect` counts.
    pub first_connect: Option<u32>,
    /// The wait before retry *n* from the second on is `backoff_factor × 2^(n−1)` seconds.
    pub backoff_factor: f64,
    /// The longest of these waits.
    pub backoff_max: Duration,
    /// The longest wait of an established session for a connection (D-167).
    pub reconnect_max: Duration,
    /// The pause, and its random part, between tries when an established session has used up its
    /// connection retries: it never gives up.
    pub endless_pause: (Duration, Duration),
    /// 503 is repeated for ever (`api.http.wait_on_maintenance_forever`, A-025).
    pub wait_on_maintenance: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            total: Some(240),
            connect: Some(240),
            read: Some(240),
            status: Some(240),
            first_connect: Some(4),
            backoff_factor: 1.0,
            backoff_max: Duration::from_mins(2),
            reconnect_max: Duration::from_secs(30),
            endless_pause: (Duration::from_secs(2), Duration::from_secs(1)),
            wait_on_maintenance: true,
        }
    }
}

/// Whether the session has logged in before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not yet: a wrong address shows quickly.
    Starting,
    /// Yes: nothing is final.
    Established,
}

/// The longest `Retry-After` that is believed.
const LONGEST_REQUESTED_WAIT: Duration = Duration::from_mins(10);

/// The tries of one call.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    policy: &'a RetryPolicy,
    phase: Phase,
    retries: u32,
    connect: u32,
    read: u32,
    status: u32,
}

impl<'a> Tries<'a> {
    pub(super) fn new(policy: &'a RetryPolicy, phase: Phase) -> Self {
        Self {
            policy,
            phase,
            retries: 0,
            connect: 0,
            read: 0,
            status: 0,
        }
    }

    /// How many retries there were.
    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// The wait before the next try, or none where `error` is final. `random` is in 0..1.
    pub(super) fn next(&mut self, error: &ApiError, retry: Retry, random: f64) -> Option<Duration> {
        let allowed = match retry {
            Retry::Never => false,
            Retry::WhenNotSent => error.delivery() == Some(Delivery::NotSent),
            Retry::Always => true,
        };
        if !allowed || !error.is_transient() {
            return None;
        }
        // A certificate that is not trusted at the start is a matter of settings, not of waiting.
        let fault = matches!(
            error,
            ApiError::Connection {
                fault: ConnectionFault::Tls,
                ..
            }
        );
        if fault && self.phase == Phase::Starting {
            return None;
        }
        let within = self.count(error);
        self.retries += 1;
        let wait = if within {
            self.backoff(error, random)
        } else {
            self.endless_wait(error, random)?
        };
        Some(match error {
            ApiError::Server {
                retry_after: Some(asked),
                ..
            } => (*asked).min(LONGEST_REQUESTED_WAIT),
            _ => wait,
        })
    }

    /// Counts the failure; false where a limit is used up.
    fn count(&mut self, error: &ApiError) -> bool {
        let policy = self.policy;
        let (used, limit) = match error {
            ApiError::Server { .. } => (&mut self.status, policy.status),
            _ if error.delivery() == Some(Delivery::NotSent) => {
                let limit = match self.phase {
                    Phase::Starting => match (policy.first_connect, policy.connect) {
                        (Some(first), Some(later)) => Some(first.min(later)),
                        (first, later) => first.or(later),
                    },
                    Phase::Established => policy.connect,
                };
                (&mut self.connect, limit)
            }
            _ => (&mut self.read, policy.read),
        };
        let within = limit.is_none_or(|limit| *used < limit)
            && policy.total.is_none_or(|total| self.retries < total);
        *used += 1;
        within
    }

    fn backoff(&self, error: &ApiError, random: f64) -> Duration {
        if self.retries < 2 {
            return Duration::ZERO;
        }
        let exponent = i32::try_from(self.retries - 1).unwrap_or(i32::MAX).min(30);
        let seconds = (self.policy.backoff_factor * 2_f64.powi(exponent)).max(0.0);
        let most = match (error, self.phase) {
            (ApiError::Connection { .. }, Phase::Established) => {
                self.policy.backoff_max.min(self.policy.reconnect_max)
            }
            _ => self.policy.backoff_max,
        };
        let wait = Duration::try_from_secs_f64(seconds).map_or(most, |wait| wait.min(most));
        match self.phase {
            Phase::Starting => wait,
            // Many agents lose the same server at the same moment; they need not return at one.
            Phase::Established => wait.mul_f64(1.0 - 0.2 * random),
        }
    }

    /// What an established session does when the limits are used up.
    fn endless_wait(&self, error: &ApiError, random: f64) -> Option<Duration> {
        let maintenance = matches!(error, ApiError::Server { status: 503, .. })
            && self.policy.wait_on_maintenance;
        let connection = matches!(error, ApiError::Connection { .. });
        let (pause, spread) = self.policy.endless_pause;
        (maintenance || (connection && self.phase == Phase::Established))
            .then(|| pause + spread.mul_f64(random))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn connection(delivery: Delivery) -> ApiError {
        crate::api::trust::install_provider();
        // The only error of the library that can be made without a connection.
        let source = reqwest::Client::new().get("nowhere").build().unwrap_err();
        ApiError::Connection {
            call: "tasks.ping",
            server: Arc::from("http://127.0.0.1:1"),
            fault: ConnectionFault::Refused,
            delivery,
            reason: "refused".into(),
            source: Arc::new(source),
        }
    }

    fn status(status: u16) -> ApiError {
        ApiError::Server {
            call: "tasks.ping",
            status,
            message: String::new(),
            retry_after: None,
        }
    }

    fn waits(tries: &mut Tries<'_>, error: &ApiError, retry: Retry, n: usize) -> Vec<u64> {
        std::iter::from_fn(|| tries.next(error, retry, 0.0))
            .take(n)
            .map(|wait| wait.as_secs())
            .collect()
    }

    ///
    #[test]
    fn the_first_retry_is_at_once_and_waits_double() {
        let policy = RetryPolicy::default();
        let mut tries = Tries::new(&policy, Phase::Established);
        assert_eq!(
            waits(&mut tries, &status(502), Retry::Always, 9),
            [0, 2, 4, 8, 16, 32, 64, 120, 120]
        );
    }

    /// 0, 2, 4 and 8 seconds, then the address is taken for wrong.
    #[test]
    fn the_first_connection_gives_up_after_four_retries() {
        let policy = RetryPolicy::default();
        let mut tries = Tries::new(&policy, Phase::Starting);
        let error = connection(Delivery::NotSent);
        assert_eq!(waits(&mut tries, &error, Retry::Always, 99), [0, 2, 4, 8]);
    }

    /// A-024, D-167
    #[test]
    fn an_established_session_never_gives_up_and_waits_half_a_minute_at_most() {
        let policy = RetryPolicy {
            connect: Some(6),
            ..RetryPolicy::default()
        };
        let mut tries = Tries::new(&policy, Phase::Established);
        let error = connection(Delivery::NotSent);
        assert_eq!(
            waits(&mut tries, &error, Retry::Always, 9),
            [0, 2, 4, 8, 16, 30, 2, 2, 2]
        );
    }

    /// a status has an end, unless it is maintenance.
    #[test]
    fn only_maintenance_is_waited_for_without_end() {
        let policy = RetryPolicy {
            status: Some(2),
            ..RetryPolicy::default()
        };
        let mut tries = Tries::new(&policy, Phase::Established);
        assert_eq!(waits(&mut tries, &status(502), Retry::Always, 9), [0, 2]);
        let mut tries = Tries::new(&policy, Phase::Established);
        assert_eq!(
            waits(&mut tries, &status(503), Retry::WhenNotSent, 5),
            [0, 2, 2, 2, 2]
        );
    }

    /// what may have arrived is not sent twice.
    #[test]
    fn a_call_that_would_act_twice_is_repeated_only_when_it_was_not_sent() {
        let policy = RetryPolicy::default();
        for (error, expected) in [
            (connection(Delivery::NotSent), true),
            (connection(Delivery::Unknown), false),
            (status(429), true),
            (status(503), true),
            (status(502), false),
            (status(504), false),
        ] {
            let mut tries = Tries::new(&policy, Phase::Established);
            let next = tries.next(&error, Retry::WhenNotSent, 0.5);
            assert_eq!(next.is_some(), expected, "{error}");
            let mut tries = Tries::new(&policy, Phase::Established);
            assert!(tries.next(&error, Retry::Always, 0.5).is_some());
            assert!(tries.next(&error, Retry::Never, 0.5).is_none());
        }
    }

    ///
    #[test]
    fn the_servers_own_wait_is_taken() {
        let policy = RetryPolicy::default();
        let mut tries = Tries::new(&policy, Phase::Established);
        let error = ApiError::Server {
            call: "tasks.ping",
            status: 429,
            message: String::new(),
            retry_after: Some(Duration::from_secs(7)),
        };
        assert_eq!(waits(&mut tries, &error, Retry::WhenNotSent, 2), [7, 7]);
    }

    #[test]
    fn chance_shortens_a_wait_by_a_fifth_at_most() {
        let policy = RetryPolicy::default();
        let mut tries = Tries::new(&policy, Phase::Established);
        tries.next(&status(502), Retry::Always, 0.999);
        let wait = tries.next(&status(502), Retry::Always, 0.999).unwrap();
        assert!(wait >= Duration::from_millis(1600) && wait < Duration::from_secs(2));
    }
}
