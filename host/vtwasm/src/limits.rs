//! What one sandbox may use at most.

use crate::outcome::{Limit, Outcome, Stop};
use std::time::Duration;

/// The limits of one sandbox. A limit of memory or threads is felt by Python as an exception;
/// reaching a limit of time or output ends the run with [`Outcome::LimitHit`](crate::Outcome).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of linear memory: `MemoryError` beyond, or [`Limit::Memory`] if Python cannot even start.
    /// At most 4 GiB, which is the default.
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
            sockets: 16_384,
        }
    }
}

/// Enforces [`Limits::memory`] and knows the linear memory's size, on which `control.rs` relies: there is
/// only one.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    size: usize,
    /// The size before the last growth, should it fail.
    before: usize,
    peak: usize,
}

impl Memory {
    pub(crate) fn new(limit: u64) -> Memory {
        Memory {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            size: 0,
            before: 0,
            peak: 0,
        }
    }

    /// Bytes of linear memory now.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The largest size so far.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }
}

impl wasmtime::ResourceLimiter for Memory {
    fn memories(&self) -> usize {
        1
    }

    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.before = self.size;
        if desired > self.limit {
            return match current {
                0 => Err(Stop(Outcome::LimitHit(Limit::Memory)).into()),
                _ => Ok(false),
            };
        }
        self.size = desired;
        self.peak = self.peak.max(desired);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.size = self.before;
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

    fn grows(memory: &mut Memory, current: usize, desired: usize) -> bool {
        memory.memory_growing(current, desired, None).unwrap()
    }

    #[test]
    fn a_growth_that_is_refused_or_fails_leaves_the_size() {
        let mut memory = Memory::new(64 << 20);
        assert!(grows(&mut memory, 0, 10 * MIB));
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
}
