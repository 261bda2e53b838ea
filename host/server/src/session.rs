//! Interpreters that stay: a job that names a session runs where the job before it of that tenant and name has run, so that
//! what that has imported and made is there. One at a time; the next one waits for its turn.
//!
//! Whoever runs code in an interpreter can read all that was ever in it, and decides on what others run there. So jobs
//! share one only if they are of one tenant and have the same secrets (which a token must be allowed), packages and rules.
//!
//! A session has its tenant's limits of memory, threads and sockets; time and output are limited for each of its jobs. What
//! it uses between two jobs the next one pays for, and it may not be much: nobody has a slot for it.

use crate::error::Result;
use crate::job::Usage;
use crate::output::{Rest, Stream, streams};
use crate::run::{
    Brake, Needed, Said, Secrets, Site, Start, Why, chain, checked, end, exited, failed, gathered, hit,
    in_time, killed, needed,
};
use crate::store::{Claimed, End, Store};
use crate::tenant::Rules;
use std::collections::HashMap;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::runtime;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::{Instant, sleep, timeout};
use vtwasm::{Access, Builder, Error, Handle, Limit, Limits, Output, Session, Value};

/// How often who waits for room for a session looks whether there is some, and who runs one whether it hit a limit.
const LOOK: Duration = Duration::from_millis(20);
/// How often is looked for sessions that are to end.
const REAP: Duration = Duration::from_millis(250);
/// Processor time of a session without a job; threads that a job has left may wait, and do a little.
const RESTLESS: Duration = Duration::from_millis(100);
/// For a sign of life, and for what was written to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which jobs share an interpreter.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: String,
    name: String,
    /// By name.
    secrets: Vec<String>,
    /// What its packages are.
    lock: Option<String>,
    /// The file of its snapshot.
    place: Option<String>,
}

/// Those of a worker.
pub(crate) struct Sessions {
    warm: Mutex<HashMap<Key, Arc<Warm>>>,
    /// Of all tenants.
    most: usize,
    /// One that nobody asks for goes after this time.
    idle: Duration,
}

struct Warm {
    /// Whose turn it is holds it. None: it is over.
    session: Arc<AsyncMutex<Option<Session>>>,
    handle: Handle,
    /// What it was started with.
    rules: Rules,
    /// Nobody removes it meanwhile.
    _site: Site,
    current: Arc<Mutex<Current>>,
    /// When it was asked for.
    used: Mutex<Instant>,
    /// What it had used when its last job was over: processor time, and bytes of output. None: it had none yet.
    paid: Mutex<Option<(Duration, u64)>>,
}

/// The job whose turn it is.
#[derive(Default)]
struct Current {
    /// Code and arguments, as `job.py` asks for them.
    submission: Value,
    /// Its environment and its stdin.
    given: Value,
    said: Said,
    /// Bytes of its result.
    most: usize,
    streams: [Option<Stream>; 2],
    /// Bytes of output that it may still write, and whether it wanted to write more.
    left: u64,
    is_over: bool,
    /// Bytes of both streams, of all jobs.
    received: u64,
}

/// A session whose turn is a job's.
struct Turn {
    warm: Arc<Warm>,
    held: OwnedMutexGuard<Option<Session>>,
}

impl Sessions {
    pub(crate) fn new(most: usize, idle: Duration) -> Sessions {
        Sessions {
            warm: Mutex::default(),
            most,
            idle,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Warm>>> {
        self.warm.lock().expect("no code panics with the lock")
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Ends those that nobody asks for, and those that work without a job, for ever.
    pub(crate) async fn reap(&self) {
        loop {
            sleep(REAP).await;
            self.lock().retain(|_, warm| {
                warm.is_busy() || warm.used().elapsed() < self.idle && warm.unpaid() < RESTLESS
            });
        }
    }

    /// Ends all.
    pub(crate) fn end_all(&self) {
        self.lock().clear();
    }

    /// Runs a job to its end, as `run::run` does, and calls `begin` when it is its turn.
    pub(crate) async fn run(
        &self,
        start: &Start,
        sandboxes: &runtime::Handle,
        store: &Store,
        job: &Claimed,
        (brake, begin): (&Brake, impl FnOnce()),
    ) -> (End, Rest) {
        let (stdout, stderr, gatherer) = streams();
        let run = async {
            let turn = async {
                let most = job.rules.limits(&job.submission.limits).wall_time;
                let needed = in_time(brake, most, needed(start, store, job)).await?;
                Ok((self.turn(start, sandboxes, job, &needed).await?, needed.secrets))
            };
            let turn = tokio::select! {
                turn = turn => turn,
                why = brake.stopped() => Err(killed(Some(why))),
            };
            match turn {
                Ok((turn, secrets)) => {
                    begin();
                    self.call(turn, job, &secrets, brake, [stdout, stderr]).await
                }
                Err(end) => end,
            }
        };
        gathered(run, gatherer.gather(store, job)).await
    }

    /// A session, once it is the job's turn.
    async fn turn(
        &self,
        start: &Start,
        sandboxes: &runtime::Handle,
        job: &Claimed,
        needed: &Needed,
    ) -> Result<Turn, End> {
        if job.rules.sessions == 0 {
            return Err(failed("session: this tenant's rules allow none".into()));
        }
        loop {
            let found = self.find(start, sandboxes, job, needed);
            let found = found.map_err(|error| failed(format!("the session cannot start: {}", chain(&error))));
            let Some(warm) = found? else {
                sleep(LOOK).await;
                continue;
            };
            let mut held = warm.session.clone().lock_owned().await;
            if let Some(session) = held.take()
                && self.has(&warm)
                && warm.rules == job.rules
            {
                if is_whole(&session).await {
                    *held = Some(session);
                    return Ok(Turn { warm, held });
                }
                self.forget(&warm);
                if warm.is_new() {
                    // It cannot start within these limits, or in no reasonable time.
                    warm.handle.kill();
                    return Err(closed(session, Said::default(), None).await);
                }
            }
            self.forget(&warm);
        }
    }

    /// The session of a job, which is started if it is not there; none if there is no room for it now.
    fn find(
        &self,
        start: &Start,
        sandboxes: &runtime::Handle,
        job: &Claimed,
        needed: &Needed,
    ) -> Result<Option<Arc<Warm>>> {
        let key = Key::of(job, needed);
        let mut all = self.lock();
        if let Some(warm) = all.get(&key) {
            *warm.used.lock().expect("no code panics with the lock") = Instant::now();
            return Ok(Some(warm.clone()));
        }
        let of_tenant = all.keys().filter(|key| key.tenant == job.tenant).count();
        if of_tenant >= job.rules.sessions as usize && !end_oldest(&mut all, Some(&job.tenant))
            || all.len() >= self.most.max(1) && !end_oldest(&mut all, None)
        {
            return Ok(None);
        }
        // It runs where sandboxes do.
        let _there = sandboxes.enter();
        let warm = Arc::new(Warm::start(
            start.warm(needed.snapshot.as_ref()),
            &job.rules,
            needed,
        )?);
        all.insert(key, warm.clone());
        Ok(Some(warm))
    }

    fn has(&self, warm: &Arc<Warm>) -> bool {
        self.lock().values().any(|one| Arc::ptr_eq(one, warm))
    }

    fn forget(&self, gone: &Arc<Warm>) {
        self.lock().retain(|_, warm| !Arc::ptr_eq(warm, gone));
    }

    async fn call(
        &self,
        Turn { warm, mut held }: Turn,
        job: &Claimed,
        secrets: &Secrets,
        brake: &Brake,
        streams: [Stream; 2],
    ) -> End {
        let Some(session) = held.take() else {
            return failed("the session is over".into());
        };
        let limits = job.rules.limits(&job.submission.limits);
        warm.current().begin(job, secrets, streams, limits.output);
        brake.attach(warm.handle.clone());
        let begun = Instant::now();
        let call = session.call("run_in_session", [], []);
        let called = warm.watch(call, &limits).await;
        if let Ok(Ok(_)) = called {
            warm.heard().await;
        }
        brake.detach();
        let (said, is_over) = warm.current().finish();
        let usage = warm.pay(begun.elapsed());
        let (end, session) = match called {
            Err(limit) => (hit(limit), None),
            Ok(_) if is_over => (hit(Limit::Output), None),
            Ok(Ok(code)) => (exited(i64::try_from(code).unwrap_or(1), said), Some(session)),
            Ok(Err(Error::Python(error))) => {
                let error = said.error.or_else(|| Some(error.to_string()));
                (exited(1, Said { error, ..said }), Some(session))
            }
            // It is over by itself, or was ended.
            Ok(Err(_)) => (closed(session, said, brake.why()).await, None),
        };
        // Where a limit was hit, little is left for the next one.
        *held = session.filter(|_| end.limit.is_none());
        if held.is_none() {
            self.forget(&warm);
        }
        End { usage, ..end }
    }
}

/// Whether it answers, and can have another job.
async fn is_whole(session: &Session) -> bool {
    let asked = session.call("is_whole", [], []);
    matches!(timeout(PATIENCE, asked).await, Ok(Ok(Value::Bool(true))))
}

/// How a run ended that is over.
async fn closed(session: Session, said: Said, why: Option<Why>) -> End {
    match session.close().await {
        Ok(report) => end(&report, said, why),
        Err(error) => failed(format!("vtwasm failed: {}", chain(&error))),
    }
}

/// Ends the session that was asked for longest ago and has no job now, a tenant's or any.
fn end_oldest(all: &mut HashMap<Key, Arc<Warm>>, tenant: Option<&str>) -> bool {
    let is_free = |(key, warm): &(&Key, &Arc<Warm>)| {
        tenant.is_none_or(|tenant| key.tenant == tenant) && !warm.is_busy()
    };
    let oldest = all.iter().filter(is_free).min_by_key(|(_, warm)| warm.used());
    let oldest = oldest.map(|(key, _)| key.clone());
    oldest.is_some_and(|key| all.remove(&key).is_some())
}

impl Key {
    fn of(job: &Claimed, needed: &Needed) -> Key {
        let mut secrets = job.submission.secrets.clone();
        secrets.sort();
        secrets.dedup();
        Key {
            tenant: job.tenant.clone(),
            name: job.submission.session.clone().unwrap_or_default(),
            secrets,
            lock: job.lock.clone(),
            place: needed.place.clone(),
        }
    }
}

impl Warm {
    fn start(mut builder: Builder, rules: &Rules, needed: &Needed) -> Result<Warm> {
        let current = Arc::new(Mutex::new(Current::default()));
        let output = |index| {
            let current = current.clone();
            Output::AsyncWriter(Box::pin(Writer { current, index }))
        };
        let mut limits = rules.limits(&crate::job::Limits::default());
        // Of each job, not of all.
        (limits.wall_time, limits.cpu_time, limits.output) = (None, None, None);
        builder.limits(limits).stdout(output(0)).stderr(output(1));
        crate::run::network(&mut builder, rules)?;
        if let Some(site) = &needed.site {
            builder.mount(&site.host, &site.guest, Access::Read)?;
        }
        for (name, asked) in [
            ("submission", Current::submission as fn(&Current) -> Value),
            ("given", Current::given),
        ] {
            let current = current.clone();
            builder.host_function(crate::run::MODULE, name, move |_| {
                let answer = asked(&lock(&current));
                async { Ok(answer) }
            })?;
        }
        let told = current.clone();
        builder.host_function(crate::run::MODULE, "result", move |mut arguments| {
            let mut current = lock(&told);
            let most = current.most;
            let result = arguments.required(0, "result");
            let told = result.and_then(|json| checked(json, most));
            let told = told.map(|json| current.said.result = Some(json));
            async { told }
        })?;
        let told = current.clone();
        builder.host_function(crate::run::MODULE, "failed", move |mut arguments| {
            let error = arguments.required::<String>(0, "error");
            let told = error.map(|error| lock(&told).said.error = Some(error));
            async { told }
        })?;
        let session = Session::start(&mut builder)?;
        Ok(Warm {
            handle: session.handle(),
            session: Arc::new(AsyncMutex::new(Some(session))),
            rules: rules.clone(),
            _site: needed.site.clone(),
            current,
            used: Mutex::new(Instant::now()),
            paid: Mutex::default(),
        })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        lock(&self.current)
    }

    fn used(&self) -> Instant {
        *self.used.lock().expect("no code panics with the lock")
    }

    fn paid(&self) -> MutexGuard<'_, Option<(Duration, u64)>> {
        self.paid.lock().expect("no code panics with the lock")
    }

    /// No job had its turn yet.
    fn is_new(&self) -> bool {
        self.paid().is_none()
    }

    fn is_busy(&self) -> bool {
        self.session.try_lock().is_err()
    }

    /// Processor time since its last job was over.
    fn unpaid(&self) -> Duration {
        let paid = *self.paid();
        paid.map_or(Duration::ZERO, |(cpu_time, _)| {
            self.handle.usage().cpu_time.saturating_sub(cpu_time)
        })
    }

    /// Runs a call to its end, or ends the session as the job hits a limit.
    async fn watch<T>(&self, call: impl Future<Output = T>, limits: &Limits) -> Result<T, Limit> {
        let mut call = pin!(call);
        let (begun, (paid, _)) = (Instant::now(), self.paid().unwrap_or_default());
        loop {
            if let Ok(called) = timeout(LOOK, &mut call).await {
                return Ok(called);
            }
            let is_over = |limit: Option<Duration>, used: Duration| limit.is_some_and(|limit| used >= limit);
            let cpu_time = self.handle.usage().cpu_time.saturating_sub(paid);
            let limit = if self.current().is_over {
                Limit::Output
            } else if is_over(limits.cpu_time, cpu_time) {
                Limit::CpuTime
            } else if is_over(limits.wall_time, begun.elapsed()) {
                Limit::WallTime
            } else {
                continue;
            };
            self.handle.kill();
            return Err(limit);
        }
    }

    /// What the job has written has arrived.
    async fn heard(&self) {
        let until = Instant::now() + PATIENCE;
        while self.current().received < self.handle.usage().output && Instant::now() < until {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// What the job has used, which took so long.
    fn pay(&self, wall_time: Duration) -> Usage {
        let usage = self.handle.usage();
        let mut paid = self.paid();
        let (cpu_time, output) = paid.unwrap_or_default();
        *paid = Some((usage.cpu_time, usage.output));
        Usage {
            cpu_time: usage.cpu_time.saturating_sub(cpu_time).as_secs_f64(),
            wall_time: wall_time.as_secs_f64(),
            memory: i64::try_from(usage.peak_memory).unwrap_or(i64::MAX),
            output: i64::try_from(usage.output.saturating_sub(output)).unwrap_or(i64::MAX),
        }
    }
}

impl Current {
    fn begin(&mut self, job: &Claimed, secrets: &Secrets, streams: [Stream; 2], left: Option<u64>) {
        let submission = &job.submission;
        let own = [
            ("VTWASM_JOB", &job.id),
            ("VTWASM_ATTEMPT", &job.attempt.to_string()),
        ];
        let own = own.map(|(name, value)| (name.into(), value.as_str().into()));
        let pair = |(name, value): (&String, &String)| (name.as_str().into(), value.as_str().into());
        let environment = submission.environment.iter().map(pair);
        let environment = environment.chain(secrets.iter().map(|(name, value)| pair((name, value))));
        *self = Current {
            submission: Value::List(vec![
                submission.source.as_str().into(),
                submission.arguments.to_string().as_str().into(),
                Value::None,
                job.before.as_deref().map_or(Value::None, Value::from),
            ]),
            given: Value::Tuple(vec![
                Value::Dict(environment.chain(own).collect()),
                submission.stdin.as_str().into(),
            ]),
            most: job.rules.result,
            streams: streams.map(Some),
            left: left.unwrap_or(u64::MAX),
            received: self.received,
            ..Current::default()
        };
    }

    /// What the job has said, and whether it wanted to write more than it may. Nothing of it is left.
    fn finish(&mut self) -> (Said, bool) {
        let received = self.received;
        let over = std::mem::replace(
            self,
            Current {
                received,
                ..Current::default()
            },
        );
        (over.said, over.is_over)
    }

    fn submission(&self) -> Value {
        self.submission.clone()
    }

    fn given(&self) -> Value {
        self.given.clone()
    }
}

fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().expect("no code panics with the lock")
}

/// A stream of a session, which is that of the job whose turn it is; between them nobody hears what is written.
struct Writer {
    current: Arc<Mutex<Current>>,
    index: usize,
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut guard = lock(&self.current);
        let current = &mut *guard;
        let most = usize::try_from(current.left)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let written = match &mut current.streams[self.index] {
            Some(_) if most == 0 => {
                current.is_over = true;
                bytes.len()
            }
            // A job that has left does not end the session.
            Some(stream) => {
                let written = ready!(Pin::new(stream).poll_write(context, &bytes[..most]));
                written.unwrap_or(most)
            }
            None => bytes.len(),
        };
        current.left -= written.min(most) as u64;
        current.received += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
