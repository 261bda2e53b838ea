//! A sandbox's store, dropped without holding up who drops it.

use crate::imports::State;
use std::ops::{Deref, DerefMut};
use wasmtime::Store;

/// Dropping a store costs some µs a fiber; beyond so many it is done on another thread.
const FIBERS_TO_DROP_HERE: usize = 256;

pub(crate) struct OwnedStore {
    /// There until it is dropped.
    store: Option<Store<State>>,
}

impl OwnedStore {
    pub(crate) fn new(store: Store<State>) -> OwnedStore {
        OwnedStore { store: Some(store) }
    }
}

impl Deref for OwnedStore {
    type Target = Store<State>;

    fn deref(&self) -> &Store<State> {
        self.store.as_ref().expect("it is not being dropped")
    }
}

impl DerefMut for OwnedStore {
    fn deref_mut(&mut self) -> &mut Store<State> {
        self.store.as_mut().expect("it is not being dropped")
    }
}

impl Drop for OwnedStore {
    fn drop(&mut self) {
        let Some(mut store) = self.store.take() else {
            return;
        };
        store.data_mut().let_go();
        if store.data().fibers.live() > FIBERS_TO_DROP_HERE {
            // Without a thread it is dropped here after all, with what the thread would have run.
            let thread = std::thread::Builder::new().name("vtwasm-drop".into());
            let _ = thread.spawn(move || drop(store));
        }
    }
}
