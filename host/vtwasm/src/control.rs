//! The words of guest memory that the host reads and writes without a call: how a CPU-bound fiber is
//! asked to give way.
//!
//! wasmtime has no public way to write to a component's memory from an epoch callback, so the address
//! is taken once, from the list that the guest hands over.
//!
//! # Invariants of the unsafe code
//! - `base` is the start of the sandbox's only linear memory. The engine reserves 4 GiB for each
//!   memory and forbids moving, so it is valid until the store is dropped; the value lives in the
//!   store and is used only in calls that have the store.
//! - Every access is to a 4-aligned word below `length`, the current size of that memory, which the
//!   store's limiter keeps: never beyond what is mapped, whatever the guest wrote into its words.
//! - Accesses are atomic: no other host thread touches the memory meanwhile, but wasm's own accesses
//!   are not Rust's.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const WORDS: usize = 8;
const VERSION: u32 = 1;

/// The guest's control block.
#[derive(Clone, Copy)]
pub(crate) struct Control {
    base: usize,
    address: u32,
    tstate: u32,
    breaker_offset: u32,
    breaker_bit: u32,
}

impl Control {
    /// Takes over the block that is `bytes` at guest address `address`.
    pub(crate) fn new(address: u32, bytes: &[u8]) -> Result<Control, String> {
        if bytes.len() != WORDS * 4 || !address.is_multiple_of(4) {
            return Err("the guest's control block is malformed".into());
        }
        let word = |i: usize| u32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().expect("4 bytes"));
        if word(0) != VERSION {
            return Err(format!(
                "the guest's control block has version {}, this host knows {VERSION}",
                word(0)
            ));
        }
        Ok(Control {
            base: (bytes.as_ptr() as usize)
                .checked_sub(address as usize)
                .ok_or("the guest's control block is not where it says")?,
            address,
            tstate: word(1),
            breaker_offset: word(2),
            breaker_bit: word(3),
        })
    }

    /// `sys.getswitchinterval()`, or `None` if the guest spoilt its block.
    pub(crate) fn interval(&self, length: usize) -> Option<Duration> {
        let micros = self
            .word(self.address.checked_add(16)?, length)?
            .load(Ordering::Relaxed);
        Some(Duration::from_micros(u64::from(micros.max(1))))
    }

    /// Asks the running Python thread, if there is one, to give way at its next bytecode boundary.
    pub(crate) fn ask_to_give_way(&self, length: usize) {
        let tstate = self
            .word(self.tstate, length)
            .map_or(0, |word| word.load(Ordering::Relaxed));
        if tstate == 0 {
            return;
        }
        if let Some(breaker) = tstate
            .checked_add(self.breaker_offset)
            .and_then(|a| self.word(a, length))
        {
            breaker.fetch_or(self.breaker_bit, Ordering::Relaxed);
        }
    }

    fn word(&self, address: u32, length: usize) -> Option<&AtomicU32> {
        let end = (address as usize).checked_add(4)?;
        if !address.is_multiple_of(4) || end > length {
            return None;
        }
        // SAFETY: aligned and below the memory's size, as the invariants at the top ask.
        Some(unsafe { AtomicU32::from_ptr((self.base + address as usize) as *mut u32) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory of 1,024 words whose control block starts at byte 64.
    fn memory(words: [u32; WORDS]) -> Vec<u32> {
        let mut memory = vec![0; 1024];
        memory[16..16 + WORDS].copy_from_slice(&words);
        memory
    }

    fn control(memory: &[u32]) -> Result<Control, String> {
        let start = memory.as_ptr().cast::<u8>();
        // SAFETY: 32 bytes from byte 64 of a live vector of 4,096 bytes.
        Control::new(64, unsafe { std::slice::from_raw_parts(start.add(64), 32) })
    }

    #[test]
    fn the_bit_is_set_in_the_current_thread_state() {
        let mut memory = memory([1, 400, 12, 1, 5000, 0, 0, 0]);
        memory[100] = 800;
        let control = control(&memory).unwrap();
        control.ask_to_give_way(4096);
        assert_eq!(memory[203], 1);
        assert_eq!(control.interval(4096), Some(Duration::from_millis(5)));
    }

    #[test]
    fn rubbish_addresses_touch_nothing() {
        for (tstate, state) in [
            (u32::MAX, 0),
            (4094, 0),
            (402, 0),
            (400, u32::MAX),
            (400, 4090),
            (400, 4093),
        ] {
            let mut memory = memory([1, tstate, 12, 1, 5000, 0, 0, 0]);
            memory[100] = state;
            let before = memory.clone();
            control(&memory).unwrap().ask_to_give_way(4096);
            assert_eq!(memory, before);
        }
    }

    #[test]
    fn a_block_of_another_version_is_refused() {
        assert!(control(&memory([2, 0, 0, 0, 0, 0, 0, 0])).is_err());
    }
}
