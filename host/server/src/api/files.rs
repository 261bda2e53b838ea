//! Files: those that a tenant puts, and those that its jobs leave. They are known by the SHA-256 of what is in them,
//! to their tenant alone.

use super::State;
use super::auth::{Of, Reader, Writer};
use super::etag;
use super::jobs::known as known_job;
use super::problem::{Asked, In, Problem};
use crate::Error;
use crate::job::{JobFile, ListedFile, StoredFile};
use crate::store::{is_hash, over};
use crate::timeline::JobTimeline;
use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

/// Where a job's file is asked for.
pub(super) const LEFT: &str = "/v1/jobs/{id}/files/{*path}";
/// For a whole file to arrive.
pub(super) const LONGEST_PUT: Duration = Duration::from_secs(3600);
/// For its next bytes.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Files of one tenant on their way at once: what has no name yet is in no quota.
const AT_ONCE: usize = 4;
const PAGE: i64 = 1000;

/// How many files of each tenant are on their way.
#[derive(Clone, Default)]
pub(super) struct Uploads(Arc<Mutex<BTreeMap<String, usize>>>);

/// One of them.
struct Upload(Uploads, String);

impl Uploads {
    fn begin(&self, tenant: &str) -> Result<Upload, Error> {
        let mut uploads = self.0.lock().expect("no code panics with the lock");
        let count = uploads.entry(tenant.to_owned()).or_default();
        if *count >= AT_ONCE {
            return Err(Error::Quota(format!("{AT_ONCE} files are on their way already")));
        }
        *count += 1;
        Ok(Upload(self.clone(), tenant.to_owned()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Upload(uploads, tenant) = self;
        let mut uploads = uploads.0.lock().expect("no code panics with the lock");
        if let Some(count) = uploads.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                uploads.remove(tenant);
            }
        }
    }
}

/// Put a file, which jobs can be given then. The same again changes nothing.
#[utoipa::path(put, path = "/v1/files", tag = "files",
    request_body(content = Option<Vec<u8>>, content_type = "application/octet-stream", description = "What is in it; nothing is a file, too"),
    responses(
        (status = 200, description = "It is kept", body = StoredFile),
        (status = 429, description = "The tenant has no room for it", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "It is not kept", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn put(
    axum::extract::State(state): axum::extract::State<State>,
    Writer(tenant, _): Writer,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<StoredFile>, Problem> {
    let files = state.store.files()?;
    let [stored, most] = state.store.stored(&tenant).await?;
    let left = most.saturating_sub(stored).max(0).unsigned_abs();
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > left) {
        return Err(over(stored, most).into());
    }
    let _upload = state.uploads.begin(&tenant)?;
    let mut receiving = files.receive().await?;
    let mut pieces = body.into_data_stream();
    loop {
        let piece = match timeout(LONGEST_PAUSE, pieces.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "the file broke off"));
            }
            Err(_) => {
                let detail = format!("nothing came for {} s", LONGEST_PAUSE.as_secs());
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail));
            }
        };
        if receiving.bytes + piece.len() as u64 > left {
            return Err(over(stored, most).into());
        }
        receiving.write(&piece).await?;
    }
    let received = receiving.finish().await?;
    Ok(Json(state.store.put_file(&tenant, received).await?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Only files that come later: the `next` of the page before.
    after: Option<String>,
}

/// A page of files.
#[derive(Serialize, ToSchema)]
pub(super) struct FilePage {
    /// By tenant and SHA-256.
    files: Vec<ListedFile>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// List files: those that were put, and those that jobs have left.
#[utoipa::path(get, path = "/v1/files", tag = "files", params(Of, Listing),
    responses(
        (status = 200, description = "A page", body = FilePage),
        (status = "4XX", description = "No page", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    Asked(listing): Asked<Listing>,
) -> Result<Json<FilePage>, Problem> {
    let after = listing.after.unwrap_or_default().replace('\0', "");
    let (after_tenant, after) = after.split_once('/').unwrap_or((&tenant, &after));
    let listed = state.store.list_files(&tenant, (after_tenant, after), PAGE);
    let files = listed.await?;
    let full = files.len() as i64 == PAGE;
    let next = files.last().filter(|_| full);
    let next = next.map(|ListedFile { tenant, sha256, .. }| format!("{tenant}/{sha256}"));
    Ok(Json(FilePage { files, next }))
}

/// Get what is in a file.
#[utoipa::path(get, path = "/v1/files/{sha256}", tag = "files",
    params(("sha256" = String, Path, description = "The file"), Of,
        ("If-None-Match" = Option<String>, Header, description = "What the caller has: its SHA-256, in quotes")),
    responses(
        (status = 200, description = "What is in it", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The caller has it"),
        (status = "4XX", description = "No file", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    In(hash): In<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&state, &tenant, known(&hash)?, &headers).await
}

/// Remove a file that no job has.
#[utoipa::path(delete, path = "/v1/files/{sha256}", tag = "files", params(("sha256" = String, Path, description = "The file"), Of),
    responses(
        (status = 204, description = "It is removed"),
        (status = 409, description = "A job has it", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "No file", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    axum::extract::State(state): axum::extract::State<State>,
    Writer(tenant, _): Writer,
    In(hash): In<String>,
) -> Result<StatusCode, Problem> {
    state.store.remove_file(&tenant, known(&hash)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The files that a job has left.
#[derive(Serialize, ToSchema)]
pub(super) struct JobFiles {
    /// By path.
    files: Vec<JobFile>,
}

/// List the files that a job has left.
#[utoipa::path(get, path = "/v1/jobs/{id}/files", tag = "jobs", params(("id" = String, Path, description = "The job"), Of),
    responses(
        (status = 200, description = "Those of its last attempt", body = JobFiles),
        (status = "4XX", description = "No job", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn left(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    In(id): In<String>,
) -> Result<Json<JobFiles>, Problem> {
    let files = state.store.job_files(&tenant, known_job(&id)?).await?;
    Ok(Json(JobFiles { files }))
}

/// Get what is in a file that a job has left.
#[utoipa::path(get, path = "/v1/jobs/{id}/files/{*path}", tag = "jobs",
    params(("id" = String, Path, description = "The job"), ("path" = String, Path, description = "The file, below /output"), Of,
        ("If-None-Match" = Option<String>, Header, description = "What the caller has: its SHA-256, in quotes")),
    responses(
        (status = 200, description = "What is in it", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The caller has it"),
        (status = "4XX", description = "No file", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get_left(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    In((id, path)): In<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let files = state.store.job_files(&tenant, known_job(&id)?).await?;
    let file = files.iter().find(|file| file.path == path);
    let file = file.ok_or(Error::NotFound("file"))?;
    answer(&state, &tenant, &file.sha256, &headers).await
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of which start; of the last one that has any, if left out.
    #[param(minimum = 1)]
    attempt: Option<i64>,
}

/// Get what a job's threads did, if its submission asked for it.
#[utoipa::path(get, path = "/v1/jobs/{id}/timeline", tag = "jobs",
    params(("id" = String, Path, description = "The job"), Of, Which,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what the caller has")),
    responses(
        (status = 200, description = "What they did", body = JobTimeline),
        (status = 304, description = "The caller has it"),
        (status = "4XX", description = "No job, or no timeline of it", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn timeline(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    In(id): In<String>,
    Asked(which): Asked<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let hash = state
        .store
        .timeline(&tenant, known_job(&id)?, which.attempt)
        .await?;
    let mut response = answer(&state, &tenant, &hash, &headers).await?;
    // It is the service's own.
    let headers = response.headers_mut();
    if headers.remove(header::CONTENT_DISPOSITION).is_some() {
        let kind = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

/// What is in a file, if the caller has not said that it has it.
async fn answer(state: &State, tenant: &str, hash: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    state.store.file(tenant, hash).await?;
    let tag = format!("\"{hash}\"");
    let (cached, how) = etag::CACHED;
    let about = [(header::ETAG, tag.clone()), (cached, how.into())];
    if etag::is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let (pieces, bytes) = state.store.open_file(tenant, hash).await?;
    // It is what a tenant wrote, and no page of this service.
    let about = about.into_iter().chain([
        (header::CONTENT_LENGTH, bytes.to_string()),
        (header::CONTENT_TYPE, "application/octet-stream".into()),
        (header::CONTENT_DISPOSITION, "attachment".into()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
    ]);
    let mut response = Body::from_stream(pieces).into_response();
    for (name, value) in about {
        let value = value.parse().expect("it is ASCII");
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// What cannot be a file's hash is not asked the database for.
fn known(hash: &str) -> Result<&str, Problem> {
    if is_hash(hash) {
        return Ok(hash);
    }
    Err(Error::NotFound("file").into())
}
