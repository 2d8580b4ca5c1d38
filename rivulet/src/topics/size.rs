//! How many records and bytes the partitions of topics have.

use std::collections::BTreeMap;
use std::fmt;

use rivulet_core::error::{Error, Result};
use rivulet_kafka::{Cluster, Connection, ReplicaSize};
use rivulet_pipeline::Pipeline;

use super::details::{OffsetRange, with_offsets};
use super::named::{chosen, is_internal};
use crate::table::aligned;

/// The sizes of topics. Displayed, it is a table of their partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSizes {
    rows: Vec<PartitionSize>,
    /// Why the bytes are unknown, if they are.
    pub without_bytes: Option<Error>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PartitionSize {
    topic: String,
    number: i32,
    /// How many offsets there are; `None` if the partition has no leader.
    records: Option<i64>,
    /// The bytes of each replica, by the broker's id.
    replicas: Vec<(i32, i64)>,
}

/// The sizes of these topics; without names of those of the pipeline, or of all if there is none.
/// The records are there even if no broker says how many bytes they are.
///
/// # Errors
/// If a named topic does not exist, or the brokers are unreachable.
pub fn sizes(
    connection: &Connection,
    pipeline: Option<&Pipeline>,
    names: &[String],
) -> Result<TopicSizes> {
    let cluster = Cluster::new(connection)?;
    let found = chosen(cluster.partitions()?, names, by_default(pipeline))?;
    let mut numbers: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, partitions) in &found {
        let all = partitions.iter().map(|partition| partition.number);
        numbers.insert(topic.clone(), all.collect());
    }
    let (sizes, without_bytes) = match cluster.replica_sizes(&numbers) {
        Ok(sizes) => (sizes, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let mut rows = Vec::new();
    for (topic, partitions) in found {
        for (partition, range) in with_offsets(&cluster, &topic, partitions)? {
            let is_of =
                |size: &&ReplicaSize| size.topic == topic && size.partition == partition.number;
            let replicas = sizes.iter().filter(is_of);
            rows.push(PartitionSize {
                topic: topic.clone(),
                number: partition.number,
                records: range.map(OffsetRange::len),
                replicas: replicas.map(|size| (size.broker, size.bytes)).collect(),
            });
        }
    }
    Ok(TopicSizes {
        rows,
        without_bytes,
    })
}

/// The topics that a command is about unless it names some.
pub(super) fn by_default(pipeline: Option<&Pipeline>) -> impl Fn(&str) -> bool {
    move |name| match pipeline {
        Some(file) => file.topics.contains_key(name),
        None => !is_internal(name),
    }
}

/// Bytes in the largest unit of 1024 that fits: `1.5 MiB`.
fn bytes(count: i64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut number, mut unit) = (count as f64, "B");
    for larger in UNITS {
        if number < 1024.0 {
            break;
        }
        (number, unit) = (number / 1024.0, larger);
    }
    if unit == "B" {
        format!("{count} B")
    } else {
        format!("{number:.1} {unit}")
    }
}

impl fmt::Display for TopicSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_bytes = self.without_bytes.is_none();
        let mut head = vec!["topic", "partition", "records"];
        head.extend(has_bytes.then_some("bytes by broker"));
        let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for (index, row) in self.rows.iter().enumerate() {
            let is_first = index == 0 || self.rows[index - 1].topic != row.topic;
            let records = row.records.map(|records| records.to_string());
            let mut cells = vec![
                if is_first {
                    row.topic.clone()
                } else {
                    String::new()
                },
                row.number.to_string(),
                records.unwrap_or_else(|| "-".to_owned()),
            ];
            let replicas = row.replicas.iter();
            let replicas = replicas.map(|(broker, size)| format!("{broker}: {}", bytes(*size)));
            cells.extend(has_bytes.then(|| replicas.collect::<Vec<_>>().join(", ")));
            rows.push(cells);
        }
        f.write_str(&aligned(&rows))?;
        let records: i64 = self.rows.iter().filter_map(|row| row.records).sum();
        let replicas = self.rows.iter().flat_map(|row| &row.replicas);
        let total: i64 = replicas.map(|(_, size)| size).sum();
        if has_bytes {
            writeln!(f, "{records} records, {} on all brokers", bytes(total))
        } else {
            writeln!(f, "{records} records")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        let shown = [0, 1023, 1024, 1536, 5 << 30].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB"]);
    }

    #[test]
    fn each_partition_is_a_line_with_or_without_bytes() {
        let row = |topic: &str, number, records| PartitionSize {
            topic: topic.into(),
            number,
            records,
            replicas: vec![(1, 100), (2, 2048)],
        };
        let rows = vec![
            row("a", 0, Some(10)),
            row("a", 1, Some(0)),
            row("b", 0, None),
        ];
        let mut sizes = TopicSizes {
            rows,
            without_bytes: None,
        };
        let expected = "\
topic  partition  records  bytes by broker
a      0          10       1: 100 B, 2: 2.0 KiB
       1          0        1: 100 B, 2: 2.0 KiB
b      0          -        1: 100 B, 2: 2.0 KiB
10 records, 6.3 KiB on all brokers
";
        assert_eq!(sizes.to_string(), expected);
        sizes.without_bytes = Some(Error::new("asking", "sasl.mechanism is GSSAPI"));
        assert!(
            sizes
                .to_string()
                .starts_with("topic  partition  records\na")
        );
        assert!(sizes.to_string().ends_with("\n10 records\n"));
    }
}
