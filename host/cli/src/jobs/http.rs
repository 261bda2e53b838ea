//! One request to a service, over a connection of its own.

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
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
                Full::new(Bytes::from(json.to_string()))
            }
            None => Full::default(),
        };
        let request = building.body(body).context("making the request")?;
        let response = sender.send_request(request).await;
        let response = response.with_context(|| format!("asking the service at {server}"))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, body) = (
            response.status(),
            response.into_body().collect().await?.to_bytes(),
        );
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().map(str::to_owned);
        let message = detail.unwrap_or_else(|| format!("the service answered {status}"));
        Err(match status.as_u16() {
            400..500 => Failure::usage(message).into(),
            _ => Failure::host(message).into(),
        })
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

/// A request.
pub struct Asking<'a> {
    pub method: Method,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Option<&'a Value>,
}
