//! A job's output while it is written: the service's events.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use serde_json::Value;

use super::http::{Asking, Client};
use super::path;
use crate::failure::say;

/// How often a broken connection is made anew without anything coming.
const TRIES: u32 = 10;

/// Prints what the job writes until it is over, and returns the job.
pub async fn follow(client: &Client, id: &str) -> Result<Value> {
    let path = path(id, "/logs");
    let mut last = String::new();
    let mut tries = 0;
    loop {
        let mut headers = vec![("accept", "text/event-stream")];
        if !last.is_empty() {
            headers.push(("last-event-id", &last));
        }
        let asking = Asking {
            method: Method::GET,
            path: &path,
            headers: &headers,
            body: None,
        };
        let mut body = match client.send(asking).await {
            Ok(response) => response.into_body(),
            // What was never there does not come back.
            Err(error) if tries == 0 && last.is_empty() => return Err(error),
            Err(error) if tries == TRIES => return Err(error),
            Err(_) => {
                tries += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let mut events = Events::default();
        while let Some(event) = events.next(&mut body).await {
            tries = 0;
            if let Some(job) = shown(&event, &mut last)? {
                return Ok(job);
            }
        }
        tries += 1;
        if tries > TRIES {
            bail!("the service breaks off again and again");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Shows an event; the last one is the job's end.
fn shown(event: &Event, last: &mut String) -> Result<Option<Value>> {
    let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
    match event.name.as_str() {
        "log" => {
            let text = data["text"].as_str().unwrap_or_default().as_bytes();
            if data["stream"] == "stderr" {
                io::stderr().write_all(text)?;
            } else {
                io::stdout().write_all(text)?;
                io::stdout().flush()?;
            }
            last.clone_from(&event.id);
        }
        "state" => {
            let state = data["state"].as_str().unwrap_or_default();
            let error = data["error"].as_str().map(|error| format!(": {error}"));
            say("job", &format!("{state}{}", error.unwrap_or_default()));
            if matches!(state, "SUCCESS" | "FAILURE" | "REVOKED") {
                return Ok(Some(data));
            }
        }
        _ => {}
    }
    Ok(None)
}

#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: String,
}

/// Server-sent events in a stream of bytes.
#[derive(Default)]
struct Events {
    buffer: Vec<u8>,
}

impl Events {
    async fn next(&mut self, body: &mut Incoming) -> Option<Event> {
        loop {
            if let Some(event) = self.taken() {
                return Some(event);
            }
            let frame = body.frame().await?.ok()?;
            if let Ok(bytes) = frame.into_data() {
                self.buffer.extend_from_slice(&bytes);
            }
        }
    }

    /// The next event, once its empty line is there.
    fn taken(&mut self) -> Option<Event> {
        let end = self.buffer.windows(2).position(|two| two == b"\n\n")?;
        let text = self.buffer.drain(..end + 2).collect::<Vec<_>>();
        let mut event = Event::default();
        for line in String::from_utf8_lossy(&text).lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => event.name = value.to_owned(),
                "id" => event.id = value.to_owned(),
                "data" => event.data.push_str(value),
                _ => {}
            }
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_may_come_in_any_pieces() {
        let stream = b":\n\nevent: log\nid: 1.2\ndata: {\"a\":1}\n\nevent: state\ndata:x\n\n";
        for width in 1..stream.len() {
            let mut events = Events::default();
            let mut got = Vec::new();
            for piece in stream.chunks(width) {
                events.buffer.extend_from_slice(piece);
                got.extend(std::iter::from_fn(|| events.taken()));
            }
            let event = |name: &str, id: &str, data: &str| Event {
                name: name.into(),
                id: id.into(),
                data: data.into(),
            };
            let expected = [
                Event::default(),
                event("log", "1.2", "{\"a\":1}"),
                event("state", "", "x"),
            ];
            assert_eq!(got, expected);
        }
    }
}
