//! HTTP under /v1. Each handler says what it needs of its caller by the type of its argument: see [`auth`].

mod auth;
mod dashboard;
mod etag;
mod figures;
mod files;
mod jobs;
mod logs;
mod operation;
mod problem;
mod schedules;
mod secrets;
mod snapshots;
mod tenants;

use crate::metrics::Durations;
use crate::store::Store;
use crate::worker::Worker;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use problem::Problem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, RefOr, Schema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Bytes of a request's body.
const LARGEST_BODY: usize = 4 << 20;
/// For a request's body to arrive and the answer to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What handlers share.
#[derive(Clone)]
pub struct State {
    store: Store,
    worker: Option<Worker>,
    leaving: Arc<AtomicBool>,
    uploads: files::Uploads,
    requests: Arc<Durations>,
}

impl State {
    /// Of a service, with its worker if it has one.
    pub fn new(store: Store, worker: Option<Worker>) -> State {
        State {
            store,
            worker,
            leaving: Arc::default(),
            uploads: files::Uploads::default(),
            requests: Arc::default(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    /// From now on it is not ready for more.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "vtwasm jobs",
        description = "Python jobs of many tenants, each in a sandbox of its own. Errors are problem documents (RFC 9457).",
        version = "1"
    ),
    security(("token" = []))
)]
struct Document;

/// All of it: the API, and who asks for the service's health.
pub fn router(state: State) -> Router {
    let (router, document) = versioned().split_for_parts();
    let text = document_text(document);
    let router = router
        .route(
            "/v1/openapi.json",
            axum::routing::get(move || operation::json(text)),
        )
        .merge(dashboard::router())
        .merge(operation::router());
    finished(router, state)
}

/// For a process that runs jobs only.
pub(crate) fn health_router(state: State) -> Router {
    finished(operation::router(), state)
}

/// The OpenAPI document.
pub fn openapi() -> String {
    document_text(versioned().split_for_parts().1)
}

fn versioned() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(jobs::submit, jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::attempts))
        .routes(routes!(jobs::result))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(logs::logs))
        .routes(routes!(figures::figures))
        .routes(routes!(figures::me))
        .routes(routes!(figures::workers))
        .routes(routes!(files::put, files::list))
        .routes(routes!(files::get, files::remove))
        .routes(routes!(files::left))
        .routes(routes!(files::get_left))
        .routes(routes!(files::timeline))
        .routes(routes!(schedules::add, schedules::list))
        .routes(routes!(schedules::get, schedules::remove))
        .routes(routes!(snapshots::make, snapshots::list))
        .routes(routes!(snapshots::remove))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::set, secrets::remove))
        .routes(routes!(tenants::add, tenants::list))
        .routes(routes!(tenants::get, tenants::change))
        .routes(routes!(tenants::add_token, tenants::list_tokens))
        .routes(routes!(tenants::remove_token))
}

fn document_text(mut document: utoipa::openapi::OpenApi) -> String {
    // Any number of parts, which is not to be said in OpenAPI.
    let paths = &mut document.paths.paths;
    if let Some(item) = paths.remove(files::LEFT) {
        paths.insert(files::LEFT.replace("{*path}", "{path}"), item);
    }
    let components = document.components.get_or_insert_default();
    close_tenant(components);
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme("token", bearer);
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// A tenant is its quotas and more in one object. Quotas refuse what they do not know, so that no `allOf` could add to them.
fn close_tenant(components: &mut Components) {
    let schemas = &mut components.schemas;
    let Some(RefOr::T(Schema::Object(quotas))) = schemas.get("Quotas").cloned() else {
        return;
    };
    let Some(RefOr::T(Schema::AllOf(parts))) = schemas.get("Tenant") else {
        return;
    };
    let own = parts.items.iter().find_map(|part| match part {
        RefOr::T(Schema::Object(own)) => Some(own.clone()),
        _ => None,
    });
    let Some(mut tenant) = own else {
        return;
    };
    tenant.required.extend(quotas.properties.keys().cloned());
    tenant.properties.extend(quotas.properties);
    tenant.description.clone_from(&parts.description);
    schemas.insert("Tenant".into(), RefOr::T(Schema::Object(tenant)));
}

fn finished(router: Router<State>, state: State) -> Router {
    router
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method")
        })
        .layer(from_fn(in_time))
        .layer(from_fn_with_state(state.clone(), timed))
        .layer(map_response(careful))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(state)
}

/// Counts how long an answer takes to begin, by its route and not by its path.
async fn timed(
    axum::extract::State(state): axum::extract::State<State>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    // Anyone can make up others.
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let method = known.into_iter().find(|known| known == request.method());
    let response = next.run(request).await;
    let labels = format!(
        "route=\"{}\",method=\"{}\",status=\"{}\"",
        route.as_deref().unwrap_or("none"),
        method.as_ref().map_or("other", Method::as_str),
        response.status().as_u16()
    );
    state.requests.add(labels, begun.elapsed());
    response
}

/// What a browser may do with an answer: next to nothing, unless it says otherwise. There is nothing for other
/// sites' pages (no CORS), and nothing is kept that is some tenant's.
async fn careful(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// A body that comes slowly and a database that hangs hold nobody for ever.
async fn in_time(request: Request, next: Next) -> Response {
    // A file takes as long as it is long; that it stands still is seen where it is read.
    let most = match request.uri().path() {
        "/v1/files" => files::LONGEST_PUT,
        _ => ANSWER_TIMEOUT,
    };
    match timeout(most, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("no answer within {} s; try again", most.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response()
        }
    }
}
