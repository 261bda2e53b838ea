//! Errors as problem documents (RFC 9457), those of axum's extractors too.

use crate::error::Error;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

/// What went wrong, for programs and people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The status' name.
    #[schema(example = "Not Found")]
    title: String,
    /// The response's.
    #[schema(example = 404)]
    status: u16,
    /// What it was here.
    #[schema(example = "there is no such job")]
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem {
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let status = match &error {
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Changed => StatusCode::PRECONDITION_FAILED,
            Error::Quota(_) => StatusCode::TOO_MANY_REQUESTS,
            other => {
                // What it says may be of others, or of the machine.
                tracing::error!(error = other as &dyn std::error::Error, "a request failed");
                let detail = "the service cannot do this now; try again";
                return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            }
        };
        Problem::new(status, error.to_string())
    }
}

/// A body of JSON.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let body = Json::from_request(request, state).await;
        let Json(body) =
            body.map_err(|rejection: JsonRejection| Problem::new(rejection.status(), rejection.body_text()))?;
        Ok(Body(body))
    }
}

/// The parts of a path.
pub(super) struct In<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for In<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<In<T>, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let Path(path) =
            path.map_err(|rejection: PathRejection| Problem::new(rejection.status(), rejection.body_text()))?;
        Ok(In(path))
    }
}

/// What follows the question mark.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked<T>, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(query) = query
            .map_err(|rejection: QueryRejection| Problem::new(rejection.status(), rejection.body_text()))?;
        Ok(Asked(query))
    }
}
