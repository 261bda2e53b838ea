//! `vtwasm job`, `vtwasm file`, `vtwasm schedule`, `vtwasm secret` and `vtwasm tenant`: what asks a service.

mod files;
mod follow;
mod http;
mod schedule;
mod snapshot;
mod submit;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::units;
use http::{Asking, Client};
use snapshot::SnapshotCommand;
use submit::Submit;

pub use files::{FileOptions, file};
pub use schedule::{ScheduleOptions, schedule};

/// Which service is asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub struct ServiceFlags {
    /// The service
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "VTWASM_SERVER",
        default_value = "http://127.0.0.1:8210"
    )]
    pub server: String,

    /// The token that says who asks; better given by VTWASM_TOKEN, which other users do not see
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "VTWASM_TOKEN",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub token: String,
}

/// The flags and commands of `vtwasm job`.
#[derive(Debug, Args)]
pub struct JobOptions {
    #[command(flatten)]
    service: ServiceFlags,
    #[command(subcommand)]
    command: JobCommand,
}

#[derive(Debug, Subcommand)]
enum JobCommand {
    /// Submit a job and print its id
    Submit(Box<Submit>),
    /// List jobs, the youngest first
    List {
        /// Only those in this state, such as FAILURE
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// How many
        #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Print all that is known of a job, as JSON
    Get {
        /// The job
        id: String,
    },
    /// Print what a job wrote
    Logs {
        /// Go on until it is over
        #[arg(short, long)]
        follow: bool,
        /// The job
        id: String,
    },
    /// Print what a job's function `main` returned, as JSON
    Result {
        /// The job
        id: String,
    },
    /// List the files that a job has left in /output, or fetch them
    Files {
        /// The job
        id: String,
        /// Fetch them into this folder
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Make, list or forget interpreters that jobs start from, with packages imported
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// See that a job does not start any more, or end it
    Cancel {
        /// The job
        id: String,
    },
    /// Start a job again that has failed or was revoked
    Retry {
        /// The job
        id: String,
    },
}

/// The flags and commands of `vtwasm secret`.
#[derive(Debug, Args)]
pub struct SecretOptions {
    #[command(flatten)]
    service: ServiceFlags,
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Set a secret to what comes from stdin, without the end of its last line
    Set {
        /// Its name, and that of the variable that a job finds it in
        name: String,
    },
    /// List secrets, without their values
    List,
    /// Forget a secret
    Remove {
        /// The secret
        name: String,
    },
}

/// The flags and commands of `vtwasm tenant`, for the operator.
#[derive(Debug, Args)]
pub struct TenantOptions {
    #[command(flatten)]
    service: ServiceFlags,
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Make a tenant
    Add {
        /// Its name: lower-case letters, digits and hyphens
        name: String,
        /// Its quotas, as JSON; what is left out is the default
        #[arg(long, value_name = "JSON", default_value = "{}")]
        quotas: String,
    },
    /// List tenants
    List,
    /// Print a tenant, its quotas and what it has used, as JSON
    Get {
        /// The tenant
        name: String,
    },
    /// Replace a tenant's quotas
    Set {
        /// The tenant
        name: String,
        /// The quotas, as JSON; what is left out becomes the default
        #[arg(long, value_name = "JSON")]
        quotas: String,
    },
    /// Make a token and print it; it is shown only this once
    Token {
        /// The tenant
        name: String,
        /// What it is good for: read, write, secrets, operator
        #[arg(long, value_name = "SCOPE", value_delimiter = ',', default_values = ["read", "write"])]
        scope: Vec<String>,
        /// When it ends, such as 24h; never, if left out
        #[arg(long, value_name = "TIME", value_parser = units::duration)]
        lifetime: Option<Duration>,
    },
    /// List a tenant's tokens, without the tokens themselves
    Tokens {
        /// The tenant
        name: String,
    },
    /// End a token
    Revoke {
        /// The tenant
        name: String,
        /// The token's id, as `vtwasm tenant tokens` prints it
        token: String,
    },
}

/// Does what `vtwasm job` is asked for.
pub fn job(options: &JobOptions) -> Result<u8> {
    asking(&options.service, async |client| {
        job_command(&client, &options.command).await
    })
}

async fn job_command(client: &Client, command: &JobCommand) -> Result<u8> {
    match command {
        JobCommand::Submit(submit) => return submit.send(client).await,
        JobCommand::Snapshot { command } => return snapshot::snapshot(client, command).await,
        JobCommand::List { state, limit } => {
            let state = state.as_deref().map(|state| format!("&state={}", word(state)));
            let path = format!("/v1/jobs?limit={limit}{}", state.unwrap_or_default());
            let page = client.json(Method::GET, &path, None).await?;
            for job in page["jobs"].as_array().into_iter().flatten() {
                let [id, state, created] =
                    ["id", "state", "created"].map(|key| job[key].as_str().unwrap_or_default());
                let error = job["error"].as_str().unwrap_or_default();
                let error = error.lines().next().unwrap_or_default();
                print(format!("{id}  {state:8} {created}  {error}").trim_end())?;
            }
        }
        JobCommand::Get { id } => print_json(&client.json(Method::GET, &path(id, ""), None).await?)?,
        JobCommand::Logs { follow: true, id } => {
            follow::follow(client, id).await?;
        }
        JobCommand::Logs { follow: false, id } => {
            let path = path(id, "/logs");
            let asking = Asking {
                method: Method::GET,
                path: &path,
                headers: &[],
                body: None,
            };
            let body = client.send(asking).await?.into_body();
            http::copy(body, &mut io::stdout()).await?;
        }
        JobCommand::Result { id } => {
            print_json(&client.json(Method::GET, &path(id, "/result"), None).await?)?
        }
        JobCommand::Files { id, to } => files::left(client, id, to.as_deref()).await?,
        JobCommand::Cancel { id } => state_of(&client.json(Method::POST, &path(id, "/cancel"), None).await?)?,
        JobCommand::Retry { id } => state_of(&client.json(Method::POST, &path(id, "/retry"), None).await?)?,
    }
    Ok(0)
}

/// Does what `vtwasm secret` is asked for.
pub fn secret(options: &SecretOptions) -> Result<u8> {
    let path = |name: &str| format!("/v1/secrets/{}", word(name));
    asking(&options.service, async |client| {
        match &options.command {
            SecretCommand::Set { name } => {
                let value = io::read_to_string(io::stdin()).context("reading the secret from stdin")?;
                let body = json!({"value": value.strip_suffix('\n').unwrap_or(&value)});
                client.json(Method::PUT, &path(name), Some(&body)).await?;
            }
            SecretCommand::List => {
                let secrets = client.json(Method::GET, "/v1/secrets", None).await?;
                for secret in secrets.as_array().into_iter().flatten() {
                    let [name, changed] =
                        ["name", "changed"].map(|key| secret[key].as_str().unwrap_or_default());
                    print(&format!("{name}  {changed}"))?;
                }
            }
            SecretCommand::Remove { name } => {
                client.json(Method::DELETE, &path(name), None).await?;
            }
        }
        Ok(0)
    })
}

/// Does what `vtwasm tenant` is asked for.
pub fn tenant(options: &TenantOptions) -> Result<u8> {
    asking(&options.service, async |client| {
        tenant_command(&client, &options.command).await
    })
}

async fn tenant_command(client: &Client, command: &TenantCommand) -> Result<u8> {
    let of = |name: &str, rest: &str| format!("/v1/tenants/{}{rest}", word(name));
    match command {
        TenantCommand::Add { name, quotas } => {
            let body = json!({"id": name, "quotas": parsed(quotas)?});
            print_json(&client.json(Method::POST, "/v1/tenants", Some(&body)).await?)?;
        }
        TenantCommand::List => {
            let mut after = String::new();
            loop {
                let path = format!("/v1/tenants?after={after}");
                let page = client.json(Method::GET, &path, None).await?;
                for tenant in page["tenants"].as_array().into_iter().flatten() {
                    print(tenant["id"].as_str().unwrap_or_default())?;
                }
                match page["next"].as_str() {
                    Some(next) => after = word(next),
                    None => break,
                }
            }
        }
        TenantCommand::Get { name } => print_json(&client.json(Method::GET, &of(name, ""), None).await?)?,
        TenantCommand::Set { name, quotas } => {
            print_json(
                &client
                    .json(Method::PUT, &of(name, ""), Some(&parsed(quotas)?))
                    .await?,
            )?;
        }
        TenantCommand::Token {
            name,
            scope,
            lifetime,
        } => {
            let lifetime = lifetime.map(|lifetime| lifetime.as_secs_f64());
            let body = json!({"scopes": scope, "lifetime": lifetime});
            let made = client
                .json(Method::POST, &of(name, "/tokens"), Some(&body))
                .await?;
            print(made["token"].as_str().unwrap_or_default())?;
        }
        TenantCommand::Tokens { name } => {
            print_json(&client.json(Method::GET, &of(name, "/tokens"), None).await?)?
        }
        TenantCommand::Revoke { name, token } => {
            let path = of(name, &format!("/tokens/{}", word(token)));
            client.json(Method::DELETE, &path, None).await?;
        }
    }
    Ok(0)
}

fn asking(service: &ServiceFlags, work: impl AsyncFnOnce(Client) -> Result<u8>) -> Result<u8> {
    let client = Client::new(&service.server, &service.token)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work(client))
}

fn path(id: &str, rest: &str) -> String {
    format!("/v1/jobs/{}{rest}", word(id))
}

/// As a part of an address.
fn word(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn parsed(json: &str) -> Result<Value> {
    let value = serde_json::from_str(json);
    Ok(value.map_err(|error| {
        let hint = "JSON is for example '{\"year\": 2025}' or, for quotas, '{\"max_running\": 4}'";
        Failure::usage(format!("{json:?} is no JSON: {error}")).hint(hint)
    })?)
}

/// To stdout, whose reader may be gone.
fn print(line: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

fn print_json(value: &Value) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

fn state_of(job: &Value) -> Result<()> {
    let pending = job["cancel_requested"].as_bool() == Some(true);
    let more = if pending { ", its end was asked for" } else { "" };
    print(&format!("{}{more}", job["state"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_leads_out_of_its_part_of_an_address() {
        assert_eq!(super::word("job_1"), "job_1");
        assert_eq!(super::word("../a?b ä"), "..%2Fa%3Fb%20%C3%A4");
    }
}
