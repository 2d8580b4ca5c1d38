//! The stages: producers, operators and sinks, each with its components.

use rivulet_core::rules::Rules;
use toml::de::DeTable;

use super::named::Named;
use super::reader::Reader;
use super::written::{Names, OperatorTable, ProducerTable, SinkTable};
use crate::component::{ComponentConfig, Key};
use crate::diagnostic::Diagnostic;
use crate::stage::{Stage, StageKind};

impl Reader<'_> {
    pub(super) fn stages(&mut self, document: &DeTable<'_>) -> Vec<Stage> {
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
}
