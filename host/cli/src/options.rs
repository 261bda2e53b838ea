//! What the command line says, as clap sees it. What it means is decided elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::jobs::{FileOptions, JobOptions, ScheduleOptions, SecretOptions, TenantOptions};
use crate::python_flags::PythonFlags;
use crate::serve::ServeOptions;
use crate::units;

/// Runs Python programs in a sandbox, every threading.Thread on a fiber of its own
#[derive(Debug, Parser)]
#[command(name = "vtwasm", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `vtwasm`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a Python program
    Run(Box<RunOptions>),
    /// Keep a Python that has imported modules, or run a script, for runs to start from
    Snapshot(Box<SnapshotOptions>),
    /// Run Python jobs of many tenants: an HTTP service with a queue
    Serve(ServeOptions),
    /// Submit jobs to a service, and see what becomes of them
    Job(JobOptions),
    /// Make and change the tenants of a service
    Tenant(TenantOptions),

    /// Keep files that jobs are given, and fetch those that they left: put, get, list, remove
    File(FileOptions),
    /// Submit jobs again and again, at times as cron has them: add, list, get, remove
    Schedule(ScheduleOptions),
    /// Keep values that jobs are given and nobody reads: set, list, remove
    Secret(SecretOptions),
    /// Tell which Python, engine, kernel features and limits are in use
    Doctor,
}

const USAGE: &str = "vtwasm run [OPTIONS] [SCRIPT | - | -c CODE | -m MODULE] [ARGS]...";

const AFTER_HELP: &str = "\
Examples:
  vtwasm run hello.py                          a script that reads only its own folder
  vtwasm run --allow-write=out --timeout 10s job.py --fast
  vtwasm run -c 'import sys; print(sys.version)'
  vtwasm run --with requests --with 'flask>=3' app.py
  vtwasm run --snapshot my.vtsnap app.py

Exit status:
  that of the program, or
  2    the command line or the script cannot be used
  121  the packages that it needs cannot be had
  122  the program made Python itself crash inside the sandbox
  123  deadlock: every thread waited for another
  124  a limit was hit; the message names it and its flag
  125  vtwasm itself failed
  130  ended by a second Ctrl-C (143: by SIGTERM, 129: by SIGHUP)";

/// The flags and arguments of `vtwasm run`.
#[derive(Debug, Args)]
#[command(override_usage = USAGE, after_help = AFTER_HELP)]
pub struct RunOptions {
    /// Run this Python code; what follows it goes to the program
    #[arg(short = 'c', value_name = "CODE", num_args = 1.., allow_hyphen_values = true)]
    pub code: Vec<OsString>,

    /// Run this module; what follows it goes to the program
    #[arg(short = 'm', value_name = "MODULE", num_args = 1.., allow_hyphen_values = true)]
    pub module: Vec<OsString>,

    /// The script (- for stdin) and its arguments; without one, a REPL on a terminal, else stdin
    #[arg(value_name = "SCRIPT [ARGS]", trailing_var_arg = true)]
    pub script: Vec<OsString>,

    /// Start from this file of `vtwasm snapshot`, with the packages that it was made with
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,

    /// Write what the threads did, and when, to this file, which ui.perfetto.dev and chrome://tracing show
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,

    /// What the program may see.
    #[command(flatten)]
    pub permissions: PermissionFlags,

    /// What the program may import.
    #[command(flatten)]
    pub packages: PackageFlags,

    /// What the program may use up.
    #[command(flatten)]
    pub limits: LimitFlags,

    /// What is for Python.
    #[command(flatten)]
    pub python: PythonFlags,
}

const SNAPSHOT_AFTER_HELP: &str = "\
What a script leaves in its globals is there for the programs, and what it imported is imported. It
sees no folder but those of packages. Threads, open files and sockets cannot be kept.

Examples:
  vtwasm snapshot --with requests --import requests,json -o my.vtsnap
  vtwasm snapshot prepare.py -o my.vtsnap
  vtwasm run --snapshot my.vtsnap app.py";

/// The flags and arguments of `vtwasm snapshot`.
#[derive(Debug, Args)]
#[command(after_help = SNAPSHOT_AFTER_HELP)]
pub struct SnapshotOptions {
    /// The script to run first
    #[arg(value_name = "SCRIPT", required_unless_present = "imports")]
    pub script: Option<PathBuf>,

    /// Import these modules, in place of a script
    #[arg(
        long = "import",
        value_name = "MODULE,...",
        value_delimiter = ',',
        conflicts_with = "script"
    )]
    pub imports: Vec<String>,

    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// What may be imported.
    #[command(flatten)]
    pub packages: PackageFlags,

    /// What may be used up.
    #[command(flatten)]
    pub limits: LimitFlags,
}

/// What the program may see of the machine. Nothing but the script's folder, unless flags say so.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Permissions (closed: only the script's folder is readable)")]
pub struct PermissionFlags {
    /// Let it read a folder (HOST::GUEST: under another name), or everything; may be repeated
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "/")]
    pub allow_read: Vec<PathBuf>,

    /// Let it read and write a folder (HOST::GUEST), or everything; may be repeated
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "/")]
    pub allow_write: Vec<PathBuf>,

    /// Let it connect to HOST, HOST:PORT, an address, a CIDR or *:PORT, or to every public host;
    /// private addresses and localhost need to be named; may be repeated
    #[arg(long, value_name = "HOST[:PORT],...", num_args = 0..=1, require_equals = true, default_missing_value = "*", value_delimiter = ',')]
    pub allow_net: Vec<String>,

    /// Let it listen on ADDR:PORT (*: every address; a port may be a range), or on localhost; may be
    /// repeated
    #[arg(long, value_name = "ADDR[:PORT],...", num_args = 0..=1, require_equals = true, default_missing_value = "localhost", value_delimiter = ',')]
    pub listen: Vec<String>,

    /// Set an environment variable, or pass on the one that is set here; may be repeated
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,

    /// Pass on all environment variables
    #[arg(long)]
    pub allow_env: bool,
}

/// What the program may import beside its own modules and the standard library.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Packages (and those that a script names in its `# /// script` block)")]
pub struct PackageFlags {
    /// Fetch a package and what it needs, such as requests or 'flask>=3'; may be repeated
    #[arg(long, value_name = "REQUIREMENT")]
    pub with: Vec<String>,

    /// Take the packages of an environment that is there, in place of the script's; may be repeated
    #[arg(long, value_name = "FOLDER")]
    pub site: Vec<PathBuf>,

    /// Use just the files that this lock file names; written if it is not there
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,

    /// Resolve anew, to the latest versions that fit
    #[arg(long)]
    pub upgrade: bool,

    /// Leave out the native part of a package that can do without; may be repeated
    #[arg(long, value_name = "PACKAGE")]
    pub without_native: Vec<String>,
}

/// What the program may use up before it is ended. `None`: the library's default.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// Memory of the program, such as 512MiB; beyond it Python raises MemoryError
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub memory: Option<u64>,

    /// Time that may pass, such as 10s
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub timeout: Option<Duration>,

    /// Processor time that may be used, such as 2s or 500ms
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub cpu_time: Option<Duration>,

    /// Threads that may live at once; beyond it Python raises RuntimeError
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_threads: Option<u32>,

    /// What may be written to stdout and stderr together, such as 10MB
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub max_output: Option<u64>,

    /// What may be written to files, such as 1GB; beyond it Python raises OSError (EDQUOT)
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub max_written: Option<u64>,

    /// Files, sockets and pipes that may be open at once; beyond it Python raises OSError (EMFILE)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=65_536))]
    pub max_descriptors: Option<u32>,

    /// Sockets that may be open at once; beyond it Python raises OSError (EMFILE)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub max_sockets: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> RunOptions {
        let args = ["vtwasm", "run"].iter().chain(args);
        match Cli::try_parse_from(args).expect("these arguments parse").command {
            Command::Run(options) => *options,
            _ => unreachable!("the first argument is `run`"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn everything_after_the_script_belongs_to_it() {
        let options = run(&["-O", "x.py", "-O", "--timeout", "--", "-c", "y"]);
        assert_eq!(options.script, ["x.py", "-O", "--timeout", "--", "-c", "y"]);
        assert_eq!(options.python.optimize, 1);
        assert_eq!(run(&["--", "-odd.py", "-v"]).script, ["-odd.py", "-v"]);
        assert_eq!(run(&["-", "-v"]).script, ["-", "-v"]);
    }

    #[test]
    fn everything_after_the_code_belongs_to_it() {
        let options = run(&["-u", "-c", "pass", "-m", "--memory", "--", "x"]);
        assert_eq!(options.code, ["pass", "-m", "--memory", "--", "x"]);
        assert!(options.module.is_empty());
        assert_eq!(run(&["-m", "json.tool", "-h"]).module, ["json.tool", "-h"]);
        assert_eq!(run(&["-c", "-1"]).code, ["-1"]);
    }

    #[test]
    fn a_permission_takes_a_path_only_after_an_equals_sign() {
        let options = run(&["--allow-read", "x.py"]);
        assert_eq!(options.permissions.allow_read, [PathBuf::from("/")]);
        assert_eq!(options.script, ["x.py"]);
        let options = run(&["--allow-write=a", "--allow-write=b,c", "x.py"]);
        assert_eq!(
            options.permissions.allow_write,
            [PathBuf::from("a"), PathBuf::from("b,c")]
        );
    }

    #[test]
    fn rules_for_the_network_are_split_at_commas() {
        let options = run(&["--allow-net=a:1,10.0.0.0/8", "--allow-net", "--listen", "x.py"]);
        assert_eq!(options.permissions.allow_net, ["a:1", "10.0.0.0/8", "*"]);
        assert_eq!(options.permissions.listen, ["localhost"]);
        assert_eq!(options.script, ["x.py"]);
    }

    #[test]
    fn python_flags_are_handed_on() {
        let options = run(&["-OO", "-uB", "-X", "dev", "-Wignore", "x.py"]);
        assert_eq!(
            options.python.to_args(),
            ["-B", "-OO", "-u", "-W", "ignore", "-X", "dev"]
        );
    }

    #[test]
    fn an_unknown_flag_is_refused() {
        for args in [["--allow-raed", "x.py"], ["-Z", "x.py"]] {
            let args = ["vtwasm", "run"].iter().chain(&args);
            assert!(Cli::try_parse_from(args).is_err());
        }
    }
}
