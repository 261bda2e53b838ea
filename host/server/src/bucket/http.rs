//! Requests to one server, one at a time on each of some connections that are kept for the next.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// For a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// For an answer to begin, and a second more for so many bytes that are sent before it.
const ANSWER: Duration = Duration::from_secs(10);
const SLOWEST: usize = 256 << 10;
/// For the next bytes of an answer.
const STALLED: Duration = Duration::from_secs(20);
/// Connections that are kept, and for how long: servers close them after some 20 s.
const SPARE: usize = 16;
const SPARE_FOR: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read where it is only words.
const MOST_WORDS: usize = 64 << 10;

type Sender = SendRequest<Full<Bytes>>;

/// A server, by `http` or `https`.
pub(super) struct Server {
    host: String,
    port: u16,
    /// As it is named in each request.
    authority: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    spare: Mutex<Vec<(Sender, Instant)>>,
}

impl Server {
    /// The one that an address leads to; `None`, if it leads to none.
    pub(super) fn of(uri: &Uri) -> Option<Server> {
        let authority = uri.authority()?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let (tls, port) = match uri.scheme_str()? {
            "http" => (None, 80),
            "https" => {
                let name = ServerName::try_from(host.clone()).ok()?;
                (Some((TlsConnector::from(Arc::new(tls()?)), name)), 443)
            }
            _ => return None,
        };
        Some(Server {
            host,
            port: authority.port_u16().unwrap_or(port),
            authority: authority.to_string(),
            tls,
            spare: Mutex::default(),
        })
    }

    /// Sends a request, whose address is a path there.
    pub(super) async fn send(self: &Arc<Server>, mut request: Request<Full<Bytes>>) -> io::Result<Answer> {
        let name = self.authority.parse().map_err(io::Error::other)?;
        request.headers_mut().insert(header::HOST, name);
        let bytes = hyper::body::Body::size_hint(request.body()).lower();
        let most = ANSWER + Duration::from_secs(bytes / SLOWEST as u64);
        let mut sender = match self.kept() {
            Some(sender) => sender,
            None => timeout(CONNECT, self.connect())
                .await
                .map_err(|_| late(CONNECT))??,
        };
        let answer = timeout(most, sender.send_request(request)).await;
        let answer = answer.map_err(|_| late(most))?.map_err(broken)?;
        Ok(Answer {
            answer,
            sender: Some(sender),
            server: self.clone(),
        })
    }

    fn kept(&self) -> Option<Sender> {
        let mut spare = self.spare.lock().expect("no code panics with the lock");
        spare.retain(|(sender, since)| sender.is_ready() && since.elapsed() < SPARE_FOR);
        spare.pop().map(|(sender, _)| sender)
    }

    fn keep(&self, sender: Sender) {
        let mut spare = self.spare.lock().expect("no code panics with the lock");
        if spare.len() < SPARE {
            spare.push((sender, Instant::now()));
        }
    }

    async fn connect(&self) -> io::Result<Sender> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            Some((tls, name)) => over(tls.connect(name.clone(), tcp).await?).await,
            None => over(tcp).await,
        }
    }
}

async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> io::Result<Sender> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with its sender; what breaks it is told there.
    tokio::spawn(connection);
    Ok(sender)
}

/// With the certificates that the system trusts. Without any, a server that is reached without TLS is all the same.
fn tls() -> Option<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    Some(tls.ok()?.with_root_certificates(roots).with_no_client_auth())
}

/// An answer, whose connection is kept once it was read to its end.
pub(super) struct Answer {
    answer: Response<Incoming>,
    sender: Option<Sender>,
    server: Arc<Server>,
}

impl Answer {
    pub(super) fn head(&self) -> &Response<Incoming> {
        &self.answer
    }

    /// The next bytes; none at its end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let frame = timeout(STALLED, self.answer.body_mut().frame()).await;
            match frame.map_err(|_| late(STALLED))? {
                Some(frame) => {
                    if let Ok(bytes) = frame.map_err(broken)?.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                None => {
                    if let Some(sender) = self.sender.take() {
                        self.server.keep(sender);
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// All of it, or as much as anybody reads.
    pub(super) async fn words(&mut self) -> io::Result<String> {
        let mut words = Vec::new();
        while let Some(piece) = self.next().await? {
            words.extend_from_slice(&piece);
            if words.len() > MOST_WORDS {
                break;
            }
        }
        Ok(String::from_utf8_lossy(&words).into_owned())
    }
}

fn late(after: Duration) -> io::Error {
    let message = format!("no answer within {} s", after.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// In the words of what is behind it.
fn broken(error: hyper::Error) -> io::Error {
    let why = std::error::Error::source(&error).map(ToString::to_string);
    io::Error::other(why.unwrap_or_else(|| error.to_string()))
}
