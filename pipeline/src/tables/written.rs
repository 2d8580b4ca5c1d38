//! The tables of a pipeline file as types, as they are written.

use std::collections::BTreeMap;

use rivulet_core::rules::OnGap;
use rivulet_core::size::Size;
use rivulet_core::unit::Unit;
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::scalar::Scalar;
use crate::buffer::{ClockPolicy, SpoolSettings};
use crate::span::Span;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct CommitTable {
    /// With nothing left to read, a stage commits, but on average no sooner than this after its
    /// last commit. 50 unless it is set.
    pub(crate) least_interval_ms: Option<u64>,
    /// With work uncommitted, a stage commits at the latest after this. 500 unless it is set.
    pub(crate) longest_interval_ms: Option<u64>,
    /// A stage spends at most this share of its time on commits: if they take long, it doubles the
    /// interval between them, up to the longest. 33 unless it is set.
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1, "maximum" = 100)))]
    pub(crate) time_percent: Option<u32>,
    /// With this many records read, a stage commits. 20000 unless it is set.
    #[cfg_attr(feature = "schema", schemars(extend("minimum" = 1)))]
    pub(crate) records: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct LimitsTable {
    /// The most memory that each process takes, at least `16 MB`; `128 MB` unless it is set.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Size>"))]
    pub(crate) memory: Option<Spanned<Size>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct TopicTable {
    /// How many partitions the topic is created with; 1 unless it is set here or in `[defaults]`.
    pub(crate) partitions: Option<Count>,
    /// How many copies the cluster keeps; the cluster's own default unless it is set here or in
    /// `[defaults]`.
    pub(crate) replication: Option<Count>,
    /// How records carry readings; `json` unless it is set here or in `[defaults]`.
    #[serde(rename = "format", default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "super::shapes::format"))]
    _format: Option<IgnoredAny>,
    /// The unit of readings whose record does not say it: any text.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Unit>"))]
    pub(crate) unit: Option<Spanned<Unit>>,
    /// Whether somebody outside the pipeline writes the topic.
    #[serde(default)]
    pub(crate) external: bool,
    /// Settings of the topic such as `"retention.ms"`.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, Scalar>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DefaultsTable {
    /// How many partitions a topic is created with; 1 unless it is set.
    pub(crate) partitions: Option<Count>,
    /// How many copies the cluster keeps; the cluster's own default unless it is set.
    pub(crate) replication: Option<Count>,
    /// How records carry readings; `json` unless it is set.
    #[serde(rename = "format", default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "super::shapes::format"))]
    _format: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("required" = ["source", "to"]))
)]
pub(crate) struct ProducerTable {
    /// Where the readings come from.
    #[serde(rename = "source")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "super::shapes::source"))]
    _source: Option<IgnoredAny>,
    /// The topics that the stage writes.
    pub(crate) to: Option<Names>,
    /// Where readings wait on disk while Kafka is away.
    pub(crate) spool: Option<SpoolSettings>,
    /// What becomes of readings that were measured before the machine's clock was set.
    #[serde(default)]
    pub(crate) clock: ClockPolicy,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("required" = ["from", "steps", "to"]))
)]
pub(crate) struct OperatorTable {
    /// The topics that the stage reads.
    pub(crate) from: Option<Names>,
    /// What is done with each reading, in order.
    #[serde(rename = "steps")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "super::shapes::steps"))]
    _steps: Option<IgnoredAny>,
    /// The topics that the stage writes.
    pub(crate) to: Option<Names>,
    /// What the stage does when records were deleted before it read them. Unless it is set, a stage
    /// that keeps state stops and any other goes on.
    pub(crate) on_gap: Option<OnGap>,
    /// Whether a record whose key is not its sensor becomes a dead letter.
    #[serde(default)]
    pub(crate) require_key: bool,
    /// How much older than the newest reading of its partition a sensor's last one may be before
    /// its state is forgotten: `30d`, `12h` or `2h 30m`.
    pub(crate) state_ttl: Option<Span>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("required" = ["from", "sink"]))
)]
pub(crate) struct SinkTable {
    /// The topics that the stage reads.
    pub(crate) from: Option<Names>,
    /// Where the readings are shown or kept.
    #[serde(rename = "sink")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "super::shapes::sink"))]
    _sink: Option<IgnoredAny>,
    /// What the stage does when records were deleted before it read them. It goes on unless this is
    /// set.
    pub(crate) on_gap: Option<OnGap>,
}

/// The file as a whole, for its schema: the keys at its top are read one by one, so that an error
/// in one hides none in another.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct File {
    /// What stands before every name in Kafka but those of external topics, such as `team7-`;
    /// nothing unless it is set.
    prefix: Option<crate::prefix::Prefix>,
    /// What a crash may do to the results; `exactly-once` unless it is set.
    guarantee: Option<rivulet_core::guarantee::Guarantee>,
    /// Properties of librdkafka, and the brokers.
    #[schemars(schema_with = "super::shapes::kafka")]
    kafka: Option<BTreeMap<String, Scalar>>,
    /// When stages commit.
    commit: Option<CommitTable>,
    /// How much each process may take.
    limits: Option<LimitsTable>,
    /// Settings of the topics that have no others.
    defaults: Option<DefaultsTable>,
    /// Topics that are not like the others.
    #[schemars(extend("propertyNames" = super::shapes::name(249)))]
    topic: Option<BTreeMap<String, TopicTable>>,
    /// Stages that bring readings in.
    #[schemars(extend("propertyNames" = super::shapes::name(200)))]
    producer: Option<BTreeMap<String, ProducerTable>>,
    /// Stages that process readings.
    #[schemars(extend("propertyNames" = super::shapes::name(200)))]
    operator: Option<BTreeMap<String, OperatorTable>>,
    /// Stages that show or keep readings.
    #[schemars(extend("propertyNames" = super::shapes::name(200)))]
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
pub(crate) struct Count(pub(crate) i32);

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
pub(crate) enum Names {
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
