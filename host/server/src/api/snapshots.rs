//! Snapshots that jobs start from.

use super::State;
use super::auth::{Of, Reader, Writer};
use super::problem::{Body, In, Problem};
use crate::job::Job;
use crate::snapshot::{NewSnapshot, StoredSnapshot};
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Make a snapshot, in place of one of that name. It is there when the job that is told of has succeeded. Jobs that have
/// secrets start from it only if the token has the scope `secrets`.
#[utoipa::path(post, path = "/v1/snapshots", tag = "snapshots", params(Of), request_body = NewSnapshot,
    responses(
        (status = 201, description = "The job that makes it", body = Job),
        (status = "4XX", description = "It is not made", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn make(
    axum::extract::State(state): axum::extract::State<State>,
    Writer(tenant, secrets): Writer,
    Body(new): Body<NewSnapshot>,
) -> Result<Response, Problem> {
    let job = state.store.make_snapshot(&tenant, &new, secrets).await?;
    let location = [(header::LOCATION, format!("/v1/jobs/{}", job.id))];
    Ok((StatusCode::CREATED, location, Json(job)).into_response())
}

/// List snapshots.
#[utoipa::path(get, path = "/v1/snapshots", tag = "snapshots", params(Of),
    responses(
        (status = 200, description = "By name", body = Vec<StoredSnapshot>),
        (status = "4XX", description = "No list", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
) -> Result<Json<Vec<StoredSnapshot>>, Problem> {
    Ok(Json(state.store.snapshots(&tenant).await?))
}

/// Forget a snapshot. Jobs that were submitted with it still have it.
#[utoipa::path(delete, path = "/v1/snapshots/{name}", tag = "snapshots",
    params(("name" = String, Path, description = "The snapshot"), Of),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = "4XX", description = "No snapshot", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    axum::extract::State(state): axum::extract::State<State>,
    Writer(tenant, _): Writer,
    In(name): In<String>,
) -> Result<StatusCode, Problem> {
    let name = name.replace('\0', "");
    state.store.remove_snapshot(&tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
