//! A session: an interpreter that stays, and is asked by the host.
//!
//! It is an ordinary sandbox whose program (`session.py`) asks two host functions: for the next request,
//! and to take a reply.

use crate::calls::{Answer, Arguments, HostError};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::outcome::Report;
use crate::sandbox::Builder;
use crate::value::{NoConversion, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const PROGRAM: &str = include_str!("session.py");
const MODULE: &str = "_vtwasm_session";

/// An exception that came out of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PythonError {
    /// The class's name.
    pub exception: String,
    /// `str()` of it.
    pub message: String,
    /// As Python prints it, with its line feeds.
    pub traceback: String,
}

impl fmt::Display for PythonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.is_empty() {
            true => f.write_str(&self.exception),
            false => write!(f, "{}: {}", self.exception, self.message),
        }
    }
}

/// A Python that stays: its globals live from call to call, and each call runs on a virtual thread of its
/// own, so that any number of calls may go on at once.
///
/// Dropping it ends the run, whatever it does.
pub struct Session {
    requests: mpsc::UnboundedSender<Request>,
    handle: Handle,
    run: Run,
}

/// The run, which ends with whoever would wait for it.
struct Run(JoinHandle<Result<Report>>);

impl Drop for Run {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Request {
    kind: &'static str,
    text: String,
    arguments: Vec<Value>,
    named: Vec<(String, Value)>,
    reply: oneshot::Sender<Result<Value>>,
}

/// The requests that Python has taken. Both host functions own it, and nobody else: what waits for a reply
/// learns by its end that the run is over.
#[derive(Default)]
struct Taken {
    last: u64,
    replies: HashMap<u64, oneshot::Sender<Result<Value>>>,
}

impl Session {
    /// Starts what `builder` describes, in a task of the tokio runtime that this is called from. The
    /// builder's arguments must not be set.
    ///
    /// # Errors
    /// As of [`Builder::build`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(builder: &mut Builder) -> Result<Session> {
        let (requests, receiver) = mpsc::unbounded_channel();
        serve(builder, receiver)?;
        builder.args(["python3", "-c", PROGRAM]);
        let sandbox = builder.build()?;
        Ok(Session {
            requests,
            handle: sandbox.handle(),
            run: Run(tokio::spawn(sandbox.run())),
        })
    }

    /// Runs statements in the session's globals.
    ///
    /// # Errors
    /// [`Error::Python`] if they raise, [`Error::SessionOver`].
    pub async fn exec(&self, source: &str) -> Result<()> {
        let request = self.ask("exec", source, Vec::new(), Vec::new());
        request.await.map(|_| ())
    }

    /// The value of an expression; [`Value::Other`] if it has no conversion.
    ///
    /// # Errors
    /// [`Error::Python`] if it raises, [`Error::SessionOver`].
    pub async fn eval(&self, expression: &str) -> Result<Value> {
        self.ask("eval", expression, Vec::new(), Vec::new()).await
    }

    /// Calls a function with arguments: `path` is a name in the session's globals, a built-in's, or a
    /// module's as in `"json.dumps"`, which is imported if need be.
    ///
    /// Dropping the future of this, or of the others, does not stop the call; its result is lost. A call
    /// that should end after some time ends by a time-out in Python, or with the session.
    ///
    /// # Errors
    /// [`Error::Python`] if it raises, or the arguments do not fit into the memory left (`MemoryError`);
    /// [`Error::SessionOver`]; [`Error::Value`] for a [`Value::Other`].
    pub async fn call(
        &self,
        path: &str,
        arguments: impl IntoIterator<Item = Value>,
        named: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Value> {
        let (arguments, named) = (arguments.into_iter().collect(), named.into_iter().collect());
        self.ask("call", path, arguments, named).await
    }

    async fn ask(
        &self,
        kind: &'static str,
        text: &str,
        arguments: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value> {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            kind,
            text: text.to_owned(),
            arguments,
            named,
            reply,
        };
        self.requests.send(request).map_err(|_| Error::SessionOver)?;
        answer.await.unwrap_or(Err(Error::SessionOver))
    }

    /// Watches, interrupts or kills the run.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Lets the interpreter come to its end, as a program does: threads that are no daemons end first. Calls
    /// that still go on are lost.
    ///
    /// # Errors
    /// As of [`Sandbox::run`](crate::Sandbox::run).
    pub async fn close(self) -> Result<Report> {
        let Session {
            requests, mut run, ..
        } = self;
        drop(requests);
        match (&mut run.0).await {
            Ok(report) => report,
            Err(error) => Err(Error::Run(error.into())),
        }
    }
}

fn serve(builder: &mut Builder, receiver: mpsc::UnboundedReceiver<Request>) -> Result<()> {
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let taken = Arc::new(Mutex::new(Taken::default()));
    let replied = taken.clone();
    builder.answering_function(MODULE, "next", move |arguments| {
        let (receiver, taken) = (receiver.clone(), taken.clone());
        async move {
            let lock = || taken.lock().expect("no code panics with the lock");
            if let Err(error) = lock().fail_lost(arguments) {
                return Err(error).into();
            }
            while let Some(request) = receiver.lock().await.recv().await {
                if let Some(request) = lock().take(request) {
                    return request;
                }
            }
            Ok(Value::None).into()
        }
    })?;
    builder.host_function(MODULE, "reply", move |arguments| {
        let reply = replied
            .lock()
            .expect("no code panics with the lock")
            .reply(arguments);
        async move { reply }
    })?;
    Ok(())
}

impl Taken {
    /// Answers the requests that Python has not seen: no memory was left for them on their way.
    fn fail_lost(&mut self, mut arguments: Arguments) -> Result<(), HostError> {
        let seen: u64 = arguments.required(0, "seen")?;
        for lost in seen.saturating_add(1)..=self.last {
            if let Some(reply) = self.replies.remove(&lost) {
                let _ = reply.send(Err(Error::Python(PythonError {
                    exception: "MemoryError".into(),
                    message: "the arguments do not fit into the memory that is left".into(),
                    traceback: String::new(),
                })));
            }
        }
        Ok(())
    }

    /// The request for Python; `None` if it has no conversion, which its caller has been told.
    fn take(&mut self, request: Request) -> Option<Answer> {
        let named = request.named.into_iter();
        let answer = Answer::of(Value::Tuple(vec![
            (self.last + 1).into(),
            request.kind.into(),
            request.text.into(),
            Value::Tuple(request.arguments),
            Value::Dict(named.map(|(name, value)| (name.into(), value)).collect()),
        ]));
        match answer {
            Ok(answer) => {
                self.last += 1;
                self.replies.insert(self.last, request.reply);
                Some(answer)
            }
            Err(error) => {
                let _ = request.reply.send(Err(Error::Value(error)));
                None
            }
        }
    }

    fn reply(&mut self, mut arguments: Arguments) -> Result<(), HostError> {
        let number: u64 = arguments.required(0, "number")?;
        let kind: String = arguments.required(1, "kind")?;
        let value = arguments.positional.pop().unwrap_or_default();
        let result = match kind.as_str() {
            "value" => Ok(value),
            "repr" => Ok(Value::Other(String::try_from(value)?)),
            _ => Err(Error::Python(python_error(value)?)),
        };
        if let Some(reply) = self.replies.remove(&number) {
            // Nobody may wait for it any more.
            let _ = reply.send(result);
        }
        Ok(())
    }
}

fn python_error(value: Value) -> Result<PythonError, NoConversion> {
    let Value::Tuple(parts) = value else {
        return Err(NoConversion("an error is three texts".into()));
    };
    let mut texts = parts
        .into_iter()
        .map(|part| String::try_from(part).unwrap_or_default());
    let mut next = || texts.next().unwrap_or_default();
    Ok(PythonError {
        exception: next(),
        message: next(),
        traceback: next(),
    })
}
