//! Entity tags: what a caller has need not be sent again, and what it has not seen is not overwritten.

use super::problem::Problem;
use crate::Error;
use crate::id::hash;
use crate::tenant::Quotas;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A caller asks each time, and only a caller that may: what is kept is this tenant's.
pub(super) const CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "private, no-cache");

/// The tag of a text.
fn of(text: &str) -> String {
    format!("\"{}\"", &hash(text)[..32])
}

/// Something as JSON with its tag, unless the caller has it.
pub(super) fn json(asked: &HeaderMap, value: &impl Serialize) -> Result<Response, Problem> {
    let text = serde_json::to_string(value).map_err(|error| Error::Invalid(error.to_string()))?;
    let tag = of(&text);
    let about = [CACHED, (header::ETAG, &tag)];
    if is_known(asked, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((about, kind, text).into_response())
}

/// The tag of a tenant's quotas, which is another once they are changed.
pub(super) fn of_quotas(quotas: &Quotas) -> [(HeaderName, String); 1] {
    let text = serde_json::to_string(quotas).unwrap_or_default();
    [(header::ETAG, of(&text))]
}

/// Whether the caller has what has this tag (`If-None-Match`).
pub(super) fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    tags(asked, header::IF_NONE_MATCH).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// Whether the caller wants to change just this (`If-Match`), or whatever is there.
pub(super) fn may_change(asked: &HeaderMap, tag: &str) -> bool {
    !asked.contains_key(header::IF_MATCH)
        || tags(asked, header::IF_MATCH).any(|known| known == "*" || known == tag)
}

fn tags(asked: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lists = asked.get_all(name).into_iter();
    let lists = lists.filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',').map(str::trim))
}
