//! Tenants and their tokens, for the operator.

use super::State;
use super::auth::Operator;
use super::etag;
use super::problem::{Asked, Body, In, Problem};
use crate::job::Usage;
use crate::tenant::{Quotas, Scope, Tenant, Token};
use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// A tenant to be made.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewTenant {
    /// Lower-case letters, digits and hyphens.
    #[schema(example = "research", pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    id: String,
    /// What is left out is the default.
    #[serde(default)]
    quotas: Quotas,
}

/// Make a tenant.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant,
    responses(
        (status = 201, description = "It is there", body = Tenant),
        (status = "4XX", description = "It was not made", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add(
    axum::extract::State(state): axum::extract::State<State>,
    _: Operator,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Json<Tenant>), Problem> {
    let tenant = state.store.add_tenant(&new.id, &new.quotas).await?;
    Ok((StatusCode::CREATED, Json(tenant)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Only tenants whose names come later: the `next` of the page before.
    after: Option<String>,
}

/// A page of tenants.
#[derive(Serialize, ToSchema)]
pub(super) struct TenantPage {
    /// By name.
    tenants: Vec<Tenant>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

const PAGE: i64 = 100;

/// List tenants.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(Listing),
    responses(
        (status = 200, description = "A page", body = TenantPage),
        (status = "4XX", description = "No page", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    axum::extract::State(state): axum::extract::State<State>,
    _: Operator,
    Asked(listing): Asked<Listing>,
) -> Result<Json<TenantPage>, Problem> {
    let after = listing.after.unwrap_or_default().replace('\0', "");
    let tenants = state.store.tenants(&after, PAGE).await?;
    let full = tenants.len() as i64 == PAGE;
    let next = tenants.last().filter(|_| full).map(|tenant| tenant.id.clone());
    Ok(Json(TenantPage { tenants, next }))
}

/// A tenant, and what its runs have used.
#[derive(Serialize, ToSchema)]
pub(super) struct Account {
    #[serde(flatten)]
    tenant: Tenant,
    /// How many runs have ended.
    runs: i64,
    /// The sums of what they used.
    used: Usage,
    /// Bytes of files that are kept for it.
    stored: i64,
}

/// Get a tenant, and what its runs have used.
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "tenants", params(("id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "The tenant", body = Account,
            headers(("ETag" = String, description = "Of its quotas, for If-Match: what it has used is not in it"))),
        (status = "4XX", description = "No tenant", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    axum::extract::State(state): axum::extract::State<State>,
    _: Operator,
    In(id): In<String>,
) -> Result<impl IntoResponse, Problem> {
    let tenant = state.store.tenant(known(&id)?).await?;
    let (runs, used) = state.store.used(&id).await?;
    let [stored, _] = state.store.stored(&id).await?;
    let tag = etag::of_quotas(&tenant.quotas);
    let account = Account {
        tenant,
        runs,
        used,
        stored,
    };
    Ok((tag, Json(account)))
}

/// Replace a tenant's quotas.
#[utoipa::path(put, path = "/v1/tenants/{id}", tag = "tenants",
    params(("id" = String, Path, description = "The tenant"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the quotas that these are to replace; without, any")),
    request_body = Quotas,
    responses(
        (status = 200, description = "The tenant", body = Tenant,
            headers(("ETag" = String, description = "Of its quotas, for If-Match"))),
        (status = 412, description = "Somebody else has changed them meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "Nothing was changed", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn change(
    axum::extract::State(state): axum::extract::State<State>,
    _: Operator,
    In(id): In<String>,
    headers: HeaderMap,
    Body(quotas): Body<Quotas>,
) -> Result<impl IntoResponse, Problem> {
    let is_expected = |quotas: &Quotas| {
        let [(_, tag)] = etag::of_quotas(quotas);
        etag::may_change(&headers, &tag)
    };
    let changed = state.store.change_tenant_if(known(&id)?, &quotas, is_expected);
    let tenant = changed.await?;
    Ok((etag::of_quotas(&tenant.quotas), Json(tenant)))
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What it is good for.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// Seconds until it ends; never, if left out.
    #[schema(exclusive_minimum = 0)]
    lifetime: Option<f64>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeToken {
    /// The token itself. It is told only this once.
    token: String,
    #[serde(flatten)]
    about: Token,
}

/// Make a token.
#[utoipa::path(post, path = "/v1/tenants/{id}/tokens", tag = "tenants", params(("id" = String, Path, description = "The tenant")),
    request_body = NewToken,
    responses(
        (status = 201, description = "The token", body = MadeToken),
        (status = "4XX", description = "It was not made", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add_token(
    axum::extract::State(state): axum::extract::State<State>,
    _: Operator,
    In(id): In<String>,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    if new.scopes.is_empty()
        || new
            .lifetime
            .is_some_and(|seconds| !(seconds > 0.0 && seconds < 1e10))
    {
        let detail = "a token has scopes, and a lifetime of more than 0 seconds";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let lifetime = new.lifetime.map(Duration::from_secs_f64);
    let (token, about) = state.store.add_token(known(&id)?, &new.scopes, lifetime).await?;
    Ok((StatusCode::CREATED, Json(MadeToken { token, about })))
}

/// List a tenant's tokens, without the tokens themselves.
#[utoipa::path(get, path = "/v1/tenants/{id}/tokens", tag = "tenants", params(("id" = String, Path, description = "The tenant")),
    responses(
        (status = 200, description = "The tokens", body = Vec<Token>),
        (status = "4XX", description = "No tenant", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list_tokens(
    axum::extract::State(state): axum::extract::State<State>,
    _: Operator,
    In(id): In<String>,
) -> Result<Json<Vec<Token>>, Problem> {
    state.store.tenant(known(&id)?).await?;
    Ok(Json(state.store.tokens(&id).await?))
}

/// End a token.
#[utoipa::path(delete, path = "/v1/tenants/{id}/tokens/{token}", tag = "tenants",
    params(("id" = String, Path, description = "The tenant"), ("token" = String, Path, description = "The token's id")),
    responses(
        (status = 204, description = "It is good for nothing any more"),
        (status = "4XX", description = "No token", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove_token(
    axum::extract::State(state): axum::extract::State<State>,
    _: Operator,
    In((id, token)): In<(String, String)>,
) -> Result<StatusCode, Problem> {
    state
        .store
        .remove_token(known(&id)?, &token.replace('\0', ""))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What cannot be a tenant's name is not asked the database for.
fn known(id: &str) -> Result<&str, Problem> {
    if crate::tenant::is_name(id) {
        return Ok(id);
    }
    Err(crate::Error::NotFound("tenant").into())
}
