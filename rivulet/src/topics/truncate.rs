//! The deletion of a topic's records, all of them or the oldest.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::text::plain;
use rivulet_kafka::{Admin, Connection, PartitionOffset};
use rivulet_pipeline::{Pipeline, Role};

use super::details::{OffsetRange, no_leader, with_offsets};
use super::named::{is_internal, no_such_topic};
use crate::table::aligned;
use crate::text::plural;
use crate::times::TimeBound;

/// Before which record a topic is truncated. As text: an offset, or a [`TimeBound`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TruncateBound {
    /// This offset, in each partition.
    Offset(i64),
    /// The first record of this time or later.
    Time(TimeBound),
}

impl FromStr for TruncateBound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let offset = text.parse().map_err(|_| format!("`{text}` is too large"))?;
            return Ok(TruncateBound::Offset(offset));
        }
        match text.parse() {
            Ok(time) => Ok(TruncateBound::Time(time)),
            Err(error) => Err(format!("{error}, or an offset such as 1500")),
        }
    }
}

/// A plan to truncate a topic. Displayed, it says what each partition loses.
pub struct Truncation {
    admin: Admin,
    topic: String,
    /// Each partition with its number, its offsets, and its first offset afterwards.
    partitions: Vec<(i32, OffsetRange, i64)>,
    /// The stages that read the topic.
    readers: Vec<String>,
}

impl Truncation {
    /// Looks up the offsets. `before` is the first record that stays; without it none does.
    ///
    /// # Errors
    /// If the topic does not exist, is internal, compacted, or a changelog of the pipeline, or has
    /// a partition without a leader, or the brokers are unreachable.
    pub fn plan(
        connection: &Connection,
        pipeline: Option<&Pipeline>,
        name: &str,
        before: Option<TruncateBound>,
    ) -> Result<Self> {
        let file_says = pipeline.and_then(|file| file.topics.get(name));
        if file_says.is_some_and(|topic| topic.role == Role::Changelog) {
            return Err(
                refused(name, "it is the changelog of a stage of the pipeline").help(
                    "its records are the stage's state; `rivulet state reset` and `rivulet state \
                 forget` delete that",
                ),
            );
        }
        if is_internal(name) {
            return Err(refused(name, "it is one of Kafka's own")
                .help("the cluster does not work without it; name a topic without `__`"));
        }
        let admin = Admin::new(connection)?;
        let mut found = admin.cluster.partitions()?;
        let found = found.remove(name).ok_or_else(|| no_such_topic(name))?;
        let settings = admin.topic_settings(&[name], &mut None)?;
        let policy = settings.get(name).and_then(|all| all.get("cleanup.policy"));
        if policy.is_some_and(|policy| !policy.split(',').any(|part| part.trim() == "delete")) {
            return Err(refused(
                name,
                "it is compacted, so Kafka deletes none of its records",
            )
            .help(
                "set its cleanup.policy to compact,delete, or write a tombstone for each key, or \
                 delete and create the topic",
            ));
        }
        let mut partitions = Vec::new();
        for (partition, range) in with_offsets(&admin.cluster, name, found)? {
            let number = partition.number;
            let range = range.ok_or_else(|| no_leader(name, number))?;
            partitions.push((number, range, range.end));
        }
        match before {
            None => (),
            Some(TruncateBound::Offset(offset)) => {
                for (_, range, first) in &mut partitions {
                    *first = offset.clamp(range.first, range.end);
                }
            }
            Some(TruncateBound::Time(TimeBound(time))) => {
                let places = partitions
                    .iter()
                    .map(|(number, ..)| (name.to_owned(), *number));
                let places: Vec<(String, i32)> = places.collect();
                let since = admin
                    .cluster
                    .offsets(&places, PartitionOffset::Since(time))?;
                for (number, range, first) in &mut partitions {
                    let later = since.get(&(name.to_owned(), *number)).copied();
                    *first = later.unwrap_or(range.end).clamp(range.first, range.end);
                }
            }
        }
        let readers = pipeline.into_iter().flat_map(|file| file.readers(name));
        Ok(Truncation {
            admin,
            topic: name.to_owned(),
            partitions,
            readers: readers.map(|stage| stage.name.clone()).collect(),
        })
    }

    /// How many offsets will be lost.
    #[must_use]
    pub fn lost(&self) -> i64 {
        let partitions = self.partitions.iter();
        partitions
            .map(|(_, range, first)| first - range.first)
            .sum()
    }

    /// Deletes the records. The caller must ask for confirmation.
    ///
    /// # Errors
    /// If the brokers are unreachable, or reject it.
    pub fn execute(&self) -> Result<()> {
        let partitions = self.partitions.iter();
        let before: BTreeMap<i32, i64> = partitions
            .filter(|(_, range, first)| *first > range.first)
            .map(|(number, _, first)| (*number, *first))
            .collect();
        if !before.is_empty() {
            self.admin.delete_records(&self.topic, &before)?;
        }
        Ok(())
    }
}

fn refused(name: &str, cause: &str) -> Error {
    Error::new(format!("truncating {name}"), cause).of_kind(Kind::Usage)
}

impl fmt::Display for Truncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [
            "partition",
            "first",
            "end",
            "first afterwards",
            "offsets lost",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for (number, range, first) in &self.partitions {
            let cells = [range.first, range.end, *first, first - range.first];
            let cells = cells.map(|offset| offset.to_string());
            rows.push([vec![number.to_string()], cells.to_vec()].concat());
        }
        f.write_str(&aligned(&rows))?;
        let lost = plural(self.lost(), "offset");
        writeln!(f, "{} loses {lost}", plain(&self.topic))?;
        if !self.readers.is_empty() {
            writeln!(
                f,
                "warning: what these stages have not read is a gap for them: {}",
                self.readers.join(", ")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_an_offset_or_a_time() {
        assert_eq!("1500".parse(), Ok(TruncateBound::Offset(1500)));
        let time = TruncateBound::Time(TimeBound(1000));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(time));
        assert!(matches!("2h".parse(), Ok(TruncateBound::Time(_))));
        for wrong in ["", "-1", "soon", "99999999999999999999"] {
            assert!(wrong.parse::<TruncateBound>().is_err(), "{wrong}");
        }
    }
}
