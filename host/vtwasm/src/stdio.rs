//! The three standard streams: bounded buffers between the guest, which never waits in a host call,
//! and host threads, or tasks of tokio, that do.

use crate::errno;
use crate::limits::Charge;
use crate::outcome::{Limit, Outcome, Stop};
use crate::scheduler::FiberId;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

/// Bytes that a stream holds in the host at most.
pub(crate) const CAPACITY: usize = 64 * 1024;

/// Where a sandbox's stdin comes from.
#[derive(Default)]
#[non_exhaustive]
pub enum Input {
    /// It is at its end from the start.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// A reader, which a thread of its own reads once the program asks for stdin. After the run that
    /// thread lives on until its last `read` returns.
    Reader(Box<dyn Read + Send>),
    /// An asynchronous reader, read once the program asks for stdin, and dropped with the run. The tokio
    /// runtime that polls [`Sandbox::run`](crate::Sandbox::run) reads it.
    AsyncReader(Pin<Box<dyn AsyncRead + Send>>),
    /// This process's stdin.
    Inherit,
}

/// Where a sandbox's stdout or stderr goes to.
#[derive(Default)]
#[non_exhaustive]
pub enum Output {
    /// Nowhere.
    #[default]
    Null,
    /// Into the [`Report`](crate::Report).
    Capture,
    /// A writer, in a thread of its own. A program that writes faster waits; only its writing thread
    /// does.
    Writer(Box<dyn Write + Send>),
    /// An asynchronous writer, flushed after each write and dropped with the run. As with a [`Writer`](Output::Writer),
    /// only a thread that writes waits for it. The tokio runtime that polls
    /// [`Sandbox::run`](crate::Sandbox::run) writes it.
    AsyncWriter(Pin<Box<dyn AsyncWrite + Send>>),
    /// This process's stdout or stderr.
    Inherit,
}

/// Wakes a fiber that waits for a stream; called from any thread.
pub(crate) type WakeFiber = Arc<dyn Fn(FiberId) + Send + Sync>;

/// A bounded buffer with the guest at one end and a host thread, or a task, at the other.
struct Pipe {
    state: Mutex<PipeState>,
    /// Tells the host thread that there is something to do.
    changed: Condvar,
    /// Tells the task.
    notify: Notify,
    wake: WakeFiber,
}

#[derive(Default)]
struct PipeState {
    buffer: VecDeque<u8>,
    /// No byte will be added any more.
    ended: bool,
    /// The other side is gone: the errno for this one.
    broken: Option<u16>,
    /// The guest has asked for input, so that it is right to read some.
    wanted: bool,
    waiting: Vec<FiberId>,
}

impl Pipe {
    fn new(wake: WakeFiber) -> Arc<Pipe> {
        Arc::new(Pipe {
            state: Mutex::default(),
            changed: Condvar::new(),
            notify: Notify::new(),
            wake,
        })
    }

    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().expect("no code panics with the lock")
    }

    fn wait<'a>(&self, state: MutexGuard<'a, PipeState>) -> MutexGuard<'a, PipeState> {
        self.changed.wait(state).expect("no code panics with the lock")
    }

    /// For the host's end.
    fn tell(&self) {
        self.changed.notify_one();
        self.notify.notify_one();
    }

    /// For a task, of which there is one.
    async fn until(&self, is_ready: impl Fn(&PipeState) -> bool) {
        while !is_ready(&self.lock()) {
            self.notify.notified().await;
        }
    }

    /// Changes the state from the host's side and wakes the fibers that wait for it.
    fn update(&self, change: impl FnOnce(&mut PipeState)) {
        let waiting = {
            let mut state = self.lock();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        for fiber in waiting {
            (self.wake)(fiber);
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, u16> {
        let mut state = self.lock();
        if let Some(errno) = state.broken {
            return Err(errno);
        }
        let taken = bytes.len().min(CAPACITY - state.buffer.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(errno::AGAIN);
        }
        state.buffer.extend(&bytes[..taken]);
        self.tell();
        Ok(taken)
    }

    /// Registers a fiber unless `ready`.
    fn subscribe(&self, fiber: FiberId, ready: impl FnOnce(&PipeState) -> bool) -> bool {
        let mut state = self.lock();
        if ready(&state) {
            return true;
        }
        state.wanted = true;
        if !state.waiting.contains(&fiber) {
            state.waiting.push(fiber);
        }
        self.tell();
        false
    }
}

/// The guest's end of stdin.
pub(crate) struct Stdin {
    pipe: Arc<Pipe>,
    task: Task,
    pub(crate) terminal: bool,
}

impl Stdin {
    pub(crate) fn new(input: Input, wake: WakeFiber) -> io::Result<Stdin> {
        let pipe = Pipe::new(wake);
        let mut terminal = false;
        let mut task = Task::default();
        let reader: Option<Box<dyn Read + Send>> = match input {
            Input::Empty => None,
            Input::Bytes(bytes) => {
                pipe.lock().buffer = bytes.into();
                None
            }
            Input::Reader(reader) => Some(reader),
            Input::AsyncReader(reader) => {
                task.future = Some(fill_async(pipe.clone(), reader).boxed());
                return Ok(Stdin { pipe, task, terminal });
            }
            Input::Inherit => {
                terminal = io::stdin().is_terminal();
                Some(Box::new(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
            }
        };
        match reader {
            Some(reader) => {
                let pipe = pipe.clone();
                spawn_thread("stdin", move || fill(&pipe, reader))?;
            }
            None => pipe.lock().ended = true,
        }
        Ok(Stdin { pipe, task, terminal })
    }

    pub(crate) fn start(&mut self) {
        self.task.start();
    }

    pub(crate) fn read(&self, length: usize) -> Result<Vec<u8>, u16> {
        let mut state = self.pipe.lock();
        if !state.buffer.is_empty() {
            let length = length.min(state.buffer.len());
            let bytes = state.buffer.drain(..length).collect();
            self.pipe.tell();
            return Ok(bytes);
        }
        match state.broken {
            Some(errno) => Err(errno),
            None if state.ended => Ok(Vec::new()),
            None => Err(errno::AGAIN),
        }
    }

    pub(crate) fn subscribe(&self, fiber: FiberId) -> bool {
        self.pipe.subscribe(fiber, PipeState::readable)
    }
}

impl PipeState {
    /// Or nobody will want any more.
    fn wants_input(&self) -> bool {
        self.broken.is_some() || self.wanted && self.buffer.is_empty()
    }

    /// Or there will be none any more.
    fn has_output(&self) -> bool {
        !self.buffer.is_empty() || self.ended
    }

    fn readable(&self) -> bool {
        !self.buffer.is_empty() || self.ended || self.broken.is_some()
    }

    fn writable(&self) -> bool {
        self.buffer.len() < CAPACITY || self.broken.is_some()
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        self.pipe.lock().broken = Some(errno::PIPE);
        self.pipe.tell();
    }
}

/// The thread that reads stdin, one read per wish of the guest, so that what the program leaves
/// unread stays with whoever reads after it as far as possible.
fn fill(pipe: &Arc<Pipe>, mut reader: Box<dyn Read + Send>) {
    let _served = Served(pipe.clone());
    let mut chunk = vec![0; CAPACITY];
    loop {
        let mut state = pipe.lock();
        while !state.wants_input() {
            state = pipe.wait(state);
        }
        if state.broken.is_some() {
            return;
        }
        state.wanted = false;
        drop(state);
        match reader.read(&mut chunk) {
            Ok(0) => return pipe.update(|state| state.ended = true),
            Ok(n) => pipe.update(|state| state.buffer.extend(&chunk[..n])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                pipe.lock().wanted = true;
            }
            Err(_) => return pipe.update(|state| state.broken = Some(errno::IO)),
        }
    }
}

/// The same as a task.
async fn fill_async(pipe: Arc<Pipe>, mut reader: Pin<Box<dyn AsyncRead + Send>>) {
    let served = Served(pipe);
    let pipe = &served.0;
    let mut chunk = vec![0; CAPACITY];
    loop {
        pipe.until(PipeState::wants_input).await;
        {
            let mut state = pipe.lock();
            if state.broken.is_some() {
                return;
            }
            state.wanted = false;
        }
        let mut read = ReadBuf::new(&mut chunk);
        match poll_fn(|context| reader.as_mut().poll_read(context, &mut read)).await {
            Ok(()) if read.filled().is_empty() => return pipe.update(|state| state.ended = true),
            Ok(()) => pipe.update(|state| state.buffer.extend(read.filled())),
            Err(_) => return pipe.update(|state| state.broken = Some(errno::IO)),
        }
    }
}

/// The host's end is served. When it is no more, for a panic of the embedder's code or because its runtime has
/// ended, the guest must not wait for it.
struct Served(Arc<Pipe>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.update(|state| {
            if !state.ended {
                state.broken.get_or_insert(errno::IO);
            }
        });
    }
}

/// A stream's task, from the start of the run until this is dropped. Nothing for one with a thread.
#[derive(Default)]
struct Task {
    future: Option<BoxFuture<'static, ()>>,
    running: Option<AbortHandle>,
}

impl Task {
    fn start(&mut self) {
        let task = self.future.take().map(tokio::spawn);
        self.running = task.map(|task| task.abort_handle());
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.running {
            task.abort();
        }
    }
}

/// The guest's end of stdout or stderr.
pub(crate) struct Stdout {
    sink: Sink,
    pub(crate) terminal: bool,
}

enum Sink {
    Null,
    Capture(Vec<u8>, Charge),
    Pipe(Arc<Pipe>, Draining),
}

/// A stream that is being written out.
pub(crate) struct Draining {
    /// Tells when it is written out, or when nobody does that any more.
    pub(crate) done: oneshot::Receiver<()>,
    task: Task,
}

impl Stdout {
    pub(crate) fn new(
        output: Output,
        inherited: impl AsFd + IsTerminal,
        charge: Charge,
        wake: WakeFiber,
    ) -> io::Result<Stdout> {
        let mut terminal = false;
        let writer: Box<dyn Write + Send> = match output {
            Output::Null => {
                return Ok(Stdout {
                    sink: Sink::Null,
                    terminal,
                });
            }
            Output::Capture => {
                return Ok(Stdout {
                    sink: Sink::Capture(Vec::new(), charge),
                    terminal,
                });
            }
            Output::Writer(writer) => writer,
            Output::AsyncWriter(writer) => {
                let pipe = Pipe::new(wake);
                let (sender, done) = oneshot::channel();
                let future = drain_async(pipe.clone(), writer).map(|()| _ = sender.send(()));
                let task = Task {
                    future: Some(future.boxed()),
                    running: None,
                };
                return Ok(Stdout {
                    sink: Sink::Pipe(pipe, Draining { done, task }),
                    terminal,
                });
            }
            Output::Inherit => {
                terminal = inherited.is_terminal();
                Box::new(File::from(inherited.as_fd().try_clone_to_owned()?))
            }
        };
        let pipe = Pipe::new(wake);
        let (sender, done) = oneshot::channel();
        let thread_pipe = pipe.clone();
        spawn_thread("stdout", move || {
            drain(&thread_pipe, writer);
            let _ = sender.send(());
        })?;
        let task = Task::default();
        Ok(Stdout {
            sink: Sink::Pipe(pipe, Draining { done, task }),
            terminal,
        })
    }

    pub(crate) fn start(&mut self) {
        if let Sink::Pipe(_, draining) = &mut self.sink {
            draining.task.start();
        }
    }

    /// Takes as much as there is room for. What is captured beyond the limit of memory ends the run: a
    /// program that learnt of it could only say so here.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<Result<usize, u16>, Stop> {
        match &mut self.sink {
            Sink::Null => Ok(Ok(bytes.len())),
            Sink::Capture(captured, charge) => {
                if !charge.add(bytes.len()) {
                    return Err(Stop(Outcome::LimitHit(Limit::Memory)));
                }
                captured.extend_from_slice(bytes);
                Ok(Ok(bytes.len()))
            }
            Sink::Pipe(pipe, _) => Ok(pipe.write(bytes)),
        }
    }

    pub(crate) fn subscribe(&self, fiber: FiberId) -> bool {
        match &self.sink {
            Sink::Pipe(pipe, _) => pipe.subscribe(fiber, PipeState::writable),
            _ => true,
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> (Vec<u8>, Option<Draining>) {
        match std::mem::replace(&mut self.sink, Sink::Null) {
            Sink::Null => (Vec::new(), None),
            Sink::Capture(bytes, _) => (bytes, None),
            Sink::Pipe(pipe, draining) => {
                pipe.update(|state| state.ended = true);
                pipe.tell();
                (Vec::new(), Some(draining))
            }
        }
    }
}

impl Drop for Stdout {
    /// A run that is dropped does not finish its streams, and their threads must end all the same.
    fn drop(&mut self) {
        if let Sink::Pipe(pipe, _) = &self.sink {
            pipe.update(|state| state.ended = true);
            pipe.tell();
        }
    }
}

/// The thread that writes what the guest wrote.
fn drain(pipe: &Arc<Pipe>, mut writer: Box<dyn Write + Send>) {
    let _served = Served(pipe.clone());
    let mut chunk = Vec::new();
    loop {
        let mut state = pipe.lock();
        while !state.has_output() {
            state = pipe.wait(state);
        }
        if state.buffer.is_empty() {
            return;
        }
        chunk.clear();
        chunk.extend(state.buffer.drain(..));
        drop(state);
        pipe.update(|_| ());
        if let Err(error) = writer.write_all(&chunk).and_then(|()| writer.flush()) {
            return pipe.update(|state| state.broken = Some(errno_of(&error)));
        }
    }
}

/// The same as a task.
async fn drain_async(pipe: Arc<Pipe>, mut writer: Pin<Box<dyn AsyncWrite + Send>>) {
    let served = Served(pipe);
    let pipe = &served.0;
    loop {
        pipe.until(PipeState::has_output).await;
        let chunk = Vec::from(std::mem::take(&mut pipe.lock().buffer));
        if chunk.is_empty() {
            return;
        }
        pipe.update(|_| ());
        if let Err(error) = write_all(writer.as_mut(), &chunk).await {
            return pipe.update(|state| state.broken = Some(errno_of(&error)));
        }
    }
}

async fn write_all(mut writer: Pin<&mut (dyn AsyncWrite + Send)>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match poll_fn(|context| writer.as_mut().poll_write(context, bytes)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    poll_fn(|context| writer.as_mut().poll_flush(context)).await
}

fn errno_of(error: &io::Error) -> u16 {
    match error.kind() {
        io::ErrorKind::BrokenPipe => errno::PIPE,
        _ => errno::IO,
    }
}

fn spawn_thread(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(format!("vtwasm-{name}"))
        .spawn(body)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, Memory};
    use std::sync::mpsc;

    fn charge() -> Charge {
        Charge::empty(Memory::new(&Limits::default(), 0).account())
    }

    fn nobody() -> WakeFiber {
        Arc::new(|_| ())
    }

    #[test]
    fn a_full_stdout_says_again_and_wakes_its_writer_later() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (sender, woken) = mpsc::channel();
        let wake: WakeFiber = Arc::new(move |fiber| sender.send(fiber).unwrap());
        let mut out = Stdout::new(Output::Writer(Box::new(writer)), io::stdout(), charge(), wake).unwrap();
        let mut sent = 0;
        // Until the pipe of the kernel and ours are both full.
        while out.subscribe(FiberId(7)) || woken.recv_timeout(std::time::Duration::from_millis(200)).is_ok() {
            sent += out.write(&[b'x'; 4096]).unwrap().unwrap_or(0);
        }
        assert_eq!(out.write(b"x").unwrap(), Err(errno::AGAIN));
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all.len()
        });
        assert_eq!(woken.recv().unwrap(), FiberId(7));
        let (_, drained) = out.finish();
        drained.unwrap().done.blocking_recv().unwrap();
        assert_eq!(reading.join().unwrap(), sent);
    }

    #[test]
    fn a_closed_reader_is_epipe() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut out =
            Stdout::new(Output::Writer(Box::new(writer)), io::stdout(), charge(), nobody()).unwrap();
        let result = loop {
            match out.write(b"x").unwrap() {
                Ok(_) => std::thread::yield_now(),
                Err(errno) => break errno,
            }
        };
        assert_eq!(result, errno::PIPE);
    }

    #[test]
    fn stdin_is_not_read_before_somebody_wants_it() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"hello").unwrap();
        let (sender, woken) = mpsc::channel();
        let wake: WakeFiber = Arc::new(move |fiber| sender.send(fiber).unwrap());
        let kept = reader.try_clone().unwrap();
        let stdin = Stdin::new(Input::Reader(Box::new(reader)), wake).unwrap();
        assert_eq!(stdin.read(10), Err(errno::AGAIN));
        assert!(!stdin.subscribe(FiberId(3)));
        assert_eq!(woken.recv().unwrap(), FiberId(3));
        assert_eq!(stdin.read(2), Ok(b"he".to_vec()));
        assert_eq!(stdin.read(10), Ok(b"llo".to_vec()));
        drop((writer, kept));
    }

    #[test]
    fn the_thread_of_a_stream_ends_when_nobody_finished_it() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut out =
            Stdout::new(Output::Writer(Box::new(writer)), io::stdout(), charge(), nobody()).unwrap();
        assert_eq!(out.write(b"last words").unwrap(), Ok(10));
        drop(out);
        let mut written = String::new();
        // It comes to its end when the thread has dropped the writer.
        reader.read_to_string(&mut written).unwrap();
        assert_eq!(written, "last words");
    }

    #[test]
    fn the_end_of_stdin_stays_the_end() {
        let stdin = Stdin::new(Input::Bytes(b"x".to_vec()), nobody()).unwrap();
        assert_eq!(stdin.read(10), Ok(b"x".to_vec()));
        assert!(stdin.subscribe(FiberId(1)));
        assert_eq!(stdin.read(10), Ok(Vec::new()));
        assert_eq!(stdin.read(10), Ok(Vec::new()));
    }
}
