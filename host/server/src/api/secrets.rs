//! A tenant's secrets. Their values come in here, and never out.

use super::State;
use super::auth::Keeper;
use super::problem::{Body, In, Problem};
use crate::secret::Secret;
use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

/// A secret's value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSecret {
    /// At most 64 KiB.
    value: String,
}

/// Set a secret, a new one or anew.
#[utoipa::path(put, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "The secret, and the variable that jobs find it in")),
    request_body = NewSecret,
    responses(
        (status = 204, description = "It is set"),
        (status = "4XX", description = "It is not", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn set(
    axum::extract::State(state): axum::extract::State<State>,
    Keeper(tenant): Keeper,
    In(name): In<String>,
    Body(body): Body<NewSecret>,
) -> Result<StatusCode, Problem> {
    state.store.set_secret(&tenant, &name, &body.value).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List secrets, without their values.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets",
    responses(
        (status = 200, description = "By name", body = Vec<Secret>),
        (status = "4XX", description = "No list", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    axum::extract::State(state): axum::extract::State<State>,
    Keeper(tenant): Keeper,
) -> Result<Json<Vec<Secret>>, Problem> {
    Ok(Json(state.store.secrets(&tenant).await?))
}

/// Forget a secret.
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "The secret")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = "4XX", description = "No secret", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    axum::extract::State(state): axum::extract::State<State>,
    Keeper(tenant): Keeper,
    In(name): In<String>,
) -> Result<StatusCode, Problem> {
    state
        .store
        .remove_secret(&tenant, &name.replace('\0', ""))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
