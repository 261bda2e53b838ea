//! A job: what is submitted, and what is told of it.

use crate::error::{Error, Result};
use crate::store::is_hash;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Where a job is, in Celery's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// It waits for its first start.
    Pending,
    /// It runs.
    Started,
    /// It waits for another start, after a failure or the loss of its worker.
    Retry,
    /// It came to its end, and its exit code was 0.
    Success,
    /// It failed for the last time.
    Failure,
    /// It was cancelled, or its time to live was over before it started.
    Revoked,
}

impl State {
    const NAMES: [(State, &str); 6] = [
        (State::Pending, "PENDING"),
        (State::Started, "STARTED"),
        (State::Retry, "RETRY"),
        (State::Success, "SUCCESS"),
        (State::Failure, "FAILURE"),
        (State::Revoked, "REVOKED"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let mut names = State::NAMES.iter();
        names
            .find(|(state, _)| *state == self)
            .map_or("", |(_, name)| name)
    }

    /// The state of that name.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn named(name: &str) -> Result<State> {
        let found = State::NAMES.iter().find(|(_, known)| *known == name);
        let (state, _) = found.ok_or_else(|| {
            let known = State::NAMES.map(|(_, name)| name).join(", ");
            Error::Invalid(format!("{name:?} is no state: they are {known}"))
        })?;
        Ok(*state)
    }

    /// Whether nothing will change any more, unless the tenant asks for a retry.
    pub fn is_final(self) -> bool {
        matches!(self, State::Success | State::Failure | State::Revoked)
    }
}

/// What a tenant submits.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// What people call it, in one line of at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200, example = "report of May")]
    pub name: Option<String>,
    /// Python code. If it has a function `main`, that is called with the arguments, and what it
    /// returns is the result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(example = "def main(n):\n    return n * n")]
    pub source: String,
    /// In place of `source`, a zip of Python code: the SHA-256 of a file of the tenant's. Python imports from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// What is run of the bundle: `package.module:function`, which is called as `main` is; or a module, which is run as
    /// a program, as `python -m` does it. Without, its `__main__`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "shop.reports:yearly")]
    pub entry: Option<String>,
    /// An object for keyword arguments of `main`, or an array for positional ones.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<Value>)]
    pub arguments: Value,
    /// What the program reads from its stdin.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdin: String,
    /// Its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Secrets of the tenant's, each as a variable of the environment by its name. The token needs the scope `secrets`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64, example = json!(["SHOP_PASSWORD"]))]
    pub secrets: Vec<String>,
    /// Files of the tenant's, as it put them: where the job finds each below `/input`, and its SHA-256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"prices.csv": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}))]
    pub files: BTreeMap<String, String>,
    /// Packages that it can import, and versions of them, which are chosen when it is submitted: pure Python, and of those
    /// that the tenant's rules allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64, example = json!(["requests==2.32.5"]))]
    pub packages: Vec<String>,
    /// A name of the tenant's for an interpreter that stays: it runs where the job before it of that name, with the same
    /// secrets and packages, has run, if it comes to the same worker within minutes, and finds what that has imported,
    /// and its globals; nothing else. One runs at a time. It has neither files nor a bundle, and leaves no files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "model")]
    pub session: Option<String>,
    /// A snapshot of the tenant's, from which it starts: its packages and modules are there, and for `source` its globals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "model")]
    pub snapshot: Option<String>,
    /// The snapshot that the job makes; only the service says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    #[doc(hidden)]
    pub makes: Option<Makes>,
    /// Whether what its threads do is recorded: `GET /v1/jobs/{id}/timeline` tells it once a start is over. It is kept as a file of
    /// the tenant's, if there is room for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timeline: bool,
    /// Less than what the tenant allows for one job.
    #[serde(default)]
    pub limits: Limits,
    /// Of two jobs that wait the one with the higher priority starts first, whose ever it is: -9 to 9.
    #[serde(default)]
    #[schema(minimum = -9, maximum = 9)]
    pub priority: i64,
    /// Seconds to wait before it may start.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub delay: f64,
    /// Seconds after which it is not started any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0)]
    pub time_to_live: Option<f64>,
    /// How often it is started again when it fails: 0 to 100.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 100)]
    pub retries: i64,
    /// Seconds before the first retry; before each further one twice as many, up to an hour.
    #[serde(default = "one_second")]
    #[schema(minimum = 0)]
    pub backoff: f64,
}

fn one_second() -> f64 {
    1.0
}

/// A snapshot that a job makes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[doc(hidden)]
pub struct Makes {
    pub(crate) name: String,
    /// Who asked for it may give secrets to jobs.
    pub(crate) for_secrets: bool,
}

/// Limits of one job. What is left out is the tenant's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Seconds of processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0)]
    pub cpu_time: Option<f64>,
    /// Seconds from its start to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0)]
    pub wall_time: Option<f64>,
    /// Bytes to stdout and stderr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Threads besides the main one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, maximum = 4294967295_u32)]
    pub threads: Option<u32>,
    /// Bytes written to files below `/output`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
}

/// Of a job, given and left.
pub(crate) const MOST_FILES: usize = 1000;

/// A year: longer delays are mistakes.
const LONGEST_SECONDS: f64 = 366.0 * 86_400.0;

impl Submission {
    /// Refuses what cannot be done.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<()> {
        let seconds = |value: f64| (0.0..=LONGEST_SECONDS).contains(&value);
        let positive = |value: Option<f64>| value.is_none_or(|value| value > 0.0 && seconds(value));
        let problem = if self.source.trim().is_empty() != self.bundle.is_some() {
            "source: there is code in it, or a bundle in its place"
        } else if !self.bundle.iter().all(|hash| is_hash(hash)) {
            "bundle: the SHA-256 of a zip, as 64 lower-case hexadecimal digits"
        } else if self.entry.is_some() && self.bundle.is_none() {
            "entry: it is of a bundle"
        } else if !self.entry.iter().all(|entry| is_entry(entry)) {
            "entry: `package.module:function`, or a module"
        } else if self.name.as_deref().is_some_and(|name| !is_title(name)) {
            "name: one line of 1 to 200 characters"
        } else if !matches!(self.arguments, Value::Null | Value::Object(_) | Value::Array(_)) {
            "arguments: neither an object nor an array"
        } else if !self.environment.keys().all(|name| is_variable(name)) {
            "environment: a name has letters, digits and underscores only, and no digit at its start"
        } else if self.environment.values().any(|value| value.contains('\0')) {
            "environment: a value has a NUL"
        } else if self.secrets.len() > 64 || !self.secrets.iter().all(|name| is_variable(name)) {
            "secrets: at most 64 names of secrets"
        } else if self.files.len() > MOST_FILES {
            "files: at most 1000"
        } else if !self.files.values().all(|hash| is_hash(hash)) {
            "files: each has its SHA-256, as 64 lower-case hexadecimal digits"
        } else if !are_paths(self.files.keys()) {
            "files: a path is relative, without `..`, of at most 1024 bytes, and no other file's folder"
        } else if !self.snapshot.iter().all(|name| is_word(name)) {
            "snapshot: 1 to 63 letters, digits, hyphens, underscores and dots"
        } else if self.snapshot.is_some() && !self.packages.is_empty() {
            "packages: those of a job with a snapshot are the snapshot's"
        } else if !self.session.iter().all(|name| is_word(name)) {
            "session: 1 to 63 letters, digits, hyphens, underscores and dots"
        } else if self.session.is_some() && !self.is_plain() {
            "session: a job in one has no bundle, no files, no timeline, no limits but of time and output, and no variables that an interpreter starts with"
        } else if !(-9..=9).contains(&self.priority) {
            "priority: from -9 to 9"
        } else if !(0..=100).contains(&self.retries) {
            "retries: from 0 to 100"
        } else if !seconds(self.delay) {
            "delay: from 0 to a year, in seconds"
        } else if !seconds(self.backoff) {
            "backoff: from 0 to a year, in seconds"
        } else if !positive(self.time_to_live) {
            "time_to_live: up to a year, in seconds"
        } else if !positive(self.limits.cpu_time) || !positive(self.limits.wall_time) {
            "limits: a time is more than 0 seconds, and at most a year"
        } else if ![self.limits.memory, self.limits.output]
            .into_iter()
            .flatten()
            .all(is_size)
        {
            "limits: memory and output are more than 0 bytes, and less than 2^63"
        } else {
            return Ok(());
        };
        Err(Error::Invalid(problem.into()))
    }

    /// What an interpreter that has started can do.
    fn is_plain(&self) -> bool {
        let Limits {
            memory,
            threads,
            written,
            ..
        } = self.limits;
        let limits = memory.is_none() && threads.is_none() && written.is_none();
        let mut names = self.environment.keys().chain(&self.secrets);
        let has_files = self.bundle.is_some() || !self.files.is_empty() || self.timeline;
        !has_files && limits && !names.any(|name| is_of_start(name))
    }
}

/// Whether a variable decides how an interpreter starts.
pub(crate) fn is_of_start(name: &str) -> bool {
    name.starts_with("PYTHON") || name.starts_with("LC_") || name == "LANG"
}

/// What other languages' numbers hold as well.
pub(crate) fn is_size(bytes: u64) -> bool {
    (1..1 << 63).contains(&bytes)
}

fn is_title(name: &str) -> bool {
    (1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

/// A name that a tenant gives to something of its own.
pub(crate) fn is_word(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=63).contains(&name.len()) && name.chars().all(fine) && !name.starts_with(['-', '.'])
}

/// As after `import`.
pub(crate) fn is_module(name: &str) -> bool {
    is_entry(name) && !name.contains(':')
}

/// `package.module:function`, or `package.module`.
fn is_entry(entry: &str) -> bool {
    let is_name = |name: &str| {
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric())
    };
    let is_path = |path: &str| path.split('.').all(|name| !name.is_empty() && is_name(name));
    let (module, function) = entry.split_once(':').unwrap_or((entry, "main"));
    entry.len() <= 1024 && is_path(module) && is_path(function)
}

/// Whether these are files' paths below one folder; in their order.
fn are_paths<'a>(paths: impl Iterator<Item = &'a String>) -> bool {
    let mut files = BTreeSet::new();
    let mut is_path = |path: &'a String| {
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
        let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        let free = !folders.any(|folder| files.contains(folder));
        files.insert(path.as_str());
        free && path.len() <= 1024 && path.split('/').all(is_part) && !path.contains('\0')
    };
    // What is a folder of another comes before it.
    paths.into_iter().all(&mut is_path)
}

pub(crate) fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A job, as its tenant sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Job {
    /// Its name.
    #[schema(example = "job_0199f3a5c7d0b1c2d3e4f5061728394a")]
    pub id: String,
    /// Whose it is.
    #[schema(example = "research")]
    pub tenant: String,
    /// What people call it.
    pub name: Option<String>,
    /// Where it is.
    pub state: State,
    /// Of its tenant's jobs and others': -9 to 9.
    pub priority: i64,
    /// How often it has started.
    pub attempt: i64,
    /// When it was submitted.
    #[schema(value_type = String, format = DateTime)]
    pub created: Time,
    /// It does not start before.
    #[schema(value_type = String, format = DateTime)]
    pub not_before: Time,
    /// It does not start after.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Time>,
    /// When its last attempt started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<Time>,
    /// When it came to its end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished: Option<Time>,
    /// It runs, and will be ended.
    pub cancel_requested: bool,
    /// The limit that its last attempt hit: `cpu_time`, `wall_time`, `output`, `memory` or `files`.
    pub limit: Option<String>,
    /// What went wrong in its last attempt.
    #[schema(example = "ValueError: no such customer")]
    pub error: Option<String>,
    /// What its last attempt ended with.
    pub exit_code: Option<i64>,
    /// What its last attempt used, once that is over.
    pub usage: Option<Usage>,
}

/// What one attempt used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Usage {
    /// Seconds of processor time.
    pub cpu_time: f64,
    /// Seconds from its start to its end.
    pub wall_time: f64,
    /// Bytes, at its peak.
    pub memory: i64,
    /// Bytes that were written to stdout and stderr.
    pub output: i64,
}

/// A file that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StoredFile {
    /// What it is asked for by: 64 hexadecimal digits.
    #[schema(example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    pub sha256: String,
    /// Its length.
    pub bytes: i64,
}

/// A file in a listing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ListedFile {
    /// Whose it is.
    #[schema(example = "research")]
    pub tenant: String,
    /// What it is asked for by.
    pub sha256: String,
    /// Its length.
    pub bytes: i64,
    /// When it was put, or named by a submission.
    #[schema(value_type = String, format = DateTime)]
    pub used: Time,
}

/// A file that a job has left.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct JobFile {
    /// Where, below `/output`.
    #[schema(example = "reports/2025.csv")]
    pub path: String,
    /// What it is asked for by.
    pub sha256: String,
    /// Its length.
    pub bytes: i64,
}

/// A piece of what a job wrote.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Chunk {
    /// In which attempt.
    pub attempt: i64,
    /// Its place among the attempt's.
    pub seq: i64,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// What.
    pub text: String,
}

/// One start of a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: i64,
    /// Where the job was after it: `STARTED` while it runs, `PENDING` if its worker left and gave it back.
    pub state: State,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub started: Time,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished: Option<Time>,
    /// The limit that it hit.
    pub limit: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// What it ended with.
    pub exit_code: Option<i64>,
    /// What it used, once it is over.
    pub usage: Option<Usage>,
    /// Whether its timeline is kept.
    pub timeline: bool,
}

/// How much there is to do, and was done in the last day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Figures {
    /// Jobs that wait.
    pub waiting: i64,
    /// Jobs that run.
    pub running: i64,
    /// For so many seconds the first of those that wait could have run.
    pub oldest: f64,
    /// The last 24 hours by the clock, this one included; those without a run are left out.
    pub hours: Vec<Hour>,
}

/// What ended in one hour.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Hour {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub begin: Time,
    /// Runs.
    pub runs: i64,
    /// Seconds of processor time that they used.
    pub cpu_time: f64,
    /// Seconds that they took.
    pub wall_time: f64,
}

#[cfg(test)]
mod tests {
    use super::{are_paths, is_entry};

    #[test]
    fn an_entry_is_a_module_and_perhaps_a_function() {
        for fine in ["a", "a.b_1", "a.b:c", "a:b.c", "__main__", "ä:run"] {
            assert!(is_entry(fine), "{fine:?}");
        }
        for wrong in [
            "", ":", "a:", ":b", "a..b", "a.b:c:d", "a b", "1a", "a-b", "../a", "a/b", "a\0",
        ] {
            assert!(!is_entry(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn no_path_leads_out_and_none_is_another_s_folder() {
        let fine = |paths: &[&str]| {
            let mut paths = paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
            paths.sort();
            are_paths(paths.iter())
        };
        assert!(fine(&["a", "b/c", "b/d", "b.x", "b-", "ä €", ".hidden", "..."]));
        for wrong in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/.", "a\0",
        ] {
            assert!(!fine(&[wrong]), "{wrong:?}");
        }
        assert!(!fine(&[&"x".repeat(256)]) && !fine(&[&"x/".repeat(520)]));
        // Between the two there is one that sorts before a slash.
        assert!(!fine(&["b", "b-", "b/c"]) && !fine(&["b", "b/c/d"]));
    }
}
