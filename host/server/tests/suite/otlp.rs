//! A collector of the test's own.

use crate::http::serve_with;
use crate::place::Place;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use vtwasm_server::{Role, Service};

/// Takes requests and answers each; the first one it breaks off.
async fn collect(listener: TcpListener, bodies: mpsc::Sender<(String, Value)>) {
    let mut is_first = true;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        if std::mem::take(&mut is_first) {
            continue;
        }
        let mut request = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(body) = serde_json::from_str(body)
            {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    .await
                    .unwrap();
                bodies.send((head.to_owned(), body)).await.unwrap();
                break;
            }
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_told_of_each_run_and_asked_again_when_it_breaks_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/base/", listener.local_addr().unwrap());
    let (sender, mut bodies) = mpsc::channel(16);
    tokio::spawn(collect(listener, sender));
    let export = |service: &Service| {
        for wrong in ["https://collector", "collector:4318", "ftp://x", "http://", ""] {
            assert!(service.export_runs(wrong).is_err(), "{wrong}");
        }
        service.export_runs(&address).unwrap();
    };
    let place = Place::sqlite();
    let service = serve_with(&place, Role::All, export).await;
    let failing = json!({"source": "raise ValueError('no row')"});
    let ids = [
        service.submit(&json!({"source": "pass"})).await,
        service.submit(&failing).await,
    ];
    let mut spans = Vec::new();
    while spans.len() < 2 {
        let (head, body) = bodies.recv().await.unwrap();
        assert!(head.starts_with("POST /base/v1/traces HTTP/1.1"), "{head}");
        assert!(head.contains("application/json"), "{head}");
        let resource = &body["resourceSpans"][0];
        let name = &resource["resource"]["attributes"][0];
        assert_eq!(
            name,
            &json!({"key": "service.name", "value": {"stringValue": "vtwasm"}})
        );
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    }
    for (id, code) in ids.iter().zip([1, 2]) {
        let trace = id.trim_start_matches("job_");
        let span = spans.iter().find(|span| span["traceId"] == trace).unwrap();
        assert_eq!(
            (&span["name"], &span["status"]["code"]),
            (&json!("run"), &json!(code))
        );
        assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
        let time = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") < time("endTimeUnixNano"));
        let text = span["attributes"].to_string();
        assert!(text.contains(id) && text.contains("\"default\""), "{text}");
    }
    let failed = spans.iter().find(|span| span["status"]["code"] == 2).unwrap();
    assert_eq!(failed["status"]["message"], "ValueError: no row");
    service.leave().await;
}
