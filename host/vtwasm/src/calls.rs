//! Host functions: async closures of the embedder that are plain blocking functions for Python.
//!
//! A call runs as a task of tokio, so that a closure may compute or panic without harm to the sandbox; its
//! fiber waits. The task ends with the sandbox, or with the fiber's interrupt.

use crate::errno::{self, Errno};
use crate::error::{Error, Result};
use crate::fibers::Fibers;
use crate::imports::State;
use crate::limits::Charge;
use crate::scheduler::FiberId;
use crate::value::{NoConversion, Value};
use futures::FutureExt;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmList};

/// What a host function was called with.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Arguments {
    /// By position.
    pub positional: Vec<Value>,
    /// By name, in the call's order.
    pub named: Vec<(String, Value)>,
}

impl Arguments {
    /// Takes the argument at `index` or called `name`, if it was given.
    ///
    /// # Errors
    /// A `TypeError` that names the argument, if it is of another type.
    pub fn optional<T>(&mut self, index: usize, name: &str) -> Result<Option<T>, HostError>
    where
        T: TryFrom<Value, Error = NoConversion>,
    {
        let named = self.named.iter_mut().find(|(given, _)| given == name);
        let given = self
            .positional
            .get_mut(index)
            .or(named.map(|(_, value)| value))
            .map(std::mem::take);
        let converted = given.map(T::try_from).transpose();
        converted.map_err(|error| HostError::new("TypeError", format!("argument {name:?}: {error}")))
    }

    /// As [`Arguments::optional`], and a `TypeError` if it was not given.
    ///
    /// # Errors
    /// A `TypeError` that names the argument.
    pub fn required<T>(&mut self, index: usize, name: &str) -> Result<T, HostError>
    where
        T: TryFrom<Value, Error = NoConversion>,
    {
        let missing = || HostError::new("TypeError", format!("missing argument: {name:?}"));
        self.optional(index, name)?.ok_or_else(missing)
    }
}

/// The exception that a host function raises in Python. Made of any error by `?`: a `RuntimeError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostError {
    exception: String,
    message: String,
}

impl HostError {
    /// An exception of a built-in class: `"KeyError"`, `"PermissionError"` … An unknown class becomes a
    /// `RuntimeError`.
    pub fn new(exception: impl Into<String>, message: impl Into<String>) -> HostError {
        HostError {
            exception: exception.into(),
            message: message.into(),
        }
    }
}

impl<E: std::error::Error> From<E> for HostError {
    fn from(error: E) -> HostError {
        HostError::new("RuntimeError", error.to_string())
    }
}

type Run = dyn Fn(Arguments) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// What a call came to, in the form in which it crosses: `(None, value)`, or the exception's class and message.
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    /// # Errors
    /// If the value, or one in it, has no conversion.
    pub(crate) fn of(value: Value) -> Result<Answer, NoConversion> {
        pair(Value::None, value)
    }

    fn error(error: HostError) -> Answer {
        pair(error.exception.into(), error.message.into())
            .unwrap_or_else(|_| Answer::error(HostError::new("RuntimeError", "an error of more than 2 GiB")))
    }
}

fn pair(first: Value, second: Value) -> Result<Answer, NoConversion> {
    Value::Tuple(vec![first, second]).encode().map(Answer)
}

impl From<Result<Value, HostError>> for Answer {
    fn from(result: Result<Value, HostError>) -> Answer {
        let answer = result.and_then(|value| {
            let problem = |error| HostError::new("TypeError", format!("cannot send the answer: {error}"));
            Answer::of(value).map_err(problem)
        });
        answer.unwrap_or_else(Answer::error)
    }
}

/// The host functions of one sandbox: `module.name`, and what to run.
#[derive(Default)]
pub(crate) struct Functions(Vec<(String, Arc<Run>)>);

impl Functions {
    pub(crate) fn add<F, R, V>(&mut self, module: &str, name: &str, function: F) -> Result<()>
    where
        F: Fn(Arguments) -> R + Send + Sync + 'static,
        R: Future<Output = Result<V, HostError>> + Send + 'static,
        V: Into<Value>,
    {
        self.add_answering(module, name, move |arguments| {
            let answer = function(arguments);
            async move { answer.await.map(Into::into).into() }
        })
    }

    /// One that makes its answer's form itself.
    pub(crate) fn add_answering<F, R>(&mut self, module: &str, name: &str, function: F) -> Result<()>
    where
        F: Fn(Arguments) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        let full = format!("{module}.{name}");
        if !is_identifier(module) || !is_identifier(name) {
            return Err(Error::HostFunction(full));
        }
        self.0.retain(|(other, _)| *other != full);
        self.0
            .push((full, Arc::new(move |arguments| function(arguments).boxed())));
        Ok(())
    }
}

/// Of ASCII letters.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The functions and the calls that go on.
pub(crate) struct Calls {
    functions: Functions,
    running: HashMap<u32, Call>,
    last: u32,
    /// More calls than threads are no Python's.
    limit: usize,
}

struct Call {
    state: Arc<Mutex<CallState>>,
    task: AbortHandle,
}

#[derive(Default)]
struct CallState {
    waiter: Option<FiberId>,
    answer: Option<Vec<u8>>,
    /// For the arguments while they are used, then for the answer.
    charge: Option<Charge>,
}

impl Call {
    fn lock(&self) -> MutexGuard<'_, CallState> {
        self.state.lock().expect("no code panics with the lock")
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Calls {
    pub(crate) fn new(functions: Functions, threads: u32) -> Calls {
        Calls {
            functions,
            running: HashMap::new(),
            last: 0,
            limit: threads as usize + 1,
        }
    }

    pub(crate) fn cancel_all(&mut self) {
        self.running.clear();
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.functions.0.iter().map(|(name, _)| name.as_str()).collect();
        names.join("\n")
    }

    fn start(
        &mut self,
        function: u32,
        arguments: Vec<u8>,
        fibers: &Arc<Fibers>,
        charge: Charge,
    ) -> Result<u32, Errno> {
        let (_, run) = self.functions.0.get(function as usize).ok_or(errno::INVAL)?;
        if self.running.len() >= self.limit {
            return Err(errno::MFILE);
        }
        let runtime = Handle::try_current().map_err(|_| errno::IO)?;
        let state = Arc::new(Mutex::new(CallState::default()));
        let task = runtime.spawn(answer(
            run.clone(),
            arguments,
            charge,
            state.clone(),
            fibers.clone(),
        ));
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.running.contains_key(&self.last) {
                break;
            }
        }
        let task = task.abort_handle();
        self.running.insert(self.last, Call { state, task });
        Ok(self.last)
    }

    fn answered(&self, call: u32, fibers: &Fibers) -> Result<u32, Errno> {
        let mut state = self.running.get(&call).ok_or(errno::BADF)?.lock();
        match &state.answer {
            Some(bytes) => Ok(bytes.len() as u32),
            None => {
                state.waiter = fibers.subscribe().map(|(fiber, _)| fiber);
                Err(errno::AGAIN)
            }
        }
    }

    fn take(&mut self, call: u32) -> Result<Vec<u8>, Errno> {
        let answer = {
            let mut state = self.running.get(&call).ok_or(errno::BADF)?.lock();
            state.answer.take().ok_or(errno::AGAIN)?
        };
        self.running.remove(&call);
        Ok(answer)
    }
}

/// The task of one call.
async fn answer(
    run: Arc<Run>,
    arguments: Vec<u8>,
    mut charge: Charge,
    state: Arc<Mutex<CallState>>,
    fibers: Arc<Fibers>,
) {
    let answer = match decode(&arguments, &mut charge) {
        Ok(arguments) => AssertUnwindSafe(async { run(arguments).await })
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Answer::error(HostError::new("RuntimeError", "the host function panicked"))),
        Err(error) => Answer::error(error),
    };
    let mut state = state.lock().expect("no code panics with the lock");
    let Answer(bytes) = match charge.replace(answer.0.len()) {
        true => answer,
        false => Answer::error(HostError::new(
            "MemoryError",
            "the answer is larger than the limit allows",
        )),
    };
    state.answer = Some(bytes);
    state.charge = Some(charge);
    if let Some(fiber) = state.waiter.take() {
        drop(state);
        fibers.wake_from_outside(fiber);
    }
}

/// Python sends a tuple of the positional arguments and a dict of the named ones.
pub(crate) fn decode(bytes: &[u8], charge: &mut Charge) -> Result<Arguments, HostError> {
    let mut fits = true;
    let value = Value::decode(bytes, &mut |size| {
        fits = charge.add(size);
        fits
    });
    let value = value.map_err(|error| {
        let exception = if fits { "TypeError" } else { "MemoryError" };
        HostError::new(exception, format!("cannot send the arguments: {error}"))
    })?;
    let mut arguments = Arguments::default();
    if let Value::Tuple(both) = value
        && let Ok([Value::Tuple(positional), Value::Dict(named)]) = <[Value; 2]>::try_from(both)
    {
        arguments.positional = positional;
        let text = |(name, value)| match name {
            Value::Str(name) => Some((name, value)),
            _ => None,
        };
        arguments.named = named.into_iter().filter_map(text).collect();
    }
    Ok(arguments)
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("vtwasm:host/calls@0.1.0")?;
    instance.func_wrap("functions", |mut store: StoreContextMut<'_, State>, (): ()| {
        store.data_mut().begun = true;
        Ok((store.data().calls.names(),))
    })?;
    instance.func_wrap(
        "start",
        |mut store: StoreContextMut<'_, State>, (function, arguments): (u32, WasmList<u8>)| {
            let account = store.data().memory.account();
            let bytes = arguments.as_le_slice(&store);
            let Some(charge) = Charge::new(account, bytes.len()) else {
                return Ok((Err(errno::NOMEM),));
            };
            let bytes = bytes.to_vec();
            let State { calls, fibers, .. } = store.data_mut();
            Ok((calls.start(function, bytes, fibers, charge),))
        },
    )?;
    instance.func_wrap(
        "answered",
        |store: StoreContextMut<'_, State>, (call,): (u32,)| {
            let state = store.data();
            Ok((state.calls.answered(call, &state.fibers),))
        },
    )?;
    instance.func_wrap(
        "take",
        |mut store: StoreContextMut<'_, State>, (call,): (u32,)| Ok((store.data_mut().calls.take(call),)),
    )?;
    instance.func_wrap(
        "cancel",
        |mut store: StoreContextMut<'_, State>, (call,): (u32,)| {
            store.data_mut().calls.running.remove(&call);
            Ok(())
        },
    )
}
