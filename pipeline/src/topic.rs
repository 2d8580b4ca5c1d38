//! A topic as the pipeline wants it: [`Topic`].

use std::collections::BTreeMap;

use rivulet_core::unit::Unit;

use crate::component::ComponentConfig;

/// A topic as the pipeline wants it.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its name in the pipeline file. In Kafka the pipeline's prefix may stand before it.
    pub name: String,
    /// How many partitions it is created with.
    pub partitions: i32,
    /// How many replicas the cluster keeps; `None` for the cluster's own default.
    pub replication: Option<i32>,
    /// How readings are written in it.
    pub format: ComponentConfig,
    /// The unit of readings whose record does not say it.
    pub unit: Option<Unit>,
    /// Whether somebody outside the pipeline writes it.
    pub external: bool,
    /// Topic settings such as `retention.ms`.
    pub config: BTreeMap<String, String>,
    /// What the topic is for.
    pub role: Role,
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Carries readings from stage to stage.
    Readings,
    /// Holds a stage's state or a source's position: compacted.
    Changelog,
    /// Holds the dead letters of a stage.
    DeadLetters,
}

/// The topic setting that bounds a record.
pub(crate) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
/// Its value in Kafka if nobody has set another, in bytes.
pub(crate) const DEFAULT_MAX_MESSAGE: usize = 1_048_588;
/// How many bytes of a message the framing of a record and of its batch may take: a reading has no
/// headers.
const FRAMING: usize = 200;

impl Topic {
    /// The settings that it is created with: those of its role and those of the pipeline file.
    #[must_use]
    pub fn settings(&self) -> BTreeMap<String, String> {
        let role: &[(&str, &str)] = match self.role {
            // Set explicitly: if the cluster compacts by default, readings would be lost.
            Role::Readings | Role::DeadLetters => &[("cleanup.policy", "delete")],
            // Kafka never compacts the active segment. By default that grows to 1 GiB or for a
            // week: a few sensors would fill a Pi's card, and a restart would read all of it. With
            // these settings a segment is rolled at 4 MiB or after an hour, and compaction leaves
            // almost nothing of it. By default compaction starts only when half of the log is
            // dirty.
            Role::Changelog => &[
                ("cleanup.policy", "compact"),
                ("segment.bytes", "4194304"),
                ("segment.ms", "3600000"),
                ("min.cleanable.dirty.ratio", "0.1"),
            ],
        };
        let mut settings: BTreeMap<String, String> = role
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        settings.extend(self.config.clone());
        settings
    }

    /// How many bytes of key and value the topic takes as one reading: its `max.message.bytes`, by
    /// default Kafka's 1,048,588, less its framing.
    #[must_use]
    pub fn largest_record(&self) -> usize {
        self.largest_message().saturating_sub(FRAMING)
    }

    /// How large a message with its headers may be in the topic, in bytes.
    #[must_use]
    pub fn largest_message(&self) -> usize {
        self.largest_setting().unwrap_or(DEFAULT_MAX_MESSAGE)
    }

    fn largest_setting(&self) -> Option<usize> {
        self.config.get(MAX_MESSAGE_BYTES)?.parse().ok()
    }
}
