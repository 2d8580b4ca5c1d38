//! The tables of a pipeline file, as they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::buffer::{ClockPolicy, SpoolSettings};
use crate::component::{ComponentConfig, Key};
use crate::diagnostic::{Diagnostic, Text, closest, suggest, typing_error};
use crate::pipeline::Pipeline;
use crate::settings::{self, Unread};
use crate::span::Span;
use crate::stage::{Stage, StageKind};
use crate::topic::{DEFAULT_MAX_MESSAGE, MAX_MESSAGE_BYTES, Role, Topic};
use crate::{check, reserved};
use rivulet_core::limits::Limits;
use rivulet_core::rules::{OnGap, Rules};
use rivulet_core::size::Size;
use rivulet_core::stage::CommitPolicy;
use rivulet_core::unit::Unit;

/// The keys at the top of the file.
pub(super) const TOP: [&str; 9] = [
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

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct CommitTable {
    /// With nothing left to read, a stage commits, but no sooner than this after its last commit.
    /// 20 unless it is set.
    least_interval_ms: Option<u64>,
    /// With work uncommitted, a stage commits at the latest after this. 100 unless it is set.
    longest_interval_ms: Option<u64>,
    /// With this many records read, a stage commits. 10000 unless it is set.
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1)))]
    records: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct LimitsTable {
    /// The most memory that each process takes, at least `16 MB`; `128 MB` unless it is set.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Size>"))]
    memory: Option<Spanned<Size>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct TopicTable {
    /// How many partitions the topic is created with; 1 unless it is set here or in `[defaults]`.
    partitions: Option<Count>,
    /// How many copies the cluster keeps; the cluster's own default unless it is set here or in
    /// `[defaults]`.
    replication: Option<Count>,
    /// How records carry readings; `json` unless it is set here or in `[defaults]`.
    #[serde(rename = "format", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::file_schema::format")
    )]
    _format: Option<IgnoredAny>,
    /// The unit of readings whose record does not say it: any text.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Unit>"))]
    unit: Option<Spanned<Unit>>,
    /// Whether somebody outside the pipeline writes the topic.
    #[serde(default)]
    external: bool,
    /// Settings of the topic such as `"retention.ms"`.
    #[serde(default)]
    config: BTreeMap<String, Scalar>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct DefaultsTable {
    /// How many partitions a topic is created with; 1 unless it is set.
    partitions: Option<Count>,
    /// How many copies the cluster keeps; the cluster's own default unless it is set.
    replication: Option<Count>,
    /// How records carry readings; `json` unless it is set.
    #[serde(rename = "format", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::file_schema::format")
    )]
    _format: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("required" = ["source", "to"]))
)]
struct ProducerTable {
    /// Where the readings come from.
    #[serde(rename = "source")]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::file_schema::source")
    )]
    _source: Option<IgnoredAny>,
    /// The topics that the stage writes.
    to: Option<Names>,
    /// Where readings wait on disk while Kafka is away.
    spool: Option<SpoolSettings>,
    /// What becomes of readings that were measured before the machine's clock was set.
    #[serde(default)]
    clock: ClockPolicy,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("required" = ["from", "steps", "to"]))
)]
struct OperatorTable {
    /// The topics that the stage reads.
    from: Option<Names>,
    /// What is done with each reading, in order.
    #[serde(rename = "steps")]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::file_schema::steps")
    )]
    _steps: Option<IgnoredAny>,
    /// The topics that the stage writes.
    to: Option<Names>,
    /// What the stage does when records were deleted before it read them. Unless it is set, a stage
    /// that keeps state stops and any other goes on.
    on_gap: Option<OnGap>,
    /// Whether a record whose key is not its sensor becomes a dead letter.
    #[serde(default)]
    require_key: bool,
    /// How much older than the newest reading of its partition a sensor's last one may be before
    /// its state is forgotten: `30d`, `12h` or `2h 30m`.
    state_ttl: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("required" = ["from", "sink"]))
)]
struct SinkTable {
    /// The topics that the stage reads.
    from: Option<Names>,
    /// Where the readings are shown or kept.
    #[serde(rename = "sink")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::file_schema::sink"))]
    _sink: Option<IgnoredAny>,
    /// What the stage does when records were deleted before it read them. It goes on unless this is
    /// set.
    on_gap: Option<OnGap>,
}

/// The file as a whole, for its schema: the keys at its top are read one by one, so that an error
/// in one hides none in another.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct File {
    /// What a crash may do to the results; `exactly-once` unless it is set.
    guarantee: Option<rivulet_core::guarantee::Guarantee>,
    /// Properties of librdkafka, and the brokers.
    #[schemars(schema_with = "crate::file_schema::kafka")]
    kafka: Option<BTreeMap<String, Scalar>>,
    /// When stages commit.
    commit: Option<CommitTable>,
    /// How much each process may take.
    limits: Option<LimitsTable>,
    /// Settings of the topics that have no others.
    defaults: Option<DefaultsTable>,
    /// Topics that are not like the others.
    #[schemars(extend("propertyNames" = crate::file_schema::name(249)))]
    topic: Option<BTreeMap<String, TopicTable>>,
    /// Stages that bring readings in.
    #[schemars(extend("propertyNames" = crate::file_schema::name(200)))]
    producer: Option<BTreeMap<String, ProducerTable>>,
    /// Stages that process readings.
    #[schemars(extend("propertyNames" = crate::file_schema::name(200)))]
    operator: Option<BTreeMap<String, OperatorTable>>,
    /// Stages that show or keep readings.
    #[schemars(extend("propertyNames" = crate::file_schema::name(200)))]
    sink: Option<BTreeMap<String, SinkTable>>,
}

/// A count of partitions or replicas.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "i64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("minimum" = 1, "maximum" = 10_000))
)]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) enum Scalar {
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

/// What the tables say.
pub(super) struct Tables {
    /// Whole only if there are no errors.
    pub pipeline: Pipeline,
    pub unread: Unread,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads all tables; `None` with the errors if the text is not TOML.
pub(super) fn read(text: &Arc<Text>) -> Result<Tables, Vec<Diagnostic>> {
    let (document, errors) = DeTable::parse_recoverable(&text.text);
    if !errors.is_empty() {
        return Err(errors.into_iter().map(Diagnostic::from).collect());
    }
    let mut reader = Reader {
        text,
        misspelled: BTreeMap::new(),
        unread: Unread::default(),
        diagnostics: Vec::new(),
    };
    let pipeline = reader.pipeline(document.into_inner());
    Ok(Tables {
        pipeline,
        unread: reader.unread,
        diagnostics: reader.diagnostics,
    })
}

struct Reader<'t> {
    text: &'t Arc<Text>,
    /// The names at the top as they are written, by those that were meant.
    misspelled: BTreeMap<String, String>,
    unread: Unread,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn pipeline(&mut self, mut document: DeTable<'_>) -> Pipeline {
        self.names(&mut document);
        let guarantee = self.value(&document, "guarantee").unwrap_or_default();
        let commit = self.commit(&document);
        let limits = self.limits(&document);
        let kafka = self.kafka(&document);
        let stages = self.stages(&document);
        let topics = self.topics(&document, &stages);
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

    /// Reports unknown names at the top, and gives those that are nearly a known one its name.
    fn names(&mut self, document: &mut DeTable<'_>) {
        let unknown: Vec<(String, Range<usize>)> = document
            .keys()
            .filter(|key| !TOP.contains(&key.get_ref().as_ref()))
            .map(|key| (key.get_ref().to_string(), key.span()))
            .collect();
        for (name, place) in unknown {
            let message = format!("unknown table or setting `{name}`");
            self.diagnostics
                .push(Diagnostic::at(place.clone(), message).help(suggest(&name, &TOP)));
            let value = document.remove(name.as_str());
            match closest(&name, &TOP).zip(value) {
                Some((meant, value)) if !document.contains_key(meant) => {
                    document.insert(Spanned::new(place, meant.into()), value);
                    self.misspelled.insert(meant.to_owned(), name);
                }
                // It may hold any stage.
                _ => self.unknown_stages(&name),
            }
        }
    }

    /// Notes that there may be stages in a table that are not known.
    fn unknown_stages(&mut self, table: &str) {
        self.unread.add(table, "from");
        self.unread.add(table, "to");
    }

    /// The value of a key at the top, if it is there and right.
    fn value<T: DeserializeOwned>(&mut self, document: &DeTable<'_>, key: &str) -> Option<T> {
        self.take(key, document.get(key)?)
    }

    /// The settings of a table as far as they are right.
    fn take<T: DeserializeOwned>(
        &mut self,
        table: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<T> {
        let read = settings::read(value.clone(), &mut self.diagnostics);
        for key in read.unread {
            self.unread.add(table, key);
        }
        read.settings
    }

    /// The settings of a named table as far as they are right.
    fn take_named<T: DeserializeOwned + Default>(&mut self, named: &mut Named<'_, '_>) -> T {
        let read = settings::read(named.value.clone(), &mut self.diagnostics);
        for key in read.unread {
            self.unread.add(named.table(), key);
        }
        named.misspelled = read.misspelled;
        read.settings.unwrap_or_default()
    }

    /// Reports a setting of a stage that is not there.
    fn missing(&mut self, named: &Named<'_, '_>, key: &str, help: &str) {
        let table = named.table();
        if !self.unread.has(&table, key) {
            let message = format!("missing field `{key}`");
            self.diagnostics
                .push(Diagnostic::at(named.value.span(), message).help(help));
            self.unread.add(table, key);
        }
    }

    /// The topics that a stage reads (`from`) or writes (`to`).
    fn names_of_topics(
        &mut self,
        named: &Named<'_, '_>,
        key: &str,
        names: Option<Names>,
    ) -> Vec<String> {
        if names.is_none() {
            self.missing(named, key, &format!("write {key} = \"TOPIC\""));
        }
        names.map(Vec::from).unwrap_or_default()
    }

    /// The named tables in a table, such as each `[sink.NAME]`, in the order of the file.
    fn named<'d, 'i>(
        &mut self,
        document: &'d DeTable<'i>,
        key: &'static str,
    ) -> Vec<Named<'d, 'i>> {
        let Some(value) = document.get(key) else {
            return Vec::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("`{key}` is a group of tables");
            self.diagnostics.push(
                Diagnostic::at(value.span(), message)
                    .help(format!("write [{key}.NAME] above the settings")),
            );
            self.unknown_stages(key);
            return Vec::new();
        };
        let mut named = Vec::with_capacity(table.len());
        for (name, value) in table {
            if value.get_ref().is_table() {
                let group = self.misspelled.get(key).map_or(key, String::as_str);
                named.push(Named {
                    group: key,
                    group_as_written: group.to_owned(),
                    misspelled: BTreeMap::new(),
                    name: name.get_ref().to_string(),
                    place: name.span(),
                    value,
                });
            } else {
                let name = name.get_ref();
                let found = value.get_ref().type_str();
                let message = format!("expected a table of settings, found {found}");
                self.diagnostics.push(
                    Diagnostic::at(value.span(), message)
                        .help(format!("write [{key}.{name}] above the settings")),
                );
                self.unknown_stages(&format!("{key}.{name}"));
            }
        }
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
        let is_unread = |key| self.unread.has("commit", key);
        if policy.least_interval > policy.longest_interval
            && !is_unread("least-interval-ms")
            && !is_unread("longest-interval-ms")
        {
            let message = format!(
                "the least interval between commits ({:?}) is longer than the longest ({:?})",
                policy.least_interval, policy.longest_interval
            );
            self.diagnostics
                .push(Diagnostic::at(place.clone(), message).help("raise `longest-interval-ms`"));
        }
        if policy.records == 0 {
            self.diagnostics.push(
                Diagnostic::at(place, "a commit after 0 records never comes")
                    .help("say at least 1"),
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
        let Some(mut table) = self.take::<BTreeMap<String, Spanned<Scalar>>>("kafka", value) else {
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
        for mut named in self.named(document, "producer") {
            let table: ProducerTable = self.take_named(&mut named);
            let source = self.component(&named, "source");
            let to = self.names_of_topics(&named, "to", table.to);
            let work = StageKind::Producer {
                source,
                spool: table.spool,
                clock: table.clock,
            };
            stages.push(named.stage(Vec::new(), to, work));
        }
        for mut named in self.named(document, "operator") {
            let table: OperatorTable = self.take_named(&mut named);
            let from = self.names_of_topics(&named, "from", table.from);
            let steps = self.steps(&named);
            let to = self.names_of_topics(&named, "to", table.to);
            let rules = Rules {
                on_gap: table.on_gap,
                require_key: table.require_key,
                state_ttl: table.state_ttl.map(|span| span.0),
            };
            let stage = named.stage(from, to, StageKind::Operator { steps });
            stages.push(Stage { rules, ..stage });
        }
        for mut named in self.named(document, "sink") {
            let table: SinkTable = self.take_named(&mut named);
            let from = self.names_of_topics(&named, "from", table.from);
            let sink = self.component(&named, "sink");
            let rules = Rules {
                on_gap: table.on_gap,
                ..Rules::default()
            };
            stages.push(Stage {
                rules,
                ..named.stage(from, Vec::new(), StageKind::Sink { sink })
            });
        }
        stages.sort_by_key(|stage| stage.place.start);
        stages
    }

    fn component(&mut self, stage: &Named<'_, '_>, key: &str) -> ComponentConfig {
        let read = match stage.get(key) {
            Some(value) => ComponentConfig::read(self.text, stage.path(key), value),
            None => {
                self.missing(stage, key, &format!("write {key} = {{ NAME = {{ … }} }}"));
                return ComponentConfig::unread(self.text, stage.place.clone());
            }
        };
        read.unwrap_or_else(|diagnostic| {
            self.diagnostics.push(diagnostic);
            self.unread.add(stage.table(), key);
            ComponentConfig::unread(self.text, stage.place.clone())
        })
    }

    fn steps(&mut self, stage: &Named<'_, '_>) -> Vec<ComponentConfig> {
        let Some(value) = stage.get("steps") else {
            self.missing(stage, "steps", "write steps = [{ NAME = { … } }, …]");
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let diagnostic = Diagnostic::at(
                value.span(),
                format!("expected a list, found {}", value.get_ref().type_str()),
            );
            self.diagnostics
                .push(diagnostic.help("write steps = [{ NAME = { … } }, …]"));
            self.unread.add(stage.table(), "steps");
            return Vec::new();
        };
        if array.is_empty() {
            self.diagnostics.push(
                Diagnostic::at(value.span(), "a stage without steps does nothing")
                    .help("name at least one operator"),
            );
            self.unread.add(stage.table(), "steps");
        }
        let mut steps = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let mut path = stage.path("steps");
            path.push(Key::Index(index));
            match ComponentConfig::read(self.text, path, value) {
                Ok(step) => steps.push(step),
                Err(diagnostic) => {
                    self.diagnostics.push(diagnostic);
                    self.unread.add(stage.table(), "steps");
                }
            }
        }
        steps
    }

    fn topics(&mut self, document: &DeTable<'_>, stages: &[Stage]) -> BTreeMap<String, Topic> {
        let (defaults, default_format) = self.defaults(document);
        let mut tables = self.topic_tables(document, stages);
        let smallest = |(name, found): (&String, &FoundTable)| {
            let bytes: usize = found
                .table
                .config
                .get(MAX_MESSAGE_BYTES)?
                .to_string()
                .parse()
                .ok()?;
            (bytes < LEAST_MAX_MESSAGE).then(|| (name.clone(), (found.place.clone(), bytes)))
        };
        let small: Vec<_> = tables.iter().filter_map(smallest).collect();
        let mut topics = BTreeMap::new();
        for name in stages
            .iter()
            .flat_map(|stage| stage.from.iter().chain(&stage.to))
        {
            if topics.contains_key(name) {
                continue;
            }
            let (table, format) = tables
                .remove(name)
                .map(|found| (found.table, found.format))
                .unwrap_or_default();
            let defaulted = [
                ("partitions", table.partitions.is_none()),
                ("format", format.is_none()),
            ];
            for (key, is_default) in defaulted {
                if is_default && self.unread.has("defaults", key) {
                    self.unread.add(format!("topic.{name}"), key);
                }
            }
            let topic = Topic {
                partitions: table
                    .partitions
                    .or(defaults.partitions)
                    .map_or(1, |count| count.0),
                replication: table
                    .replication
                    .or(defaults.replication)
                    .map(|count| count.0),
                format: format.unwrap_or_else(|| default_format.clone()),
                unit: table.unit.map(Spanned::into_inner),
                external: table.external,
                config: table
                    .config
                    .into_iter()
                    .map(|(name, value)| (name, value.to_string()))
                    .collect(),
                role: Role::Readings,
            };
            topics.insert(name.clone(), topic);
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
        self.own_topics(&mut topics, tables, stages);
        topics
    }

    /// The table `[defaults]`, and the format of topics that name none.
    fn defaults(&mut self, document: &DeTable<'_>) -> (DefaultsTable, ComponentConfig) {
        let json = ComponentConfig::default_of("json");
        let Some(value) = document.get("defaults") else {
            return (DefaultsTable::default(), json);
        };
        let read = settings::read(value.clone(), &mut self.diagnostics);
        for key in read.unread {
            self.unread.add("defaults", key);
        }
        let group = self
            .misspelled
            .get("defaults")
            .map_or("defaults", String::as_str);
        let key = read
            .misspelled
            .get("format")
            .map_or("format", String::as_str);
        let path = [group, key].map(|name| Key::Name(name.to_owned())).into();
        let format = value
            .get_ref()
            .get(key)
            .and_then(|value| self.format("defaults", path, value));
        (read.settings.unwrap_or_default(), format.unwrap_or(json))
    }

    fn format(
        &mut self,
        table: &str,
        path: Vec<Key>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<ComponentConfig> {
        ComponentConfig::read(self.text, path, value)
            .map_err(|diagnostic| {
                self.diagnostics.push(diagnostic);
                self.unread.add(table, "format");
            })
            .ok()
    }

    /// The tables of the topics, by their names.
    fn topic_tables(&mut self, document: &DeTable<'_>, stages: &[Stage]) -> TopicTables {
        let mut tables = BTreeMap::new();
        for mut named in self.named(document, "topic") {
            let table: TopicTable = self.take_named(&mut named);
            if let Some(unit) = &table.unit {
                let known = ["celsius", "fahrenheit", "kelvin"];
                let name = unit.get_ref().name();
                if let (false, Some(meant)) = (known.contains(&name), typing_error(name, &known)) {
                    let message = format!("`{name}` is nearly `{meant}`");
                    self.diagnostics.push(
                        Diagnostic::at(unit.span(), message)
                            .help(format!("write {meant}, or a unit that cannot be mistaken")),
                    );
                }
            }
            let format = named
                .get("format")
                .and_then(|value| self.format(&named.table(), named.path("format"), value));
            let found = FoundTable {
                place: named.place,
                table,
                format,
            };
            tables.insert(named.name, found);
        }
        self.misnamed_topics(&mut tables, stages);
        tables
    }

    /// Sets what the tables say of topics that belong to stages; no other table is left.
    fn own_topics(
        &mut self,
        topics: &mut BTreeMap<String, Topic>,
        tables: TopicTables,
        stages: &[Stage],
    ) {
        for (
            name,
            FoundTable {
                place,
                table,
                format,
            },
        ) in tables
        {
            if let Some(topic) = topics.get_mut(&name) {
                // A stage's own topic: how it is kept can be set, what it is cannot.
                topic.replication = table.replication.map(|count| count.0).or(topic.replication);
                topic.config.extend(
                    table
                        .config
                        .into_iter()
                        .map(|(name, value)| (name, value.to_string())),
                );
                if table.partitions.is_some() || format.is_some() || table.external {
                    let message = format!(
                        "`{name}` belongs to its stage, which fixes its partitions and format"
                    );
                    self.diagnostics.push(
                        Diagnostic::at(place, message)
                            .help("set only `replication` and `config` here"),
                    );
                }
            } else {
                // A stage whose topics are not known may name it.
                let known: Vec<&str> = topics.keys().map(String::as_str).collect();
                let is_open = self.unread.any("from")
                    || self.unread.any("to")
                    || stages
                        .iter()
                        .any(|stage| check::reads_nothing(stage) || check::writes_nothing(stage));
                if !is_open || typing_error(&name, &known).is_some() {
                    let message = format!("no stage reads or writes the topic `{name}`");
                    self.diagnostics
                        .push(Diagnostic::at(place, message).help(suggest(&name, &known)));
                }
            }
        }
    }

    /// Reports the table of a topic that no stage names, but one of nearly the same name, and reads
    /// it as that one's.
    fn misnamed_topics(&mut self, tables: &mut TopicTables, stages: &[Stage]) {
        let own: Vec<String> = stages
            .iter()
            .flat_map(|stage| [stage.changelog(), stage.dead_letters()])
            .collect();
        let named: Vec<&str> = stages
            .iter()
            .flat_map(|stage| stage.from.iter().chain(&stage.to))
            .map(String::as_str)
            .collect();
        let known: Vec<&str> = named
            .iter()
            .copied()
            .chain(own.iter().map(String::as_str))
            .collect();
        let misnamed: Vec<(String, &str)> = tables
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .filter_map(|name| Some((name.clone(), typing_error(name, &known)?)))
            .filter(|(_, meant)| named.contains(meant) && !tables.contains_key(*meant))
            .collect();
        for (name, meant) in misnamed {
            let Some(found) = tables.remove(&name) else {
                continue;
            };
            let message = format!("no stage reads or writes the topic `{name}`");
            self.diagnostics
                .push(Diagnostic::at(found.place.clone(), message).help(suggest(&name, &known)));
            self.unread
                .rename(&format!("topic.{name}"), &format!("topic.{meant}"));
            tables.insert(meant.to_owned(), found);
        }
    }
}

/// Tables of topics, by the topics' names.
type TopicTables = BTreeMap<String, FoundTable>;

/// The table of a topic.
struct FoundTable {
    place: Range<usize>,
    table: TopicTable,
    /// `None` if it names none, or one that could not be read.
    format: Option<ComponentConfig>,
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
            format: ComponentConfig::default_of("json"),
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
        if stage.has_changelog() {
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
    group: &'static str,
    group_as_written: String,
    /// Settings as they are written, by those that were meant.
    misspelled: BTreeMap<String, String>,
    name: String,
    place: Range<usize>,
    value: &'d Spanned<DeValue<'i>>,
}

impl<'d, 'i> Named<'d, 'i> {
    /// The table's name in the file.
    fn table(&self) -> String {
        format!("{}.{}", self.group, self.name)
    }

    fn get(&self, key: &str) -> Option<&'d Spanned<DeValue<'i>>> {
        self.value.get_ref().get(self.as_written(key))
    }

    fn as_written<'k>(&'k self, key: &'k str) -> &'k str {
        self.misspelled.get(key).map_or(key, String::as_str)
    }

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

    fn path(&self, key: &str) -> Vec<Key> {
        [&self.group_as_written, &self.name, self.as_written(key)]
            .map(|name| Key::Name(name.to_owned()))
            .into()
    }
}
