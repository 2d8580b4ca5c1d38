//! The committed offsets of any consumer group, without joining it.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rivulet_core::error::{Error, Kind, Result};

use crate::commit::add_offset;
use crate::connection::Connection;
use crate::group::committed_offsets;
use crate::tool_client::{self, DEADLINE, LastError};

/// The pause before a request is repeated.
const PAUSE: Duration = Duration::from_millis(100);

/// The committed offsets of a consumer group. It is never joined.
pub struct GroupOffsets {
    group: String,
    consumer: BaseConsumer<LastError>,
}

impl GroupOffsets {
    /// Sets up the client without a request.
    ///
    /// # Errors
    /// If librdkafka rejects a property.
    pub fn new(connection: &Connection, group: &str) -> Result<Self> {
        let mut config = tool_client::config(connection);
        config
            .set("group.id", group)
            .set("client.id", "rivulet")
            .set("enable.auto.commit", "false");
        Ok(GroupOffsets {
            group: group.to_owned(),
            consumer: tool_client::client(&config)?,
        })
    }

    fn failed(&self, doing: &str, error: &KafkaError) -> Error {
        let doing = format!("{doing} the group {}", self.group);
        tool_client::unreachable_error(doing, error, self.consumer.context())
    }

    /// The next offset that the group reads in these partitions. A partition without a committed
    /// offset is left out.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn committed(&self, partitions: &[(String, i32)]) -> Result<BTreeMap<(String, i32), i64>> {
        let places = || {
            partitions
                .iter()
                .map(|(topic, number)| (topic.as_str(), *number))
        };
        let found = patiently(|| committed_offsets(&self.consumer, places()));
        let found = found.map_err(|error| self.failed("asking for the offsets of", &error))?;
        let found = found.into_iter();
        Ok(found
            .map(|found| ((found.topic, found.partition), found.next))
            .collect())
    }

    /// Commits these offsets. The brokers reject that while the group has a member.
    ///
    /// # Errors
    /// If the group has a member, or the brokers are unreachable.
    pub fn commit(&self, offsets: &BTreeMap<(String, i32), i64>) -> Result<()> {
        let doing = "committing the offsets of";
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in offsets {
            add_offset(&mut list, (topic, *partition), *next, "")
                .map_err(|error| self.failed(doing, &error))?;
        }
        let committed = patiently(|| self.consumer.commit(&list, CommitMode::Sync));
        committed.map_err(|error| match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::StaleMemberEpoch,
            ) => {
                let doing = format!("{doing} the group {}", self.group);
                Error::new(doing, "it has a member")
                    .of_kind(Kind::Conflict)
                    .help("stop the members of the group, and try again")
            }
            _ => self.failed(doing, &error),
        })
    }
}

/// Repeats a request while the group's coordinator is being found: its broker may have moved, or
/// the cluster may have had no group before.
fn patiently<T>(request: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    let begun = Instant::now();
    loop {
        let result = request();
        let code = result
            .as_ref()
            .err()
            .and_then(KafkaError::rdkafka_error_code);
        let is_moving = matches!(
            code,
            Some(
                RDKafkaErrorCode::NotCoordinator
                    | RDKafkaErrorCode::CoordinatorNotAvailable
                    | RDKafkaErrorCode::CoordinatorLoadInProgress
            )
        );
        if !is_moving || begun.elapsed() > DEADLINE {
            return result;
        }
        thread::sleep(PAUSE);
    }
}
