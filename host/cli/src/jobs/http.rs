//! One request to a service, over a connection of its own.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

use crate::failure::Failure;

/// A service, and who asks it.
pub struct Client {
    authority: String,
    token: String,
}

impl Client {
    /// # Errors
    /// If the address is none of a service.
    pub fn new(server: &str, token: &str) -> Result<Client> {
        let bad = |message: &str| {
            let message = format!("--server {server}: {message}");
            Failure::usage(message).hint("for example --server http://127.0.0.1:8210")
        };
        let uri: Uri = server.parse().map_err(|_| bad("this is no address"))?;
        let authority = match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) => authority,
            (Some("https"), _) => {
                return Err(bad("this client speaks no TLS; use a tunnel or the HTTP API").into());
            }
            _ => return Err(bad("it begins with http://").into()),
        };
        if !matches!(uri.path(), "" | "/") {
            return Err(bad("it has a path").into());
        }
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "there is no token";
            let hint = "set VTWASM_TOKEN to what `vtwasm serve` printed, or to one of `vtwasm tenant token`";
            return Err(Failure::usage(message).hint(hint).into());
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Client {
            authority: format!("{}:{port}", authority.host()),
            token: token.to_owned(),
        })
    }

    /// Sends a request; an answer that is a problem is an error.
    pub async fn send(&self, request: Asking<'_>) -> Result<Response<Incoming>> {
        succeeded(self.answer(request, Body::default()).await?).await
    }

    /// The name of a file at the service, which gets it if it has not got it.
    pub async fn put(&self, path: &Path) -> Result<String> {
        let cannot = |error: io::Error| Failure::usage(format!("can't read {}: {error}", path.display()));
        let mut file = File::open(path).map_err(cannot)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer).map_err(cannot)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let asking = |method, path| Asking {
            method,
            path,
            headers: &[],
            body: None,
        };
        let there = format!("/v1/files/{hash}");
        let there = self.answer(asking(Method::HEAD, &there), Body::default()).await?;
        if there.status() != StatusCode::OK {
            file.rewind().map_err(cannot)?;
            let left = file.metadata().map_err(cannot)?.len();
            let body = Body::File(file, left);
            succeeded(self.answer(asking(Method::PUT, "/v1/files"), body).await?).await?;
        }
        Ok(hash)
    }

    async fn answer(&self, request: Asking<'_>, file: Body) -> Result<Response<Incoming>> {
        let server = &self.authority;
        let stream = TcpStream::connect(server).await;
        let stream = stream.map_err(|error| {
            let message = format!("cannot reach the service at {server}: {error}");
            Failure::host(message).hint("start one with `vtwasm serve`, or name another with --server")
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let Asking {
            method,
            path,
            headers,
            body,
        } = request;
        let mut building = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, server)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in headers {
            building = building.header(*name, *value);
        }
        let body = match body {
            Some(json) => {
                building = building.header(header::CONTENT_TYPE, "application/json");
                Body::Bytes(Bytes::from(json.to_string()))
            }
            None => file,
        };
        let request = building.body(body).context("making the request")?;
        let response = sender.send_request(request).await;
        response.with_context(|| format!("asking the service at {server}"))
    }

    /// Sends a request and gives its answer as JSON.
    pub async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let response = self
            .send(Asking {
                method,
                path,
                headers: &[],
                body,
            })
            .await?;
        let bytes = response.into_body().collect().await?.to_bytes();
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).context("the service's answer is no JSON: is it one of vtwasm?")
    }
}

/// The response, unless it is a problem.
async fn succeeded(response: Response<Incoming>) -> Result<Response<Incoming>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.into_body().collect().await?.to_bytes();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let detail = problem["detail"].as_str().map(str::to_owned);
    let message = detail.unwrap_or_else(|| format!("the service answered {status}"));
    Err(match status.as_u16() {
        400..500 => Failure::usage(message).into(),
        _ => Failure::host(message).into(),
    })
}

/// What is sent.
enum Body {
    Bytes(Bytes),
    /// And how much of it is still to be read.
    File(File, u64),
}

impl Default for Body {
    fn default() -> Body {
        Body::Bytes(Bytes::new())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut *self {
            Body::Bytes(bytes) => std::mem::take(bytes),
            Body::File(file, left) => {
                let mut piece = Vec::new();
                // Nothing else is done meanwhile.
                match file.take((*left).min(64 << 10)).read_to_end(&mut piece) {
                    Err(error) => return Poll::Ready(Some(Err(error))),
                    Ok(0) if *left > 0 => {
                        let error = io::Error::other("the file became shorter");
                        return Poll::Ready(Some(Err(error)));
                    }
                    Ok(read) => *left -= read as u64,
                }
                piece.into()
            }
        };
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File(_, left) => *left,
        })
    }
}

/// A request.
pub struct Asking<'a> {
    pub method: Method,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Option<&'a Value>,
}

/// Writes what comes.
pub async fn copy(mut body: Incoming, to: &mut impl io::Write) -> Result<()> {
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.context("reading the service's answer")?.into_data() {
            to.write_all(&bytes)?;
        }
    }
    Ok(to.flush()?)
}
