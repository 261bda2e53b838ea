//! A service that runs strangers' Python: `curl --data-binary 'print(6 * 7)' 127.0.0.1:8000/run`.
//!
//! Each request gets a new interpreter with limits. A client that goes away takes its run with it.

mod common;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::{Router, routing::post};
use std::error::Error;
use std::time::Duration;
use vtwasm::{Limits, Outcome, Output, Python, Report, Sandbox};

async fn run(State(python): State<Python>, code: String) -> (StatusCode, String) {
    match in_sandbox(&python, &code).await {
        Ok(report) => {
            let status = match report.outcome {
                Outcome::Exited(0) => StatusCode::OK,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let [stdout, stderr] =
                [report.stdout, report.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            (
                status,
                format!(
                    "{stdout}{stderr}{:?} in {:?}\n",
                    report.outcome, report.usage.cpu_time
                ),
            )
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

async fn in_sandbox(python: &Python, code: &str) -> vtwasm::Result<Report> {
    let mut limits = Limits::default();
    limits.memory = 64 << 20;
    limits.cpu_time = Some(Duration::from_secs(1));
    limits.wall_time = Some(Duration::from_secs(10));
    limits.threads = 1000;
    Sandbox::builder(python)
        .args(["python3", "-c", code])
        .limits(limits)
        .stdout(Output::Capture)
        .stderr(Output::Capture)
        .build()?
        .run()
        .await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = Router::new()
        .route("/run", post(run))
        .layer(DefaultBodyLimit::max(1 << 20))
        .with_state(common::python()?);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 8000)).await?;
    println!("listening on http://{}/run", listener.local_addr()?);
    axum::serve(listener, service).await?;
    Ok(())
}
