//! Tenants' files in storage that speaks S3: an object for each, named by its place.
//!
//! Everything here may be done twice, and is where an answer is lost: a place is given once, so nobody else writes there.

mod http;

use crate::error::{Error, Result};
use crate::id;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::{Answer, Server};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri, header};
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};
use rusty_s3::{Credentials, S3Action, UrlStyle};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

/// Bytes of a file that are in memory at once, for each that is on its way there; there are at most so many parts of one.
const PART: u64 = 8 << 20;
const MOST_PARTS: u64 = 10_000;
/// Files on their way there at once; further ones wait.
const AT_ONCE: usize = 8;
/// Before it is given up, what failed is tried again for so long: who waits for an answer of the API has 30 s.
const PATIENCE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often an answer may break off without a byte more than the time before.
const BREAKS: usize = 5;
/// For one file, whatever its length; less than it takes until its bytes are taken for nobody's.
const LONGEST: Duration = Duration::from_secs(1800);
/// For which a signed request may be sent.
const SIGNED_FOR: Duration = Duration::from_secs(600);

/// Where a bucket is, and who asks.
#[derive(Clone, Default)]
pub struct BucketAddress {
    /// `s3://BUCKET`, or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Where storage is, `https://HOST` or `http://HOST:PORT`; AWS's own without.
    pub endpoint: Option<String>,
    /// Its region; without, `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket's name is in that of the host, and not in the path.
    pub by_host: bool,
    /// Who asks.
    pub access_key: String,
    /// The secret that belongs to it.
    pub secret_key: String,
    /// Of a key for some time.
    pub session_token: Option<String>,
}

/// Without the keys.
impl std::fmt::Debug for BucketAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (url, endpoint) = (&self.url, &self.endpoint);
        write!(f, "BucketAddress({url} {endpoint:?})")
    }
}

impl BucketAddress {
    /// The bucket's name, and what stands before all places in it.
    fn parts(&self) -> Result<(&str, &str)> {
        let parts = self.url.strip_prefix("s3://");
        let parts = parts.map(|rest| rest.split_once('/').unwrap_or((rest, "")));
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let is_name = |name: &str| (3..=63).contains(&name.len()) && name.chars().all(is_of_name);
        let wrong = || Error::Invalid(format!("{} is no bucket's address: s3://BUCKET/PREFIX", self.url));
        let (name, prefix) = parts.filter(|(name, _)| is_name(name)).ok_or_else(wrong)?;
        Ok((name, prefix.trim_matches('/')))
    }

    /// For who signs.
    fn bucket(&self) -> Result<rusty_s3::Bucket> {
        let region = self.region.clone().unwrap_or_else(|| "us-east-1".into());
        let endpoint = self.endpoint.clone();
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let wrong = || {
            Error::Invalid(format!(
                "{endpoint} is no storage's address: https://HOST or http://HOST:PORT"
            ))
        };
        let style = match self.by_host {
            true => UrlStyle::VirtualHost,
            false => UrlStyle::Path,
        };
        let is_plain = endpoint.parse::<Uri>().is_ok_and(|uri| uri.query().is_none());
        let url = endpoint.parse().ok().filter(|_| is_plain).ok_or_else(wrong)?;
        rusty_s3::Bucket::new(url, style, self.parts()?.0.to_owned(), region).map_err(|_| wrong())
    }
}

/// A bucket, or a part of one. Clones share everything.
#[derive(Clone)]
pub(crate) struct Bucket(Arc<Inner>);

struct Inner {
    bucket: rusty_s3::Bucket,
    prefix: String,
    credentials: Credentials,
    server: Arc<Server>,
    turns: Semaphore,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({})", self.0.bucket.base_url())
    }
}

impl Bucket {
    /// One that is there, and that takes files and gives them back.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Storage`].
    pub(crate) async fn open(address: &BucketAddress) -> Result<Bucket> {
        let signing = address.bucket()?;
        let server = signing
            .base_url()
            .as_str()
            .parse()
            .ok()
            .and_then(|uri| Server::of(&uri));
        let none = || Error::Invalid(format!("{} leads to no server", signing.base_url()));
        let (access_key, secret_key) = (address.access_key.clone(), address.secret_key.clone());
        let bucket = Bucket(Arc::new(Inner {
            server: Arc::new(server.ok_or_else(none)?),
            prefix: address.parts()?.1.to_owned(),
            credentials: match &address.session_token {
                Some(token) => Credentials::new_with_token(access_key, secret_key, token.clone()),
                None => Credentials::new(access_key, secret_key),
            },
            bucket: signing,
            turns: Semaphore::new(AT_ONCE),
        }));
        let place = format!("probes/{}", id::new("probe"));
        let key = bucket.key(&place);
        bucket
            .put_whole(&key, Bytes::from_static(b"probe"))
            .await
            .map_err(of("put a file"))?;
        let mut probe = bucket.get(&place).await?;
        while let Some(piece) = probe.next().await {
            piece.map_err(of("read a file"))?;
        }
        bucket.remove(&place).await?;
        Ok(bucket)
    }

    fn key(&self, place: &str) -> String {
        format!("{}/{place}", self.0.prefix)
            .trim_start_matches('/')
            .to_owned()
    }

    /// Puts there what is in a file.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) async fn put(&self, file: &Path, place: &str) -> Result<()> {
        let put = async {
            let _turn = self.0.turns.acquire().await;
            self.put_file(file, &self.key(place)).await
        };
        let put = timeout(LONGEST, put).await;
        put.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(of("keep a file"))
    }

    async fn put_file(&self, file: &Path, key: &str) -> io::Result<()> {
        let mut file = tokio::fs::File::open(file).await?;
        let bytes = file.metadata().await?.len();
        let length = PART.max(bytes.div_ceil(MOST_PARTS));
        if bytes <= length {
            return self.put_whole(key, part(&mut file, length).await?).await;
        }
        let Inner {
            bucket, credentials, ..
        } = &*self.0;
        let create = || bucket.create_multipart_upload(Some(credentials), key);
        let mut created = self
            .ask(Method::POST, || create().sign(SIGNED_FOR), Bytes::new(), 0)
            .await?;
        let created = CreateMultipartUpload::parse_response(&created.words().await?);
        let created = created.map_err(io::Error::other)?;
        let upload = created.upload_id();
        let sent = async {
            let mut tags = Vec::new();
            for number in 1..=bytes.div_ceil(length) as u16 {
                let part = part(&mut file, length).await?;
                let put = || bucket.upload_part(Some(credentials), key, number, upload);
                let mut answer = self.ask(Method::PUT, || put().sign(SIGNED_FOR), part, 0).await?;
                let tag = answer
                    .head()
                    .headers()
                    .get(header::ETAG)
                    .and_then(|tag| tag.to_str().ok());
                let none = || io::Error::other("it gives no tag for a part of a file");
                tags.push(tag.ok_or_else(none)?.to_owned());
                answer.words().await?;
            }
            let tags = tags.iter().map(String::as_str);
            let complete = || bucket.complete_multipart_upload(Some(credentials), key, upload, tags.clone());
            let body = Bytes::from(complete().body());
            let mut answer = self
                .ask(Method::POST, || complete().sign(SIGNED_FOR), body, 0)
                .await?;
            // What went wrong on the way is in an answer that had begun well.
            let words = answer.words().await?;
            CompleteMultipartUploadResponse::parse(&words)
                .map(drop)
                .map_err(|_| told(StatusCode::OK, &words))
        };
        let sent = sent.await;
        if sent.is_err() {
            let abort = || bucket.abort_multipart_upload(Some(credentials), key, upload);
            let _ = self
                .ask(Method::DELETE, || abort().sign(SIGNED_FOR), Bytes::new(), 0)
                .await;
        }
        sent
    }

    async fn put_whole(&self, key: &str, bytes: Bytes) -> io::Result<()> {
        let put = || {
            self.0
                .bucket
                .put_object(Some(&self.0.credentials), key)
                .sign(SIGNED_FOR)
        };
        self.ask(Method::PUT, put, bytes, 0)
            .await?
            .words()
            .await
            .map(drop)
    }

    /// What is at a place. Where it breaks off it is gone on with.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) async fn get(&self, place: &str) -> Result<BoxStream<'static, io::Result<Bytes>>> {
        let reading = Reading {
            answer: self.get_from(place, 0).await.map_err(of("read a file"))?,
            bucket: self.clone(),
            place: place.to_owned(),
            at: 0,
            breaks: 0,
        };
        let pieces = stream::try_unfold(reading, async |mut reading| {
            Ok(reading.next().await?.map(|piece| (piece, reading)))
        });
        Ok(pieces.boxed())
    }

    async fn get_from(&self, place: &str, at: u64) -> io::Result<Answer> {
        let key = self.key(place);
        let get = || {
            self.0
                .bucket
                .get_object(Some(&self.0.credentials), &key)
                .sign(SIGNED_FOR)
        };
        self.ask(Method::GET, get, Bytes::new(), at).await
    }

    /// Forgets what is at a place, if anything is.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) async fn remove(&self, place: &str) -> Result<()> {
        let key = self.key(place);
        let delete = || {
            self.0
                .bucket
                .delete_object(Some(&self.0.credentials), &key)
                .sign(SIGNED_FOR)
        };
        match self.ask(Method::DELETE, delete, Bytes::new(), 0).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(of("remove a file")(error)),
            _ => Ok(()),
        }
    }

    /// A request that is done, after some tries perhaps. It is signed anew for each; `from` is the first byte that is
    /// wanted of the answer.
    async fn ask<U: std::fmt::Display>(
        &self,
        method: Method,
        sign: impl Fn() -> U,
        body: Bytes,
        from: u64,
    ) -> io::Result<Answer> {
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let (error, again) = match self.once(&method, sign().to_string(), body.clone(), from).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(refused)) => refused,
                Err(error) => (error, true),
            };
            if !again || begun.elapsed() > PATIENCE {
                let message = format!("{}: {error}", self.0.bucket.base_url());
                return Err(io::Error::new(error.kind(), message));
            }
            tracing::debug!(%error, "storage is asked again");
            // Those who failed together do not come back together.
            let [chance] = id::random::<1>();
            sleep(pause.mul_f64(0.5 + f64::from(chance) / 512.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// An answer, or why there is none and whether there may be one the next time.
    async fn once(
        &self,
        method: &Method,
        url: String,
        body: Bytes,
        from: u64,
    ) -> io::Result<Result<Answer, (io::Error, bool)>> {
        let uri = url.parse::<Uri>().map_err(io::Error::other)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(method).uri(path);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let request = request.body(Full::new(body)).map_err(io::Error::other)?;
        let mut answer = self.0.server.send(request).await?;
        let status = answer.head().status();
        if status.is_success() && (from == 0 || status == StatusCode::PARTIAL_CONTENT) {
            return Ok(Ok(answer));
        }
        let again = status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
        Ok(Err((told(status, &answer.words().await?), again)))
    }
}

/// A file on its way from there.
struct Reading {
    bucket: Bucket,
    place: String,
    answer: Answer,
    /// So much has come.
    at: u64,
    /// Since something came.
    breaks: usize,
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.answer.next().await {
                Ok(Some(piece)) => {
                    (self.at, self.breaks) = (self.at + piece.len() as u64, 0);
                    return Ok(Some(piece));
                }
                Ok(None) => return Ok(None),
                Err(error) if self.breaks == BREAKS => return Err(error),
                Err(error) => tracing::debug!(%error, "a file is gone on with"),
            }
            self.breaks += 1;
            self.answer = self.bucket.get_from(&self.place, self.at).await?;
        }
    }
}

/// The next bytes of a file, so many unless it ends.
async fn part(file: &mut tokio::fs::File, length: u64) -> io::Result<Bytes> {
    let mut part = Vec::new();
    file.take(length).read_to_end(&mut part).await?;
    Ok(part.into())
}

/// Why storage does not do what it was asked for, in its own words.
fn told(status: StatusCode, words: &str) -> io::Error {
    let tag = |name: &str| {
        let (_, rest) = words.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0)
    };
    let why = match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => format!("it answers {status}"),
    };
    let kind = match tag("Code") {
        Some("NoSuchKey") => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, why.chars().take(500).collect::<String>())
}

fn of(action: &str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Storage {
        action: action.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::BucketAddress;

    fn address(url: &str, endpoint: &str) -> BucketAddress {
        BucketAddress {
            url: url.into(),
            endpoint: Some(endpoint.into()),
            access_key: "AKIA".into(),
            secret_key: "hush".into(),
            ..BucketAddress::default()
        }
    }

    #[test]
    fn an_address_is_a_bucket_and_perhaps_a_prefix() {
        for (url, parts) in [
            ("s3://jobs", ("jobs", "")),
            ("s3://jobs/", ("jobs", "")),
            ("s3://my.jobs/a/b/", ("my.jobs", "a/b")),
        ] {
            assert_eq!(address(url, "http://x").parts().unwrap(), parts);
        }
        for wrong in [
            "",
            "s3:",
            "s3://",
            "s3:///x",
            "s3://a",
            "s3://a b c",
            "https://jobs",
            "s3://u:p@jobs",
        ] {
            assert!(address(wrong, "http://x").parts().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_is_a_server_and_no_key_is_shown() {
        let base = |endpoint: &str, by_host| {
            let address = BucketAddress {
                by_host,
                ..address("s3://jobs", endpoint)
            };
            address.bucket().map(|bucket| bucket.base_url().to_string())
        };
        assert_eq!(
            base("http://[::1]:9000", false).unwrap(),
            "http://[::1]:9000/jobs/"
        );
        assert_eq!(
            base("https://storage.example", true).unwrap(),
            "https://jobs.storage.example/"
        );
        for wrong in ["storage:9000", "ftp://x", "http://x?a", "http://", ""] {
            assert!(base(wrong, false).is_err(), "{wrong:?}");
        }
        let shown = format!("{:?}", address("s3://jobs", "http://x"));
        assert!(!shown.contains("AKIA") && !shown.contains("hush"), "{shown}");
    }
}
