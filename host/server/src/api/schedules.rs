//! Schedules.

use super::State;
use super::auth::{Of, Reader, Writer, forbidden};
use super::problem::{Asked, Body, In, Problem};
use crate::schedule::{NewSchedule, Schedule};
use crate::tenant::Scope;
use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

/// Make a schedule, by which a job is submitted again and again.
#[utoipa::path(post, path = "/v1/schedules", tag = "schedules", params(Of), request_body = NewSchedule,
    responses(
        (status = 201, description = "It is there", body = Schedule),
        (status = "4XX", description = "It was not made", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add(
    axum::extract::State(state): axum::extract::State<State>,
    Writer(tenant, secrets): Writer,
    Body(new): Body<NewSchedule>,
) -> Result<(StatusCode, Json<Schedule>), Problem> {
    if !secrets && !new.submission.secrets.is_empty() {
        return Err(forbidden(Scope::Secrets));
    }
    let schedule = state.store.add_schedule(&tenant, &new).await?;
    Ok((StatusCode::CREATED, Json(schedule)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Only schedules that are younger than this one.
    after: Option<String>,
}

/// List schedules, the oldest first.
#[utoipa::path(get, path = "/v1/schedules", tag = "schedules", params(Of, Listing),
    responses(
        (status = 200, description = "The first 1000, which are all that a tenant has, without what they submit", body = Vec<Schedule>),
        (status = "4XX", description = "No list", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    Asked(listing): Asked<Listing>,
) -> Result<Json<Vec<Schedule>>, Problem> {
    let after = listing.after.unwrap_or_default().replace('\0', "");
    Ok(Json(state.store.schedules(&tenant, &after).await?))
}

/// Get a schedule.
#[utoipa::path(get, path = "/v1/schedules/{id}", tag = "schedules",
    params(("id" = String, Path, description = "The schedule"), Of),
    responses(
        (status = 200, description = "The schedule, with what it submits", body = Schedule),
        (status = "4XX", description = "No schedule", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    In(id): In<String>,
) -> Result<Json<Schedule>, Problem> {
    Ok(Json(state.store.schedule(&tenant, &id.replace('\0', "")).await?))
}

/// End a schedule. Its jobs stay.
#[utoipa::path(delete, path = "/v1/schedules/{id}", tag = "schedules",
    params(("id" = String, Path, description = "The schedule"), Of),
    responses(
        (status = 204, description = "It has no further turn"),
        (status = "4XX", description = "No schedule", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    axum::extract::State(state): axum::extract::State<State>,
    Writer(tenant, _): Writer,
    In(id): In<String>,
) -> Result<StatusCode, Problem> {
    let id = id.replace('\0', "");
    state.store.remove_schedule(&tenant, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
