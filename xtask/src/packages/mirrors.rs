//! Where this machine gets Debian's packages from.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::index::field;

/// The roots of Debian's two archives.
pub struct Mirrors {
    main: String,
    security: String,
}

impl Mirrors {
    pub fn of_suite(&self, suite: &str) -> &str {
        if suite.ends_with("-security") {
            &self.security
        } else {
            &self.main
        }
    }

    /// Reads them off the machine's own sources of packages.
    pub fn of_this_machine() -> Result<Self> {
        let (mut main, mut security) = (None, None);
        for (uri, suite) in machine_sources() {
            let place = if suite.contains("-security") {
                &mut security
            } else {
                &mut main
            };
            place.get_or_insert(uri);
        }
        let main = main.context("the machine's apt has no Debian mirror")?;
        let security = security.unwrap_or_else(|| format!("{main}-security"));
        Ok(Self { main, security })
    }
}

/// Pairs of URI and suite from sources.list and sources.list.d, in both formats.
fn machine_sources() -> Vec<(String, String)> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    paths.extend(parts.map(|entry| entry.path()));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(text.lines().filter_map(parse_list_line)),
            Some("sources") => found.extend(text.split("\n\n").filter_map(parse_sources_stanza)),
            _ => {}
        }
    }
    found.retain(|(uri, _)| uri.contains("debian"));
    found
}

fn parse_list_line(line: &str) -> Option<(String, String)> {
    let line = line.trim().strip_prefix("deb ")?;
    let line = match line.trim().strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => line,
    };
    let mut words = line.split_whitespace();
    Some((plain_uri(words.next()?), words.next()?.to_owned()))
}

fn parse_sources_stanza(stanza: &str) -> Option<(String, String)> {
    let uri = field(stanza, "URIs")?.split_whitespace().next()?;
    let suite = field(stanza, "Suites")?.split_whitespace().next()?;
    Some((plain_uri(uri), suite.to_owned()))
}

/// A `mirror+file:` names a file whose first line is the mirror.
fn plain_uri(uri: &str) -> String {
    let named = uri
        .strip_prefix("mirror+file:")
        .map(|path| path.trim_start_matches("//"));
    let listed = named.and_then(|path| fs::read_to_string(path).ok());
    let first = listed.as_deref().and_then(|text| text.split_whitespace().next());
    first.unwrap_or(uri).trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_apt_sources_are_read() {
        let list = parse_list_line("deb [arch=amd64 signed-by=/k] http://mirror/debian/ bookworm main");
        assert_eq!(list, Some(("http://mirror/debian".into(), "bookworm".into())));
        assert_eq!(parse_list_line("# deb http://mirror/debian bookworm main"), None);
        let stanza = "Types: deb\n# a comment\nURIs: http://mirror/debian\nSuites: trixie trixie-updates";
        let parsed = parse_sources_stanza(stanza);
        assert_eq!(parsed, Some(("http://mirror/debian".into(), "trixie".into())));
    }
}
