//! Takes the server's answer apart: `meta` decides, `data` is the result (A-040, A-041).

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::error::{ApiError, Refusal};
use super::lenient;

/// So much of a foreign body is kept in an error.
const LONGEST_MESSAGE: usize = 500;

#[derive(Deserialize)]
struct Meta {
    result_code: u16,
    #[serde(default, deserialize_with = "lenient::or_default")]
    result_subcode: u32,
    #[serde(default, deserialize_with = "lenient::text")]
    result_msg: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    error_stack: Option<String>,
}

/// One answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The `data` of a success. Success is what `meta` calls so, whatever the HTTP status (A-040).
    pub(super) fn data(self, call: &'static str) -> Result<Value, ApiError> {
        let parsed = serde_json::from_slice::<Value>(&self.body);
        let Ok(Value::Object(mut envelope)) = parsed else {
            return Err(self.foreign(call, "response should be an instance of Response"));
        };
        let meta = envelope.remove("meta").unwrap_or_default();
        let Ok(meta) = serde_json::from_value::<Meta>(meta) else {
            return Err(self.foreign(call, "Missing meta section in response payload"));
        };
        if meta.result_code == 200 {
            return Ok(match envelope.remove("data") {
                None | Some(Value::Null) => Value::Object(serde_json::Map::new()),
                Some(data) => data,
            });
        }
        let refusal = Refusal {
            call,
            code: meta.result_code,
            subcode: meta.result_subcode,
            message: meta.result_msg.unwrap_or_default(),
            error_stack: meta.error_stack,
        };
        Err(if is_passing(self.status) || is_passing(refusal.code) {
            ApiError::Server {
                call,
                status: if is_passing(self.status) {
                    self.status
                } else {
                    refusal.code
                },
                message: refusal.message,
                retry_after: self.retry_after,
            }
        } else if refusal.code == 401 {
            ApiError::Unauthorized(Box::new(refusal))
        } else {
            ApiError::Refused(Box::new(refusal))
        })
    }

    /// An answer that does not come from the API: a proxy's, a web server's.
    fn foreign(self, call: &'static str, reason: &str) -> ApiError {
        let text = String::from_utf8_lossy(&self.body);
        let message: String = text.trim().chars().take(LONGEST_MESSAGE).collect();
        let refusal = |message| {
            Box::new(Refusal {
                call,
                code: self.status,
                subcode: 0,
                message,
                error_stack: None,
            })
        };
        match self.status {
            401 => ApiError::Unauthorized(refusal(message)),
            status if is_passing(status) || status >= 500 => ApiError::Server {
                call,
                status,
                message,
                retry_after: self.retry_after,
            },
            status if status >= 400 => ApiError::Refused(refusal(message)),
            status => ApiError::Malformed {
                call,
                status,
                reason: reason.to_owned(),
            },
        }
    }
}

/// The statuses that mean "later" (A-021), and the gateway's time-out.
fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504 | 509)
}

/// Reads `Retry-After`: seconds, or a date as seconds from now.
pub(super) fn retry_after(value: Option<&str>) -> Option<Duration> {
    let value = value?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(
        date.duration_since(std::time::SystemTime::now())
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::Reason;

    fn data(status: u16, body: &str) -> Result<Value, ApiError> {
        let answer = Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        };
        answer.data("tasks.get_by_id")
    }

    /// A-040, A-041
    #[test]
    fn the_apis_error_keeps_its_codes() {
        let body = r#"{"meta": {"result_code": 400, "result_subcode": 101, "result_msg": "Invalid task id: ids=(x)", "error_stack": null, "error_data": {}}, "data": {}}"#;
        let error = data(400, body).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::UnknownTask));
        assert!(error.is_unknown_task() && error.is_not_found() && !error.is_transient());
        assert_eq!(
            error.reference_text(),
            "APIError: code 400/101: Invalid task id: ids=(x)"
        );
    }

    /// A-040: the envelope counts, not the HTTP status.
    #[test]
    fn meta_decides_over_the_status() {
        assert!(data(500, r#"{"meta": {"result_code": 200}, "data": {"x": 1}}"#).is_ok());
        let error = data(
            200,
            r#"{"meta": {"result_code": 400, "result_subcode": null}}"#,
        );
        assert!(matches!(error, Err(ApiError::Refused(_))));
    }

    /// A-041
    #[test]
    fn what_is_not_the_apis_is_told_apart() {
        let malformed = data(200, "<html>").unwrap_err();
        assert!(matches!(&malformed, ApiError::Malformed { .. }) && malformed.hint().is_some());
        assert!(matches!(data(200, "{}"), Err(ApiError::Malformed { .. })));
        let gateway = data(502, "").unwrap_err();
        assert!(gateway.is_transient() && gateway.is_ambiguous());
        assert_eq!(gateway.reference_text(), "APIError: code 502");
        let maintenance = data(503, "soon").unwrap_err();
        assert!(maintenance.is_transient() && !maintenance.is_ambiguous());
        let missing = data(404, "no such page").unwrap_err();
        assert_eq!(missing.reference_text(), "APIError: code 404: no such page");
        assert!(data(401, "").unwrap_err().is_unauthorized());
        assert!(!data(500, "").unwrap_err().is_transient());
    }

    /// A-021
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(Some("7")), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after(Some("Sun, 06 Nov 1994 08:49:37 GMT")),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after(Some("soon")), None);
        assert_eq!(retry_after(None), None);
    }
}
