//! `vtwasm schedule`.

use anyhow::Result;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::submit::Submit;
use super::{ServiceFlags, asking, print, print_json, word};

/// The flags and commands of `vtwasm schedule`.
#[derive(Debug, Args)]
pub struct ScheduleOptions {
    #[command(flatten)]
    service: ServiceFlags,
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// Submit a job again and again, and print the schedule's id
    Add {
        /// When: minute, hour, day, month and weekday, such as '30 2 * * MON-FRI'; or @daily
        #[arg(long, value_name = "CRON")]
        cron: String,
        /// Whose hours these are
        #[arg(long, value_name = "ZONE", default_value = "UTC")]
        timezone: String,
        /// What becomes of turns that nobody was there to take: skip them, or make up for one
        #[arg(long, value_name = "HOW", default_value = "skip", value_parser = ["skip", "one"])]
        missed: String,
        #[command(flatten)]
        submit: Box<Submit>,
    },
    /// List schedules with their next turns
    List,
    /// Print all that is known of a schedule, as JSON
    Get {
        /// The schedule
        id: String,
    },
    /// End a schedule; its jobs stay
    Remove {
        /// The schedule
        id: String,
    },
}

/// Does what `vtwasm schedule` is asked for.
pub fn schedule(options: &ScheduleOptions) -> Result<u8> {
    let path = |id: &str| format!("/v1/schedules/{}", word(id));
    asking(&options.service, async |client| {
        match &options.command {
            ScheduleCommand::Add {
                cron,
                timezone,
                missed,
                submit,
            } => {
                submit.has_neither_key_nor_follow()?;
                let body = json!({
                    "cron": cron, "timezone": timezone, "missed": missed, "submission": submit.body(&client).await?,
                });
                let made = client.json(Method::POST, "/v1/schedules", Some(&body)).await?;
                print(text(&made, "id"))?;
            }
            ScheduleCommand::List => {
                let schedules = client.json(Method::GET, "/v1/schedules", None).await?;
                for schedule in schedules.as_array().into_iter().flatten() {
                    let [id, next, cron, timezone, error] =
                        ["id", "next", "cron", "timezone", "error"].map(|key| text(schedule, key));
                    print(format!("{id}  {next}  {cron}  {timezone}  {error}").trim_end())?;
                }
            }
            ScheduleCommand::Get { id } => print_json(&client.json(Method::GET, &path(id), None).await?)?,
            ScheduleCommand::Remove { id } => {
                client.json(Method::DELETE, &path(id), None).await?;
            }
        }
        Ok(0)
    })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
