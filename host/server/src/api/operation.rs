//! For those who run the service: its health and its figures.

use super::State;
use super::auth::Operator;
use super::problem::Problem;
use crate::counts::Sweeps;
use crate::metrics::Text;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

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
    let figures = state.store.figures("*").await?;
    let workers = state.store.workers().await?;
    let mut text = Text::default();
    text.gauge(
        "vtwasm_jobs_waiting",
        "Jobs that wait, of all tenants.",
        figures.waiting,
    );
    text.gauge(
        "vtwasm_jobs_running",
        "Jobs that run, in all processes.",
        figures.running,
    );
    let help = "For so long the first waiting job could have run.";
    text.gauge("vtwasm_jobs_oldest_seconds", help, figures.oldest);
    let [files, bytes, schedules] = state.store.kept().await?;
    text.gauge("vtwasm_files", "Files that are kept, of all tenants.", files);
    text.gauge("vtwasm_files_bytes", "Bytes of files that are kept.", bytes);
    text.gauge("vtwasm_schedules", "Schedules, of all tenants.", schedules);
    let help = "Processes that run jobs and were seen within the last minute.";
    text.gauge("vtwasm_workers", help, workers.len());
    let help = "Failures of the database that this process has met.";
    text.counter(
        "vtwasm_database_errors_total",
        help,
        state.store.database_errors(),
    );
    let help = "Times until answers of this process begin.";
    text.durations("vtwasm_http_request_duration_seconds", help, &state.requests);
    if let Some(worker) = state.worker() {
        let (running, slots) = worker.load();
        text.gauge(
            "vtwasm_worker_slots",
            "Jobs that this process runs at once.",
            slots,
        );
        text.gauge("vtwasm_worker_running", "Jobs that this process runs.", running);
        let help = "Sessions that this process keeps.";
        text.gauge("vtwasm_worker_sessions", help, worker.sessions());
        if let Ok(packages) = state.store.packages() {
            let kept = packages.kept();
            let help = "Bytes of jobs' packages that this machine keeps.";
            text.gauge("vtwasm_packages_bytes", help, kept.bytes);
            let help = "Folders of packages that this process has removed, to make room.";
            text.counter("vtwasm_packages_removed_total", help, kept.removed);
        }
        let counts = worker.counts();
        let help = "Times that this process has asked for jobs to run.";
        text.counter("vtwasm_claims_total", help, counts.claims());
        let help = "Jobs that this process has taken.";
        text.counter("vtwasm_claimed_jobs_total", help, counts.claimed());
        let help = "Runs that ended in this process, by their job's state then.";
        let ended = counts.ended();
        let ended = ended.map(|(state, count)| (format!("{{state=\"{}\"}}", state.name()), count));
        text.counters("vtwasm_runs_total", help, ended);
        let help = "Runs that this process ended because they hit a limit.";
        text.counters("vtwasm_runs_limited_total", help, counts.limited());
        let help = "What runs of this process took from start to end, by their job's state then.";
        text.durations("vtwasm_run_duration_seconds", help, counts.durations());
        let swept = &state.store.sweeps;
        let help = "Turns of schedules that this process has taken, with a job or without.";
        let turns = ["true", "false"].iter().zip(&swept.turns);
        let turns = turns.map(|(job, count)| (format!("{{job=\"{job}\"}}"), Sweeps::get(count)));
        text.counters("vtwasm_schedule_turns_total", help, turns);
        let help = "Jobs that this process has removed, for they were over for long enough.";
        text.counter("vtwasm_swept_jobs_total", help, Sweeps::get(&swept.jobs));
        let help = "Files that this process has removed, for no job has had them for long enough.";
        text.counter("vtwasm_swept_files_total", help, Sweeps::get(&swept.files));
        let help = "Bytes of files that this process has removed.";
        text.counter("vtwasm_swept_bytes_total", help, Sweeps::get(&swept.bytes));
    }
    let text = text.finish();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}

pub(super) async fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
