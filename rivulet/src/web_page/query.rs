//! What a viewer asks for: [`ViewQuery`].

use std::ops::RangeInclusive;

use percent_encoding::percent_decode_str;

/// How many sensors are shown at once.
pub(super) const MOST_SENSORS: usize = 4;
/// The longest name of a sensor that is asked for, in bytes.
const LONGEST: usize = 1000;
/// How many columns a chart has.
const COLUMNS: RangeInclusive<usize> = 16..=2000;
const DEFAULT_COLUMNS: usize = 800;
/// Into how many parts the time is cut of which the latest is shown.
const PARTS: RangeInclusive<u32> = 1..=1024;

/// What a viewer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ViewQuery {
    /// The sensors that are drawn.
    pub(super) sensors: Vec<String>,
    /// How many columns a chart has at most.
    pub(super) columns: usize,
    /// The event times that are drawn.
    pub(super) range: ViewRange,
    /// The page of the table of all sensors.
    pub(super) page: usize,
}

/// The event times that a viewer sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ViewRange {
    /// The latest of so many equal parts of what there is; 1 is everything.
    Latest(u32),
    /// From one time to another, in milliseconds since the epoch.
    Times(RangeInclusive<i64>),
}

impl ViewQuery {
    /// Reads the part of an address after `?`.
    ///
    /// # Errors
    /// A sentence for whoever has written it.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut sensors: Vec<String> = Vec::new();
        let (mut columns, mut parts, mut page) = (None, None, None);
        let (mut from, mut to) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let value = value.as_str();
            match name.as_str() {
                "sensor" if value.len() > LONGEST => {
                    return Err(format!("a sensor has at most {LONGEST} bytes here"));
                }
                "sensor" if sensors.iter().any(|known| known == value) => (),
                "sensor" if sensors.len() == MOST_SENSORS => {
                    return Err(format!("at most {MOST_SENSORS} sensors are shown at once"));
                }
                "sensor" => sensors.push(value.to_owned()),
                "columns" => set(&mut columns, &name, value)?,
                "latest" => set(&mut parts, &name, value)?,
                "page" => set(&mut page, &name, value)?,
                "from" => set(&mut from, &name, value)?,
                "to" => set(&mut to, &name, value)?,
                _ => {
                    let known = "sensor, columns, latest, from, to and page";
                    return Err(format!("there is no such parameter; there are {known}"));
                }
            }
        }
        let columns = columns.unwrap_or(DEFAULT_COLUMNS);
        if !COLUMNS.contains(&columns) {
            let (least, most) = (COLUMNS.start(), COLUMNS.end());
            return Err(format!("`columns` is from {least} to {most}"));
        }
        let range = match (from, to, parts) {
            (None, None, parts) => ViewRange::Latest(parts.unwrap_or(1)),
            (Some(from), Some(to), None) if from <= to => ViewRange::Times(from..=to),
            (Some(_), Some(_), None) => return Err("`from` is after `to`".into()),
            (_, _, None) => return Err("`from` and `to` are given together".into()),
            (_, _, Some(_)) => return Err("`latest` is given without `from` and `to`".into()),
        };
        if let ViewRange::Latest(parts) = &range
            && !PARTS.contains(parts)
        {
            let (least, most) = (PARTS.start(), PARTS.end());
            return Err(format!("`latest` is from {least} to {most}"));
        }
        Ok(ViewQuery {
            sensors,
            columns,
            range,
            page: page.unwrap_or_default(),
        })
    }
}

/// Text as forms write it.
fn decoded(text: &str) -> Result<String, String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "the parameters are not UTF-8".to_owned())
}

fn set<N: std::str::FromStr>(number: &mut Option<N>, name: &str, text: &str) -> Result<(), String> {
    if number.is_some() {
        return Err(format!("`{name}` is given twice"));
    }
    let parsed = text.parse();
    *number = Some(parsed.map_err(|_| format!("`{name}` is no number, or too large a one"))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    /// Something like a query, or a part of one.
    const PART: &str =
        "([a-z]{0,8}|sensor|columns|latest|from|to|page|%|&|=|[+-]?[0-9]{1,22}|.){0,12}";

    proptest! {
        /// Whatever somebody sends is read, or answered with a sentence.
        #[test]
        fn no_query_is_a_panic(query in PART) {
            if let Ok(view) = ViewQuery::parse(&query) {
                prop_assert!(view.sensors.len() <= MOST_SENSORS);
                prop_assert!(COLUMNS.contains(&view.columns));
                if let ViewRange::Times(times) = view.range {
                    prop_assert!(times.start() <= times.end());
                }
            }
        }

        #[test]
        fn any_sensor_and_any_range_can_be_asked_for(
            sensors in prop::collection::btree_set(any::<String>(), 0..4),
            from in any::<i64>(), length in any::<u32>(), columns in COLUMNS, page in any::<u16>(),
        ) {
            let sensors = sensors.into_iter().filter(|name| name.len() <= LONGEST);
            let sensors: Vec<String> = sensors.collect();
            let named = sensors.iter().map(|name| format!("sensor={}&", encoded(name)));
            let named = named.collect::<Vec<_>>().concat();
            let to = from.saturating_add(length.into());
            let query = format!("{named}from={from}&to={to}&columns={columns}&page={page}");
            let (range, page) = (ViewRange::Times(from..=to), page.into());
            let expected = ViewQuery { sensors, columns, range, page };
            prop_assert_eq!(ViewQuery::parse(&query), Ok(expected));
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence() {
        for (query, expected) in [
            ("sensr=a", "there is no such parameter"),
            ("columns=15", "from 16 to 2000"),
            ("columns=-1", "`columns` is no number"),
            (
                "page=99999999999999999999",
                "`page` is no number, or too large",
            ),
            ("latest=0", "from 1 to 1024"),
            ("latest=2&latest=2", "given twice"),
            ("from=1", "given together"),
            ("from=2&to=1", "after `to`"),
            ("from=1&to=2&latest=2", "without `from`"),
            ("sensor=%ff", "not UTF-8"),
            ("sensor=1&sensor=2&sensor=3&sensor=4&sensor=5", "at most 4"),
        ] {
            let error = ViewQuery::parse(query).unwrap_err();
            assert!(error.contains(expected), "{query}: {error}");
        }
        let view = ViewQuery::parse("sensor=a+b&&sensor=a%20b&latest=4").unwrap();
        assert_eq!(
            (view.sensors, view.range),
            (vec!["a b".to_owned()], ViewRange::Latest(4))
        );
    }
}
