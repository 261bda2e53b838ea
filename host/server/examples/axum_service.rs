//! A web service that runs the Python that it is sent, each time in a new sandbox:
//!
//! ```console
//! $ VTWASM_PYTHON=$(cargo xtask python) cargo run --release -p vtwasm-server --example axum_service
//! $ curl --data 'print(6 * 7)' http://127.0.0.1:8080/run
//! ```
//!
//! It needs only the crates `vtwasm`, `axum` and `tokio`; with axum's feature `tokio`, `axum::serve` takes the
//! place of the loop in `main`. `vtwasm serve` is a whole service, with tenants and jobs that are kept.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use vtwasm::{Artifact, Engine, Limits, Outcome, Output, Python, Sandbox};

/// Runs at once; further ones wait for their turn.
const RUNS: usize = 64;

#[derive(Clone)]
struct Service {
    python: Python,
    places: Arc<Semaphore>,
}

/// Runs the body. If the client goes away, axum drops this future, and with it the run.
async fn run(State(service): State<Service>, code: String) -> Result<Json<Value>, (StatusCode, String)> {
    let failed = |error: vtwasm::Error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let _place = service.places.acquire().await;
    let mut limits = Limits::default();
    limits.memory = 256 << 20;
    limits.wall_time = Some(Duration::from_secs(10));
    limits.cpu_time = Some(Duration::from_secs(2));
    limits.output = Some(1 << 20);
    limits.threads = 1000;
    let sandbox = Sandbox::builder(&service.python)
        .args(["python3", "-c", &code])
        .limits(limits)
        .stdout(Output::Capture)
        .stderr(Output::Capture)
        .build()
        .map_err(failed)?;
    let report = sandbox.run().await.map_err(failed)?;
    let ended = match report.outcome {
        Outcome::Exited(code) => format!("exited with {code}"),
        Outcome::LimitHit(limit) => format!("ended by the limit of {limit}"),
        other => format!("{other:?}"),
    };
    Ok(Json(json!({
        "ended": ended,
        "stdout": String::from_utf8_lossy(&report.stdout),
        "stderr": String::from_utf8_lossy(&report.stderr),
        "cpu_ms": report.usage.cpu_time.as_secs_f64() * 1e3,
    })))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::var("VTWASM_PYTHON")
        .map_err(|_| "VTWASM_PYTHON must name the folder that `cargo xtask python` prints")?;
    let service = Service {
        python: Python::new(&Engine::for_short_runs()?, &Artifact::open(folder)?)?,
        places: Arc::new(Semaphore::new(RUNS)),
    };
    let router = Router::new().route("/run", post(run)).with_state(service);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(router.clone());
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}
