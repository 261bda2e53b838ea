//! `vtwasm file` and `vtwasm job files`.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::http::{self, Asking, Client};
use super::{ServiceFlags, asking, path, print, word};
use crate::failure::Failure;

/// The flags and commands of `vtwasm file`.
#[derive(Debug, Args)]
pub struct FileOptions {
    #[command(flatten)]
    service: ServiceFlags,
    #[command(subcommand)]
    command: FileCommand,
}

#[derive(Debug, Subcommand)]
enum FileCommand {
    /// Put files and print their names at the service, the SHA-256 of each
    Put {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Write what is in a file to stdout, or to a file
    Get {
        /// Its SHA-256
        sha256: String,
        /// Where to
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List files: those that were put, and those that jobs have left
    List,
    /// Remove a file that no job has
    Remove {
        /// Its SHA-256
        sha256: String,
    },
}

/// Does what `vtwasm file` is asked for.
pub fn file(options: &FileOptions) -> Result<u8> {
    asking(&options.service, async |client| {
        match &options.command {
            FileCommand::Put { files } => {
                for file in files {
                    print(&format!("{}  {}", client.put(file).await?, file.display()))?;
                }
            }
            FileCommand::Get { sha256, output } => {
                let path = format!("/v1/files/{}", word(sha256));
                fetch(&client, &path, output.as_deref()).await?;
            }
            FileCommand::List => list(&client).await?,
            FileCommand::Remove { sha256 } => {
                let path = format!("/v1/files/{}", word(sha256));
                client.json(Method::DELETE, &path, None).await?;
            }
        }
        Ok(0)
    })
}

async fn list(client: &Client) -> Result<()> {
    let mut after = String::new();
    loop {
        let page = client
            .json(Method::GET, &format!("/v1/files?after={after}"), None)
            .await?;
        for file in page["files"].as_array().into_iter().flatten() {
            print(&format!("{}  {}", text(file, "sha256"), file["bytes"]))?;
        }
        match page["next"].as_str() {
            Some(next) => after = word(next),
            None => return Ok(()),
        }
    }
}

/// Lists what a job has left, or fetches it into a folder.
pub async fn left(client: &Client, id: &str, to: Option<&Path>) -> Result<()> {
    let left = client.json(Method::GET, &path(id, "/files"), None).await?;
    for file in left["files"].as_array().into_iter().flatten() {
        let name = text(file, "path");
        let Some(to) = to else {
            print(&format!("{}  {}  {name}", text(file, "sha256"), file["bytes"]))?;
            continue;
        };
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !Path::new(name).components().all(inside) {
            return Err(Failure::host(format!("{name:?} leads out of the folder")).into());
        }
        let to = to.join(name);
        let folder = to.parent().unwrap_or(&to);
        fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
        let name = name.split('/').map(word).collect::<Vec<_>>().join("/");
        fetch(client, &path(id, &format!("/files/{name}")), Some(&to)).await?;
    }
    Ok(())
}

async fn fetch(client: &Client, path: &str, to: Option<&Path>) -> Result<()> {
    let asking = Asking {
        method: Method::GET,
        path,
        headers: &[],
        body: None,
    };
    let body = client.send(asking).await?.into_body();
    match to {
        Some(to) => http::copy(body, &mut File::create(to).map_err(|error| cannot(to, &error))?).await,
        None => http::copy(body, &mut io::stdout()).await,
    }
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("can't write {}: {error}", path.display()))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
