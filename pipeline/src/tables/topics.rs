//! The topics: their tables, the defaults, and those that belong to stages.

use std::collections::BTreeMap;
use std::ops::Range;

use rivulet_core::unit::Unit;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Reader;
use super::written::{DefaultsTable, TopicTable};
use crate::check;
use crate::component::{ComponentConfig, Key};
use crate::diagnostic::{Diagnostic, suggest, typing_error};
use crate::settings::Read;
use crate::stage::Stage;
use crate::topic::{DEFAULT_MAX_MESSAGE, MAX_MESSAGE_BYTES, Role, Topic};

impl Reader<'_> {
    pub(super) fn topics(
        &mut self,
        document: &DeTable<'_>,
        stages: &[Stage],
    ) -> BTreeMap<String, Topic> {
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
                name: name.clone(),
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
        let read: Read<DefaultsTable> = self.read("defaults", value);
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
                let known = Unit::KNOWN.each_ref().map(Unit::name);
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
        let plain = |name, partitions, role| Topic {
            name,
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
            ..plain(stage.dead_letters(), 1, Role::DeadLetters)
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
                ..plain(stage.changelog(), partitions.unwrap_or(1), Role::Changelog)
            };
            topics.entry(stage.changelog()).or_insert(changelog);
        }
    }
}
