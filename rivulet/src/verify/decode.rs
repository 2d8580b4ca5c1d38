//! Decoding once more, in the plainest way: every value becomes a [`Value`] and is looked through.

use serde_json::Value;
use stream::format::FormatName;
use stream::pipeline::Topic;
use stream::reading::Unit;

use super::truth::Entry;
use crate::read::Record;

/// The sensor and the rest of the reading in a record, or why there is none.
pub(super) fn decode(topic: &Topic, record: &Record<'_>) -> Result<(String, Entry), String> {
    let bytes = record.value.ok_or("no value")?;
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match topic.format {
        FormatName::Json => json(&value).ok_or_else(|| "not a reading".to_owned()),
        FormatName::Number => {
            let value = value.as_f64().filter(|value| value.is_finite()).ok_or("not a number")?;
            // What the format cannot say comes from the record.
            let seq = u64::try_from(record.offset).unwrap_or_default();
            Ok((String::new(), Entry { seq, time: record.timestamp, value, unit: topic.unit }))
        }
    }
}

fn json(value: &Value) -> Option<(String, Entry)> {
    let unit = match value.get("unit")?.as_str()? {
        "celsius" => Unit::Celsius,
        "fahrenheit" => Unit::Fahrenheit,
        "kelvin" => Unit::Kelvin,
        _ => return None,
    };
    let entry = Entry {
        seq: value.get("seq")?.as_u64()?,
        time: value.get("time")?.as_i64()?,
        value: value.get("value")?.as_f64().filter(|value| value.is_finite())?,
        unit: Some(unit),
    };
    Some((value.get("sensor")?.as_str()?.to_owned(), entry))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stream::log::Incoming;
    use stream::pipeline::Role;

    use super::*;

    fn topic(format: FormatName) -> Topic {
        Topic {
            partitions: 1,
            replication: None,
            format,
            unit: Some(Unit::Kelvin),
            external: false,
            config: [].into(),
            role: Role::Readings,
        }
    }

    fn record(offset: i64, value: Option<&[u8]>) -> Record<'_> {
        Record { partition: 0, offset, timestamp: 9, key: None, value, headers: &[] }
    }

    fn both(format: FormatName, value: &[u8]) -> (Option<f64>, Option<f64>) {
        let topic = topic(format);
        let record = record(7, Some(value));
        let incoming = Incoming { topic: 0, partition: 0, offset: 7, timestamp: 9, key: None, value: Some(value) };
        let theirs = topic.build_format().decode(&incoming).ok().map(|reading| reading.value);
        (decode(&topic, &record).ok().map(|(_, entry)| entry.value), theirs)
    }

    #[test]
    fn a_reading_is_read_in_both_formats() {
        let line = br#"{"sensor":"a","seq":7,"time":-5,"value":12,"unit":"celsius"}"#;
        let entry = Entry { seq: 7, time: -5, value: 12.0, unit: Some(Unit::Celsius) };
        assert_eq!(decode(&topic(FormatName::Json), &record(3, Some(line))), Ok(("a".into(), entry)));
        let entry = Entry { seq: 3, time: 9, value: -1.5, unit: Some(Unit::Kelvin) };
        assert_eq!(decode(&topic(FormatName::Number), &record(3, Some(b"-1.5"))), Ok((String::new(), entry)));
    }

    #[test]
    fn it_refuses_what_the_stages_refuse() {
        let good = r#"{"sensor":"a","seq":7,"time":5,"value":12,"unit":"celsius"}"#;
        let spoilt = [
            ("7", "-7"),
            ("7", "7.0"),
            ("5", "null"),
            ("12", "1e999"),
            ("12", "\"12\""),
            ("celsius", "rankine"),
            ("\"a\"", "1"),
        ];
        let mut bad: Vec<String> = spoilt.iter().map(|(from, to)| good.replacen(from, to, 1)).collect();
        bad.extend(["", "null", "\"abc\"", "NaN", "{}", "[[]]", "1 2", "{\"sensor\":", "-"].map(String::from));
        for format in [FormatName::Json, FormatName::Number] {
            for value in bad.iter().map(String::as_bytes).chain([&b"\xff\xfe"[..], &[b'x'; 1000]]) {
                assert_eq!(both(format, value), (None, None), "{}", String::from_utf8_lossy(value));
            }
        }
    }

    proptest! {
        #[test]
        fn it_reads_the_same_number_as_the_stages(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?") {
            let (ours, theirs) = both(FormatName::Number, text.as_bytes());
            prop_assert_eq!(ours, theirs);
        }
    }
}
