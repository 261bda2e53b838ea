//! Who asks. A handler takes a [`Reader`], a [`Writer`] or an [`Operator`] and so is reached only by such.

use super::State;
use super::problem::Problem;
use crate::tenant::{Caller, Scope};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};

/// The tenant of a caller who may see its jobs.
pub(super) struct Reader(pub(super) String);

/// The tenant of a caller who may submit, cancel and retry its jobs; and whether these may have secrets.
pub(super) struct Writer(pub(super) String, pub(super) bool);

/// The tenant of a caller who may set its secrets.
pub(super) struct Keeper(pub(super) String);

/// A caller who may make and change tenants.
pub(super) struct Operator;

impl FromRequestParts<State> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Reader, Problem> {
        Ok(Reader(allowed(parts, state, Scope::Read).await?.tenant))
    }
}

impl FromRequestParts<State> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Writer, Problem> {
        let Caller { tenant, scopes } = allowed(parts, state, Scope::Write).await?;
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
