//! An amount of memory, written as `64 MB`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// An amount of memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("pattern" = pattern()))
)]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// What the text of a size looks like.
#[cfg(feature = "schema")]
fn pattern() -> String {
    let letter = |c: char| format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase());
    let unit = |(name, _): (&str, u64)| name.chars().map(letter).collect::<String>();
    format!(r"^\s*[0-9]+\s*({})\s*$", UNITS.map(unit).join("|"))
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, unit) = text.split_at(
            text.find(|character: char| !character.is_ascii_digit())
                .unwrap_or(text.len()),
        );
        let unit = unit.trim();
        let bytes = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes));
        bytes.map(Size).ok_or_else(|| {
            let units: Vec<&str> = UNITS.iter().map(|(name, _)| *name).collect();
            format!(
                "`{text}` is not a size; write a whole number with its unit ({}), such as 64 MB",
                units.join(", ")
            )
        })
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// In megabytes, or in a smaller unit if that is more exact.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size(bytes) = self;
        if *bytes >= 10_000_000 || bytes % 1_000_000 == 0 {
            write!(f, "{} MB", bytes / 1_000_000)
        } else if *bytes >= 10_000 || bytes % 1_000 == 0 {
            write!(f, "{} kB", bytes / 1_000)
        } else {
            write!(f, "{bytes} B")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let sizes = [
            ("64 MB", 64_000_000),
            ("64mb", 64_000_000),
            ("16MiB", 16 << 20),
            (" 5 kB ", 5_000),
            ("7 B", 7),
        ];
        for (text, bytes) in sizes {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        assert_eq!(Size(64_000_000).to_string(), "64 MB");
        assert_eq!(Size(16 << 20).to_string(), "16 MB");
        assert_eq!(Size(1_500_000).to_string(), "1500 kB");
        assert_eq!(Size(7).to_string(), "7 B");
    }

    #[test]
    fn an_error_shows_how_to_write_a_size() {
        for text in [
            "",
            "64",
            "MB",
            "-1 MB",
            "1.5 GB",
            "64 parsecs",
            "99999999999999 GB",
        ] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains("such as 64 MB"), "{error}");
        }
    }
}
