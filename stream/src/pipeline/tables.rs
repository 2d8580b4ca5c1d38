//! The tables of a pipeline file, as they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::buffer::{ClockPolicy, SpoolSettings};
use super::diagnostic::{Diagnostic, Text, suggest};
use super::part::{ComponentConfig, Key};
use super::rules::{OnGap, Rules, Span};
use super::{
    CommitPolicy, DEFAULT_MAX_MESSAGE, MAX_MESSAGE_BYTES, Pipeline, Role, Stage, StageKind, Topic,
    reserved,
};
use crate::format::FormatName;
use crate::limits::Limits;
use crate::reading::Unit;
use crate::size::Size;

/// The keys at the top of the file.
const TOP: [&str; 9] = [
    "guarantee",
    "kafka",
    "commit",
    "limits",
    "defaults",
    "topic",
    "producer",
    "operator",
    "sink",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CommitTable {
    least_interval_ms: Option<u64>,
    longest_interval_ms: Option<u64>,
    records: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    memory: Option<Spanned<Size>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TopicTable {
    partitions: Option<Count>,
    replication: Option<Count>,
    format: Option<FormatName>,
    unit: Option<Unit>,
    #[serde(default)]
    external: bool,
    #[serde(default)]
    config: BTreeMap<String, Scalar>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct DefaultsTable {
    partitions: Option<Count>,
    replication: Option<Count>,
    format: Option<FormatName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProducerTable {
    #[serde(rename = "source")]
    _source: IgnoredAny,
    to: Names,
    spool: Option<SpoolSettings>,
    #[serde(default)]
    clock: ClockPolicy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OperatorTable {
    from: Names,
    #[serde(rename = "steps")]
    _steps: IgnoredAny,
    to: Names,
    on_gap: Option<OnGap>,
    #[serde(default)]
    require_key: bool,
    state_ttl: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SinkTable {
    from: Names,
    #[serde(rename = "sink")]
    _sink: IgnoredAny,
    on_gap: Option<OnGap>,
}

/// A count of partitions or replicas.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "i64")]
struct Count(i32);

impl TryFrom<i64> for Count {
    type Error = String;

    fn try_from(count: i64) -> Result<Self, String> {
        match i32::try_from(count) {
            Ok(count @ 1..=10_000) => Ok(Count(count)),
            _ => Err(format!(
                "{count} is not a count from 1 to 10000; most pipelines want 1, 3 or 4"
            )),
        }
    }
}

/// One topic name or a list of them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a topic name or a list of topic names")]
enum Names {
    One(String),
    Many(Vec<String>),
}

impl From<Names> for Vec<String> {
    fn from(names: Names) -> Self {
        match names {
            Names::One(name) => vec![name],
            Names::Many(names) => names,
        }
    }
}

/// A property's value; Kafka takes them all as text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text, a number, true or false")]
enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => f.write_str(text),
            Scalar::Integer(integer) => integer.fmt(f),
            Scalar::Float(float) => float.fmt(f),
            Scalar::Boolean(boolean) => boolean.fmt(f),
        }
    }
}

/// Reads all tables; the pipeline is whole only if there are no mistakes.
pub(super) fn read(text: &Arc<Text>) -> (Pipeline, Vec<Diagnostic>) {
    let (document, errors) = DeTable::parse_recoverable(&text.text);
    let mut reader = Reader {
        text,
        diagnostics: errors.into_iter().map(Diagnostic::from).collect(),
    };
    // A file that is not TOML has no structure to complain about.
    let document = if reader.diagnostics.is_empty() {
        document.into_inner()
    } else {
        DeTable::new()
    };
    let pipeline = reader.pipeline(&document);
    (pipeline, reader.diagnostics)
}

struct Reader<'t> {
    text: &'t Arc<Text>,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn pipeline(&mut self, document: &DeTable<'_>) -> Pipeline {
        for key in document
            .keys()
            .filter(|key| !TOP.contains(&key.get_ref().as_ref()))
        {
            let message = format!("unknown table or setting `{}`", key.get_ref());
            self.diagnostics
                .push(Diagnostic::at(key.span(), message).help(suggest(key.get_ref(), &TOP)));
        }
        let guarantee = self.value(document, "guarantee").unwrap_or_default();
        let commit = self.commit(document);
        let limits = self.limits(document);
        let kafka = self.kafka(document);
        let stages = self.stages(document);
        let topics = self.topics(document, &stages);
        Pipeline {
            text: self.text.clone(),
            guarantee,
            commit,
            limits,
            kafka,
            topics,
            stages,
        }
    }

    /// The value of a key at the top, if it is there and right.
    fn value<T: DeserializeOwned>(&mut self, table: &DeTable<'_>, key: &str) -> Option<T> {
        self.take(table.get(key)?)
    }

    fn take<T: DeserializeOwned>(&mut self, value: &Spanned<DeValue<'_>>) -> Option<T> {
        T::deserialize(ValueDeserializer::from(value.clone()))
            .map_err(|error| {
                self.diagnostics
                    .push(Diagnostic::from(error).or_at(value.span()))
            })
            .ok()
    }

    /// The named tables in a table, such as each `[sink.NAME]`, in the order of the file.
    fn named<'d, 'i>(&mut self, document: &'d DeTable<'i>, key: &str) -> Vec<Named<'d, 'i>> {
        let Some(value) = document.get(key) else {
            return Vec::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("`{key}` is a group of tables");
            self.diagnostics.push(
                Diagnostic::at(value.span(), message)
                    .help(format!("write [{key}.NAME] above the settings")),
            );
            return Vec::new();
        };
        let mut named: Vec<_> = table
            .iter()
            .map(|(name, value)| Named {
                name: name.get_ref().to_string(),
                place: name.span(),
                value,
            })
            .collect();
        named.sort_by_key(|named| named.place.start);
        named
    }

    fn commit(&mut self, document: &DeTable<'_>) -> CommitPolicy {
        let mut policy = CommitPolicy::default();
        let Some(table) = self.value::<CommitTable>(document, "commit") else {
            return policy;
        };
        let set = |given: Option<u64>, to: &mut Duration| {
            if let Some(given) = given {
                *to = Duration::from_millis(given);
            }
        };
        set(table.least_interval_ms, &mut policy.least_interval);
        set(table.longest_interval_ms, &mut policy.longest_interval);
        policy.records = table.records.unwrap_or(policy.records);
        let place = document["commit"].span();
        if policy.least_interval > policy.longest_interval {
            let message = format!(
                "the least interval between commits ({:?}) is longer than the longest ({:?})",
                policy.least_interval, policy.longest_interval
            );
            self.diagnostics
                .push(Diagnostic::at(place.clone(), message).help("raise `longest-interval-ms`"));
        }
        if policy.records == 0 {
            self.diagnostics.push(
                Diagnostic::at(place, "a commit of 0 records never comes").help("say at least 1"),
            );
        }
        policy
    }

    fn limits(&mut self, document: &DeTable<'_>) -> Limits {
        let Some(LimitsTable {
            memory: Some(memory),
        }) = self.value(document, "limits")
        else {
            return Limits::default();
        };
        let (place, memory) = (memory.span(), memory.into_inner());
        Limits::new(memory).unwrap_or_else(|error| {
            self.diagnostics.push(Diagnostic::at(place, error));
            Limits::default()
        })
    }

    /// librdkafka's properties: those of the included file, then those of the table, then ours.
    fn kafka(&mut self, document: &DeTable<'_>) -> BTreeMap<String, String> {
        let mut properties = BTreeMap::new();
        let Some(value) = document.get("kafka") else {
            return properties;
        };
        let Some(mut table) = self.take::<BTreeMap<String, Spanned<Scalar>>>(value) else {
            return properties;
        };
        if let Some(include) = table.remove("include") {
            match crate::client_file::read(&self.text.folder().join(include.get_ref().to_string()))
            {
                Ok(included) => {
                    for (name, value) in included {
                        if let Some(why) = reserved::in_client_file(&name) {
                            let message = format!(
                                "{} sets `{name}`, which is not yours to set",
                                include.get_ref()
                            );
                            self.diagnostics
                                .push(Diagnostic::at(include.span(), message).help(why));
                        }
                        properties.insert(name, value);
                    }
                }
                Err(error) => self
                    .diagnostics
                    .push(Diagnostic::from(error).or_at(include.span())),
            }
        }
        if let Some(brokers) = table.remove("brokers") {
            properties.insert("bootstrap.servers".into(), brokers.get_ref().to_string());
        }
        for (name, value) in table {
            if let Some(why) = reserved::in_table(&name) {
                self.diagnostics.push(
                    Diagnostic::at(value.span(), format!("`{name}` is not yours to set")).help(why),
                );
            }
            properties.insert(name, value.get_ref().to_string());
        }
        properties
    }

    fn stages(&mut self, document: &DeTable<'_>) -> Vec<Stage> {
        let mut stages = Vec::new();
        for named in self.named(document, "producer") {
            let Some(table) = self.take::<ProducerTable>(named.value) else {
                continue;
            };
            if let Some(source) = self.part(&named, "producer", "source") {
                let work = StageKind::Producer {
                    source,
                    spool: table.spool,
                    clock: table.clock,
                };
                stages.push(named.stage(Vec::new(), table.to.into(), work));
            }
        }
        for named in self.named(document, "operator") {
            let Some(table) = self.take::<OperatorTable>(named.value) else {
                continue;
            };
            let steps = self.steps(&named);
            let OperatorTable {
                on_gap,
                require_key,
                state_ttl,
                ..
            } = table;
            let rules = Rules {
                on_gap,
                require_key,
                state_ttl: state_ttl.map(|span| span.0),
            };
            let stage = named.stage(
                table.from.into(),
                table.to.into(),
                StageKind::Operator { steps },
            );
            stages.push(Stage { rules, ..stage });
        }
        for named in self.named(document, "sink") {
            let Some(table) = self.take::<SinkTable>(named.value) else {
                continue;
            };
            if let Some(sink) = self.part(&named, "sink", "sink") {
                let rules = Rules {
                    on_gap: table.on_gap,
                    ..Rules::default()
                };
                stages.push(Stage {
                    rules,
                    ..named.stage(table.from.into(), Vec::new(), StageKind::Sink { sink })
                });
            }
        }
        stages.sort_by_key(|stage| stage.place.start);
        stages
    }

    fn part(&mut self, stage: &Named<'_, '_>, table: &str, key: &str) -> Option<ComponentConfig> {
        let value = stage.value.get_ref().get(key)?;
        ComponentConfig::read(self.text, stage.path(table, key), value)
            .map_err(|diagnostic| self.diagnostics.push(diagnostic))
            .ok()
    }

    fn steps(&mut self, stage: &Named<'_, '_>) -> Vec<ComponentConfig> {
        let Some(value) = stage.value.get_ref().get("steps") else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let diagnostic = Diagnostic::at(
                value.span(),
                format!("expected a list, found {}", value.get_ref().type_str()),
            );
            self.diagnostics
                .push(diagnostic.help("write steps = [{ NAME = { … } }, …]"));
            return Vec::new();
        };
        if array.is_empty() {
            self.diagnostics.push(
                Diagnostic::at(value.span(), "a stage without steps does nothing")
                    .help("name at least one operator"),
            );
        }
        let mut steps = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let mut path = stage.path("operator", "steps");
            path.push(Key::Index(index));
            match ComponentConfig::read(self.text, path, value) {
                Ok(step) => steps.push(step),
                Err(diagnostic) => self.diagnostics.push(diagnostic),
            }
        }
        steps
    }

    fn topics(&mut self, document: &DeTable<'_>, stages: &[Stage]) -> BTreeMap<String, Topic> {
        let defaults = self
            .value::<DefaultsTable>(document, "defaults")
            .unwrap_or_default();
        let mut tables = BTreeMap::new();
        for named in self.named(document, "topic") {
            if let Some(table) = self.take::<TopicTable>(named.value) {
                let format = table.format.or(defaults.format).unwrap_or_default();
                if table.unit.is_some() && format != FormatName::Number {
                    self.diagnostics.push(
                        Diagnostic::at(
                            named.place.clone(),
                            "only a topic of format `number` states a unit",
                        )
                        .help("take `unit` away, or add format = \"number\""),
                    );
                }
                tables.insert(named.name, (named.place, table));
            }
        }
        let smallest = |(name, (place, table)): (&String, &(Range<usize>, TopicTable))| {
            let bytes: usize = table
                .config
                .get(MAX_MESSAGE_BYTES)?
                .to_string()
                .parse()
                .ok()?;
            (bytes < LEAST_MAX_MESSAGE).then(|| (name.clone(), (place.clone(), bytes)))
        };
        let small: Vec<_> = tables.iter().filter_map(smallest).collect();
        let mut topics = BTreeMap::new();
        for name in stages
            .iter()
            .flat_map(|stage| stage.from.iter().chain(&stage.to))
        {
            let table = tables
                .remove(name)
                .map(|(_, table)| table)
                .unwrap_or_default();
            topics.entry(name.clone()).or_insert_with(|| Topic {
                partitions: table
                    .partitions
                    .or(defaults.partitions)
                    .map_or(1, |count| count.0),
                replication: table
                    .replication
                    .or(defaults.replication)
                    .map(|count| count.0),
                format: table.format.or(defaults.format).unwrap_or_default(),
                unit: table.unit,
                external: table.external,
                config: table
                    .config
                    .into_iter()
                    .map(|(name, value)| (name, value.to_string()))
                    .collect(),
                role: Role::Readings,
            });
        }
        for (name, (place, bytes)) in &small {
            let message =
                format!("`{name}` takes messages of {bytes} bytes, too few for a reading");
            self.diagnostics
                .push(Diagnostic::at(place.clone(), message).help(format!(
                    "set max.message.bytes to at least {LEAST_MAX_MESSAGE}, or leave it out for \
                     Kafka's 1,048,588"
                )));
        }
        add_topics_of_stages(
            &mut topics,
            stages,
            defaults.replication.map(|count| count.0),
        );
        for (name, (place, table)) in tables {
            if let Some(topic) = topics.get_mut(&name) {
                // A stage's own topic: how it is kept can be set, what it is cannot.
                topic.replication = table.replication.map(|count| count.0).or(topic.replication);
                topic.config.extend(
                    table
                        .config
                        .into_iter()
                        .map(|(name, value)| (name, value.to_string())),
                );
                if table.partitions.is_some() || table.format.is_some() || table.external {
                    let message = format!(
                        "`{name}` belongs to its stage, which fixes its partitions and format"
                    );
                    self.diagnostics.push(
                        Diagnostic::at(place, message)
                            .help("set only `replication` and `config` here"),
                    );
                }
            } else {
                let known: Vec<&str> = topics.keys().map(String::as_str).collect();
                let message = format!("no stage reads or writes the topic `{name}`");
                self.diagnostics
                    .push(Diagnostic::at(place, message).help(suggest(&name, &known)));
            }
        }
        topics
    }
}

/// The least `max.message.bytes` of a topic of a pipeline: a reading and its framing fit.
const LEAST_MAX_MESSAGE: usize = 1000;

/// Adds each stage's changelog and dead letters.
fn add_topics_of_stages(
    topics: &mut BTreeMap<String, Topic>,
    stages: &[Stage],
    replication: Option<i32>,
) {
    for stage in stages {
        let plain = |partitions, role| Topic {
            partitions,
            replication,
            format: FormatName::Json,
            unit: None,
            external: false,
            config: BTreeMap::new(),
            role,
        };
        // What any input takes, the dead letters must take too, and no less than Kafka's default.
        let inputs = stage.from.iter().filter_map(|from| topics.get(from));
        let largest = inputs.map(Topic::largest_message).max().unwrap_or_default();
        let larger = (largest > DEFAULT_MAX_MESSAGE).then(|| largest.to_string());
        let dead_letters = Topic {
            config: larger
                .map(|largest| (MAX_MESSAGE_BYTES.to_owned(), largest))
                .into_iter()
                .collect(),
            ..plain(1, Role::DeadLetters)
        };
        topics.entry(stage.dead_letters()).or_insert(dead_letters);
        if !matches!(stage.kind, StageKind::Sink { .. }) {
            let partitions = stage
                .from
                .iter()
                .filter_map(|from| topics.get(from))
                .map(|topic| topic.partitions)
                .max();
            let changelog = Topic {
                config: [("cleanup.policy".to_owned(), "compact".to_owned())].into(),
                ..plain(partitions.unwrap_or(1), Role::Changelog)
            };
            topics.entry(stage.changelog()).or_insert(changelog);
        }
    }
}

/// A table with its name.
struct Named<'d, 'i> {
    name: String,
    place: Range<usize>,
    value: &'d Spanned<DeValue<'i>>,
}

impl Named<'_, '_> {
    fn stage(&self, from: Vec<String>, to: Vec<String>, kind: StageKind) -> Stage {
        let (name, place) = (self.name.clone(), self.place.clone());
        Stage {
            name,
            place,
            from,
            to,
            kind,
            rules: Rules::default(),
        }
    }

    fn path(&self, table: &str, key: &str) -> Vec<Key> {
        [table, &self.name, key]
            .map(|name| Key::Name(name.to_owned()))
            .into()
    }
}
