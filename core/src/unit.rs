//! Units of measured values: [`Unit`].

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::text::{is_plain, plain};

/// The unit of a value: any [plain](is_plain) text. The temperatures are known, so that
/// they can be converted.
///
/// It is copied with each reading, and allocates nothing.
///
/// ```
/// use rivulet_core::unit::Unit;
///
/// assert_eq!("celsius".parse(), Ok(Unit::Celsius));
/// let unit: Unit = "µg/m³".parse()?;
/// assert_eq!((unit.name(), unit.symbol()), ("µg/m³", "µg/m³"));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// °C
    Celsius,
    /// °F
    Fahrenheit,
    /// K
    Kelvin,
    /// Any other.
    Other(UnitName),
}

/// The longest name of a unit, in bytes.
pub const LONGEST_UNIT: usize = 30;

/// The name of a unit that is not [known](Unit). Only [`Unit::from_str`] makes one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnitName {
    length: u8,
    /// Zero after the name.
    bytes: [u8; LONGEST_UNIT],
}

impl Unit {
    /// The units that can be converted.
    pub const KNOWN: [Unit; 3] = [Unit::Celsius, Unit::Fahrenheit, Unit::Kelvin];

    /// The name on the wire and in pipeline files.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Unit::Celsius => "celsius",
            Unit::Fahrenheit => "fahrenheit",
            Unit::Kelvin => "kelvin",
            Unit::Other(name) => name.as_str(),
        }
    }

    /// The symbol, such as `°C`, or the name.
    #[must_use]
    pub fn symbol(&self) -> &str {
        match self {
            Unit::Celsius => "°C",
            Unit::Fahrenheit => "°F",
            Unit::Kelvin => "K",
            Unit::Other(name) => name.as_str(),
        }
    }
}

impl UnitName {
    fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.length)];
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some(unit) = Unit::KNOWN.iter().find(|unit| unit.name() == name) {
            return Ok(*unit);
        }
        if name.is_empty() {
            return Err("a unit has a name; leave it out if it is not known".to_owned());
        }
        if !name.chars().all(is_plain) {
            return Err(format!(
                "the name of a unit has control or invisible characters: \"{}\"",
                plain(name)
            ));
        }
        let mut bytes = [0; LONGEST_UNIT];
        let Some(start) = bytes.get_mut(..name.len()) else {
            return Err(format!(
                "the name of a unit has at most {LONGEST_UNIT} bytes, and this one has {}",
                name.len()
            ));
        };
        start.copy_from_slice(name.as_bytes());
        // It is at most 30.
        let length = u8::try_from(name.len()).unwrap_or_default();
        Ok(Unit::Other(UnitName { length, bytes }))
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ByName)
    }
}

/// Reads a unit from its name.
struct ByName;

impl Visitor<'_> for ByName {
    type Value = Unit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, the name of a unit")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Unit, E> {
        name.parse().map_err(E::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Unit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Unit".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A unit: celsius, fahrenheit, kelvin, or any other text.",
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_UNIT,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_unit_that_is_known_is_known_by_its_name() {
        let known = [
            (Unit::Celsius, "celsius", "°C"),
            (Unit::Fahrenheit, "fahrenheit", "°F"),
            (Unit::Kelvin, "kelvin", "K"),
        ];
        assert_eq!(known.map(|(unit, ..)| unit), Unit::KNOWN);
        for (unit, name, symbol) in known {
            assert_eq!(name.parse(), Ok(unit));
            assert_eq!((unit.name(), unit.symbol()), (name, symbol));
        }
    }

    #[test]
    fn a_unit_needs_a_name_that_is_not_too_long() {
        assert!("".parse::<Unit>().unwrap_err().contains("leave it out"));
        let error = "x".repeat(LONGEST_UNIT + 1).parse::<Unit>().unwrap_err();
        assert!(error.contains("at most 30 bytes"), "{error}");
        let error = "\u{1b}[2J".parse::<Unit>().unwrap_err();
        assert!(error.contains("control or invisible characters"), "{error}");
    }

    proptest! {
        #[test]
        fn any_other_plain_text_is_kept(name in r"\PC{1,7}") {
            prop_assume!(name.chars().all(is_plain));
            let unit: Unit = name.parse().unwrap();
            prop_assert_eq!(unit.name(), name.as_str());
            prop_assert_eq!(unit.to_string(), name);
        }
    }
}
