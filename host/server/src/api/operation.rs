//! For those who run the service: its health and its figures.

use super::State;
use super::auth::Operator;
use super::problem::Problem;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write;

pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// Whether the service takes work: not while it leaves, nor without its database.
async fn ready(axum::extract::State(state): axum::extract::State<State>) -> Result<&'static str, Problem> {
    if state.is_leaving() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "it is leaving"));
    }
    state.store.ping().await?;
    Ok("ok\n")
}

/// What Prometheus reads.
async fn metrics(
    axum::extract::State(state): axum::extract::State<State>,
    _: Operator,
) -> Result<Response, Problem> {
    let [waiting, running] = state.store.queue_lengths().await?;
    let mut text = String::new();
    let mut say = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP vtwasm_{name} {help}\n# TYPE vtwasm_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "vtwasm_{name}{labels} {value}");
        }
    };
    let one = |value: i64| [(String::new(), value.max(0).unsigned_abs())];
    say(
        "jobs_waiting",
        "gauge",
        "Jobs that wait, of all tenants.",
        &one(waiting),
    );
    say(
        "jobs_running",
        "gauge",
        "Jobs that run, in all processes.",
        &one(running),
    );
    if let Some(worker) = state.worker() {
        let (running, slots) = worker.load();
        say(
            "worker_slots",
            "gauge",
            "Jobs that this process runs at once.",
            &one(slots as i64),
        );
        say(
            "worker_running",
            "gauge",
            "Jobs that this process runs.",
            &one(running as i64),
        );
        let ended = worker
            .ended()
            .map(|(state, count)| (format!("{{state=\"{}\"}}", state.name()), count));
        say(
            "runs_total",
            "counter",
            "Runs that ended in this process, by their job's state then.",
            &ended,
        );
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}

pub(super) async fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
