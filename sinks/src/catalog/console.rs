//! `console`: shows readings on standard output, one a line.

use rivulet_core::component::Component;
use rivulet_core::error::Result;
use rivulet_core::reading::Reading;
use serde::Deserialize;

use super::{SinkContext, SinkSettings};
use crate::json;
use crate::output::Output;
use crate::sink::{Delivery, Failure, Sink};
use crate::text::{pad, push, push_key, push_number, push_sensor, push_time};

/// Shows a title, then one reading a line.
///
/// A reading is shown before its offset is committed. After a crash a reading may be shown twice,
/// and none is missing.
///
/// ```
/// use rivulet_sinks::catalog::{SinkContext, read};
/// use rivulet_sinks::sink::Delivery;
/// use rivulet_pipeline::ComponentConfig;
/// use rivulet_core::reading::Reading;
/// use rivulet_core::unit::Unit;
///
/// let topics = vec!["temperatures_ewma".to_owned()];
/// let config = r#"console = { title = "EWMA", show = "reading" }"#;
/// let settings = read(&ComponentConfig::parse(config).unwrap(), &topics).unwrap();
/// let mut sink = settings.open(SinkContext::new("config", "out-ewma", topics))?;
/// let unit = Some(Unit::Fahrenheit);
/// let reading = Reading { sensor: "seattle".into(), seq: 7, time: 0, value: 54.05, unit };
/// let readings = &[reading][..];
/// let (topic, partition, offset) = ("temperatures_ewma", 0, 41);
/// sink.write(&Delivery { topic, partition, offset, timestamp: 0, key: None, readings })?;
/// sink.flush()?; // EWMA, and below it: seattle   1970-01-01T00:00:00Z          54.050 °F
/// # Ok::<(), rivulet_sinks::sink::Failure>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Console {
    /// The first line. The default is the stage and its topics; "" is none.
    pub title: Option<String>,
    /// What to show of each reading.
    #[serde(default)]
    pub show: Show,
}

/// What to show of a reading.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
pub enum Show {
    /// Only the number, in the shortest form that parses to the same 64-bit float.
    #[default]
    Value,
    /// Sensor, event time and value with its unit, aligned. The value has three decimals.
    Reading,
    /// A JSON object. A missing unit is `null`.
    Json,
    /// The record's key ("-" for none), topic, partition and offset, and the value.
    Record,
}

impl Component for Console {
    const NAME: &'static str = "console";
    const ABOUT: &'static str =
        "shows a title, then each value, reading, JSON object or record on a line";
    const EXAMPLE: &'static str = r#"console = { title = "EWMA", show = "reading" }"#;
}

impl SinkSettings for Console {
    fn open(self: Box<Self>, context: SinkContext) -> Result<Box<dyn Sink>> {
        let title = self
            .title
            .unwrap_or_else(|| format!("{}: {}", context.stage, context.topics.join(", ")));
        let mut output = Output::new(&context.stage, context.output);
        if !title.is_empty() {
            output.write(format!("{title}\n").as_bytes())?;
            output.flush()?;
        }
        Ok(Box::new(ConsoleSink {
            output,
            show: self.show,
            line: Vec::new(),
            sensor_width: 8,
        }))
    }
}

/// The largest width of the column of sensors. A longer name does not widen it.
const SENSOR_WIDTH_LIMIT: usize = 32;
/// The width of an event time with milliseconds.
const TIME_WIDTH: usize = "2012-01-01T00:00:00.000Z".len();

#[derive(Debug)]
struct ConsoleSink {
    output: Output,
    show: Show,
    line: Vec<u8>,
    /// In characters. It grows with the names, which are not known in advance.
    sensor_width: usize,
}

impl ConsoleSink {
    fn push_aligned(&mut self, reading: &Reading<'_>) {
        let line = &mut self.line;
        push_sensor(line, &reading.sensor);
        self.sensor_width = self
            .sensor_width
            .max(reading.sensor.chars().count().min(SENSOR_WIDTH_LIMIT));
        pad(line, 0, self.sensor_width + 2);
        let start = line.len();
        push_time(line, reading.time);
        pad(line, start, TIME_WIDTH);
        push(line, format_args!("  {:>10.3}", reading.value));
        if let Some(unit) = &reading.unit {
            push(line, format_args!(" {}", unit.symbol()));
        }
    }
}

impl ConsoleSink {
    fn show(&mut self, delivery: &Delivery<'_>, reading: &Reading<'_>) -> Result<()> {
        self.line.clear();
        match self.show {
            Show::Value => push_number(&mut self.line, reading.value),
            Show::Reading => self.push_aligned(reading),
            Show::Json => {
                json::push_reading(&mut self.line, reading);
                return self.output.write(&self.line);
            }
            Show::Record => {
                push_key(&mut self.line, delivery.key);
                let Delivery {
                    topic,
                    partition,
                    offset,
                    ..
                } = delivery;
                push(
                    &mut self.line,
                    format_args!(" {topic}[{partition}] {offset} "),
                );
                push_number(&mut self.line, reading.value);
            }
        }
        self.line.push(b'\n');
        self.output.write(&self.line)
    }
}

impl Sink for ConsoleSink {
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<(), Failure> {
        for reading in delivery.readings {
            self.show(delivery, reading)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.output.flush()?)
    }

    fn rollback(&mut self) {
        self.output.discard();
    }

    fn finish(&mut self) -> Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use rivulet_core::unit::Unit;
    use rivulet_pipeline::ComponentConfig;

    use super::*;
    use crate::catalog::read;
    use crate::output::tests::Screen;

    fn reading(sensor: &str, time: i64, value: f64, unit: Option<Unit>) -> Reading<'_> {
        Reading {
            sensor: sensor.into(),
            seq: 7,
            time,
            value,
            unit,
        }
    }

    fn shown(settings: &str) -> String {
        let screen = Screen::default();
        let topics = vec!["temperatures_ewma".to_owned(), "other".to_owned()];
        let settings = read(&ComponentConfig::parse(settings).unwrap(), &topics).unwrap();
        let output = Box::new(screen.clone());
        let mut sink = settings
            .open(SinkContext {
                output,
                ..SinkContext::new("", "out", topics)
            })
            .unwrap();
        let readings = [
            reading("seattle", 1_325_376_000_000, 54.05, Some(Unit::Fahrenheit)),
            reading("são-paulo", 1_325_376_000_250, -3.0, Some(Unit::Celsius)),
            reading("", 0, 0.1 + 0.2, None),
        ];
        let keys = [Some(&b"seattle"[..]), Some("são-paulo".as_bytes()), None];
        for ((reading, key), offset) in readings.iter().zip(keys).zip(41..) {
            let delivery = Delivery {
                topic: "temperatures_ewma",
                partition: 0,
                offset,
                timestamp: 0,
                key,
                readings: slice::from_ref(reading),
            };
            sink.write(&delivery).unwrap();
        }
        sink.flush().unwrap();
        screen.text()
    }

    #[test]
    fn values_are_shown_under_the_stage_and_its_topics() {
        assert_eq!(
            shown("console = {}"),
            "out: temperatures_ewma, other\n54.05\n-3.0\n0.30000000000000004\n"
        );
    }

    #[test]
    fn readings_are_aligned_under_the_title() {
        let expected = "EWMA
seattle   2012-01-01T00:00:00Z          54.050 °F
são-paulo  2012-01-01T00:00:00.25Z       -3.000 °C
(all)      1970-01-01T00:00:00Z           0.300
";
        assert_eq!(
            shown(r#"console = { title = "EWMA", show = "reading" }"#),
            expected
        );
    }

    #[test]
    fn json_is_one_reading_a_line_and_the_title_is_optional() {
        let expected = [
            concat!(
                r#"{"sensor":"seattle","seq":7,"time":1325376000000,"value":54.05,"#,
                r#""unit":"fahrenheit"}"#
            ),
            r#"{"sensor":"são-paulo","seq":7,"time":1325376000250,"value":-3.0,"unit":"celsius"}"#,
            r#"{"sensor":"","seq":7,"time":0,"value":0.30000000000000004,"unit":null}"#,
        ];
        let shown = shown(r#"console = { title = "", show = "json" }"#);
        assert_eq!(shown, expected.join("\n") + "\n");
    }

    #[test]
    fn records_are_shown_with_topic_partition_and_offset() {
        let expected = "T
seattle temperatures_ewma[0] 41 54.05
são-paulo temperatures_ewma[0] 42 -3.0
- temperatures_ewma[0] 43 0.30000000000000004
";
        assert_eq!(
            shown(r#"console = { title = "T", show = "record" }"#),
            expected
        );
    }

    #[test]
    fn an_unknown_show_is_an_error() {
        let config = ComponentConfig::parse(r#"console = { show = "table" }"#).unwrap();
        let diagnostic = format!("{:?}", read(&config, &[]).unwrap_err());
        assert!(
            diagnostic.contains("unknown variant `table`, expected one of `value`, `reading`"),
            "{diagnostic}"
        );
    }
}
