//! The dashboard: files of `dashboard/`, as they are.

use super::State;
use crate::id::hash;
use axum::Router;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Nothing that the page has not brought with it runs, and no text ever becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

macro_rules! files {
    ($($path:literal $kind:ident;)*) => {
        &[$((concat!("/dashboard/", $path), Kind::$kind, include_str!(concat!("../../dashboard/", $path)))),*]
    };
}
const FILES: &[(&str, Kind, &str)] = files! {
    "api.js" Script;
    "dom.js" Script;
    "format.js" Script;
    "icon.svg" Image;
    "main.js" Script;
    "style.css" Style;
    "views/files.js" Script;
    "views/list.js" Script;
    "views/log.js" Script;
    "views/overview.js" Script;
    "views/run.js" Script;
    "views/runs.js" Script;
    "views/schedules.js" Script;
    "views/secrets.js" Script;
    "views/submit.js" Script;
    "views/tenants.js" Script;
    "views/timeline.js" Script;
    "views/workers.js" Script;
};

#[derive(Clone, Copy)]
enum Kind {
    Page,
    Script,
    Style,
    Image,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Page => "text/html; charset=utf-8",
            Kind::Script => "text/javascript; charset=utf-8",
            Kind::Style => "text/css; charset=utf-8",
            Kind::Image => "image/svg+xml",
        }
    }
}

pub(super) fn router() -> Router<State> {
    let page = ("/", Kind::Page, include_str!("../../dashboard/index.html"));
    let mut router = Router::new();
    for &(path, kind, text) in FILES.iter().chain([&page]) {
        let tag = format!("\"{}\"", &hash(text)[..16]);
        router = router.route(path, get(async move |headers| file(&headers, kind, text, tag)));
    }
    router
}

/// A browser asks each time, and gets it again only if it is another: scripts of two versions never meet.
fn file(asked: &HeaderMap, kind: Kind, text: &'static str, tag: String) -> Response {
    let known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok());
    let is_known = known.is_some_and(|known| known.contains(&tag));
    let headers: [(HeaderName, String); 4] = [
        (header::CONTENT_TYPE, kind.name().into()),
        (header::CONTENT_SECURITY_POLICY, POLICY.into()),
        (header::CACHE_CONTROL, "no-cache".into()),
        (header::ETAG, tag),
    ];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, headers).into_response(),
        false => (headers, text).into_response(),
    }
}
