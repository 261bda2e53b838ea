//! `cargo xtask web`: the page with Python in the browser.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use super::Session;
use super::build::{Built, built};
use crate::process::run_visibly;
use crate::recipe::Options;

/// Build the page with Python in the browser, and serve it on this machine.
///
/// What any static host can serve is then in web/dist. Node and npm packages are fetched first, where the
/// machine lacks them; npm's own configuration says from where.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask web
  cargo xtask web --dev
  cargo xtask web --build-only && rsync -r web/dist/ host:/srv/python/")]
pub struct Web {
    /// Only build it
    #[arg(long, conflicts_with_all = ["dev", "port"])]
    build_only: bool,
    /// Serve web/ itself: an edit shows at once
    #[arg(long)]
    dev: bool,
    /// Measure it in Chromium, beside the `vtwasm` program and Pyodide; takes a minute
    #[arg(long, conflicts_with_all = ["dev", "port", "build_only"])]
    figures: bool,
    /// The port of 127.0.0.1; the next one that is free, if it is not
    #[arg(long, default_value_t = 4173)]
    port: u16,
}

impl Web {
    pub fn execute(&self) -> Result<ExitCode> {
        if self.figures {
            return measure();
        }
        let mut session = Session::open(&Options::default())?;
        let python = session.recipe.artifact()?.directory;
        let tools = Tools::ready(&mut session, &python)?;
        if !self.dev {
            tools.build()?;
        }
        if self.build_only {
            println!("{}", tools.folder.join("dist").display());
            return Ok(ExitCode::SUCCESS);
        }
        let mut vite = tools.program("vite");
        vite.args([
            if self.dev { "dev" } else { "preview" },
            "--host",
            "127.0.0.1",
            "--port",
        ])
        .arg(self.port.to_string());
        // In place of this process: Ctrl-C is Vite's own.
        Err(vite.exec()).context("starting Vite")
    }
}

/// What `cargo xtask bench browser` takes its figures from.
fn measure() -> Result<ExitCode> {
    let mut built = built(&Options::default())?;
    let tools = Tools::ready(&mut built.session, &built.python)?;
    tools.build()?;
    let mut figures = tools.tests(&mut built)?;
    run_visibly(figures.args(["run", "--config=vitest.figures.config.ts"]))?;
    Ok(ExitCode::SUCCESS)
}

/// web/ with all that its programs need.
pub struct Tools {
    folder: PathBuf,
    /// Node's.
    programs: PathBuf,
    python: PathBuf,
}

impl Tools {
    /// Fetches what is missing.
    pub fn ready(session: &mut Session, python: &Path) -> Result<Self> {
        let (programs, packages) = session.recipe.web()?;
        let folder = session.workspace.web();
        link(&packages, &folder.join("node_modules"))?;
        Ok(Self {
            folder,
            programs,
            python: python.to_path_buf(),
        })
    }

    /// Checks the types and builds web/dist: the page, and the npm package for pages of others.
    pub fn build(&self) -> Result<()> {
        run_visibly(&mut self.program("tsc"))?;
        run_visibly(
            self.program("tsc")
                .args(["--project", "../host/server/dashboard"]),
        )?;
        run_visibly(self.program("vite").args(["build", "--logLevel=error"]))?;
        run_visibly(self.program("vite").args([
            "build",
            "--logLevel=error",
            "--config=vite.package.config.ts",
        ]))?;
        run_visibly(self.program("tsc").args(["--project", "tsconfig.package.json"]))
    }

    /// Vitest, told where Chromium and `vtwasm` are.
    pub fn tests(&self, built: &mut Built) -> Result<Command> {
        let browser = built.session.recipe.browser()?;
        let mut tests = self.program("vitest");
        tests.env("CHROMIUM", browser).env("VTWASM", &built.program);
        Ok(tests)
    }

    /// A program of an npm package, to be run in web/.
    pub fn program(&self, name: &str) -> Command {
        let mut path = std::ffi::OsString::from(&self.programs);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(self.folder.join("node_modules/.bin").join(name));
        command
            .current_dir(&self.folder)
            // Vite writes nothing beside its packages so.
            .args((name != "tsc").then_some("--configLoader=runner"))
            .env("PATH", path)
            .env("VTWASM_PYTHON", &self.python);
        command
    }
}

/// Makes `link` lead to the packages. A folder that `npm ci` has made by hand stays.
fn link(packages: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|target| target == packages) {
        return Ok(());
    }
    if link.is_dir() && !link.is_symlink() {
        return Ok(());
    }
    if link.is_symlink() {
        fs::remove_file(link).with_context(|| format!("removing {}", link.display()))?;
    }
    symlink(packages, link).with_context(|| format!("making {}", link.display()))
}
