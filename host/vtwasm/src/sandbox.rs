//! A sandbox: one Python program with its permissions, streams and limits, and its run.

use crate::calls::{Answer, Arguments, Calls, Functions, HostError};
use crate::certificates;
use crate::control::Misfit;
use crate::depths::Depths;
use crate::driver::{self, Deadlines};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fibers::Fibers;
use crate::given;
use crate::handle::Handle;
use crate::imports::{Image, State};
use crate::limits::{Charge, Limits, Memory};
use crate::memory;
use crate::net::{Net, Network};
use crate::outcome::{Limit, Outcome, Report, Stop};
use crate::python::Python;
use crate::saved::Snapshot;
use crate::snapshot;
use crate::stacks::Promise;
use crate::stdio::{Draining, Input, Output, Stdin, Stdout, WakeFiber};
use crate::store::OwnedStore;
use crate::tick::Ticks;
use crate::ticker::Alarm;
use crate::value::Value;
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// After a limit was hit, so long may a stream's reader take for what is on its way.
const GRACE_NANOS: u64 = 100_000_000;

/// Of WASI, at once: each file is a descriptor of the process. The adapter in the component has 128 of them, with a
/// stream or two each; a guest whose memory is corrupted ends here.
const RESOURCES: usize = 1024;

/// Where the guest finds its standard library (`guest/main.c`).
const LIBRARY: &str = "/usr/lib/vtwasm";

/// What a mounted folder may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its files may be read.
    Read,
    /// Its files may be read, written, made and removed.
    ReadWrite,
}

/// Sets up a [`Sandbox`]. Without calls, nothing is permitted: no files but the standard library's,
/// no environment, empty stdin, no output.
pub struct Builder {
    python: Python,
    wasi: WasiCtxBuilder,
    args: Vec<String>,
    /// No variable needs an interpreter that starts anew.
    may_be_warm: bool,
    snapshot: Option<Snapshot>,
    /// The caller's own: the host's folder, and where the guest finds it.
    mounts: Vec<(PathBuf, String)>,
    files: Option<given::Folder>,
    limits: Limits,
    /// Changes of a timeline that are recorded.
    timeline: usize,
    network: Network,
    functions: Functions,
    stdin: Input,
    stdout: Output,
    stderr: Output,
}

impl Builder {
    /// The command line of Python, its name first: `["python3", "script.py", "argument"]`.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<str>>) -> &mut Builder {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    /// Adds a variable to `os.environ`.
    pub fn env(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> &mut Builder {
        self.may_be_warm &= snapshot::honours_variable(name.as_ref());
        self.wasi.env(name, value);
        self
    }

    /// Shows the host's folder `host` as `guest`, an absolute path in the sandbox.
    ///
    /// # Errors
    /// [`Error::Mount`] if the folder cannot be opened.
    pub fn mount(
        &mut self,
        host: impl AsRef<Path>,
        guest: impl AsRef<str>,
        access: Access,
    ) -> Result<&mut Builder> {
        let permissions = match access {
            Access::Read => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        let (host, guest) = (host.as_ref(), guest.as_ref());
        self.preopen(host, guest, permissions)?;
        self.mounts.push((host.to_owned(), guest.to_owned()));
        Ok(self)
    }

    /// Shows a file with these bytes as `guest`, an absolute path in the sandbox, to be read only. The folder that
    /// it is in shows only what was given so. They are kept in memory (`/dev/shm`, or the folder for
    /// temporary files where there is none) until the sandbox is dropped.
    ///
    /// # Errors
    /// [`Error::File`] if it is no path of a file, or the file cannot be written.
    pub fn file(&mut self, guest: impl AsRef<str>, bytes: impl AsRef<[u8]>) -> Result<&mut Builder> {
        let guest = guest.as_ref();
        if self.files.is_none() {
            self.files = Some(given::Folder::new().map_err(|error| Error::File {
                path: guest.to_owned(),
                problem: error.to_string(),
            })?);
        }
        if let Some(files) = &mut self.files {
            files.add(guest, bytes.as_ref())?;
        }
        Ok(self)
    }

    /// Mounts the files that were given as bytes.
    fn show_files(&mut self, mounts: &[(PathBuf, String)]) -> Result<Option<given::Folder>> {
        let files = self.files.take();
        for (host, guest) in files.iter().flat_map(given::Folder::mounts) {
            if mounts
                .iter()
                .any(|(_, mounted)| Path::new(mounted) == Path::new(guest))
            {
                return Err(Error::File {
                    path: guest.to_owned(),
                    problem: "a folder is mounted there; give its files another one".into(),
                });
            }
            self.preopen(&host, guest, FsPerms::ReadOnly)?;
        }
        Ok(files)
    }

    fn preopen(&mut self, host: &Path, guest: &str, permissions: FsPerms) -> Result<()> {
        self.wasi
            .preopened_dir(host, guest, permissions)
            .map_err(|source| Error::Mount {
                path: host.to_owned(),
                source,
            })?;
        Ok(())
    }

    /// Starts from this snapshot instead of the image of an interpreter that has only started. The folders
    /// that it was made with must be mounted as they were then. What decides how an interpreter starts
    /// (`-O`, `PYTHONPATH` and the like) is refused.
    pub fn snapshot(&mut self, snapshot: &Snapshot) -> &mut Builder {
        self.snapshot = Some(snapshot.clone());
        self
    }

    /// The working folder that relative paths start from, which need not be readable. The program
    /// sees it as the environment's `PWD`. Default: `/`, and no such variable.
    pub fn cwd(&mut self, guest: impl AsRef<str>) -> &mut Builder {
        self.env("PWD", guest)
    }

    /// The certificates of the authorities that Python's `ssl` trusts by default, in PEM; those of this
    /// machine are [`host_certificates`](crate::host_certificates). Without, a program trusts only what
    /// it loads itself, and verification fails.
    ///
    /// # Errors
    /// [`Error::Cache`] and [`Error::NoCache`]: they are kept in the user's cache.
    pub fn certificates(&mut self, pem: impl AsRef<[u8]>) -> Result<&mut Builder> {
        let folder = certificates::folder_of(pem.as_ref())?;
        self.preopen(&folder, certificates::GUEST, FsPerms::ReadOnly)?;
        Ok(self)
    }

    /// Replaces the [default limits](Limits::default).
    pub fn limits(&mut self, limits: Limits) -> &mut Builder {
        self.limits = limits;
        self
    }

    /// Records what the threads do, and when, for [`Report::timeline`]: the first `changes` of them, some 24 bytes of the
    /// host's memory each. 0, the default: nothing is recorded. A switch from one thread to another is two changes or three.
    pub fn record_timeline(&mut self, changes: usize) -> &mut Builder {
        self.timeline = changes;
        self
    }

    /// What the program may connect to and listen on. Nothing by default.
    pub fn network(&mut self, network: Network) -> &mut Builder {
        self.network = network;
        self
    }

    /// Registers an async closure as `module.name`, a plain function for Python that blocks only the thread
    /// which calls it. `import module` finds it; a module of that name from elsewhere is not looked for.
    ///
    /// ```no_run
    /// # use vtwasm::{Arguments, HostError, Sandbox, Value};
    /// # fn example(builder: &mut vtwasm::Builder) -> vtwasm::Result<()> {
    /// builder.host_function("shop", "price", |mut arguments: Arguments| async move {
    ///     let article: String = arguments.required(0, "article")?;
    ///     match article.as_str() {
    ///         "tea" => Ok(Value::from(4.5)),
    ///         _ => Err(HostError::new("KeyError", article)),
    ///     }
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Arguments and answers cross as [`Value`](crate::Value)s, as copies; an argument without conversion
    /// is a `TypeError`. An error of the closure is an exception in Python, a panic a `RuntimeError`. It
    /// runs as a task of the tokio runtime that polls [`Sandbox::run`], and is dropped at its next await
    /// when the run ends, or the calling thread is interrupted.
    ///
    /// # Errors
    /// [`Error::HostFunction`] if a name is no ASCII identifier.
    pub fn host_function<F, R, V>(&mut self, module: &str, name: &str, function: F) -> Result<&mut Builder>
    where
        F: Fn(Arguments) -> R + Send + Sync + 'static,
        R: Future<Output = Result<V, HostError>> + Send + 'static,
        V: Into<Value>,
    {
        self.functions.add(module, name, function)?;
        Ok(self)
    }

    /// A host function that makes its answer's form itself.
    pub(crate) fn answering_function<F, R>(&mut self, module: &str, name: &str, function: F) -> Result<()>
    where
        F: Fn(Arguments) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        self.functions.add_answering(module, name, function)
    }

    /// Where `sys.stdin` comes from.
    pub fn stdin(&mut self, input: Input) -> &mut Builder {
        self.stdin = input;
        self
    }

    /// Where `sys.stdout` goes to.
    pub fn stdout(&mut self, output: Output) -> &mut Builder {
        self.stdout = output;
        self
    }

    /// Where `sys.stderr` goes to.
    pub fn stderr(&mut self, output: Output) -> &mut Builder {
        self.stderr = output;
        self
    }

    /// The sandbox, ready to run. The builder is left with its defaults.
    ///
    /// # Errors
    /// [`Error::Mount`] for the standard library, [`Error::Stream`], [`Error::Snapshot`]; [`Error::File`] if a file
    /// was given for a folder that is mounted.
    pub fn build(&mut self) -> Result<Sandbox> {
        let warm = self.may_be_warm();
        let mounts = std::mem::take(&mut self.mounts);
        let files = self.show_files(&mounts)?;
        let begins_with = match self.snapshot.take() {
            Some(snapshot) => snapshot.image_for(&self.python, warm, &mounts)?.clone(),
            None => {
                // What is loaded takes room; a program with little of it loads only what it needs.
                let room = self.limits.memory / 2 >= self.python.image(true).length() as u64;
                self.python.image(warm && room).clone()
            }
        };
        self.build_from(begins_with, Image::NotWanted, files)
    }

    /// A sandbox for [`Sandbox::image`].
    pub(crate) fn build_for_image(&mut self) -> Result<Sandbox> {
        self.may_be_warm = true;
        let mounts = std::mem::take(&mut self.mounts);
        let files = self.show_files(&mounts)?;
        self.build_from(self.python.image(false).clone(), Image::Wanted, files)
    }

    /// Whether an interpreter that has started can do what was asked for.
    fn may_be_warm(&mut self) -> bool {
        let args = self.args.iter().map(String::as_str);
        std::mem::replace(&mut self.may_be_warm, true) && snapshot::honours_arguments(args)
    }

    /// What a snapshot is made with: the folders, if nothing else stands against it.
    pub(crate) fn for_snapshot(&self) -> Result<(&Python, &[(PathBuf, String)])> {
        let problem = if !self.args.is_empty() {
            "it is made of code, not of arguments"
        } else if self.snapshot.is_some() {
            "it cannot be made from another one"
        } else if !self.may_be_warm {
            "variables of Python and of the locale would be the same in all that starts from it"
        } else {
            return Ok((&self.python, &self.mounts));
        };
        Err(Error::Snapshot(problem.into()))
    }

    fn build_from(
        &mut self,
        begins_with: Arc<memory::Image>,
        image: Image,
        files: Option<given::Folder>,
    ) -> Result<Sandbox> {
        self.wasi.args(&std::mem::take(&mut self.args));
        let library = self.python.library().to_owned();
        self.preopen(&library, LIBRARY, FsPerms::ReadOnly)?;
        let engine = self.python.engine();
        let limits = std::mem::take(&mut self.limits);
        let fibers = Fibers::new(limits.threads);
        match std::mem::take(&mut self.timeline) {
            0 => {}
            changes => fibers.start_recording(changes),
        }
        let weak = Arc::downgrade(&fibers);
        let wake: WakeFiber = Arc::new(move |fiber| {
            if let Some(fibers) = weak.upgrade() {
                fibers.wake_from_outside(fiber);
            }
        });
        let stream = |stream| move |source| Error::Stream { stream, source };
        let memory = Memory::new(&limits, begins_with.length());
        let captured = || Charge::empty(memory.account());
        let mut stdin = Stdin::new(std::mem::take(&mut self.stdin), wake.clone()).map_err(stream("stdin"))?;
        let stdout = std::mem::take(&mut self.stdout);
        let stdout = Stdout::new(stdout, std::io::stdout(), captured(), wake.clone());
        let stderr = std::mem::take(&mut self.stderr);
        let stderr = Stdout::new(stderr, std::io::stderr(), captured(), wake);
        let mut outputs = [
            stdout.map_err(stream("stdout"))?,
            stderr.map_err(stream("stderr"))?,
        ];
        if matches!(image, Image::Wanted) {
            // Python's streams remember it, and those who start from the image have others.
            stdin.terminal = false;
            outputs.iter_mut().for_each(|output| output.terminal = false);
        }
        let network = std::mem::take(&mut self.network);
        let look_ups = engine.look_ups().clone();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let deadlines = Deadlines::new(limits.wall_time, limits.cpu_time);
        let state = State {
            fibers: fibers.clone(),
            ticks: Ticks::new(deadlines),
            memory,
            control: None,
            stacks: Promise::new(engine.arena()),
            depths: Depths::new(engine.arena()),
            stdin,
            outputs: Some(outputs),
            output_limit: limits.output,
            descriptors: (limits.descriptors, false),
            calls: Calls::new(std::mem::take(&mut self.functions), limits.threads),
            net: Net::new(network, limits.sockets, fibers.clone(), look_ups),
            image,
            begun: false,
            wasi: self.wasi.build(),
            table,
            _files: files,
        };
        let mut store = Store::new(engine.wasmtime(), state);
        store.limiter(|state| &mut state.memory);
        // wasmtime keeps some handles for each thread that waits; its default ends at 100,000.
        let threads = limits.threads as usize;
        store.set_max_component_handles(100_000 + 8 * threads);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(100_000 + 16 * threads);
        }
        Ok(Sandbox {
            python: self.python.clone(),
            begins_with,
            store: OwnedStore::new(store),
            fibers,
            deadlines,
        })
    }
}

/// One Python program that has not run yet.
pub struct Sandbox {
    python: Python,
    begins_with: Arc<memory::Image>,
    store: OwnedStore,
    fibers: Arc<Fibers>,
    deadlines: Deadlines,
}

impl Sandbox {
    /// Starts to set up a sandbox for `python`.
    pub fn builder(python: &Python) -> Builder {
        let mut wasi = WasiCtxBuilder::new();
        // Files are used in place: a hop to another thread and back costs more than most of what is done. It
        // is said first, for folders keep it from when they are added.
        wasi.allow_blocking_current_thread(true);
        Builder {
            python: python.clone(),
            wasi,
            args: Vec::new(),
            may_be_warm: true,
            snapshot: None,
            mounts: Vec::new(),
            files: None,
            limits: Limits::default(),
            timeline: 0,
            network: Network::default(),
            functions: Functions::default(),
            stdin: Input::default(),
            stdout: Output::default(),
            stderr: Output::default(),
        }
    }

    /// A handle to watch, interrupt or kill the run.
    pub fn handle(&self) -> Handle {
        let state = self.store.data();
        Handle {
            fibers: self.fibers.clone(),
            account: state.memory.account().clone(),
            net: state.net.clone(),
        }
    }

    /// What must be gone when the run is over.
    #[cfg(test)]
    pub(crate) fn traces(&self) -> Traces {
        Traces {
            fibers: Arc::downgrade(&self.fibers),
            net: Arc::downgrade(&self.store.data().net),
            account: Arc::downgrade(self.store.data().memory.account()),
        }
    }

    /// Runs the program to its end, on whatever tokio runtime polls this.
    ///
    /// A sandbox with a [network](Builder::network) needs a runtime with its I/O driver
    /// (`enable_io` or `enable_all`) and panics on any other.
    ///
    /// Dropping the future ends the run at its next wait or at the next tick; what was captured is
    /// lost with it.
    ///
    /// # Errors
    /// [`Error::Run`] if the host failed, [`Error::BadArtifact`] if the Python was made for another one.
    /// What the program did is in the [`Report`].
    pub async fn run(mut self) -> Result<Report> {
        self.run_to_end().await
    }

    /// [`run`](Sandbox::run) for a process that ends right after it: what the sandbox takes is never given back, which
    /// the end of the process does in less time.
    ///
    /// # Errors
    /// As [`run`](Sandbox::run).
    pub async fn run_last(self) -> Result<Report> {
        ManuallyDrop::new(self).run_to_end().await
    }

    async fn run_to_end(&mut self) -> Result<Report> {
        self.store.data_mut().start_streams();
        let engine = self.python.engine().clone();
        let program = self.python.program();
        let result = driver::run(
            &engine,
            &mut self.store,
            program,
            &self.begins_with,
            self.deadlines,
        )
        .await;
        let timeline = self.fibers.take_timeline();
        self.store.data_mut().let_go();
        let mut outcome = match outcome(result, &self.python)? {
            // It has only come to its end to report.
            Outcome::Exited(_) if self.fibers.deadlocked() => Outcome::Deadlocked,
            Outcome::Exited(_) | Outcome::Trapped(_) if self.starved() => Outcome::LimitHit(Limit::Memory),
            outcome => outcome,
        };
        let [stdout, stderr] = self.store.data_mut().outputs.take().map_or_else(
            || unreachable!("only this takes the outputs, and only once"),
            |outputs| outputs.map(Stdout::finish),
        );
        for stream in [stdout.1, stderr.1].into_iter().flatten() {
            let drained = drained(&engine, &self.fibers, self.deadlines, stream, &outcome).await;
            if let Err(stopped) = drained {
                outcome = stopped;
            }
        }
        let report = Report {
            reached: self.reached(&outcome),
            outcome,
            usage: self.handle().usage(),
            stdout: stdout.0,
            stderr: stderr.0,
            timeline,
        };
        Ok(report)
    }

    fn reached(&self, outcome: &Outcome) -> Vec<Limit> {
        let state = self.store.data();
        let account = state.memory.account();
        if let Outcome::LimitHit(limit) = outcome {
            account.reach(*limit);
        }
        if state.net.usage().refused {
            account.reach(Limit::Sockets);
        }
        account.reached()
    }

    /// Whether Python could not start for want of memory, in whatever words it said so.
    fn starved(&self) -> bool {
        let state = self.store.data();
        !state.begun && state.memory.refused()
    }

    /// Runs what makes an image of the interpreter, and returns the linear memory, or how it ended
    /// instead.
    pub(crate) async fn image(mut self) -> Result<Result<Vec<u8>, Report>> {
        let report = self.run_to_end().await?;
        Ok(
            match std::mem::replace(&mut self.store.data_mut().image, Image::NotWanted) {
                Image::Taken(memory) => Ok(memory),
                _ => Err(report),
            },
        )
    }
}

#[cfg(test)]
pub(crate) struct Traces {
    fibers: std::sync::Weak<Fibers>,
    net: std::sync::Weak<Net>,
    account: std::sync::Weak<crate::limits::Account>,
}

#[cfg(test)]
impl Traces {
    pub(crate) fn are_gone(&self) -> bool {
        self.fibers.strong_count() == 0 && self.net.strong_count() == 0 && self.account.strong_count() == 0
    }
}

/// Waits until a stream is written out: as long as the run may last if the program came to its own end,
/// and only for what is on its way otherwise.
async fn drained(
    engine: &Engine,
    fibers: &Fibers,
    deadlines: Deadlines,
    mut stream: Draining,
    outcome: &Outcome,
) -> Result<(), Outcome> {
    let (deadlines, late) = match outcome {
        Outcome::Killed => return Ok(()),
        Outcome::LimitHit(_) => (Deadlines::only_wall(fibers.now() + GRACE_NANOS), outcome.clone()),
        _ => (deadlines, Outcome::LimitHit(Limit::WallTime)),
    };
    let alarm = Arc::new(Alarm::default());
    poll_fn(|context| {
        fibers.register_driver(context.waker());
        // An error is a thread that is gone, so there is nothing to wait for either.
        if Pin::new(&mut stream.done).poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Err(Stop(stopped)) = fibers.check_killed() {
            return Poll::Ready(Err(stopped));
        }
        match deadlines.wall {
            Some(wall) if fibers.now() >= wall => return Poll::Ready(Err(late.clone())),
            Some(wall) => fibers.set_alarm(engine.ticker(), &alarm, wall, context.waker()),
            None => {}
        }
        Poll::Pending
    })
    .await
}

/// Tells an end on purpose from a trap of the guest and from a failure of the host.
fn outcome(result: wasmtime::Result<u32>, python: &Python) -> Result<Outcome> {
    let error = match result {
        Ok(code) => return Ok(Outcome::Exited(code)),
        Err(error) => error,
    };
    if let Some(Stop(outcome)) = error.downcast_ref::<Stop>() {
        return Ok(outcome.clone());
    }
    if let Some(misfit) = error.downcast_ref::<Misfit>() {
        // Without wasm's backtrace.
        return Err(python.bad(misfit.clone().into()));
    }
    // What a host function cannot take from the guest (a list beyond its memory) is no trap of wasm's, but
    // comes out of a call as well.
    match error.is::<wasmtime::Trap>() || error.is::<wasmtime::WasmBacktrace>() {
        true => Ok(Outcome::Trapped(format!("{error:#}"))),
        false => Err(Error::Run(error)),
    }
}
