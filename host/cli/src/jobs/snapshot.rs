//! `vtwasm job snapshot`.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::http::Client;
use super::{follow, print, word};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Make a snapshot for `vtwasm job submit --snapshot`, in place of one of that name, and print the id of the job that makes it
    Make {
        /// Its name
        name: String,
        /// Python code that runs in it, after the imports
        #[arg(value_name = "FILE", required_unless_present = "imports")]
        file: Option<PathBuf>,
        /// A package that it can import, such as jinja2==3.1.6; may be repeated
        #[arg(long, value_name = "PACKAGE")]
        with: Vec<String>,
        /// Modules to import, such as json,xml.dom
        #[arg(long = "import", value_name = "MODULE", value_delimiter = ',')]
        imports: Vec<String>,
        /// Print what it writes until it is over; the exit code is 0 if it succeeded, else 1
        #[arg(short, long)]
        follow: bool,
    },
    /// List snapshots, with their bytes and packages
    List,
    /// Forget a snapshot; jobs that were submitted with it still have it
    Remove {
        /// The snapshot
        name: String,
    },
}

pub async fn snapshot(client: &Client, command: &SnapshotCommand) -> Result<u8> {
    match command {
        SnapshotCommand::Make {
            name,
            file,
            with,
            imports,
            follow,
        } => {
            let source = match file {
                Some(file) => fs::read_to_string(file)
                    .map_err(|error| Failure::usage(format!("can't read {}: {error}", file.display())))?,
                None => String::new(),
            };
            let body = json!({"name": name, "packages": with, "imports": imports, "source": source});
            let job = client.json(Method::POST, "/v1/snapshots", Some(&body)).await?;
            let id = job["id"].as_str().unwrap_or_default();
            if !follow {
                print(id)?;
                return Ok(0);
            }
            let job = follow::follow(client, id).await?;
            return Ok(u8::from(job["state"] != "SUCCESS"));
        }
        SnapshotCommand::List => {
            let all = client.json(Method::GET, "/v1/snapshots", None).await?;
            for one in all.as_array().into_iter().flatten() {
                let [name, created] = ["name", "created"].map(|key| one[key].as_str().unwrap_or_default());
                let packages = one["packages"].as_array().into_iter().flatten();
                let packages = packages
                    .filter_map(|package| package.as_str())
                    .collect::<Vec<_>>();
                let line = format!("{name}  {created}  {}  {}", one["bytes"], packages.join(" "));
                print(line.trim_end())?;
            }
        }
        SnapshotCommand::Remove { name } => {
            let path = format!("/v1/snapshots/{}", word(name));
            client.json(Method::DELETE, &path, None).await?;
        }
    }
    Ok(0)
}
