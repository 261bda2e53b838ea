//! Takes jobs while it has slots, renews their leases, and leaves without losing any.

use crate::counts::Counts;
use crate::error::Result;
use crate::id;
use crate::otlp::Exporter;
use crate::output::Rest;
use crate::run::{self, Brake, Start, Why};
use crate::session::Sessions;
use crate::store::{Claimed, End, Store};
use crate::wake::News;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, broadcast::error::RecvError};
use tokio::time::{Instant, sleep, timeout};
use vtwasm::Python;

/// How often a worker says that it is there.
const PRESENCE: Duration = Duration::from_secs(5);
/// Jobs that wait for their turn in a session, for each slot.
const WAITING: usize = 8;

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Jobs that run at once.
    pub slots: usize,
    /// For so long the database believes that a job runs, without news of it.
    pub lease: Duration,
    /// For so long running jobs may go on when the worker is to leave.
    pub drain: Duration,
    /// Sessions that are kept at once, of all tenants.
    pub sessions: usize,
    /// One that nobody asks for goes after this time.
    pub session_idle: Duration,
}

impl Default for WorkerOptions {
    fn default() -> WorkerOptions {
        WorkerOptions {
            slots: 16,
            lease: Duration::from_secs(15),
            drain: Duration::from_secs(30),
            sessions: 16,
            session_idle: Duration::from_secs(300),
        }
    }
}

/// Runs jobs. Clones share everything.
#[derive(Clone)]
pub struct Worker {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    store: Store,
    start: Start,
    /// Sandboxes compute on threads of their own, so that who asks is answered meanwhile.
    sandboxes: Option<tokio::runtime::Runtime>,
    options: WorkerOptions,
    running: Mutex<HashMap<String, Arc<Running>>>,
    sessions: Sessions,
    /// A slot is free.
    freed: Notify,
    counts: Counts,
    exporter: OnceLock<Exporter>,
    /// It takes no more jobs.
    leaving: AtomicBool,
}

/// What a worker says of itself.
pub(crate) struct Presence {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) slots: usize,
    pub(crate) running: usize,
    pub(crate) leaving: bool,
}

struct Running {
    attempt: i64,
    /// For its turn in a session; meanwhile it has no slot.
    waits: AtomicBool,
    begun: SystemTime,
    brake: Brake,
    /// Until then nobody else runs it.
    until: Mutex<Instant>,
}

impl Worker {
    /// A worker that does nothing yet.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if there are no threads to be had, [`Error::Sandbox`](crate::Error::Sandbox).
    pub async fn new(store: Store, python: Python, options: WorkerOptions) -> Result<Worker> {
        let sandboxes = tokio::runtime::Builder::new_multi_thread()
            .thread_name("vtwasm-sandbox")
            .enable_all()
            .build();
        let sandboxes = sandboxes.map_err(|source| crate::Error::Io {
            action: "start threads".into(),
            source,
        })?;
        Ok(Worker {
            inner: Arc::new(Inner {
                name: id::new("worker"),
                store,
                start: Start::new(python).await?,
                sandboxes: Some(sandboxes),
                sessions: Sessions::new(options.sessions, options.session_idle),
                options,
                running: Mutex::default(),
                freed: Notify::new(),
                counts: Counts::default(),
                exporter: OnceLock::new(),
                leaving: AtomicBool::new(false),
            }),
        })
    }

    /// Works until `leave` is ready and what runs is drained.
    pub async fn work(&self, leave: impl Future<Output = ()>) {
        let inner = &self.inner;
        let helpers = [
            tokio::spawn(inner.clone().keep_leases()),
            tokio::spawn(inner.clone().recover()),
            tokio::spawn(inner.clone().hear()),
            tokio::spawn(inner.clone().reap()),
            tokio::spawn(inner.clone().be_seen()),
        ];
        tokio::select! {
            () = leave => {}
            () = inner.clone().take() => {}
        }
        inner.leaving.store(true, Ordering::Relaxed);
        inner.drain().await;
        for helper in helpers {
            helper.abort();
        }
        inner.sessions.end_all();
        let _ = timeout(Duration::from_secs(2), inner.store.forget(&inner.name)).await;
    }

    /// Jobs that run here now, and slots.
    pub fn load(&self) -> (usize, usize) {
        (self.inner.lock().len(), self.inner.options.slots)
    }

    /// Sessions that are kept here.
    pub fn sessions(&self) -> usize {
        self.inner.sessions.count()
    }

    /// From now on it tells the collector at this address of its runs.
    pub(crate) fn export(&self, address: &str) -> Result<()> {
        let exporter = Exporter::new(address, &self.inner.name)?;
        let _ = self.inner.exporter.set(exporter);
        Ok(())
    }

    /// What it has done.
    pub(crate) fn counts(&self) -> &Counts {
        &self.inner.counts
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Dropping it would wait for its threads, which an async task must not.
        if let Some(sandboxes) = self.sandboxes.take() {
            sandboxes.shutdown_background();
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Running>>> {
        self.running.lock().expect("no code panics with the lock")
    }

    /// How long nobody looks into the database unasked: SQLite tells no other process of a change.
    fn poll(&self) -> Duration {
        Duration::from_millis(if self.store.is_told() { 2_000 } else { 200 })
    }

    /// How many jobs may be taken: some more than there are slots for, where some wait for their turn in a session.
    fn free(&self) -> usize {
        let running = self.lock();
        let waiting = running
            .values()
            .filter(|running| running.waits.load(Ordering::Relaxed));
        let waiting = waiting.count().min(WAITING * self.options.slots);
        (self.options.slots + waiting).saturating_sub(running.len())
    }

    /// Takes jobs for ever.
    async fn take(self: Arc<Self>) {
        let mut queue = self.store.wake.queue.subscribe();
        loop {
            let free = self.free();
            if free == 0 {
                self.freed.notified().await;
                continue;
            }
            queue.mark_unchanged();
            let wait = match self.clone().take_up_to(free).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot take jobs");
                    sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            // Or somebody says that there may be a job.
            let _ = timeout(wait, queue.changed()).await;
        }
    }

    /// Takes what is there, and says how long nothing more is to be expected.
    async fn take_up_to(self: Arc<Self>, free: usize) -> Result<Duration> {
        match self.store.next_start().await? {
            Some(Duration::ZERO) => {}
            // Asking is cheaper than giving out.
            next => return Ok(next.map_or(self.poll(), |next| next.min(self.poll()))),
        }
        let asked = Instant::now();
        let jobs = self.store.claim(&self.name, free, self.options.lease).await?;
        self.counts.add_claim(jobs.len());
        // One that could start and was not taken waits for its tenant's quota.
        let wait = if jobs.is_empty() {
            self.poll()
        } else {
            Duration::ZERO
        };
        for job in jobs {
            self.clone().start(job, asked + self.options.lease);
        }
        Ok(wait)
    }

    fn start(self: Arc<Self>, job: Claimed, until: Instant) {
        let running = Arc::new(Running {
            attempt: job.attempt,
            waits: AtomicBool::new(job.submission.session.is_some()),
            begun: SystemTime::now(),
            brake: Brake::default(),
            until: Mutex::new(until),
        });
        self.lock().insert(job.id.clone(), running.clone());
        tokio::spawn(async move {
            let sandboxes = self
                .sandboxes
                .as_ref()
                .expect("it is taken only when nobody is left");
            let (start, brake) = (&self.start, &running.brake);
            let begin = || running.waits.store(false, Ordering::Relaxed);
            let (end, rest) = match &job.submission.session {
                Some(_) => {
                    let run = self
                        .sessions
                        .run(start, sandboxes.handle(), &self.store, &job, (brake, begin));
                    run.await
                }
                None => run::run(start, sandboxes.handle(), &self.store, &job, brake).await,
            };
            if running.brake.why() != Some(Why::Lost) {
                self.finish(&job, &running, &end, rest).await;
            }
            self.lock().remove(&job.id);
            self.freed.notify_one();
        });
    }

    /// Writes a run's end, trying again for as long as the job is ours.
    async fn finish(&self, job: &Claimed, running: &Running, end: &End, rest: Rest) {
        loop {
            match self.store.finish(job, end, rest.seq, &rest.pieces).await {
                Ok(Some(state)) => {
                    self.counts.add_end(state, end);
                    if let Some(exporter) = self.exporter.get() {
                        exporter.tell(job, running.begun, state, end);
                    }
                    let Claimed {
                        id, tenant, attempt, ..
                    } = job;
                    tracing::info!(
                        job = id,
                        tenant,
                        attempt,
                        state = state.name(),
                        limit = end.limit,
                        wall_time = end.usage.wall_time,
                        cpu_time = end.usage.cpu_time,
                        error = end.error,
                        "a run ended"
                    );
                    return;
                }
                Ok(None) => {
                    tracing::warn!(
                        job = job.id,
                        tenant = job.tenant,
                        "a run ended that was given up before"
                    );
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        job = job.id,
                        error = &error as &dyn std::error::Error,
                        "cannot write a run's end"
                    );
                    if running.brake.why() == Some(Why::Lost) {
                        return;
                    }
                    sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// Renews leases, and ends runs whose lease could not be renewed before it is over.
    async fn keep_leases(self: Arc<Self>) {
        let tick = self.options.lease / 6;
        let mut renew = false;
        loop {
            sleep(tick).await;
            renew = !renew;
            if renew {
                let asked = Instant::now();
                match timeout(tick, self.renew(asked)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "cannot renew leases");
                    }
                    Err(_) => tracing::error!("the database does not answer; leases are not renewed"),
                }
            }
            for (id, running) in self.lock().iter() {
                let until = *running.until.lock().expect("no code panics with the lock");
                if until < Instant::now() + tick {
                    tracing::error!(job = id, "its lease is over: ending it");
                    running.brake.stop(Why::Lost);
                }
            }
        }
    }

    async fn renew(&self, asked: Instant) -> Result<()> {
        let known = self.lock().clone();
        if known.is_empty() {
            return Ok(());
        }
        let ids = known.keys().cloned().collect::<Vec<_>>();
        let renewed = self.store.renew(&self.name, &ids, self.options.lease).await?;
        for job in &renewed {
            let Some(running) = known
                .get(&job.id)
                .filter(|running| running.attempt == job.attempt)
            else {
                continue;
            };
            *running.until.lock().expect("no code panics with the lock") = asked + self.options.lease;
            if job.cancel {
                running.brake.stop(Why::Cancelled);
            }
        }
        for (id, running) in known {
            // One whose end was written meanwhile does not mind.
            if !renewed
                .iter()
                .any(|job| job.id == id && job.attempt == running.attempt)
            {
                running.brake.stop(Why::Lost);
            }
        }
        Ok(())
    }

    /// Looks for jobs whose workers are lost.
    async fn recover(self: Arc<Self>) {
        let pause = (self.options.lease / 10).min(Duration::from_secs(1));
        loop {
            sleep(pause).await;
            if let Err(error) = self.store.recover().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for lost jobs"
                );
            }
        }
    }

    /// Cancels what is to be cancelled; what is not heard here is seen when leases are renewed.
    async fn hear(self: Arc<Self>) {
        let mut news = self.store.wake.subscribe();
        loop {
            match news.recv().await {
                Ok(News::Cancel(job)) => {
                    if let Some(running) = self.lock().get(&*job) {
                        running.brake.stop(Why::Cancelled);
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Says from time to time that it is there.
    async fn be_seen(self: Arc<Self>) {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        loop {
            let presence = Presence {
                name: self.name.clone(),
                host: host.trim().to_owned(),
                slots: self.options.slots,
                running: self.lock().len(),
                leaving: self.leaving.load(Ordering::Relaxed),
            };
            if let Err(error) = self.store.see(&presence).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot say that it is there"
                );
            }
            sleep(PRESENCE).await;
        }
    }

    /// Ends sessions that nobody asks for.
    async fn reap(self: Arc<Self>) {
        self.sessions.reap().await;
    }

    /// Lets what runs come to its end, for some time; gives the rest back.
    async fn drain(&self) {
        let count = self.lock().len();
        if count > 0 {
            tracing::info!(count, "waiting for jobs that run");
        }
        let waits = |running: &&Arc<Running>| running.waits.load(Ordering::Relaxed);
        for running in self.lock().values().filter(waits) {
            running.brake.stop(Why::Leaving);
        }
        if timeout(self.options.drain, self.all_done()).await.is_err() {
            tracing::info!(count = self.lock().len(), "giving jobs back");
            for running in self.lock().values() {
                running.brake.stop(Why::Leaving);
            }
            let _ = timeout(Duration::from_secs(10), self.all_done()).await;
        }
    }

    async fn all_done(&self) {
        while !self.lock().is_empty() {
            let _ = timeout(Duration::from_millis(50), self.freed.notified()).await;
        }
    }
}
