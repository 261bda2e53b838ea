//! The host functions of `wit/world.wit`. All but `park` return at once.

use crate::calls::{self, Calls};
use crate::control::Control;
use crate::depths::Depths;
use crate::engine::WASM_STACK;
use crate::errno;
use crate::fibers::Fibers;
use crate::files;
use crate::given;
use crate::limits::Memory;
use crate::net::{self, Net};
use crate::outcome::{Limit, Outcome, Stop};
use crate::scheduler::{FiberId, Reason, Wake};
use crate::snapshot;
use crate::stacks::Promise;
use crate::stdio::{CAPACITY, Stdin, Stdout};
use crate::tick::{self, Ticks};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, ComponentType, Lift, Linker, Lower, ResourceTable, WasmList};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// What a store holds.
pub(crate) struct State {
    pub(crate) fibers: Arc<Fibers>,
    pub(crate) ticks: Ticks,
    pub(crate) memory: Memory,
    pub(crate) control: Option<Control>,
    pub(crate) stacks: Promise,
    pub(crate) depths: Depths,
    pub(crate) stdin: Stdin,
    /// stdout and stderr; `None` once they are finished.
    pub(crate) outputs: Option<[Stdout; 2]>,
    pub(crate) output_limit: Option<u64>,
    /// The limit of them, which the guest keeps, and whether it was told.
    pub(crate) descriptors: (u32, bool),
    pub(crate) net: Arc<Net>,
    pub(crate) image: Image,
    pub(crate) calls: Calls,
    /// Python has started, and its program begins.
    pub(crate) begun: bool,
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    /// Removed with the store.
    pub(crate) _files: Option<given::Folder>,
}

/// Whether the run is to end in an image of its memory (`snapshot.rs`).
pub(crate) enum Image {
    NotWanted,
    Wanted,
    Taken(Vec<u8>),
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl State {
    /// The fibers that the guest has woken without a call.
    pub(crate) fn woken(&self) -> impl Iterator<Item = FiberId> + use<> {
        let size = self.memory.size();
        self.control
            .into_iter()
            .flat_map(move |control| control.take_woken(size))
    }

    /// The run is over: its peers and the host functions that it called learn of it.
    pub(crate) fn let_go(&mut self) {
        self.net.close_all();
        self.calls.cancel_all();
    }

    /// On the runtime that this is called from.
    pub(crate) fn start_streams(&mut self) {
        self.stdin.start();
        self.outputs.iter_mut().flatten().for_each(Stdout::start);
    }

    fn output(&mut self, fd: u32) -> Option<&mut Stdout> {
        self.outputs.as_mut()?.get_mut((fd as usize).checked_sub(1)?)
    }
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[allow(dead_code, reason = "`Lift` makes the values")]
#[component(enum)]
#[repr(u8)]
enum WitReason {
    #[component(name = "yield")]
    Yield,
    #[component(name = "preempt")]
    Preempt,
    #[component(name = "sleep")]
    Sleep,
    #[component(name = "mutex")]
    Mutex,
    #[component(name = "condition")]
    Condition,
    #[component(name = "semaphore")]
    Semaphore,
    #[component(name = "rwlock")]
    Rwlock,
    #[component(name = "join")]
    Join,
    #[component(name = "io")]
    Io,
    #[component(name = "exit")]
    Exit,
}

impl From<WitReason> for Reason {
    fn from(reason: WitReason) -> Reason {
        match reason {
            WitReason::Yield => Reason::Yield,
            WitReason::Preempt => Reason::Preempt,
            WitReason::Sleep => Reason::Sleep,
            WitReason::Mutex => Reason::Mutex,
            WitReason::Condition => Reason::Condition,
            WitReason::Semaphore => Reason::Semaphore,
            WitReason::Rwlock => Reason::Rwlock,
            WitReason::Join => Reason::Join,
            WitReason::Io => Reason::Io,
            WitReason::Exit => Reason::Exit,
        }
    }
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
enum WitWake {
    #[component(name = "ready")]
    Ready,
    #[component(name = "timed-out")]
    TimedOut,
    #[component(name = "interrupted")]
    Interrupted,
    #[component(name = "deadlocked")]
    Deadlocked,
}

impl From<Wake> for WitWake {
    fn from(wake: Wake) -> WitWake {
        match wake {
            Wake::Ready => WitWake::Ready,
            Wake::TimedOut => WitWake::TimedOut,
            Wake::Interrupted => WitWake::Interrupted,
            Wake::Deadlocked => WitWake::Deadlocked,
        }
    }
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[allow(dead_code, reason = "`Lift` makes the values")]
#[component(enum)]
#[repr(u8)]
enum Clock {
    #[component(name = "realtime")]
    Realtime,
    #[component(name = "monotonic")]
    Monotonic,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[allow(dead_code, reason = "`Lift` makes the values")]
#[component(enum)]
#[repr(u8)]
enum Interest {
    #[component(name = "read")]
    Read,
    #[component(name = "write")]
    Write,
}

/// A linker with everything that Python imports.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    linker.allow_shadowing(true);
    files::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    add_fibers(&mut linker)?;
    add_clocks(&mut linker)?;
    add_stdio(&mut linker)?;
    net::imports::add_to_linker(&mut linker)?;
    add_limits(&mut linker)?;
    add_snapshot(&mut linker)?;
    calls::add_to_linker(&mut linker)?;
    Ok(linker)
}

fn add_fibers(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("vtwasm:host/fibers@0.1.0")?;
    instance.func_wrap(
        "control",
        |mut store: StoreContextMut<'_, State>, (address, bytes): (u32, WasmList<u8>)| {
            let base = store.data().memory.base().load(Ordering::Relaxed);
            let control = Control::new(base, address, bytes.as_le_slice(&store), WASM_STACK)?;
            store.data_mut().control = Some(control);
            Ok(())
        },
    )?;
    instance.func_wrap(
        "spawn",
        |mut store: StoreContextMut<'_, State>, (thread,): (u32,)| {
            let state = store.data_mut();
            if !state.stacks.add_one() {
                return Ok((0,));
            }
            let fiber = state.fibers.spawn(thread, state.woken());
            match fiber {
                Some(_) => state.memory.account().add_thread(),
                None => {
                    state.stacks.remove_one();
                    state.memory.account().reach(Limit::Threads);
                }
            }
            Ok((fiber.map_or(0, |fiber| fiber.0),))
        },
    )?;
    instance.func_wrap_concurrent(
        "park",
        |accessor: &Accessor<State>, (reason, subject, deadline): (WitReason, u32, i64)| {
            let deadline = u64::try_from(deadline).ok();
            let park = accessor.with(|mut access| {
                let state = access.get();
                state.depths.park(&state.fibers, state.memory.account())?;
                Ok::<_, Stop>(state.fibers.park(reason.into(), subject, deadline, state.woken()))
            });
            Box::pin(async move { Ok((WitWake::from(park?.await),)) })
        },
    )?;
    // It holds the store: no other fiber of the sandbox runs meanwhile.
    instance.func_wrap_async("tick", |mut store: StoreContextMut<'_, State>, (): ()| {
        Box::new(async move {
            if tick::tick(store.data_mut())? {
                // tokio's own way, which looks at timers, sockets and other threads' wakes as well: one that wakes
                // itself keeps a runtime from them for 61 turns.
                tokio::task::yield_now().await;
            }
            Ok((tick::checks(store.data()),))
        })
    })?;
    instance.func_wrap("unpark", |store: StoreContextMut<'_, State>, (fiber,): (u32,)| {
        let state = store.data();
        state.fibers.unpark(state.woken().chain([FiberId(fiber)]));
        Ok(())
    })?;
    instance.func_wrap("finish", |mut store: StoreContextMut<'_, State>, (): ()| {
        let state = store.data_mut();
        state.stacks.remove_one();
        state.depths.finish(&state.fibers);
        state.fibers.finish(state.woken());
        Ok(())
    })?;
    instance.func_wrap(
        "exit",
        |_: StoreContextMut<'_, State>, (code,): (u32,)| -> wasmtime::Result<()> {
            Err(Stop(Outcome::Exited(code)).into())
        },
    )
}

fn add_clocks(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("vtwasm:host/clocks@0.1.0")?;
    instance.func_wrap("now", |store: StoreContextMut<'_, State>, (clock,): (Clock,)| {
        Ok((match clock {
            Clock::Monotonic => store.data().fibers.now(),
            Clock::Realtime => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |time| time.as_nanos() as u64),
        },))
    })?;
    instance.func_wrap("cpu-time", |store: StoreContextMut<'_, State>, (): ()| {
        Ok((store.data().fibers.cpu_nanos(),))
    })
}

fn add_stdio(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("vtwasm:host/stdio@0.1.0")?;
    instance.func_wrap("read", |store: StoreContextMut<'_, State>, (length,): (u32,)| {
        let state = store.data();
        let read = state.stdin.read(length as usize);
        if let Ok(bytes) = &read {
            state.memory.account().add_input(bytes.len() as u64);
        }
        Ok((read,))
    })?;
    instance.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, State>, (fd, bytes): (u32, WasmList<u8>)| {
            // What goes over the limit is not written: the guest gets a short count and comes again.
            let state = store.data();
            let room = state.output_limit.map_or(u64::MAX, |limit| {
                limit.saturating_sub(state.memory.account().output())
            });
            if room == 0 {
                return Err(Stop(Outcome::LimitHit(Limit::Output)).into());
            }
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(CAPACITY);
            // The list borrows the store that the stream is in.
            let slice = bytes.as_le_slice(&store);
            let bytes = slice[..slice.len().min(room)].to_vec();
            let state = store.data_mut();
            let written = match state.output(fd) {
                Some(output) => output.write(&bytes)?,
                None => Err(errno::BADF),
            };
            if let Ok(written) = written {
                state.memory.account().add_output(written as u64);
            }
            Ok((written.map(|n| n as u32),))
        },
    )?;
    instance.func_wrap(
        "subscribe",
        |mut store: StoreContextMut<'_, State>, (fd, interest): (u32, Interest)| {
            let state = store.data_mut();
            let Some((fiber, _)) = state.fibers.subscribe() else {
                return Ok((true,));
            };
            let ready = match (fd, interest) {
                (0, Interest::Read) => state.stdin.subscribe(fiber),
                (_, Interest::Write) => state.output(fd).is_none_or(|output| output.subscribe(fiber)),
                _ => true,
            };
            Ok((ready,))
        },
    )?;
    instance.func_wrap(
        "is-terminal",
        |mut store: StoreContextMut<'_, State>, (fd,): (u32,)| {
            let state = store.data_mut();
            Ok((match fd {
                0 => state.stdin.terminal,
                _ => state.output(fd).is_some_and(|output| output.terminal),
            },))
        },
    )
}

fn add_limits(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("vtwasm:host/limits@0.1.0")?;
    instance.func_wrap("descriptors", |mut store: StoreContextMut<'_, State>, (): ()| {
        let state = store.data_mut();
        let (limit, told) = &mut state.descriptors;
        if std::mem::replace(told, true) {
            state.memory.account().reach(Limit::Descriptors);
        }
        Ok((*limit,))
    })
}

fn add_snapshot(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(snapshot::INTERFACE)?;
    instance.func_wrap("wanted", |store: StoreContextMut<'_, State>, (): ()| {
        Ok((matches!(store.data().image, Image::Wanted),))
    })?;
    instance.func_wrap(
        "take",
        |mut store: StoreContextMut<'_, State>, (memory,): (WasmList<u8>,)| -> wasmtime::Result<()> {
            if matches!(store.data().image, Image::Wanted) {
                let memory = memory.as_le_slice(&store).to_vec();
                store.data_mut().image = Image::Taken(memory);
            }
            Err(Stop(Outcome::Exited(0)).into())
        },
    )
}
