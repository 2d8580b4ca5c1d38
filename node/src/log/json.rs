//! Log lines as JSON, an object each: [`JsonLayer`].

use std::fmt;
use std::io::Write;
use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;
use rivulet_core::text::{plain, plain_lines};
use serde_json::{Number, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::HELP;

/// Whose lines they are. It goes over what an event says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The stage, by its name in Kafka, if the process runs only one.
    pub(super) stage: Option<String>,
    pub(super) instance: Option<String>,
}

impl Origin {
    pub(super) const UNKNOWN: Origin = Origin {
        stage: None,
        instance: None,
    };
}

/// Writes each event as a JSON object on a line of its own.
///
/// Its first fields are `timestamp`, `level`, `message` and, if an error has one, `help`. Then come
/// those of the spans around it and its own. A span's field `name` has the name of the span.
pub(super) struct JsonLayer<W> {
    writer: W,
    origin: &'static RwLock<Origin>,
}

impl<W: for<'w> MakeWriter<'w>> JsonLayer<W> {
    pub(super) fn new(writer: W, origin: &'static RwLock<Origin>) -> Self {
        JsonLayer { writer, origin }
    }

    /// Writes the error with which a program ends. It may have several lines and quote a file.
    pub(super) fn fatal(&self, error: &str, exit_code: u8) {
        let mut fields = Fields::default();
        // An error with the help of several parts is one text.
        let (message, help) = match error.split_once(HELP) {
            Some((message, help)) if !help.contains('\n') => (message, Some(help)),
            _ => (error, None),
        };
        fields.message = plain_lines(message).into_owned();
        fields.help = help.map(|help| plain(help).into_owned());
        fields.set("exit_code", exit_code);
        self.write(Level::ERROR, fields);
    }

    fn write(&self, level: Level, mut fields: Fields) {
        let origin = self.origin.read().unwrap_or_else(PoisonError::into_inner);
        let origins = [("stage", &origin.stage), ("instance", &origin.instance)];
        for (name, value) in origins {
            if let Some(value) = value {
                fields.set(name, plain(value).into_owned());
            }
        }
        drop(origin);
        let first = [
            ("timestamp", Value::from(format!("{:.3}", Timestamp::now()))),
            ("level", Value::from(level.as_str())),
            ("message", Value::from(fields.message)),
        ];
        let help = fields.help.map(|help| ("help", Value::from(help)));
        let all = first.into_iter().chain(help).chain(fields.others);
        let all = all.map(|(name, value)| format!("\"{name}\":{value}"));
        let line = format!("{{{}}}\n", all.collect::<Vec<_>>().join(","));
        // In one call, so that lines of several threads do not mix. If nobody can read it, what it
        // is about goes on.
        let _ = self.writer.make_writer().write_all(line.as_bytes());
    }
}

impl<S, W> Layer<S> for JsonLayer<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields {
            span: Some(attributes.metadata().name()),
            ..Fields::default()
        };
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let spans = context.event_scope(event).into_iter();
        for span in spans.flat_map(Scope::from_root) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                for (name, value) in &of_span.others {
                    fields.set(name, value.clone());
                }
            }
        }
        self.write(*event.metadata().level(), fields);
    }
}

/// The fields of an event or a span. What others wrote is on one line, and [plain].
#[derive(Debug, Default)]
struct Fields {
    span: Option<&'static str>,
    message: String,
    help: Option<String>,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.others.iter_mut().find(|(other, _)| *other == name) {
            Some((_, known)) => *known = value,
            None => self.others.push((name, value)),
        }
    }

    fn record(&mut self, field: &Field, value: impl Into<Value>) {
        let name = match (field.name(), self.span) {
            ("name", Some(span)) => span,
            // These are the line's own.
            ("timestamp" | "level" | "help", _) => return,
            (name, _) => name,
        };
        self.set(name, value);
    }

    fn record_text(&mut self, field: &Field, text: &str) {
        let (text, help) = match text.split_once(HELP) {
            Some((text, help)) => (text, Some(help)),
            None => (text, None),
        };
        if let Some(help) = help {
            self.help = Some(plain(help).into_owned());
        }
        if field.name() == "message" {
            self.message = plain(text).into_owned();
        } else {
            self.record(field, plain(text).into_owned());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_text(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match Number::from_f64(value) {
            Some(number) => self.record(field, number),
            None => self.record(field, value.to_string()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tracing_subscriber::prelude::*;

    use super::*;

    /// Keeps what is written, call by call.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            self.0.lock().unwrap().push(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn origin(stage: Option<&str>, instance: Option<&str>) -> &'static RwLock<Origin> {
        Box::leak(Box::new(RwLock::new(Origin {
            stage: stage.map(str::to_owned),
            instance: instance.map(str::to_owned),
        })))
    }

    /// The lines that `log` writes, without their times, which are checked.
    fn lines(origin: &'static RwLock<Origin>, log: impl FnOnce(&JsonLayer<Maker>)) -> Vec<Value> {
        let written = Written::default();
        let maker = Maker(written.clone());
        let layer = JsonLayer::new(Maker(written.clone()), origin);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || log(&JsonLayer::new(maker, origin)));
        let calls = written.0.lock().unwrap();
        let lines = calls.iter().map(|line| {
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(line.starts_with("{\"timestamp\":\"2"), "{line}");
            let mut line: Value = serde_json::from_str(line).unwrap();
            let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            let time = time.as_str().unwrap();
            assert_eq!(
                (time.len(), &time[10..11], &time[19..20]),
                (24, "T", "."),
                "{time}"
            );
            assert!(time.ends_with('Z'), "{time}");
            line
        });
        lines.collect()
    }

    struct Maker(Written);

    impl MakeWriter<'_> for Maker {
        type Writer = Written;

        fn make_writer(&self) -> Written {
            self.0.clone()
        }
    }

    #[test]
    fn each_line_is_an_object_with_numbers_and_help() {
        let found = lines(origin(None, None), |_| {
            tracing::warn!(
                topic = "t",
                partition = 3,
                rate = 0.5,
                lost = f64::NAN,
                is_new = true,
                parts = ?[1, 2],
                file = %"a b",
                "reading t failed\n  help: try again"
            );
        });
        let expected = json!({
            "level": "WARN", "message": "reading t failed", "help": "try again", "topic": "t",
            "partition": 3, "rate": 0.5, "lost": "NaN", "is_new": true, "parts": "[1, 2]",
            "file": "a b"
        });
        assert_eq!(found, [expected]);
    }

    #[test]
    fn every_line_of_a_process_names_its_stage_and_instance() {
        let origin = origin(Some("team7-ewma"), Some("rpi0"));
        let found = lines(origin, |layer| {
            tracing::info!("from a client's thread");
            tracing::info!(stage = "ewma", "from the stage");
            layer.fatal("it failed\n  help: do this", 69);
        });
        let line = |level: &str, message: &str| {
            let (stage, instance) = ("team7-ewma", "rpi0");
            json!({"level": level, "message": message, "stage": stage, "instance": instance})
        };
        let mut last = line("ERROR", "it failed");
        last["help"] = "do this".into();
        last["exit_code"] = 69.into();
        let [first, second] = ["from a client's thread", "from the stage"];
        assert_eq!(found, [line("INFO", first), line("INFO", second), last]);
    }

    #[test]
    fn in_a_process_with_several_stages_the_span_names_one() {
        let found = lines(origin(None, Some("laptop")), |_| {
            let _stage = tracing::info_span!("stage", name = "ewma").entered();
            tracing::info!(commits = 7_u64, "stopped");
        });
        let expected = json!({"level": "INFO", "message": "stopped", "commits": 7,
                              "stage": "ewma", "instance": "laptop"});
        assert_eq!(found, [expected]);
    }

    #[test]
    fn what_others_wrote_adds_no_field_and_no_line() {
        const HOSTILE: &str = "a\",\"stage\":\"x\"}\n{\"level\":\"INFO\"\u{1b}[2J\u{202e}\u{9b}";
        let escaped = "a\",\"stage\":\"x\"}\\n{\"level\":\"INFO\"\\u{1b}[2J\\u{202e}\\u{9b}";
        let found = lines(origin(Some("s"), Some(HOSTILE)), |_| {
            tracing::error!(topic = HOSTILE, key = %HOSTILE, "{HOSTILE}\n  help: {HOSTILE}");
        });
        let expected = json!({"level": "ERROR", "message": escaped, "help": escaped,
                              "topic": escaped, "key": escaped, "stage": "s", "instance": escaped});
        assert_eq!(found, [expected]);
    }

    #[test]
    fn the_errors_of_a_file_are_one_message() {
        const ERRORS: &str = "p.toml:1: wrong\n  help: this\np.toml:2: \u{1b}wrong\n  help: that";
        let found = lines(origin(None, None), |layer| layer.fatal(ERRORS, 2));
        let message = ERRORS.replace('\u{1b}', "\\u{1b}");
        let expected = json!({"level": "ERROR", "message": message, "exit_code": 2});
        assert_eq!(found, [expected]);
    }
}
