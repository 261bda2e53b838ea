//! The scheduler joined with wasmtime: a fiber that parks is a host future that resolves when the
//! scheduler picks its fiber.
//!
//! wasmtime would resume every fiber whose future is ready, in its own order. Here at most one such
//! future is ready at any time, the one of the picked fiber, so the order is the scheduler's alone.

use crate::outcome::{Outcome, Stop};
use crate::scheduler::{FiberId, Pick, Reason, Scheduler, Wake};
use crate::ticker::{Alarm, Ticker};
use crate::timeline::{Recording, Step, Timeline};
use futures::task::AtomicWaker;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// One sandbox's fibers, shared by its host functions, its driver, its stdio threads and its handles.
pub(crate) struct Fibers {
    core: Mutex<Core>,
    /// A picked fiber that has yet to be started: [`START`] and the argument of `run-thread`; or 0.
    start: AtomicU64,
    started: Instant,
    /// The driver's waker: for wakes that come from outside the run.
    driver: AtomicWaker,
    killed: AtomicBool,
    /// The main fiber was told that nothing is left to wake anybody.
    deadlocked: AtomicBool,
    /// CPU time of finished polls of the driver, in nanoseconds.
    cpu_time: AtomicU64,
    /// The thread's CPU clock when the current poll began.
    cpu_start: AtomicU64,
    /// [`Fibers::now`] when the current poll began.
    poll_start: AtomicU64,
}

struct Core {
    scheduler: Scheduler,
    /// What `park` of each fiber returns, and whom to tell. Index: fiber − 1.
    parked: Vec<Parked>,
    /// Where it is asked for.
    recording: Option<Box<Recording>>,
}

#[derive(Default)]
struct Parked {
    wake: Option<Wake>,
    waker: Option<Waker>,
}

const START: u64 = 1 << 32;

impl Core {
    fn wake_all(&mut self, woken: impl Iterator<Item = FiberId>) {
        for fiber in woken {
            self.scheduler.wake(fiber, Wake::Ready);
        }
    }

    /// After each step that may have changed who runs or is ready.
    fn record(&mut self, now: impl FnOnce() -> u64, step: Step) {
        if let Some(recording) = &mut self.recording {
            recording.look(now(), &self.scheduler, step);
        }
    }

    fn parked(&mut self, fiber: FiberId) -> &mut Parked {
        let index = fiber.0 as usize - 1;
        if index >= self.parked.len() {
            self.parked.resize_with(index + 1, Parked::default);
        }
        &mut self.parked[index]
    }
}

impl Fibers {
    pub(crate) fn new(max_threads: u32) -> Arc<Fibers> {
        Arc::new(Fibers {
            core: Mutex::new(Core {
                scheduler: Scheduler::new(max_threads as usize),
                parked: Vec::new(),
                recording: None,
            }),
            start: AtomicU64::new(0),
            started: Instant::now(),
            driver: AtomicWaker::new(),
            killed: AtomicBool::new(false),
            deadlocked: AtomicBool::new(false),
            cpu_time: AtomicU64::new(0),
            cpu_start: AtomicU64::new(0),
            poll_start: AtomicU64::new(0),
        })
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("no code panics with the lock")
    }

    /// Records up to so many changes from now on; before the first of them.
    pub(crate) fn start_recording(&self, changes: usize) {
        self.core().recording = Some(Box::new(Recording::new(changes)));
    }

    /// What was recorded.
    pub(crate) fn take_timeline(&self) -> Option<Timeline> {
        let recording = self.core().recording.take()?;
        Some(recording.finish(self.now()))
    }

    /// Nanoseconds since the sandbox was made.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Has `waker` woken at a time that [`Fibers::now`] would give.
    pub(crate) fn set_alarm(&self, ticker: &Ticker, alarm: &Arc<Alarm>, nanos: u64, waker: &Waker) {
        // A time beyond what the clock can say never comes.
        if let Some(instant) = self.started.checked_add(Duration::from_nanos(nanos)) {
            ticker.set(alarm, instant, waker);
        }
    }

    /// Lets the next fiber go on, if none runs and one is ready. True if one was found.
    fn dispatch(&self, core: &mut Core, now: u64) -> bool {
        match core.scheduler.pick(now) {
            None => false,
            Some(Pick::Start(_, thread)) => {
                self.start.store(START | u64::from(thread), Ordering::Relaxed);
                true
            }
            Some(Pick::Resume(fiber, wake)) => {
                let parked = core.parked(fiber);
                parked.wake = Some(wake);
                if let Some(waker) = parked.waker.take() {
                    waker.wake();
                }
                true
            }
        }
    }

    /// The fiber that runs.
    pub(crate) fn running(&self) -> Option<FiberId> {
        self.core().scheduler.running()
    }

    // ---- what the guest does; `woken` is whom it has woken before ----

    /// A new fiber, or `None` at the limit.
    pub(crate) fn spawn(&self, thread: u32, woken: impl Iterator<Item = FiberId>) -> Option<FiberId> {
        let mut core = self.core();
        core.wake_all(woken);
        let fiber = core.scheduler.spawn(thread);
        if let (Some(recording), Some(fiber)) = (&mut core.recording, fiber) {
            recording.spawn(fiber);
        }
        core.record(|| self.now(), Step::Other);
        fiber
    }

    /// The running fiber parks; the future resolves when it is its turn again.
    pub(crate) fn park(
        self: &Arc<Self>,
        reason: Reason,
        subject: u32,
        deadline: Option<u64>,
        woken: impl Iterator<Item = FiberId>,
    ) -> Park {
        let now = self.now();
        let mut core = self.core();
        core.wake_all(woken);
        let fiber = core.scheduler.running();
        core.scheduler.block(now, reason, deadline);
        core.scheduler.expire(now);
        self.dispatch(&mut core, now);
        core.record(|| now, Step::Parked(reason, subject));
        Park {
            fibers: self.clone(),
            fiber,
            again: fiber.and_then(|fiber| core.parked(fiber).wake.take()),
        }
    }

    pub(crate) fn unpark(&self, woken: impl Iterator<Item = FiberId>) {
        let mut core = self.core();
        core.wake_all(woken);
        core.record(|| self.now(), Step::Other);
    }

    /// The running fiber is over.
    pub(crate) fn finish(&self, woken: impl Iterator<Item = FiberId>) {
        let now = self.now();
        let mut core = self.core();
        core.wake_all(woken);
        core.scheduler.finish();
        core.scheduler.expire(now);
        self.dispatch(&mut core, now);
        core.record(|| now, Step::Other);
    }

    /// The running fiber subscribes to something outside: [`Scheduler::subscribe`].
    pub(crate) fn subscribe(&self) -> Option<(FiberId, u32)> {
        self.core().scheduler.subscribe()
    }

    /// Wakes a fiber for something outside that the run itself has noticed.
    pub(crate) fn notify(&self, fiber: FiberId) {
        self.core().scheduler.notify(fiber);
    }

    // ---- what the driver does ----

    /// The argument of the next fiber to start, once.
    pub(crate) fn take_start(&self) -> Option<u32> {
        let start = self.start.load(Ordering::Relaxed);
        if start == 0 {
            return None;
        }
        self.start.store(0, Ordering::Relaxed);
        Some(start as u32)
    }

    /// Wakes what is due and lets a fiber go on if none runs.
    pub(crate) fn advance(&self) {
        let now = self.now();
        let mut core = self.core();
        core.scheduler.expire(now);
        self.dispatch(&mut core, now);
        core.record(|| now, Step::Other);
    }

    /// What the sandbox waits for, if every fiber of it waits.
    pub(crate) fn idle_until(&self) -> Idle {
        let core = self.core();
        if core.scheduler.running().is_some() {
            Idle::Running
        } else if core.scheduler.is_deadlocked() {
            Idle::Deadlocked
        } else {
            Idle::Until(core.scheduler.next_deadline())
        }
    }

    /// Lets the main fiber report the deadlock. False if it is not there to do so.
    pub(crate) fn report_deadlock(&self) -> bool {
        self.deadlocked.store(true, Ordering::Relaxed);
        let now = self.now();
        let mut core = self.core();
        core.scheduler.wake(FiberId::MAIN, Wake::Deadlocked);
        let is_there = self.dispatch(&mut core, now);
        core.record(|| now, Step::Other);
        is_there
    }

    /// At a tick: whether the running fiber should give way. `interval` is the guest's wish.
    pub(crate) fn tick(&self, interval: Option<Duration>, woken: impl Iterator<Item = FiberId>) -> bool {
        let now = self.now();
        let mut core = self.core();
        core.wake_all(woken);
        if let Some(interval) = interval {
            core.scheduler.set_interval(interval);
        }
        core.scheduler.expire(now);
        core.record(|| now, Step::Other);
        core.scheduler.should_preempt(now)
    }

    pub(crate) fn deadlocked(&self) -> bool {
        self.deadlocked.load(Ordering::Relaxed)
    }

    pub(crate) fn switches(&self) -> u64 {
        self.core().scheduler.switches()
    }

    pub(crate) fn live(&self) -> usize {
        self.core().scheduler.live()
    }

    pub(crate) fn register_driver(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    // ---- CPU time ----

    /// The driver's poll begins on this thread.
    pub(crate) fn begin_slice(&self) {
        self.cpu_start.store(thread_cpu_nanos(), Ordering::Relaxed);
        self.poll_start.store(self.now(), Ordering::Relaxed);
    }

    /// When the driver's poll has begun.
    pub(crate) fn poll_began(&self) -> u64 {
        self.poll_start.load(Ordering::Relaxed)
    }

    /// The driver's poll ends, on the same thread.
    pub(crate) fn end_slice(&self) {
        self.cpu_time.store(self.cpu_nanos(), Ordering::Relaxed);
    }

    /// CPU time used so far; called only between [`Fibers::begin_slice`] and [`Fibers::end_slice`].
    pub(crate) fn cpu_nanos(&self) -> u64 {
        let slice = thread_cpu_nanos().saturating_sub(self.cpu_start.load(Ordering::Relaxed));
        self.cpu_time.load(Ordering::Relaxed) + slice
    }

    /// CPU time of all finished polls.
    pub(crate) fn cpu_nanos_at_rest(&self) -> u64 {
        self.cpu_time.load(Ordering::Relaxed)
    }

    // ---- from outside the run, any thread ----

    /// Wakes a fiber for something that happened outside.
    pub(crate) fn wake_from_outside(&self, fiber: FiberId) {
        self.notify(fiber);
        self.driver.wake();
    }

    /// Has the driver look again.
    pub(crate) fn wake_driver(&self) {
        self.driver.wake();
    }

    pub(crate) fn interrupt(&self) {
        self.core().scheduler.interrupt();
        self.driver.wake();
    }

    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.driver.wake();
    }

    pub(crate) fn check_killed(&self) -> Result<(), Stop> {
        match self.killed.load(Ordering::Acquire) {
            true => Err(Stop(Outcome::Killed)),
            false => Ok(()),
        }
    }
}

/// What an idle sandbox waits for.
pub(crate) enum Idle {
    /// It is not idle.
    Running,
    /// For the world outside, and at most until this time.
    Until(Option<u64>),
    /// For nothing that could ever happen.
    Deadlocked,
}

/// A parked fiber. Dropping it (with its store) leaves the fiber parked for good.
pub(crate) struct Park {
    fibers: Arc<Fibers>,
    /// `None` for a guest that parks while the scheduler thinks that nobody runs: it stays there.
    fiber: Option<FiberId>,
    /// It was its own turn again at once.
    again: Option<Wake>,
}

impl Future for Park {
    type Output = Wake;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Wake> {
        if let Some(wake) = self.again.take() {
            return Poll::Ready(wake);
        }
        let Some(fiber) = self.fiber else {
            return Poll::Pending;
        };
        // wasmtime's first poll, before it puts the future where it can be woken.
        if context.waker().will_wake(Waker::noop()) {
            return Poll::Pending;
        }
        let mut core = self.fibers.core();
        let parked = core.parked(fiber);
        match parked.wake.take() {
            Some(wake) => Poll::Ready(wake),
            None => {
                parked.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn thread_cpu_nanos() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result, and the clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
