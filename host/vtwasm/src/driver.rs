//! One run: polls wasmtime's event loop, starts threads, waits for the next sleeper, and ends the run
//! when it must end.

use crate::engine::Engine;
use crate::fibers::{Fibers, Idle};
use crate::imports::State;
use crate::memory::{self, Image};
use crate::net::Net;
use crate::outcome::{Limit, Outcome, Stop};
use crate::python::Program;
use crate::ticker::Alarm;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::TypedFunc;

/// The times at which a run ends, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Deadlines {
    pub(crate) wall: Option<u64>,
    pub(crate) cpu: Option<u64>,
}

impl Deadlines {
    pub(crate) fn new(wall: Option<Duration>, cpu: Option<Duration>) -> Deadlines {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Deadlines {
            wall: wall.map(nanos),
            cpu: cpu.map(nanos),
        }
    }

    /// Only one of wall time.
    pub(crate) fn only_wall(nanos: u64) -> Deadlines {
        Deadlines {
            wall: Some(nanos),
            cpu: None,
        }
    }

    pub(crate) fn check(&self, fibers: &Fibers) -> Result<(), Stop> {
        fibers.check_killed()?;
        if self.wall.is_some_and(|wall| fibers.now() >= wall) {
            return Err(Stop(Outcome::LimitHit(Limit::WallTime)));
        }
        if self.cpu.is_some_and(|cpu| fibers.cpu_nanos() >= cpu) {
            return Err(Stop(Outcome::LimitHit(Limit::CpuTime)));
        }
        Ok(())
    }
}

/// Runs the guest's main function and all its threads. The error is a [`Stop`] where the run was
/// ended on purpose.
///
/// Dropping the future leaves the store as it is; it can only be dropped then.
pub(crate) async fn run(
    engine: &Engine,
    store: &mut Store<State>,
    program: &Program,
    image: &Arc<Image>,
    deadlines: Deadlines,
) -> wasmtime::Result<u32> {
    let fibers = store.data().fibers.clone();
    let net = store.data().net.clone();
    net.start()?;
    let alarm = Arc::new(Alarm::default());
    let guest = async {
        let base = store.data().memory.base().clone();
        let instantiate = program.instance.instantiate_async(&mut *store);
        let instance = memory::with_image(image, &base, instantiate).await?;
        let main = instance.get_typed_func::<(), (u32,)>(&mut *store, program.run)?;
        let thread = instance.get_typed_func::<(u32,), ()>(&mut *store, program.run_thread)?;
        main_and_threads(store, &fibers, main, thread).await
    };
    // tokio's budget would make wasmtime's set of futures poll all of them again once it is used up.
    let mut guest = pin!(tokio::task::coop::unconstrained(guest));
    poll_fn(|context| {
        fibers.begin_slice();
        let result = poll_once(engine, &fibers, &net, &alarm, deadlines, guest.as_mut(), context);
        fibers.end_slice();
        result
    })
    .await
}

/// Whether a future wants to be polled.
struct News(AtomicBool);

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn main_and_threads(
    store: &mut Store<State>,
    fibers: &Fibers,
    main: TypedFunc<(), (u32,)>,
    thread: TypedFunc<(u32,), ()>,
) -> wasmtime::Result<u32> {
    let run = store.run_concurrent(async |accessor| {
        let call = accessor.with(|store| main.start_call_concurrent(store, ()))?;
        let mut ended = pin!(main.finish_call_concurrent(accessor, call));
        let has_news = Arc::new(News(AtomicBool::new(true)));
        let waker = Waker::from(has_news.clone());
        // wasmtime polls this once per piece of work: it must stay cheap. What ends the main function
        // is such a piece of work, so this need not be woken to be polled after it.
        poll_fn(|_| {
            if let Some(argument) = fibers.take_start() {
                // The thread tells its end by `finish`, so nobody needs the call's own.
                accessor.with(|store| thread.start_call_concurrent(store, (argument,)))?;
            }
            if has_news.0.load(Ordering::Relaxed) {
                has_news.0.store(false, Ordering::Relaxed);
                return ended.as_mut().poll(&mut Context::from_waker(&waker));
            }
            Poll::Pending
        })
        .await
    });
    let (code,) = run.await??;
    Ok(code)
}

fn poll_once(
    engine: &Engine,
    fibers: &Fibers,
    net: &Net,
    alarm: &Arc<Alarm>,
    deadlines: Deadlines,
    mut guest: Pin<&mut impl Future<Output = wasmtime::Result<u32>>>,
    context: &mut Context<'_>,
) -> Poll<wasmtime::Result<u32>> {
    fibers.register_driver(context.waker());
    loop {
        deadlines.check(fibers)?;
        net.turn();
        fibers.advance();
        if let Poll::Ready(result) = guest.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        match fibers.idle_until() {
            // It yielded to other sandboxes, or waits for a file; either has its own waker.
            Idle::Running => return Poll::Pending,
            Idle::Until(sleeper) => {
                let Some(until) = sleeper.into_iter().chain(deadlines.wall).min() else {
                    return Poll::Pending;
                };
                if until > fibers.now() {
                    fibers.set_alarm(engine.ticker(), alarm, until, context.waker());
                    return Poll::Pending;
                }
            }
            Idle::Deadlocked => {
                if !fibers.report_deadlock() {
                    return Poll::Ready(Err(Stop(Outcome::Deadlocked).into()));
                }
            }
        }
    }
}
