//! Who asks. A handler takes a [`Reader`], a [`Writer`] or an [`Operator`] and so is reached only by such.

use super::State;
use super::problem::Problem;
use crate::tenant::{Caller, Scope, is_name};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;

/// For operators.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Of {
    /// For operators: another tenant's jobs; `*` for all, where many are told of.
    tenant: Option<String>,
}

/// Anyone with a token.
pub(super) struct Anyone(pub(super) Caller);

/// The tenant of a caller who may see its jobs.
pub(super) struct Reader(pub(super) String);

/// The tenant of a caller who may submit, cancel and retry its jobs; and whether these may have secrets.
pub(super) struct Writer(pub(super) String, pub(super) bool);

/// The tenant of a caller who may set its secrets.
pub(super) struct Keeper(pub(super) String);

/// A caller who may make and change tenants.
pub(super) struct Operator;

impl FromRequestParts<State> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Anyone, Problem> {
        Ok(Anyone(caller(parts, state).await?))
    }
}

impl FromRequestParts<State> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Reader, Problem> {
        Ok(Reader(
            whose(parts, allowed(parts, state, Scope::Read).await?)?.tenant,
        ))
    }
}

impl FromRequestParts<State> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Writer, Problem> {
        let Caller { tenant, scopes } = whose(parts, allowed(parts, state, Scope::Write).await?)?;
        Ok(Writer(tenant, scopes.contains(&Scope::Secrets)))
    }
}

impl FromRequestParts<State> for Keeper {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Keeper, Problem> {
        Ok(Keeper(allowed(parts, state, Scope::Secrets).await?.tenant))
    }
}

impl FromRequestParts<State> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Operator, Problem> {
        allowed(parts, state, Scope::Operator).await?;
        Ok(Operator)
    }
}

/// The caller, if its token is good for `scope`.
async fn allowed(parts: &Parts, state: &State, scope: Scope) -> Result<Caller, Problem> {
    let caller = caller(parts, state).await?;
    if !caller.scopes.contains(&scope) {
        return Err(forbidden(scope));
    }
    Ok(caller)
}

/// The caller as the tenant that is named in the request.
fn whose(parts: &Parts, caller: Caller) -> Result<Caller, Problem> {
    let Query(of) = Query::<Of>::try_from_uri(&parts.uri)
        .map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    match of.tenant {
        Some(tenant) if tenant != caller.tenant => {
            if !caller.scopes.contains(&Scope::Operator) {
                return Err(forbidden(Scope::Operator));
            }
            if tenant != "*" && !is_name(&tenant) {
                return Err(crate::Error::NotFound("tenant").into());
            }
            Ok(Caller { tenant, ..caller })
        }
        _ => Ok(caller),
    }
}

pub(super) fn forbidden(scope: Scope) -> Problem {
    let detail = format!("this token has no scope `{}`", scope.name());
    Problem::new(StatusCode::FORBIDDEN, detail)
}

async fn caller(parts: &Parts, state: &State) -> Result<Caller, Problem> {
    let header = parts.headers.get(header::AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => {
            let detail = "send a token: Authorization: Bearer vt_…";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        }
    };
    let caller = state.store.caller(token).await?;
    caller.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "this token is unknown, or it has ended"))
}
