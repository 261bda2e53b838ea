//! The engine: wasmtime's configuration, the stack arena and the clock thread that all sandboxes of a
//! process share.

use crate::error::{Error, Result};
use crate::imports::{self, State};
use crate::memory::{GUARD, Memories, RESERVATION};
use crate::net::Threads;
use crate::stacks::{Arena, Guard, Stacks};
use crate::ticker::Ticker;
use std::sync::Arc;
use wasmtime::Config;
use wasmtime::component::Linker;

/// Bytes of a fiber's stack: room for 5,000 levels of CPython's C recursion. Only what is touched takes memory, and a page of the page
/// table per thread, as with any size from 2 MiB on.
pub(crate) const STACK_SIZE: usize = 5 << 20;
/// What host functions may use of it when wasm has used the rest.
const HOST_RESERVE: usize = 128 << 10;
/// What wasm may use of it: at least `VTWASM_NATIVE_STACK` of the guest, which `control.rs` checks.
pub(crate) const WASM_STACK: usize = STACK_SIZE - HOST_RESERVE;

/// Compiles and runs sandboxes. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasmtime: wasmtime::Engine,
    linker: Linker<State>,
    ticker: Ticker,
    arena: Arc<Arena>,
    look_ups: Arc<Threads>,
}

impl Engine {
    /// An engine with its clock thread.
    ///
    /// # Errors
    /// [`Error::Engine`] if wasmtime refuses this machine, or the kernel memory or a thread.
    pub fn new() -> Result<Engine> {
        Engine::build(false).map_err(Error::Engine)
    }

    /// An engine for programs of some milliseconds: a sandbox starts 0.6 ms earlier (of 0.9), and what
    /// computes for long takes about 3 % longer. It keeps a compiled form of its own.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn for_short_runs() -> Result<Engine> {
        Engine::build(true).map_err(Error::Engine)
    }

    fn build(for_short_runs: bool) -> wasmtime::Result<Engine> {
        let arena = Arc::new(Arena::new(STACK_SIZE)?);
        let mut config = config(&arena);
        // Whether a function that is called through a pointer is looked up at its first call.
        config.table_lazy_init(for_short_runs);
        let wasmtime = wasmtime::Engine::new(&config)?;
        let linker = imports::linker(&wasmtime)?;
        let ticker = Ticker::start()?;
        Ok(Engine {
            inner: Arc::new(Inner {
                wasmtime,
                linker,
                ticker,
                arena,
                look_ups: Arc::default(),
            }),
        })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.wasmtime
    }

    pub(crate) fn linker(&self) -> &Linker<State> {
        &self.inner.linker
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.inner.ticker
    }

    pub(crate) fn arena(&self) -> &Arc<Arena> {
        &self.inner.arena
    }

    pub(crate) fn look_ups(&self) -> &Arc<Threads> {
        &self.inner.look_ups
    }

    /// The engine and the kernel features that it uses, for people.
    pub fn describe(&self) -> String {
        let guard = match self.inner.arena.guard() {
            Guard::Marker => "guard markers (MADV_GUARD_INSTALL)",
            Guard::Protection => "protected pages; vm.max_map_count ends the stacks at about 32,000",
        };
        format!(
            "wasmtime 48, fiber stacks of {} KiB with {guard}",
            STACK_SIZE / 1024,
        )
    }
}

fn config(arena: &Arc<Arena>) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .wasm_component_model_async_stackful(true)
        // The guest's checks (`fibers.tick`) are marked as unlikely to be due.
        .wasm_branch_hinting(true)
        .async_stack_size(STACK_SIZE)
        .max_wasm_stack(WASM_STACK)
        .with_host_stack(Arc::new(Stacks(arena.clone())))
        // The address of the control block is taken once (`control.rs`).
        .memory_may_move(false)
        .memory_reservation(RESERVATION as u64)
        .memory_guard_size(GUARD as u64)
        .with_host_memory(Arc::new(Memories));
    config
}
