//! Descriptions of operators and chains, such as `ewma(alpha=0.5)`.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What stands between two steps in the description of a chain.
pub const ARROW: &str = " → ";

/// An operator as its [description](crate::operator::Operator::describe) states it: its name and
/// its settings.
///
/// ```
/// use rivulet_core::description::StepDescription;
///
/// let chain = "threshold(above=50) → ewma(alpha=0.5)";
/// let steps = StepDescription::parse_chain(chain).ok_or("no description of a chain")?;
/// assert_eq!(steps[1].name(), "ewma");
/// assert_eq!(steps[1].to_string(), "ewma(alpha=0.5)");
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StepDescription {
    name: String,
    settings: Map<String, Value>,
}

impl StepDescription {
    /// The steps of a chain from its description. `None` if the text is not one.
    #[must_use]
    pub fn parse_chain(chain: &str) -> Option<Vec<Self>> {
        chain.split(ARROW).map(StepDescription::parse).collect()
    }

    /// An operator from its description. `None` if the text is not one.
    #[must_use]
    pub fn parse(step: &str) -> Option<Self> {
        let (name, settings) = step
            .strip_suffix(')')?
            .split_once('(')
            .filter(|(name, _)| is_plain(name))?;
        let settings = settings
            .split(", ")
            .filter(|setting| !setting.is_empty())
            .map(|setting| {
                let (key, value) = setting.split_once('=').filter(|(key, _)| is_plain(key))?;
                Some((key.to_owned(), parse_value(value)?))
            });
        Some(StepDescription {
            name: name.to_owned(),
            settings: settings.collect::<Option<_>>()?,
        })
    }

    /// The operator's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operator's settings, by name.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.settings
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The settings as the type that knows them.
    ///
    /// # Errors
    /// Why the type rejects them.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, String> {
        T::deserialize(Value::Object(self.settings.clone())).map_err(|error| error.to_string())
    }
}

impl fmt::Display for StepDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (index, (name, value)) in self.values().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            match value {
                Value::String(text) => write!(f, "{comma}{name}={text}")?,
                other => write!(f, "{comma}{name}={other}")?,
            }
        }
        f.write_str(")")
    }
}

fn parse_value(value: &str) -> Option<Value> {
    if let Ok(value) = value.parse::<bool>() {
        return Some(value.into());
    }
    if let Ok(value) = value.parse::<i64>() {
        return Some(value.into());
    }
    if let Ok(value) = value.parse::<f64>() {
        return Some(value.into());
    }
    is_plain(value).then(|| value.into())
}

/// Whether the text is a word of letters, digits and hyphens.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_read_from_its_description() {
        let steps = StepDescription::parse_chain(
            "convert(from=celsius, to=kelvin) → noise(amplitude=-0.5, seed=7)",
        )
        .unwrap();
        assert_eq!(
            steps.iter().map(StepDescription::name).collect::<Vec<_>>(),
            ["convert", "noise"]
        );
        let settings = steps[0].settings::<Map<String, Value>>().unwrap();
        assert_eq!(settings["from"], "celsius");
        assert_eq!(settings["to"], "kelvin");
        let large = StepDescription::parse("ewma(alpha=100000000000000000000000)").unwrap();
        assert_eq!(large.settings["alpha"], 1e23);
    }

    #[test]
    fn what_is_no_description_is_not_read() {
        for text in [
            "",
            "ewma",
            "ewma(alpha)",
            "ewma(alpha=0.5",
            "a(b=1) → ",
            "a(b=1)(c=2)",
            "a = 1 #(b=1)",
        ] {
            assert!(StepDescription::parse_chain(text).is_none(), "{text}");
        }
    }
}
