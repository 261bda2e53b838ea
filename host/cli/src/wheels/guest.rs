//! The guest's Python, as `requires-python` and markers such as `sys_platform == "wasi"` see it.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec::IntoIter;

/// The version of the Python that is built into this program.
pub const VERSION: &str = "3.13.5";
/// The part of it that wheels depend on.
pub const MINOR: u8 = 13;

/// The variables of a marker. `extras` and the like, which a lock file may have, are empty here.
fn variable(name: &str) -> Option<&'static str> {
    Some(match name {
        "implementation_name" => "cpython",
        "implementation_version" | "python_full_version" => VERSION,
        "os_name" => "posix",
        "platform_machine" => "wasm32",
        "platform_python_implementation" => "CPython",
        "platform_release" | "platform_version" => "0.0.0",
        "platform_system" | "sys_platform" => "wasi",
        "python_version" => "3.13",
        "extra" | "extras" | "dependency_groups" => "",
        _ => return None,
    })
}

/// Whether this Python is one of `specifiers`, such as `>=3.11,<4`.
///
/// # Errors
/// The part that is not understood.
pub fn is_python(specifiers: &str) -> Result<bool, String> {
    let parts = specifiers
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let end = part.find(|c: char| !"<>=!~".contains(c)).unwrap_or(part.len());
            let (operator, version) = part.split_at(end);
            let fits = compare_versions(VERSION, operator, version.trim());
            fits.ok_or_else(|| format!("{part:?} is no version"))
        })
        .try_fold(true, |all, fits| Ok(all & fits?))
}

/// Whether a marker is true for the guest.
///
/// # Errors
/// What is not understood in it.
pub fn is_marked(marker: &str) -> Result<bool, String> {
    let mut tokens = tokens(marker)?.into_iter().peekable();
    let result = either(&mut tokens)?;
    match tokens.next() {
        None => Ok(result),
        Some(token) => Err(format!("the marker {marker:?} goes on with {token:?}")),
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Operator(String),
    Text(String),
}

type Tokens = Peekable<IntoIter<Token>>;

fn tokens(marker: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = marker.trim_start();
    while let Some(first) = rest.chars().next() {
        let run = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let (token, length) = match first {
            '\'' | '"' => {
                let text = rest[1..].split(first).next().unwrap_or("");
                (Token::Text(text.into()), text.len() + 2)
            }
            '(' | ')' => (Token::Operator(first.into()), 1),
            '<' | '>' | '=' | '!' | '~' => {
                let end = run(|c| "<>=!~".contains(c));
                (Token::Operator(rest[..end].into()), end)
            }
            'a'..='z' => {
                let end = run(|c| c.is_ascii_alphanumeric() || c == '_');
                (Token::Word(rest[..end].into()), end)
            }
            _ => return Err(format!("the marker {marker:?} has {first:?} in it")),
        };
        tokens.push(token);
        rest = rest
            .get(length..)
            .ok_or_else(|| format!("the marker {marker:?} ends inside a text"))?
            .trim_start();
    }
    Ok(tokens)
}

fn either(tokens: &mut Tokens) -> Result<bool, String> {
    let mut result = both(tokens)?;
    while tokens
        .next_if(|token| *token == Token::Word("or".into()))
        .is_some()
    {
        result |= both(tokens)?;
    }
    Ok(result)
}

fn both(tokens: &mut Tokens) -> Result<bool, String> {
    let mut result = single(tokens)?;
    while tokens
        .next_if(|token| *token == Token::Word("and".into()))
        .is_some()
    {
        result &= single(tokens)?;
    }
    Ok(result)
}

fn single(tokens: &mut Tokens) -> Result<bool, String> {
    let is = |sign: &'static str| move |token: &Token| *token == Token::Operator(sign.into());
    if tokens.next_if(is("(")).is_some() {
        let result = either(tokens)?;
        let closed = tokens.next_if(is(")")).map(|_| result);
        return closed.ok_or_else(|| "a marker's bracket is not closed".into());
    }
    let (left, left_is_version) = value(tokens)?;
    let operator = match tokens.next() {
        Some(Token::Operator(operator)) => operator,
        Some(Token::Word(word)) if word == "in" => word,
        Some(Token::Word(word)) if word == "not" && tokens.next() == Some(Token::Word("in".into())) => {
            "not in".into()
        }
        other => return Err(format!("a marker does not compare: {other:?}")),
    };
    let (right, right_is_version) = value(tokens)?;
    let versions = (left_is_version || right_is_version)
        .then(|| compare_versions(&left, &operator, &right))
        .flatten();
    match versions {
        Some(result) => Ok(result),
        None => compare_texts(&left, &operator, &right).ok_or(format!("a marker compares with {operator}")),
    }
}

/// A text or a variable's value, and whether that is a version.
fn value(tokens: &mut Tokens) -> Result<(String, bool), String> {
    match tokens.next() {
        Some(Token::Text(text)) => Ok((text, false)),
        Some(Token::Word(name)) => {
            let value = variable(&name).ok_or_else(|| format!("the marker {name} is not known"))?;
            Ok((
                value.into(),
                name.ends_with("version") && name != "platform_version",
            ))
        }
        other => Err(format!("a marker has {other:?} where it should have a value")),
    }
}

fn compare_texts(left: &str, operator: &str, right: &str) -> Option<bool> {
    Some(match operator {
        "==" | "===" => left == right,
        "!=" => left != right,
        // Nothing is in no extras, and the empty text is no extra.
        "in" => !left.is_empty() && right.contains(left),
        "not in" => left.is_empty() || !right.contains(left),
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        _ => return None,
    })
}

/// PEP 440's comparison, of releases only: the guest's is one. `None` if one of them is no version.
fn compare_versions(left: &str, operator: &str, right: &str) -> Option<bool> {
    if let Some(all) = right.strip_suffix(".*") {
        let (left, right) = (release(left)?, release(all)?);
        let starts = left.iter().chain(&[0; 8]).zip(&right).all(|(a, b)| a == b);
        return match operator {
            "==" => Some(starts),
            "!=" => Some(!starts),
            _ => None,
        };
    }
    let (left, right) = (release(left)?, release(right)?);
    let length = left.len().max(right.len());
    let padded = |release: &[u64]| {
        let zeros = std::iter::repeat_n(0, length - release.len());
        release.iter().copied().chain(zeros).collect::<Vec<_>>()
    };
    let order = padded(&left).cmp(&padded(&right));
    Some(match operator {
        "==" | "===" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        "~=" if right.len() > 1 => {
            order != Ordering::Less && padded(&left).starts_with(&right[..right.len() - 1])
        }
        _ => return None,
    })
}

/// The numbers of a release. Of a pre-release such as `3.14.0a1` they are enough: this Python is on the
/// same side of it as of the release, unless it is the pre-release's own, which it is not.
fn release(version: &str) -> Option<Vec<u64>> {
    let version = version.trim().trim_start_matches('v');
    let end = version
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(version.len());
    let (numbers, rest) = version.split_at(end);
    let known = ["a", "b", "rc", "c", ".dev", "dev", "post", "-", "+", "_"];
    if !rest.is_empty() && !known.iter().any(|mark| rest.starts_with(mark)) {
        return None;
    }
    let numbers = numbers.trim_end_matches('.').split('.');
    numbers.map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requires_python_is_compared_number_by_number() {
        for fits in [
            ">=3.9",
            ">=3.11, <4",
            "==3.13.*",
            "~=3.10",
            "!=3.13.4",
            "==3.13.5",
            ">3.9,!=3.12.*",
            "",
            ">=3.13.0rc1",
            "<3.14.0a1",
            "~=3.13.2",
            ">= 3",
        ] {
            assert_eq!(is_python(fits), Ok(true), "{fits}");
        }
        for other in [
            "<3.13",
            ">=3.14",
            "==3.13",
            "~=3.12.0",
            "!=3.13.*",
            "==2.7",
            ">=3.13.6",
            ">=3,<3.10",
        ] {
            assert_eq!(is_python(other), Ok(false), "{other}");
        }
        for bad in ["3.13", ">=x", ">", "=>3.1", "~=3", ">=3.*", "python>=3"] {
            assert!(is_python(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn markers_are_true_or_false_for_the_guest() {
        for fits in [
            "sys_platform == 'wasi'",
            "sys_platform != \"win32\" and (os_name == 'nt' or os_name == 'posix')",
            "python_version >= '3.9'",
            "python_full_version < '3.14'",
            "'wasm' in platform_machine",
            "platform_machine not in 'x86_64 aarch64'",
            "(platform_machine == 'x86_64' and sys_platform == 'linux') or sys_platform == 'wasi'",
            "'3.13' == python_version",
            "'socks' not in extras",
        ] {
            assert_eq!(is_marked(fits), Ok(true), "{fits}");
        }
        for other in [
            "sys_platform == 'linux'",
            "python_version < '3.9'",
            "implementation_name != 'cpython' and os_name == 'posix'",
            "'socks' in extras",
            "extra == 'socks'",
        ] {
            assert_eq!(is_marked(other), Ok(false), "{other}");
        }
        for bad in [
            "",
            "x == 'y'",
            "os_name",
            "os_name == 'a",
            "(os_name == 'a'",
            "os_name == 'a' b",
            "§",
        ] {
            assert!(is_marked(bad).is_err(), "{bad}");
        }
    }
}
