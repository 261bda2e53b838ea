//! The words of guest memory that the host reads and writes without a call: how a CPU-bound fiber is
//! asked to give way.
//!
//! wasmtime has no public way to write to a component's memory from a host function, so the address
//! is that which `memory.rs` has given to wasmtime, and the block must be where the guest says that it is.
//!
//! # Invariants of the unsafe code
//! - `base` is the start of the sandbox's only linear memory. Each has 4 GiB reserved (`memory.rs`) and
//!   never moves, so it is valid until the store is dropped; the value lives in the
//!   store and is used only in calls that have the store.
//! - Every access is to a 4-aligned word below `length`, the current size of that memory, which the
//!   store's limiter keeps: never beyond what is mapped, whatever the guest wrote into its words.
//! - Accesses are atomic: no other host thread touches the memory meanwhile, but wasm's own accesses
//!   are not Rust's.

use crate::scheduler::FiberId;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const WORDS: usize = 8;
const VERSION: u32 = 4;
/// How many fibers the guest's list of woken ones has room for.
const WOKEN_MAX: u32 = 31;

/// The guest was made for another host.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misfit(String);

/// The guest's control block.
#[derive(Clone, Copy)]
pub(crate) struct Control {
    base: usize,
    address: u32,
    tstate: u32,
    breaker_offset: u32,
    breaker_bit: u32,
    woken: u32,
}

impl Control {
    /// Takes over the block that is `bytes` at guest address `address` of the memory at `base`, of a guest
    /// on fibers whose stacks have `stack` bytes for it.
    pub(crate) fn new(base: usize, address: u32, bytes: &[u8], stack: usize) -> Result<Control, Misfit> {
        let misfit = |text: &str| Misfit(text.to_owned());
        if bytes.len() != WORDS * 4 || !address.is_multiple_of(4) {
            return Err(misfit("its control block is malformed"));
        }
        // Any other base would make all its words the host's memory.
        if (bytes.as_ptr() as usize).checked_sub(address as usize) != Some(base) {
            return Err(misfit("its control block is not where it says"));
        }
        let word = |i: usize| u32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().expect("4 bytes"));
        if word(0) != VERSION {
            return Err(Misfit(format!(
                "its control block has version {}, this host knows {VERSION}",
                word(0)
            )));
        }
        if word(5) as usize > stack {
            return Err(Misfit(format!(
                "its limits of recursion count on fiber stacks of {} KiB, this host gives {} KiB",
                word(5) / 1024,
                stack / 1024
            )));
        }
        Ok(Control {
            base,
            address,
            tstate: word(1),
            breaker_offset: word(2),
            breaker_bit: word(3),
            woken: word(6),
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

    /// The fibers that the guest has woken since the last time. They count as taken, even if the
    /// iterator is not run to its end.
    pub(crate) fn take_woken(self, length: usize) -> impl Iterator<Item = FiberId> {
        // Most often there is none, and a plain load costs less than a swap.
        let count = self
            .word(self.woken, length)
            .filter(|count| count.load(Ordering::Relaxed) != 0)
            .map_or(0, |count| count.swap(0, Ordering::Relaxed));
        (1..=count.min(WOKEN_MAX)).filter_map(move |i| {
            let fiber = self.word(self.woken.checked_add(4 * i)?, length)?;
            Some(FiberId(fiber.load(Ordering::Relaxed)))
        })
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

    const STACK: usize = 1 << 20;

    /// A memory of 1,024 words whose control block starts at byte 64.
    fn memory(words: [u32; WORDS]) -> Vec<u32> {
        let mut memory = vec![0; 1024];
        memory[16..16 + WORDS].copy_from_slice(&words);
        memory
    }

    fn control(memory: &[u32]) -> Result<Control, Misfit> {
        control_at(memory, 64)
    }

    fn control_at(memory: &[u32], address: u32) -> Result<Control, Misfit> {
        let start = memory.as_ptr().cast::<u8>();
        // SAFETY: 32 bytes from byte 64 of a live vector of 4,096 bytes.
        let bytes = unsafe { std::slice::from_raw_parts(start.add(64), 32) };
        Control::new(start as usize, address, bytes, STACK)
    }

    #[test]
    fn a_block_that_is_not_where_the_guest_says_is_refused() {
        let memory = memory([VERSION, 400, 12, 1, 5000, 0, 0, 0]);
        assert!(control_at(&memory, 64).is_ok());
        for address in [0, 60, 68, 4096, 1 << 31, u32::MAX - 3] {
            assert!(control_at(&memory, address).is_err(), "{address}");
        }
    }

    #[test]
    fn the_bit_is_set_in_the_current_thread_state() {
        let mut memory = memory([VERSION, 400, 12, 1, 5000, 0, 0, 0]);
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
            let mut memory = memory([VERSION, tstate, 12, 1, 5000, 0, 0, 0]);
            memory[100] = state;
            let before = memory.clone();
            control(&memory).unwrap().ask_to_give_way(4096);
            assert_eq!(memory, before);
        }
    }

    #[test]
    fn woken_fibers_are_taken_once_and_in_their_order() {
        let mut memory = memory([VERSION, 0, 0, 0, 0, 0, 400, 0]);
        memory[100..103].copy_from_slice(&[2, 7, 5]);
        let control = control(&memory).unwrap();
        let taken: Vec<_> = control.take_woken(4096).collect();
        assert_eq!(taken, [FiberId(7), FiberId(5)]);
        assert_eq!(memory[100], 0);
        assert_eq!(control.take_woken(4096).count(), 0);
    }

    #[test]
    fn a_spoilt_list_of_woken_fibers_reads_nothing_beyond_itself_or_the_memory() {
        for (address, taken) in [(400, 31), (4088, 1), (4092, 0), (4093, 0), (u32::MAX - 3, 0)] {
            let mut memory = memory([VERSION, 0, 0, 0, 0, 0, address, 0]);
            memory[100] = u32::MAX;
            memory[1022] = u32::MAX;
            memory[1023] = u32::MAX;
            let control = control(&memory).unwrap();
            assert_eq!(control.take_woken(4096).count(), taken, "at {address}");
        }
    }

    #[test]
    fn a_block_of_another_version_is_refused() {
        assert!(control(&memory([1, 0, 0, 0, 0, 0, 0, 0])).is_err());
    }

    #[test]
    fn a_guest_that_counts_on_larger_stacks_is_refused() {
        let wants = |bytes| control(&memory([VERSION, 0, 0, 0, 0, bytes, 0, 0])).map(drop);
        assert!(wants(1 << 20).is_ok());
        let error = wants((1 << 20) + 1024).unwrap_err().to_string();
        assert!(
            error.contains("1025 KiB") && error.contains("1024 KiB"),
            "{error}"
        );
    }
}
