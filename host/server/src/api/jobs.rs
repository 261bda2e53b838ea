//! Jobs.

use super::State;
use super::auth::{Of, Reader, Writer, forbidden};
use super::etag;
use super::problem::{Asked, Body, In, Problem};
use crate::job::{self, Attempt, Job, Submission};
use crate::tenant::Scope;
use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most jobs of one page.
const LARGEST_PAGE: i64 = 1000;
/// The longest Idempotency-Key.
const LONGEST_KEY: usize = 255;

/// Submit a job.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = Submission,
    params(Of, ("Idempotency-Key" = Option<String>, Header,
        description = "The same key with the same body again gives the job that is there, so that a request may be repeated")),
    responses(
        (status = 201, description = "It waits", body = Job),
        (status = 200, description = "It was submitted before, with this key", body = Job),
        (status = "4XX", description = "It was not taken", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn submit(
    axum::extract::State(state): axum::extract::State<State>,
    Writer(tenant, secrets): Writer,
    headers: HeaderMap,
    Body(submission): Body<Submission>,
) -> Result<Response, Problem> {
    if !secrets && !submission.secrets.is_empty() {
        return Err(forbidden(Scope::Secrets));
    }
    let key = headers.get("idempotency-key").map(|key| key.to_str());
    let key = match key.transpose() {
        Ok(Some(key)) if key.is_empty() || key.len() > LONGEST_KEY => Err(()),
        Ok(key) => Ok(key),
        Err(_) => Err(()),
    };
    let key = key.map_err(|()| {
        let detail = format!("Idempotency-Key: 1 to {LONGEST_KEY} visible ASCII characters");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let submitted = state.store.submit(&tenant, key, &submission).await?;
    let status = if submitted.new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = [(header::LOCATION, format!("/v1/jobs/{}", submitted.job.id))];
    Ok((status, location, Json(submitted.job)).into_response())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Only jobs in this state.
    state: Option<job::State>,
    /// Only jobs older than this one: the `next` of the page before.
    before: Option<String>,
    /// At most so many: 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// A page of jobs.
#[derive(Serialize, ToSchema)]
pub(super) struct JobPage {
    /// The youngest first.
    jobs: Vec<Job>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// List jobs, the youngest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(Of, Listing),
    responses(
        (status = 200, description = "A page", body = JobPage),
        (status = "4XX", description = "No page", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    Asked(listing): Asked<Listing>,
) -> Result<Json<JobPage>, Problem> {
    let limit = listing.limit.unwrap_or(100);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        let detail = format!("limit: from 1 to {LARGEST_PAGE}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let before = listing.before.as_deref();
    if before.is_some_and(|before| before.contains('\0')) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "before: no job's name"));
    }
    let page = state.store.jobs(&tenant, listing.state, before, limit).await?;
    let next = page.jobs.last().filter(|_| page.more).map(|job| job.id.clone());
    Ok(Json(JobPage {
        jobs: page.jobs,
        next,
    }))
}

/// A job's name in a path. What cannot be one is not asked the database for.
pub(super) fn known(id: &str) -> Result<&str, Problem> {
    let digits = id.strip_prefix("job_").unwrap_or_default();
    if digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(id);
    }
    Err(crate::Error::NotFound("job").into())
}

/// Get a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs",
    params(Of, ("id" = String, Path, description = "The job"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of what the caller has")),
    responses(
        (status = 200, description = "The job", body = Job,
            headers(("ETag" = String, description = "Another, once anything that is told of the job is"))),
        (status = 304, description = "The caller has it"),
        (status = "4XX", description = "No job", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    In(id): In<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::json(&headers, &state.store.job(&tenant, known(&id)?).await?)
}

/// Get how often a job has started, and how each start ended, the first one first.
#[utoipa::path(get, path = "/v1/jobs/{id}/attempts", tag = "jobs", params(Of, ("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "Its starts", body = Vec<Attempt>),
        (status = "4XX", description = "No job", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn attempts(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    In(id): In<String>,
) -> Result<Json<Vec<Attempt>>, Problem> {
    Ok(Json(state.store.attempts(&tenant, known(&id)?).await?))
}

/// Get what a job returned.
#[utoipa::path(get, path = "/v1/jobs/{id}/result", tag = "jobs", params(Of, ("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "What `main` returned; null if there is no `main`", body = serde_json::Value),
        (status = 409, description = "It has not succeeded", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "No job", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn result(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    In(id): In<String>,
) -> Result<Response, Problem> {
    let job = state.store.job(&tenant, known(&id)?).await?;
    if job.state != job::State::Success {
        let why = job.error.map(|error| format!(": {error}")).unwrap_or_default();
        let detail = format!("the job is {}{why}", job.state.name());
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let result = state.store.result(&tenant, &id).await?;
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, result.unwrap_or_else(|| "null".into())).into_response())
}

/// Cancel a job: it does not start any more, or it ends soon.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(Of, ("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "REVOKED, or STARTED until its run is ended", body = Job),
        (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "No job", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(
    axum::extract::State(state): axum::extract::State<State>,
    Writer(tenant, _): Writer,
    In(id): In<String>,
) -> Result<Json<Job>, Problem> {
    Ok(Json(state.store.cancel(&tenant, known(&id)?).await?))
}

/// Start a job again that has failed or was revoked.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", tag = "jobs", params(Of, ("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "It waits", body = Job),
        (status = 409, description = "It has neither failed nor was it revoked", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "No job", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn retry(
    axum::extract::State(state): axum::extract::State<State>,
    Writer(tenant, _): Writer,
    In(id): In<String>,
) -> Result<Json<Job>, Problem> {
    Ok(Json(state.store.retry(&tenant, known(&id)?).await?))
}
