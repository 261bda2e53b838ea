//! What the program may connect to and listen on, and how many sockets the system has for it.

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vtwasm::{Error, Limits, Network};

use crate::failure::Failure;
use crate::options::PermissionFlags;

/// Descriptors that are left for everything but sockets.
const RESERVE: u64 = 64;

/// The network that the flags open.
pub fn network(flags: &PermissionFlags) -> Result<Network> {
    let mut network = Network::closed();
    for rule in &flags.allow_net {
        network
            .allow(rule)
            .map_err(|error| bad("--allow-net", rule, error))?;
    }
    for rule in &flags.listen {
        network
            .listen(rule)
            .map_err(|error| bad("--listen", rule, error))?;
    }
    Ok(network)
}

fn bad(flag: &str, rule: &str, error: Error) -> anyhow::Error {
    let problem = match error {
        Error::Rule { problem, .. } => problem,
        other => return other.into(),
    };
    let hint = match flag {
        "--listen" => "for example --listen=localhost, --listen=127.0.0.1:8080 or --listen=*:8000-8999",
        _ => "for example --allow-net=example.org:443, --allow-net=10.0.0.0/8,localhost or --allow-net=*:443",
    };
    Failure::usage(format!("{flag}={rule}: {problem}"))
        .hint(hint)
        .into()
}

/// The number of sockets for `wanted`, or as many of the default as there are descriptors for.
pub fn sockets(wanted: Option<u32>) -> Result<u32> {
    let files = files();
    let most = u32::try_from(files.saturating_sub(RESERVE)).unwrap_or(u32::MAX);
    match wanted {
        Some(wanted) if wanted > most => {
            let message = format!("--max-sockets {wanted}: this process may have only {files} files open");
            let needed = u64::from(wanted) + RESERVE;
            let hint = format!("ask for {most} at most, or raise the limit (ulimit -Hn {needed}, as root)");
            Err(Failure::usage(message).hint(hint).into())
        }
        Some(wanted) => Ok(wanted),
        None => Ok(Limits::default().sockets.min(most)),
    }
}

/// How many files this process may have open, after making that as many as it may.
pub fn files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    limit.unwrap_or(u64::MAX)
}
