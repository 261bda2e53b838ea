//! What a script says about itself: the block `# /// script` of PEP 723.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

use super::guest;
use super::requirement::Requirement;
use crate::failure::Failure;

/// What the block says, as far as it is for us.
#[derive(Debug, Default)]
pub struct Metadata {
    /// The packages that the script imports.
    pub dependencies: Vec<Requirement>,
    /// Packages whose native part can be left out: `[tool.vtwasm] without-native`.
    pub without_native: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Block {
    #[serde(default)]
    dependencies: Vec<String>,
    requires_python: Option<String>,
    #[serde(default)]
    tool: Tool,
}

#[derive(Default, Deserialize)]
struct Tool {
    #[serde(default)]
    vtwasm: ToolVtwasm,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ToolVtwasm {
    #[serde(default)]
    without_native: Vec<String>,
}

/// Reads the metadata of the script at `path`; `None` if it has none.
pub fn read(path: &Path) -> Result<Option<Metadata>> {
    // Whatever is wrong with the file itself, Python says it better.
    let Ok(bytes) = fs::read(path) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let bad = |line: usize, what: &str| {
        let message = format!("{}:{}: script metadata: {what}", path.display(), line + 1);
        Failure::usage(message).hint("PEP 723 says how such a block is written")
    };
    let Some((first, toml)) = block(&text).map_err(|(line, what)| bad(line, what))? else {
        return Ok(None);
    };
    let block: Block = toml::from_str(&toml).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(toml.len()));
        bad(
            first + toml[..start].matches('\n').count(),
            error.message().trim(),
        )
    })?;
    check_python(block.requires_python.as_deref(), path)?;
    Ok(Some(Metadata {
        dependencies: dependencies(&block.dependencies, path)?,
        without_native: block.tool.vtwasm.without_native,
    }))
}

/// The TOML in the block named `script`, and the number of its first line.
fn block(text: &str) -> Result<Option<(usize, String)>, (usize, &'static str)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = None;
    let mut next = 0;
    while let Some(start) = (next..lines.len()).find(|&line| opens(lines[line]).is_some()) {
        let comments = lines[start + 1..]
            .iter()
            .take_while(|line| **line == "#" || line.starts_with("# "));
        let end = start + 1 + comments.count();
        // The last line that closes: TOML may contain such a line itself.
        let close = (start + 1..end)
            .rev()
            .find(|&line| lines[line].trim_end() == "# ///");
        next = close.unwrap_or(start) + 1;
        if opens(lines[start]) != Some("script") {
            continue;
        }
        let close = close.ok_or((start, "the block is not closed by a line `# ///`"))?;
        if found.is_some() {
            return Err((start, "there is more than one block `script`"));
        }
        let content = lines[start + 1..close].iter();
        let toml: String = content
            .map(|line| format!("{}\n", line.get(2..).unwrap_or("")))
            .collect();
        found = Some((start + 1, toml));
    }
    Ok(found)
}

/// The name of the block that this line opens.
fn opens(line: &str) -> Option<&str> {
    let name = line.trim_end().strip_prefix("# /// ")?;
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (!name.is_empty() && name.chars().all(letters)).then_some(name)
}

fn check_python(required: Option<&str>, path: &Path) -> Result<()> {
    let Some(required) = required else { return Ok(()) };
    let fits = guest::is_python(required).map_err(|error| {
        let what = format!("{}: requires-python = {required:?}: {error}", path.display());
        Failure::usage(what).hint("write it as in requires-python = \">=3.11\"")
    })?;
    if fits {
        return Ok(());
    }
    let what = format!(
        "{} requires Python {required}; the one in vtwasm is {}",
        path.display(),
        guest::VERSION
    );
    Err(Failure::usage(what)
        .hint("widen requires-python if the script runs on this version too")
        .into())
}

/// The dependencies. A script is what the sandbox is for, so it may choose among the packages that
/// this machine's index has, and may not send the host to an address of its own.
fn dependencies(texts: &[String], path: &Path) -> Result<Vec<Requirement>> {
    let requirement = |text: &String| {
        let bad = |what: &str| Failure::usage(format!("{}: dependency {text:?}: {what}", path.display()));
        let requirement = Requirement::parse(text)
            .map_err(|what| bad(what).hint("write it as in dependencies = [\"requests>=2\"]"))?;
        if requirement.has_address {
            let hint = format!("if you trust it, say it yourself: --with '{text}'");
            return Err(bad("a script may not name an address").hint(hint).into());
        }
        Ok(requirement)
    };
    texts.iter().map(requirement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_found_among_code_and_other_blocks() {
        let text = "#!/usr/bin/python\n# /// other\n# x\n# ///\n\n\
                    # /// script\r\n# a = 1\r\n#\n# # ///\n# ///\n# no longer\nprint()\n";
        let (first, toml) = block(text).unwrap().unwrap();
        assert_eq!((first, toml.as_str()), (6, "a = 1\n\n# ///\n"));
        assert_eq!(block("print()\n#/// script\n# ///\n"), Ok(None));
        assert_eq!(block(""), Ok(None));
    }

    #[test]
    fn a_block_that_is_open_or_there_twice_is_an_error_with_its_line() {
        assert_eq!(block("\n# /// script\n# a = 1\nx").unwrap_err().0, 1);
        let twice = "# /// script\n# ///\n\n# /// script\n# ///\n";
        assert_eq!(block(twice).unwrap_err().0, 3);
    }
}
