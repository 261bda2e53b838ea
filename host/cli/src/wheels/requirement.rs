//! Requirements and the names of packages, as PEP 508 writes them: read as far as we decide something
//! by them. The rest is for uv to understand, or to refuse.

use std::fmt;

pub use vtwasm_server::PackageName as Name;

/// What is asked for: `requests[socks] >= 2; python_version < '4'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// The package.
    pub name: Name,
    /// It says where the package is, as in `name @ https://…`.
    pub has_address: bool,
    text: String,
}

impl Requirement {
    /// Reads a requirement.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Requirement, &'static str> {
        let text = text.trim();
        // What uv's requirement files give a meaning to: further lines, options, variables.
        if text.contains(|c: char| c.is_control() || c == '$' || c == '\\') || text.contains(" -") {
            return Err("it is more than a requirement");
        }
        let end = text
            .find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c))
            .unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let name = Name::new(name).ok_or("it does not start with the name of a package")?;
        let mut rest = rest.trim_start();
        if let Some(extras) = rest.strip_prefix('[') {
            let (_, after) = extras.split_once(']').ok_or("the bracket is not closed")?;
            rest = after.trim_start();
        }
        // What may come next: a version, an address, a marker, or nothing.
        if !rest.is_empty() && !rest.starts_with(['<', '>', '=', '!', '~', '(', '@', ';']) {
            return Err("after the name comes a version such as >=1.0");
        }
        Ok(Requirement {
            name,
            has_address: rest.starts_with('@'),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_starts_with_a_name_in_any_spelling() {
        let requirement = Requirement::parse(" Zope.Interface_X [a,b] >= 2 ; os_name == 'x' ").unwrap();
        assert_eq!(requirement.name.to_string(), "zope-interface-x");
        assert!(!requirement.has_address);
        assert!(Requirement::parse("a@file:///x").unwrap().has_address);
        for plain in ["a", "a==1", "a (>1)", "a;os_name=='x'", "a-_-b~=1.0"] {
            assert!(Requirement::parse(plain).is_ok(), "{plain}");
        }
    }

    #[test]
    fn nothing_else_gets_through_to_the_tool() {
        for bad in [
            "",
            "-r x",
            "--index-url=x",
            "./a.whl",
            "a\n-r x",
            "a b",
            "a[b",
            "a-",
            "ä",
            "a,b",
        ] {
            assert!(Requirement::parse(bad).is_err(), "{bad}");
        }
    }
}
