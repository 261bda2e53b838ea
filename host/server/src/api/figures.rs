//! How much there is to do, who asks, who works.

use super::State;
use super::auth::{Anyone, Of, Operator, Reader};
use super::problem::Problem;
use crate::job::Figures;
use crate::store::WorkerInfo;
use crate::tenant::{Scope, Tenant};
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// Who asks.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// Its tenant, with its quotas.
    tenant: Tenant,
    /// What its token is good for.
    scopes: Vec<Scope>,
}

/// Get whose token this is, and what it is good for.
#[utoipa::path(get, path = "/v1/me", tag = "service",
    responses(
        (status = 200, description = "Who asks", body = Me),
        (status = "4XX", description = "Nobody", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn me(
    axum::extract::State(state): axum::extract::State<State>,
    Anyone(caller): Anyone,
) -> Result<Json<Me>, Problem> {
    Ok(Json(Me {
        tenant: state.store.tenant(&caller.tenant).await?,
        scopes: caller.scopes,
    }))
}

/// Get how many jobs wait and run, and what was done in the last day.
#[utoipa::path(get, path = "/v1/figures", tag = "service", params(Of),
    responses(
        (status = 200, description = "The figures", body = Figures),
        (status = "4XX", description = "No figures", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn figures(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
) -> Result<Json<Figures>, Problem> {
    Ok(Json(state.store.figures(&tenant).await?))
}

/// List the processes that run jobs, for the operator.
#[utoipa::path(get, path = "/v1/workers", tag = "service",
    responses(
        (status = 200, description = "Those that were seen within the last minute, the longest there first", body = Vec<WorkerInfo>),
        (status = "4XX", description = "No list", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn workers(
    axum::extract::State(state): axum::extract::State<State>,
    _: Operator,
) -> Result<Json<Vec<WorkerInfo>>, Problem> {
    Ok(Json(state.store.workers().await?))
}
