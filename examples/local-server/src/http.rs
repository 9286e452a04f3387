//! HTTP: paths, bodies, authentication and the envelope round every answer.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tower_http::compression::CompressionLayer;

use crate::{
    auth,
    call::{Call, Caller, new_id},
    clock::Moment,
    endpoint::{self, Access, Target},
    error::ApiError,
    options::Options,
    record::{RecordedRequest, Recorder},
    schema::{self, Document},
    services::watchdog,
    storage::Storage,
    version::NEWEST,
};

/// Bodies beyond this are refused: well above what a client sends in one request.
const LARGEST_BODY: usize = 256 * 1024 * 1024;

/// Everything that lives as long as the server, whether it listens or not.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) storage: Storage,
    pub(crate) recorder: Recorder,
    /// The first user, as whom calls without HTTP act.
    pub(crate) owner: Caller,
}

/// A decoded body.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) parameters: Document,
    pub(crate) batch: Option<Vec<Value>>,
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .fallback(handle)
        .layer(CompressionLayer::new())
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(shared)
}

/// The placeholder of the web application: links that clients print lead here.
pub(crate) fn web_router() -> Router {
    Router::new().fallback(async || {
        axum::response::Html(
            "<!doctype html><title>ClearML</title><p>This local server has no web application.",
        )
    })
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let start = Instant::now();
    let at = SystemTime::now();
    let (parts, body) = request.into_parts();
    let address = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([127, 0, 0, 1]), |info| info.0.ip());
    let body = axum::body::to_bytes(body, LARGEST_BODY).await;
    let target = endpoint::parse_path(parts.uri.path());
    let number = shared.options.record.then(|| {
        shared.recorder.arrived(RecordedRequest {
            at,
            method: parts.method.to_string(),
            path: parts
                .uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            endpoint: target
                .as_ref()
                .map(|target| target.name.clone())
                .unwrap_or_default(),
            body: body
                .as_ref()
                .map(|body| readable(&parts.headers, body))
                .unwrap_or_default(),
            headers: kept_headers(&parts.headers),
            status: None,
            response: Value::Null,
            duration: None,
        })
    });
    let method = parts.method.clone();
    let uri = parts.uri.clone();
    let worker = Arc::clone(&shared);
    let answer = tokio::task::spawn_blocking(move || {
        let body =
            body.map_err(|_| ApiError::bad_request(0, "The request body is too large or was cut"));
        let outcome = body.and_then(|body| {
            let incoming = Incoming {
                method: &parts.method,
                uri: &parts.uri,
                headers: &parts.headers,
                body: &body,
                address,
            };
            incoming.run(&worker, target.as_ref())
        });
        (envelope(target.as_ref().ok(), &outcome), outcome)
    })
    .await;
    let (status, envelope) = match answer {
        Ok((envelope, Ok(_))) => (200, envelope),
        Ok((envelope, Err(refusal))) => (refusal.code, envelope),
        Err(error) => {
            let refusal = ApiError::new(500, 0, format!("General server error ({error})"));
            (500, self::envelope(None, &Err(refusal)))
        }
    };
    if shared.options.verbose {
        let message = envelope["meta"]["result_msg"].as_str().unwrap_or_default();
        tracing::info!(
            "{method} {} {status} {message} {} ms",
            uri.path(),
            start.elapsed().as_millis()
        );
    }
    let text = envelope.to_string();
    if let Some(number) = number {
        shared
            .recorder
            .answered(number, status, envelope, start.elapsed());
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (
        status,
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        text,
    )
        .into_response()
}

/// One request before anything about it is known to be right.
struct Incoming<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    body: &'a Bytes,
    address: IpAddr,
}

impl Incoming<'_> {
    fn run(&self, shared: &Shared, target: Result<&Target, &ApiError>) -> Result<Value, ApiError> {
        let target = target.map_err(Clone::clone)?;
        if ![Method::GET, Method::POST, Method::PUT].contains(self.method) {
            return Err(ApiError::new(
                405,
                0,
                format!("Method {} is not allowed", self.method),
            ));
        }
        if self.headers.contains_key(CONTENT_ENCODING) {
            return Err(ApiError::new(415, 0, "Content encoding is not supported"));
        }
        let version = target.version.unwrap_or(NEWEST);
        let endpoint = endpoint::find(&target.name, version, shared.options.edition)?;
        let mut body = decode_body(self.headers, self.body)?;
        for (name, text) in query_pairs(self.uri.query().unwrap_or_default()) {
            if !body.parameters.contains_key(&name) {
                let value = schema::read_query_value(endpoint.fields, &name, text);
                body.parameters.insert(name, value);
            }
        }
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let impersonated =
            header("x-clearml-impersonate-as").or_else(|| header("x-trains-impersonate-as"));
        let now = Moment::now();
        shared.storage.transaction(|store| {
            let caller = match auth::authenticate(store, self.headers, now) {
                Ok(caller) => caller,
                Err(_) if endpoint.access == Access::Anyone => Caller::default(),
                Err(refusal) => return Err(refusal),
            };
            let mut call = Call {
                store,
                options: &shared.options,
                caller,
                parameters: body.parameters,
                batch: body.batch,
                version,
                address: self.address,
                now,
                impersonated: impersonated.map(str::to_owned),
            };
            if let Some(wanted) = &call.impersonated {
                call.caller =
                    auth::impersonate(store, &call.caller, wanted, shared.options.edition)?;
            }
            execute(&mut call, endpoint)
        })
    }
}

/// Checks the fields and runs the handler: the common end of calls with and without HTTP.
pub(crate) fn execute(
    call: &mut Call<'_>,
    endpoint: endpoint::Endpoint,
) -> Result<Value, ApiError> {
    schema::check(endpoint.fields, &call.parameters)?;
    call.parameters.retain(|_, value| !value.is_null());
    watchdog::sweep(call)?;
    (endpoint.run)(call)
}

fn is_batch(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| {
            text.starts_with("application/json-lines") || text.starts_with("application/x-ndjson")
        })
}

fn decode_body(headers: &HeaderMap, body: &Bytes) -> Result<Body, ApiError> {
    let malformed = |error: serde_json::Error| {
        ApiError::bad_request(0, format!("Failed parsing request body ({error})"))
    };
    if is_batch(headers) {
        let lines = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
            .map(serde_json::from_slice)
            .collect::<Result<Vec<Value>, _>>()
            .map_err(malformed)?;
        return Ok(Body {
            parameters: Document::new(),
            batch: Some(lines),
        });
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Body::default());
    }
    match serde_json::from_slice(body).map_err(malformed)? {
        Value::Object(parameters) => Ok(Body {
            parameters,
            batch: None,
        }),
        Value::Null => Ok(Body::default()),
        _ => Err(ApiError::bad_request(
            0,
            "Request body must be a JSON object",
        )),
    }
}

/// The body as a record shows it.
fn readable(headers: &HeaderMap, body: &Bytes) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    match decode_body(headers, body) {
        Ok(Body {
            batch: Some(lines), ..
        }) => json!({ "__json_lines__": lines }),
        Ok(Body { parameters, .. }) => Value::Object(parameters),
        Err(_) => Value::String(String::from_utf8_lossy(body).into_owned()),
    }
}

fn kept_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let text = if name == AUTHORIZATION {
                text.split(' ').next().unwrap_or_default().to_owned()
            } else {
                text
            };
            (name.to_string(), text)
        })
        .collect()
}

/// Name and value of each query parameter.
fn query_pairs(query: &str) -> Vec<(String, String)> {
    axum::extract::Query::<Vec<(String, String)>>::try_from_uri(
        &Uri::builder()
            .path_and_query(format!("/?{query}"))
            .build()
            .unwrap_or_default(),
    )
    .map(|pairs| pairs.0)
    .unwrap_or_default()
}

fn envelope(target: Option<&Target>, outcome: &Result<Value, ApiError>) -> Value {
    let id = new_id();
    let requested = target.map(|target| target.version.unwrap_or(NEWEST).to_string());
    let (code, subcode, message) = match outcome {
        Ok(_) => (200, 0, "OK"),
        Err(refusal) => (refusal.code, refusal.subcode, refusal.message.as_str()),
    };
    let actual = target.and_then(|target| {
        endpoint::find(
            &target.name,
            target.version.unwrap_or(NEWEST),
            crate::options::Edition::Enterprise,
        )
        .ok()
    });
    json!({
        "meta": {
            "id": id,
            "trx": id,
            "endpoint": {
                "name": target.map_or("", |target| &target.name),
                "requested_version": requested,
                "actual_version": actual.map(|endpoint| endpoint.since.to_string()),
            },
            "result_code": code,
            "result_subcode": subcode,
            "result_msg": message,
            "error_stack": null,
            "error_data": {},
        },
        "data": outcome.as_ref().map_or_else(|_| json!({}), Clone::clone),
    })
}
