//! The partitions of topics: where their replicas are, and which offsets they have.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rivulet_core::error::Result;

use crate::cluster::Cluster;
use crate::tool_client::{DEADLINE, is_final};

/// The pause after a failed request: a new leader needs a moment.
const PAUSE: Duration = Duration::from_millis(100);

/// A partition of a topic, as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPartition {
    /// Its number.
    pub number: i32,
    /// The id of the broker that leads it. `None` if no broker does.
    pub leader: Option<i32>,
    /// The ids of the brokers that have a replica.
    pub replicas: Vec<i32>,
    /// The ids of those whose replica is in sync.
    pub in_sync: Vec<i32>,
}

impl FoundPartition {
    /// Whether a replica is not in sync.
    #[must_use]
    pub fn is_under_replicated(&self) -> bool {
        self.in_sync.len() < self.replicas.len()
    }
}

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionOffset {
    /// That of the first record.
    First,
    /// That of the next record.
    End,
    /// That of the first record with this timestamp or a later one, in milliseconds since the
    /// epoch.
    Since(i64),
}

impl Cluster {
    /// The partitions of every topic, by its name. Asks for all topics: a request for a single one
    /// could create it.
    ///
    /// # Errors
    /// If no broker answers in time.
    pub fn partitions(&self) -> Result<BTreeMap<String, Vec<FoundPartition>>> {
        let metadata = self.metadata()?;
        let topics = metadata.topics().iter();
        Ok(topics
            .filter(|topic| topic.error().is_none())
            .map(|topic| {
                let partitions = topic.partitions().iter().map(|partition| FoundPartition {
                    number: partition.id(),
                    leader: Some(partition.leader()).filter(|leader| *leader >= 0),
                    replicas: partition.replicas().to_vec(),
                    in_sync: partition.isr().to_vec(),
                });
                let mut partitions: Vec<FoundPartition> = partitions.collect();
                partitions.sort_by_key(|partition| partition.number);
                (topic.name().to_owned(), partitions)
            })
            .collect())
    }

    /// An offset of each of these partitions, in one request for each broker. A partition without a
    /// record of that time or later is left out. Each partition must have a leader.
    ///
    /// # Errors
    /// If a leader does not answer in time.
    pub fn offsets(
        &self,
        partitions: &[(String, i32)],
        which: PartitionOffset,
    ) -> Result<BTreeMap<(String, i32), i64>> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let begun = Instant::now();
        loop {
            let error = match self.try_offsets(partitions, which) {
                Ok(offsets) => return Ok(offsets),
                Err(error) => error,
            };
            if is_final(&error) || begun.elapsed() > DEADLINE {
                let brokers = self.connection.brokers();
                let doing = format!("asking {brokers} for the offsets of the partitions");
                return Err(self.unreachable_error(doing, &error));
            }
            thread::sleep(PAUSE);
            // This also refreshes the leaders, which librdkafka would not do by itself.
            let _ = self.consumer.fetch_metadata(None, DEADLINE / 4);
        }
    }

    fn try_offsets(
        &self,
        partitions: &[(String, i32)],
        which: PartitionOffset,
    ) -> KafkaResult<BTreeMap<(String, i32), i64>> {
        let offset = match which {
            PartitionOffset::First => Offset::Beginning,
            PartitionOffset::End => Offset::End,
            PartitionOffset::Since(time) => Offset::Offset(time.max(0)),
        };
        let mut wanted = TopicPartitionList::new();
        for (topic, partition) in partitions {
            wanted.add_partition_offset(topic, *partition, offset)?;
        }
        let found = self.consumer.offsets_for_times(wanted, DEADLINE)?;
        let mut offsets = BTreeMap::new();
        for element in found.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert((element.topic().to_owned(), element.partition()), offset);
            }
        }
        Ok(offsets)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;
    use crate::Connection;

    #[test]
    fn the_ends_of_all_partitions_are_found_at_once() {
        let mock = MockCluster::new(3).unwrap();
        mock.create_topic("first", 3, 2).unwrap();
        mock.create_topic("second", 1, 1).unwrap();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", mock.bootstrap_servers())
            .create()
            .unwrap();
        for _ in 0..7 {
            let record = BaseRecord::<str, str>::to("first")
                .payload("1")
                .partition(2);
            producer.send(record).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        let brokers = [("bootstrap.servers".to_owned(), mock.bootstrap_servers())];
        let cluster = Cluster::new(&Connection::from(BTreeMap::from(brokers))).unwrap();
        let places = [("first", 0), ("first", 2), ("second", 0)];
        let places = places.map(|(topic, number)| (topic.to_owned(), number));
        let ends = cluster.offsets(&places, PartitionOffset::End).unwrap();
        assert_eq!(ends.into_values().collect::<Vec<_>>(), [0, 7, 0]);
        let firsts = cluster.offsets(&places, PartitionOffset::First).unwrap();
        assert_eq!(firsts.into_values().collect::<Vec<_>>(), [0, 0, 0]);

        let found = cluster.partitions().unwrap();
        let replicas: Vec<usize> = found["first"]
            .iter()
            .map(|partition| partition.replicas.len())
            .collect();
        assert_eq!(replicas, [2, 2, 2]);
        assert!(
            found["first"]
                .iter()
                .all(|partition| partition.leader.is_some())
        );
    }
}
