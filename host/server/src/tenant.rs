//! A tenant: who submits jobs, and what these may do and use up.

use crate::error::{Error, Result};
use crate::job;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use vtwasm::{Limits, Network};

/// Who submits jobs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Tenant {
    /// Lower-case letters, digits and hyphens.
    #[schema(example = "research")]
    pub id: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Time,
    /// Its quotas.
    #[serde(flatten)]
    pub quotas: Quotas,
}

/// What a tenant may have at once, and what each of its jobs may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Jobs that run at once.
    #[schema(minimum = 0)]
    pub max_running: i64,
    /// Jobs that wait.
    #[schema(minimum = 0)]
    pub max_queued: i64,
    /// Seconds of processor time that its runs may use in its last `cpu_hours` hours by the clock, this one included.
    /// Once they are used, nothing is taken or started until the oldest hour is over.
    #[schema(minimum = 0.001)]
    pub cpu_time: Option<f64>,
    /// From 1 to 744, a month.
    #[schema(minimum = 1, maximum = 744)]
    pub cpu_hours: i64,
    /// Bytes of files that are kept for it: those that it put, and those that its jobs left.
    #[schema(minimum = 0)]
    pub artifact_bytes: i64,
    /// Seconds for which its jobs are kept once they are over, with their logs, results and files; null: as long as the
    /// service says.
    #[schema(minimum = 0.001)]
    pub keep: Option<f64>,
    /// For each job.
    pub rules: Rules,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas {
            max_running: 64,
            max_queued: 100_000,
            cpu_time: None,
            cpu_hours: 24,
            artifact_bytes: 1 << 30,
            keep: None,
            rules: Rules::default(),
        }
    }
}

/// What one job of a tenant may do and use up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Bytes.
    #[schema(minimum = 1)]
    pub memory: u64,
    /// Seconds of processor time.
    #[schema(exclusive_minimum = 0, maximum = 31622400)]
    pub cpu_time: f64,
    /// Seconds from start to end.
    #[schema(exclusive_minimum = 0, maximum = 31622400)]
    pub wall_time: f64,
    /// Bytes to stdout and stderr.
    #[schema(minimum = 1)]
    pub output: u64,
    /// Threads besides the main one.
    #[schema(value_type = u64, maximum = 4294967295_u32)]
    pub threads: u32,
    /// Sockets at once.
    #[schema(value_type = u64, maximum = 4294967295_u32)]
    pub sockets: u32,
    /// Bytes written to files below `/output`, which the job leaves; 0: there is no such folder.
    pub written: u64,
    /// Bytes of its result, as JSON.
    pub result: usize,
    /// The highest priority that it may ask for.
    #[schema(minimum = -9, maximum = 9)]
    pub priority: i64,
    /// What it may connect to, in the words of `vtwasm run --allow-net`: `example.com:443`, `10.0.0.0/8`, `*`.
    pub network: Vec<String>,
    /// Sessions of its own at once in one worker; 0: it may have none.
    #[schema(value_type = u64, maximum = 4294967295_u32)]
    pub sessions: u32,
    /// Packages that it may ask for, with whatever these require; `*` is any.
    pub packages: Vec<String>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            memory: 512 << 20,
            cpu_time: 60.0,
            wall_time: 600.0,
            output: 1 << 20,
            threads: 1_000,
            sockets: 256,
            written: 64 << 20,
            result: 1 << 20,
            priority: 0,
            network: Vec::new(),
            sessions: 4,
            packages: Vec::new(),
        }
    }
}

impl Quotas {
    /// Refuses what makes no sense, before a job meets it.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<()> {
        let rules = &self.rules;
        let seconds = |value: f64| value > 0.0 && value <= 366.0 * 86_400.0;
        let problem = if self.max_running < 0 || self.max_queued < 0 || self.artifact_bytes < 0 {
            "max_running, max_queued and artifact_bytes are not negative"
        } else if self.cpu_time.is_some_and(|time| !(0.001..1e12).contains(&time))
            || !(1..=744).contains(&self.cpu_hours)
        {
            "a quota's cpu_time is at least 0.001 seconds, and cpu_hours are from 1 to 744"
        } else if self.keep.is_some_and(|keep| !(0.001..1e10).contains(&keep)) {
            "keep is at least 0.001 seconds"
        } else if !seconds(rules.cpu_time) || !seconds(rules.wall_time) {
            "cpu_time and wall_time are seconds: more than 0, and at most a year"
        } else if !job::is_size(rules.memory) || !job::is_size(rules.output) {
            "memory and output are more than 0 bytes, and less than 2^63"
        } else if !job::is_size(rules.written.max(1)) || !job::is_size(rules.result.max(1) as u64) {
            "written and result are less than 2^63 bytes"
        } else if !(-9..=9).contains(&rules.priority) {
            "priority: from -9 to 9"
        } else {
            return rules.network().map(drop);
        };
        Err(Error::Invalid(problem.into()))
    }
}

impl Rules {
    /// Those of one job, which may ask for less.
    pub fn limits(&self, asked: &job::Limits) -> Limits {
        let seconds =
            |most: f64, asked: Option<f64>| Duration::from_secs_f64(asked.unwrap_or(most).min(most));
        let mut limits = Limits::default();
        limits.memory = asked.memory.unwrap_or(self.memory).min(self.memory);
        limits.cpu_time = Some(seconds(self.cpu_time, asked.cpu_time));
        limits.wall_time = Some(seconds(self.wall_time, asked.wall_time));
        limits.output = Some(asked.output.unwrap_or(self.output).min(self.output));
        limits.threads = asked.threads.unwrap_or(self.threads).min(self.threads);
        limits.sockets = self.sockets;
        limits.written = Some(asked.written.unwrap_or(self.written).min(self.written));
        limits
    }

    /// Where it may connect to.
    ///
    /// # Errors
    /// [`Error::Invalid`], for a rule that is none.
    pub fn network(&self) -> Result<Network> {
        let mut network = Network::closed();
        for rule in &self.network {
            let added = network.allow(rule).map(drop);
            added.map_err(|error| Error::Invalid(format!("network: {error}")))?;
        }
        Ok(network)
    }
}

/// Whether a tenant may be called so.
pub fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(fine) && !name.starts_with('-')
}

/// What a token's holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See the tenant's jobs, their logs and results.
    Read,
    /// Submit, cancel and retry the tenant's jobs.
    Write,
    /// Set the tenant's secrets, and give them to its jobs.
    Secrets,
    /// Make and change tenants and tokens: all of them.
    Operator,
}

impl Scope {
    const NAMES: [(Scope, &str); 4] = [
        (Scope::Read, "read"),
        (Scope::Write, "write"),
        (Scope::Secrets, "secrets"),
        (Scope::Operator, "operator"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let mut names = Scope::NAMES.iter();
        names
            .find(|(scope, _)| *scope == self)
            .map_or("", |(_, name)| name)
    }

    /// The scopes in a text of words; what is none is passed over, and so allows nothing.
    pub fn all_in(words: &str) -> Vec<Scope> {
        let scope = |word| Scope::NAMES.iter().find(|(_, name)| *name == word);
        let found = words.split(' ').filter_map(scope);
        found.map(|(scope, _)| *scope).collect()
    }
}

/// A token, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Token {
    /// Its name, to revoke it by.
    pub id: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Time,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Time>,
}

/// Whom a token belongs to, and what it allows.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant.
    pub tenant: String,
    /// What may be done.
    pub scopes: Vec<Scope>,
}
