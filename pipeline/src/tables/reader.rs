//! Reads tables one by one, and collects what is wrong with each.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rivulet_core::limits::Limits;
use rivulet_core::stage::CommitPolicy;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::named::Named;
use super::scalar::Scalar;
use super::top::TOP;
use super::written::{CommitTable, LimitsTable};
use crate::alias::canonical;
use crate::client_file::ClientFile;
use crate::diagnostic::{Diagnostic, Text, closest, suggest};
use crate::pipeline::Pipeline;
use crate::reserved;
use crate::settings::{self, Read, Unread};

pub(super) struct Reader<'t> {
    pub(super) text: &'t Arc<Text>,
    /// The names at the top as they are written, by those that were meant.
    pub(super) misspelled: BTreeMap<String, String>,
    pub(super) unread: Unread,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    pub(super) fn pipeline(&mut self, document: &mut DeTable<'_>) -> Pipeline {
        self.names(document);
        let prefix = self.value(document, "prefix").unwrap_or_default();
        let guarantee = self.value(document, "guarantee").unwrap_or_default();
        let commit = self.commit(document);
        let limits = self.limits(document);
        let kafka = self.kafka(document);
        let stages = self.stages(document);
        let topics = self.topics(document, &stages);
        Pipeline {
            text: self.text.clone(),
            prefix,
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
        self.read(table, value).settings
    }

    /// The settings of a named table as far as they are right.
    pub(super) fn take_named<T: DeserializeOwned + Default>(
        &mut self,
        named: &mut Named<'_, '_>,
    ) -> T {
        let read = self.read(&named.table(), named.value);
        named.misspelled = read.misspelled;
        read.settings.unwrap_or_default()
    }

    /// Reads a table, and notes which of its settings have errors.
    pub(super) fn read<T: DeserializeOwned>(
        &mut self,
        table: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Read<T> {
        let read = settings::read(value.clone(), &mut self.diagnostics);
        for key in &read.unread {
            self.unread.add(table, key);
        }
        read
    }

    /// The named tables in a table, such as each `[sink.NAME]`, in the order of the file.
    pub(super) fn named<'d, 'i>(
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
        policy.time_percent = table.time_percent.unwrap_or(policy.time_percent);
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
        if !(1..=100).contains(&policy.time_percent) {
            let message = format!("{} is no share in percent", policy.time_percent);
            self.diagnostics
                .push(Diagnostic::at(place.clone(), message).help("say 1 to 100"));
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
            let name = include.get_ref().to_string();
            // What librdkafka knows, only the programs can tell.
            let file = ClientFile::read(&self.text.folder().join(&name), |_| true);
            properties.extend(file.properties);
            self.diagnostics.extend(
                file.errors
                    .into_iter()
                    .map(|error| error.of_file(&name).or_at(include.span())),
            );
        }
        if let Some(brokers) = table.remove("brokers") {
            properties.insert("bootstrap.servers".into(), brokers.get_ref().to_string());
        }
        for (name, value) in table {
            if TOP.contains(&name.as_str()) {
                let message = format!("`{name}` is no property of Kafka");
                self.diagnostics.push(
                    Diagnostic::at(value.span(), message)
                        .help("write it at the top of the file, above the first [table]"),
                );
            }
            if let Some(why) = reserved::in_table(&name) {
                self.diagnostics.push(
                    Diagnostic::at(value.span(), format!("`{name}` is not yours to set")).help(why),
                );
            }
            properties.insert(canonical(&name).to_owned(), value.get_ref().to_string());
        }
        properties
    }
}
