//! A job's output: as text, or as events while it is written.

use super::State;
use super::auth::{Of, Reader};
use super::jobs::known;
use super::problem::{In, Problem};
use crate::error::Result;
use crate::job::{self, Chunk};
use crate::store::Store;
use crate::wake::News;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

/// How often the store is asked although nobody said that there is anything: a worker on the same SQLite
/// file in another process says nothing.
const POLL: Duration = Duration::from_millis(250);
/// Something crosses so often, so that who is gone is noticed.
const ALIVE: Duration = Duration::from_secs(15);

/// Read what a job wrote to stdout and stderr, in all its attempts.
///
/// With `Accept: text/event-stream` as server-sent events until the job is over: `log` with a piece, `state`
/// with the job whenever that has changed. `Last-Event-ID` goes on behind a piece.
#[utoipa::path(get, path = "/v1/jobs/{id}/logs", tag = "jobs", params(Of, ("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "The text so far, or events", content(
            (String = "text/plain"),
            (Chunk = "text/event-stream"))),
        (status = "4XX", description = "No job", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn logs(
    axum::extract::State(state): axum::extract::State<State>,
    Reader(tenant): Reader,
    In(id): In<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // Before anything is sent.
    state.store.job(&tenant, known(&id)?).await?;
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let after = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after = after.and_then(position).unwrap_or((0, -1));
    if accepts.is_some_and(|accepts| accepts.contains("text/event-stream")) {
        let follower = Follower {
            news: state.store.wake.subscribe(),
            store: state.store,
            tenant,
            job: id,
            after,
            told: None,
            ready: VecDeque::new(),
            over: false,
        };
        let cache = [(header::CACHE_CONTROL, "no-store")];
        return Ok((cache, Sse::new(follower.events())).into_response());
    }
    let pages = stream::try_unfold(after, move |after| {
        let (store, tenant, id) = (state.store.clone(), tenant.clone(), id.clone());
        async move {
            let pieces = store.log(&tenant, &id, after).await?;
            let Some(last) = pieces.last() else {
                return Ok::<_, crate::Error>(None);
            };
            let after = (last.attempt, last.seq);
            let text = pieces.into_iter().map(|piece| piece.text).collect::<String>();
            Ok(Some((text, after)))
        }
    });
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, Body::from_stream(pages)).into_response())
}

/// Where a piece stands, from its event's id.
fn position(id: &str) -> Option<(i64, i64)> {
    let (attempt, seq) = id.split_once('.')?;
    Some((attempt.parse().ok()?, seq.parse().ok()?))
}

/// Somebody who follows a job.
struct Follower {
    store: Store,
    news: broadcast::Receiver<News>,
    tenant: String,
    job: String,
    after: (i64, i64),
    /// What was told last of the job.
    told: Option<(job::State, i64)>,
    ready: VecDeque<Event>,
    over: bool,
}

impl Follower {
    fn events(self) -> impl Stream<Item = Result<Event>> {
        stream::try_unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Ok(event.map(|event| (event, follower)))
        })
    }

    async fn next(&mut self) -> Result<Option<Event>> {
        let alive = Instant::now() + ALIVE;
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.over {
                return Ok(None);
            }
            if Instant::now() >= alive {
                return Ok(Some(Event::default().comment("")));
            }
            if self.look().await? {
                continue;
            }
            self.wait().await;
        }
    }

    /// Asks the store for what is new, and says whether there was anything.
    async fn look(&mut self) -> Result<bool> {
        // First the state: what a job wrote is there before its end is.
        let job = self.store.job(&self.tenant, &self.job).await?;
        let pieces = self.store.log(&self.tenant, &self.job, self.after).await?;
        if let Some(last) = pieces.last() {
            self.after = (last.attempt, last.seq);
        }
        for piece in &pieces {
            let id = format!("{}.{}", piece.attempt, piece.seq);
            self.ready.push_back(event("log", piece)?.id(id));
        }
        if pieces.is_empty() && self.told != Some((job.state, job.attempt)) {
            self.told = Some((job.state, job.attempt));
            self.over = job.state.is_final();
            self.ready.push_back(event("state", &job)?);
        }
        Ok(!self.ready.is_empty())
    }

    /// Until there may be something.
    async fn wait(&mut self) {
        let until = Instant::now() + POLL;
        loop {
            match timeout_at(until, self.news.recv()).await {
                Ok(Ok(News::Job(job))) if *job != self.job => {}
                Ok(Ok(News::Cancel(_))) => {}
                _ => return,
            }
        }
    }
}

fn event(name: &str, data: &impl serde::Serialize) -> Result<Event> {
    let event = Event::default().event(name).json_data(data);
    event.map_err(|error| crate::Error::Invalid(error.to_string()))
}
