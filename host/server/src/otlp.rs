//! Tells an OpenTelemetry collector of runs: a span each, as OTLP's JSON over HTTP. OpenTelemetry's own crates would bring
//! protobuf, tonic or reqwest for these few fields.

use crate::error::{Error, Result};
use crate::id::{hex, random};
use crate::job::State;
use crate::store::{Claimed, End};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::time::{sleep, timeout};

/// Spans that wait; more are dropped, since jobs do not wait for a collector.
const MOST: usize = 4096;
/// Of one request.
const BATCH: usize = 256;
const PAUSE: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(10);
const TRIES: usize = 3;

/// Where runs are told of.
pub(crate) struct Exporter {
    spans: mpsc::Sender<Value>,
}

impl Exporter {
    /// To the collector at an address such as `http://127.0.0.1:4318`; `name` is who tells.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no such address.
    pub(crate) fn new(address: &str, name: &str) -> Result<Exporter> {
        let wrong = || Error::Invalid(format!("{address} is no collector's address: http://HOST:PORT"));
        let uri = address.parse::<Uri>().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() {
            return Err(wrong());
        }
        let (spans, waiting) = mpsc::channel(MOST);
        tokio::spawn(export(uri, name.to_owned(), waiting));
        Ok(Exporter { spans })
    }

    /// Tells of a run that has ended. The job's name is the trace's.
    pub(crate) fn tell(&self, job: &Claimed, begun: SystemTime, state: State, end: &End) {
        let mut attributes = vec![
            text("vtwasm.job", &job.id),
            text("vtwasm.tenant", &job.tenant),
            text("vtwasm.state", state.name()),
            json!({"key": "vtwasm.attempt", "value": {"intValue": job.attempt.to_string()}}),
            json!({"key": "vtwasm.cpu_time", "value": {"doubleValue": end.usage.cpu_time}}),
        ];
        attributes.extend(end.limit.map(|limit| text("vtwasm.limit", limit)));
        let status = match (state, &end.error) {
            (State::Success, _) => json!({"code": 1}),
            (_, error) => json!({"code": 2, "message": error}),
        };
        let span = json!({
            "traceId": job.id.trim_start_matches("job_"),
            "spanId": hex(&random::<8>()),
            "name": "run",
            "kind": 5,
            "startTimeUnixNano": nanos(begun),
            "endTimeUnixNano": nanos(SystemTime::now()),
            "attributes": attributes,
            "status": status,
        });
        if self.spans.try_send(span).is_err() {
            tracing::debug!("a span is dropped: the collector is slow");
        }
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn nanos(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().to_string()
}

/// Until nobody tells any more.
async fn export(uri: Uri, name: String, mut waiting: mpsc::Receiver<Value>) {
    while let Some(first) = waiting.recv().await {
        let mut spans = vec![first];
        // For company.
        sleep(PAUSE).await;
        while spans.len() < BATCH {
            match waiting.try_recv() {
                Ok(span) => spans.push(span),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let count = spans.len();
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [
                text("service.name", "vtwasm"),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", &name),
            ]},
            "scopeSpans": [{"scope": {"name": "vtwasm"}, "spans": spans}],
        }]});
        let body = Bytes::from(body.to_string());
        let mut tries = 0;
        while let Err(error) = post(&uri, body.clone()).await {
            tries += 1;
            if tries == TRIES {
                tracing::warn!(error, count, "the collector takes no spans; they are dropped");
                break;
            }
            sleep(PAUSE * 2).await;
        }
    }
}

async fn post(uri: &Uri, body: Bytes) -> std::result::Result<(), String> {
    let all = async {
        let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
        let host = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let failed = |error: hyper::Error| error.to_string();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        tokio::spawn(connection);
        let request = Request::post(format!("{}/v1/traces", uri.path().trim_end_matches('/')))
            .header(
                header::HOST,
                uri.authority().map_or("", |authority| authority.as_str()),
            )
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body));
        let request = request.map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let _ = response.into_body().collect().await;
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("it answers {status}")),
        }
    };
    timeout(ANSWER, all)
        .await
        .unwrap_or_else(|_| Err("it does not answer".into()))
}
