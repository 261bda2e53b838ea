//! Reads sizes (`512MiB`) and durations (`1.5s`) from the command line.
//!
//! A number without a unit is refused: `--timeout 10` and `--memory 512` mean different things to
//! different people, and a sandbox must not guess its limits.

use std::time::Duration;

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

const DURATIONS_NS: &[(&str, u64)] = &[
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A number of bytes, such as `64KiB`, `1.5GB` or `100B`.
pub fn size(text: &str) -> Result<u64, String> {
    parse(
        text,
        SIZES,
        "a size such as 512MiB or 10MB",
        "B, kB, MB, GB, KiB, MiB or GiB",
    )
}

/// A duration, such as `250ms`, `1.5s`, `10min` or `2h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let nanoseconds = parse(
        text,
        DURATIONS_NS,
        "a duration such as 250ms, 10s or 2min",
        "us, ms, s, min, h or d",
    )?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// `text` as a positive multiple of one of `units`, rounded down.
fn parse(text: &str, units: &[(&str, u64)], example: &str, names: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    let number: f64 = number.parse().map_err(|_| format!("expected {example}"))?;
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => format!("the unit is missing: expected {example}"),
            _ => format!("unknown unit {unit:?}: expected {names}"),
        });
    };
    let value = number * *factor as f64;
    if !(1.0..9e18).contains(&value) {
        return Err(format!("out of range: expected {example}"));
    }
    Ok(value as u64)
}

/// `bytes` in the largest unit that divides it, for people.
pub fn show_size(bytes: u64) -> String {
    let unit = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1000),
    ];
    match unit
        .into_iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
    {
        Some((name, factor)) => format!("{} {name}", bytes / factor),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_or_binary_as_their_unit_says() {
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("10MB"), Ok(10_000_000));
        assert_eq!(size("1.5 KiB"), Ok(1536));
        assert_eq!(size("7B"), Ok(7));
    }

    #[test]
    fn durations_take_fractions() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn a_bad_value_says_what_was_expected() {
        assert!(size("512").unwrap_err().contains("unit is missing"));
        assert!(size("512M").unwrap_err().contains("MiB"));
        assert!(size("MiB").unwrap_err().contains("expected a size"));
        assert!(size("1.2.3MB").is_err() && size("").is_err() && size("-1MB").is_err());
        assert!(size("0B").unwrap_err().contains("out of range"));
        assert!(
            size("99999999999999999999GB")
                .unwrap_err()
                .contains("out of range")
        );
        assert!(
            duration("10 parsecs")
                .unwrap_err()
                .contains("unknown unit \"parsecs\"")
        );
        assert!(duration("NaNs").is_err() && duration("infs").is_err());
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_divides_them() {
        assert_eq!(show_size(512 << 20), "512 MiB");
        assert_eq!(show_size(10_000_000), "10 MB");
        assert_eq!(show_size(1001), "1001 bytes");
        assert_eq!(show_size(0), "0 bytes");
    }
}
