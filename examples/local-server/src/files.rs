//! The file store: what the real files server does for artifacts and models. As it is shipped, it asks for no keys.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Multipart, Path, State},
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};

use crate::{error::ApiError, http::Shared, storage::StoredFile};

const LARGEST_UPLOAD: usize = 1024 * 1024 * 1024;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", post(upload).get(async || Html("<!doctype html><p>OK")))
        .route("/{*path}", get(download).delete(remove))
        .layer(DefaultBodyLimit::max(LARGEST_UPLOAD))
        .with_state(shared)
}

/// Runs a piece of work on the database away from the event loop.
async fn on_storage<T: Send + 'static>(
    shared: Arc<Shared>,
    work: impl FnOnce(&crate::storage::Store<'_>) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, Response> {
    tokio::task::spawn_blocking(move || shared.storage.transaction(work))
        .await
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response())?
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response())
}

/// Each part of the form is one file; its file name is its path.
async fn upload(
    State(shared): State<Arc<Shared>>,
    mut form: Multipart,
) -> Result<Response, Response> {
    let mut paths = Vec::new();
    loop {
        let part = form
            .next_field()
            .await
            .map_err(IntoResponse::into_response)?;
        let Some(part) = part else { break };
        let path = part.file_name().or(part.name()).unwrap_or_default();
        let path = path.trim_start_matches('/').to_owned();
        if path.is_empty() || path.split('/').any(|name| name == "..") {
            return Err((StatusCode::BAD_REQUEST, "invalid file name").into_response());
        }
        let content_type = part
            .content_type()
            .unwrap_or("application/octet-stream")
            .to_owned();
        let content = part
            .bytes()
            .await
            .map_err(IntoResponse::into_response)?
            .to_vec();
        let name = path.clone();
        let file = StoredFile {
            content_type,
            content,
        };
        on_storage(Arc::clone(&shared), move |store| {
            store.put_file(&name, &file)
        })
        .await?;
        paths.push(path);
    }
    Ok(axum::Json(paths).into_response())
}

async fn download(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
) -> Result<Response, Response> {
    match on_storage(shared, move |store| store.file(&path)).await? {
        None => Err((StatusCode::NOT_FOUND, "no such file").into_response()),
        Some(file) => {
            let content_type = HeaderValue::from_str(&file.content_type)
                .unwrap_or(HeaderValue::from_static("application/octet-stream"));
            let length = HeaderValue::from(file.content.len());
            Ok((
                [(CONTENT_TYPE, content_type), (CONTENT_LENGTH, length)],
                file.content,
            )
                .into_response())
        }
    }
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
) -> Result<Response, Response> {
    if on_storage(shared, move |store| store.delete_file(&path)).await? {
        Ok(StatusCode::OK.into_response())
    } else {
        Err((StatusCode::NOT_FOUND, "no such file").into_response())
    }
}
