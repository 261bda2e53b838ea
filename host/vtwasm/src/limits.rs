//! What one sandbox may use at most.

use crate::outcome::{Limit, Outcome, Stop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The limits of one sandbox. Where POSIX has an error for it (memory, threads, descriptors, sockets, files),
/// Python raises an exception, and the program goes on; a limit of time or output ends the run with
/// [`Outcome::LimitHit`](crate::Outcome).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of linear memory, of captured output, of what goes to and from host functions, and of the stacks
    /// of threads that recurse, together: `MemoryError` beyond, or [`Limit::Memory`] if Python cannot even
    /// start, captures too much, or recurses too deep in too many threads. At most 4 GiB, which is the default.
    pub memory: u64,
    /// Time from the start to the end. None by default.
    pub wall_time: Option<Duration>,
    /// CPU time. None by default.
    pub cpu_time: Option<Duration>,
    /// Threads besides the main one: `RuntimeError: can't start new thread` beyond. The default is
    /// 120,000: more than 4 GiB of memory has room for.
    pub threads: u32,
    /// Bytes written to stdout and stderr together. None by default.
    pub output: Option<u64>,
    /// Bytes written to files, and bytes that truncating adds to them, however much is removed again: `OSError`
    /// (EDQUOT) beyond; as it is for more files, folders and links that are made than this has KiB. None by default.
    pub written: Option<u64>,
    /// Descriptors open at once: files, sockets, pipes and their like, and the three standard streams. `OSError`
    /// (EMFILE) beyond. At most 65,536, which is the default. Of files and folders, some 120 can be open at once.
    pub descriptors: u32,
    /// Sockets open at once, with look-ups and pollers: `OSError` (EMFILE) beyond. At most 1,048,576;
    /// the default is 16,384. Each socket is a file descriptor of the process.
    pub sockets: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 4 << 30,
            wall_time: None,
            cpu_time: None,
            threads: 120_000,
            output: None,
            written: None,
            descriptors: 65_536,
            sockets: 16_384,
        }
    }
}

/// What an empty file takes of the host, about.
const MADE_BYTES: u64 = 1024;

/// What one sandbox uses, readable from any thread.
#[derive(Debug)]
pub(crate) struct Account {
    /// Of memory.
    limit: usize,
    /// Bytes of linear memory.
    linear: AtomicUsize,
    /// The largest number of them.
    peak: AtomicUsize,
    /// Bytes of the host's buffers.
    buffers: AtomicUsize,
    /// Threads started, the main one included.
    threads: AtomicU64,
    /// Bytes read from stdin.
    input: AtomicU64,
    /// Bytes written to stdout and stderr.
    output: AtomicU64,
    /// Bytes written to files.
    written: AtomicU64,
    /// Files, folders and links that were made, or were to be.
    made: AtomicU64,
    /// Of bytes.
    written_limit: u64,
    /// A bit for each [`Limit`] that was reached.
    reached: AtomicU32,
}

impl Account {
    fn new(limits: &Limits) -> Arc<Account> {
        Arc::new(Account {
            limit: usize::try_from(limits.memory).unwrap_or(usize::MAX),
            linear: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            buffers: AtomicUsize::new(0),
            threads: AtomicU64::new(1),
            input: AtomicU64::new(0),
            output: AtomicU64::new(0),
            written: AtomicU64::new(0),
            made: AtomicU64::new(0),
            written_limit: limits.written.unwrap_or(u64::MAX),
            reached: AtomicU32::new(0),
        })
    }

    /// The guest wanted more than this limit allows.
    pub(crate) fn reach(&self, limit: Limit) {
        self.reached.fetch_or(1 << limit as u32, Ordering::Relaxed);
    }

    pub(crate) fn reached(&self) -> Vec<Limit> {
        let reached = self.reached.load(Ordering::Relaxed);
        let all = Limit::ALL.into_iter();
        all.filter(|&limit| reached & 1 << limit as u32 != 0).collect()
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    pub(crate) fn threads(&self) -> u64 {
        self.threads.load(Ordering::Relaxed)
    }

    pub(crate) fn output(&self) -> u64 {
        self.output.load(Ordering::Relaxed)
    }

    pub(crate) fn input(&self) -> u64 {
        self.input.load(Ordering::Relaxed)
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn add_thread(&self) {
        self.threads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_output(&self, bytes: u64) {
        self.output.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_input(&self, bytes: u64) {
        self.input.fetch_add(bytes, Ordering::Relaxed);
    }

    /// False if that would be over the limit; nothing is added then.
    pub(crate) fn add_written(&self, bytes: u64) -> bool {
        let added = |written: u64| {
            written
                .checked_add(bytes)
                .filter(|&sum| sum <= self.written_limit)
        };
        let (relaxed, written) = (Ordering::Relaxed, &self.written);
        let fits = written.fetch_update(relaxed, relaxed, added).is_ok();
        if !fits {
            self.reach(Limit::Written);
        }
        fits
    }

    /// False if one more file, folder or link would be over the limit.
    pub(crate) fn add_made(&self) -> bool {
        let fits = self.made.fetch_add(1, Ordering::Relaxed) < self.written_limit.div_ceil(MADE_BYTES);
        if !fits {
            self.reach(Limit::Written);
        }
        fits
    }

    fn has_room(&self, linear: usize, buffers: usize) -> bool {
        let fits = linear.checked_add(buffers).is_some_and(|sum| sum <= self.limit);
        if !fits {
            self.reach(Limit::Memory);
        }
        fits
    }
}

/// Bytes of buffers that are counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// `None` if that would be over the limit.
    pub(crate) fn new(account: &Arc<Account>, bytes: usize) -> Option<Charge> {
        let mut charge = Charge::empty(account);
        charge.add(bytes).then_some(charge)
    }

    pub(crate) fn empty(account: &Arc<Account>) -> Charge {
        let account = account.clone();
        Charge { account, bytes: 0 }
    }

    /// False if that would be over the limit; nothing is added then.
    pub(crate) fn add(&mut self, bytes: usize) -> bool {
        let Account { linear, buffers, .. } = &*self.account;
        let before = buffers.fetch_add(bytes, Ordering::Relaxed);
        let fits = before
            .checked_add(bytes)
            .is_some_and(|sum| self.account.has_room(linear.load(Ordering::Relaxed), sum));
        if fits {
            self.bytes += bytes;
        } else {
            buffers.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Counts so many from now on. False if that would be over the limit; nothing is counted then.
    pub(crate) fn replace(&mut self, bytes: usize) -> bool {
        self.clear();
        self.add(bytes)
    }

    fn clear(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.account.buffers.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Enforces [`Limits::memory`] and knows where the linear memory is and its size, on which `control.rs`
/// relies: there is only one.
#[derive(Debug)]
pub(crate) struct Memory {
    account: Arc<Account>,
    /// Its first byte, once it is there.
    base: Arc<AtomicUsize>,
    /// What it begins with, whatever the module says.
    least: usize,
    /// The size before the last growth, should it fail.
    before: usize,
    /// A growth was refused.
    refused: bool,
}

impl Memory {
    pub(crate) fn new(limits: &Limits, least: usize) -> Memory {
        Memory {
            least,
            account: Account::new(limits),
            base: Arc::default(),
            before: 0,
            refused: false,
        }
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Whether the guest ever wanted more than it may have.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// The address of the linear memory, for whoever makes it to write down; 0 before.
    pub(crate) fn base(&self) -> &Arc<AtomicUsize> {
        &self.base
    }

    /// Bytes of linear memory now.
    pub(crate) fn size(&self) -> usize {
        self.account.linear.load(Ordering::Relaxed)
    }
}

impl wasmtime::ResourceLimiter for Memory {
    fn memories(&self) -> usize {
        1
    }

    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.before = self.size();
        let desired = desired.max(self.least);
        let buffers = self.account.buffers.load(Ordering::Relaxed);
        if !self.account.has_room(desired, buffers) {
            self.refused = true;
            return match current {
                0 => Err(Stop(Outcome::LimitHit(Limit::Memory)).into()),
                _ => Ok(false),
            };
        }
        self.account.linear.store(desired, Ordering::Relaxed);
        self.account.peak.fetch_max(desired, Ordering::Relaxed);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.account.linear.store(self.before, Ordering::Relaxed);
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter;

    const MIB: usize = 1 << 20;

    fn memory(limit: usize, least: usize) -> Memory {
        let limits = Limits {
            memory: limit as u64,
            ..Limits::default()
        };
        Memory::new(&limits, least)
    }

    fn grows(memory: &mut Memory, current: usize, desired: usize) -> bool {
        memory.memory_growing(current, desired, None).unwrap()
    }

    #[test]
    fn a_growth_that_is_refused_or_fails_leaves_the_size() {
        let mut memory = memory(64 * MIB, 10 * MIB);
        assert!(grows(&mut memory, 0, 3 * MIB));
        assert!(!grows(&mut memory, 10 * MIB, 65 * MIB));
        memory
            .memory_grow_failed(wasmtime::Error::msg("refused"))
            .unwrap();
        assert_eq!(memory.size(), 10 * MIB);
        assert!(grows(&mut memory, 10 * MIB, 20 * MIB));
        memory
            .memory_grow_failed(wasmtime::Error::msg("no memory"))
            .unwrap();
        assert_eq!(memory.size(), 10 * MIB);
    }

    #[test]
    fn buffers_and_linear_memory_share_the_limit() {
        let mut memory = memory(64 * MIB, 0);
        assert!(grows(&mut memory, 0, 40 * MIB));
        assert!(Charge::new(memory.account(), 25 * MIB).is_none());
        let mut charge = Charge::new(memory.account(), 20 * MIB).unwrap();
        assert!(!grows(&mut memory, 40 * MIB, 45 * MIB));
        assert!(!charge.add(usize::MAX));
        assert!(charge.add(4 * MIB));
        assert!(!charge.add(1));
        drop(charge);
        assert!(grows(&mut memory, 40 * MIB, 64 * MIB));
    }
}
