//! The deletion of records.

use std::collections::BTreeMap;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rivulet_core::error::{Error, Result};

use super::{Admin, options};
use crate::commit::add_offset;
use crate::error_class;

impl Admin {
    /// Deletes the records of a topic before an offset of each of these partitions. Returns the
    /// first offset of each partition afterwards.
    ///
    /// # Errors
    /// If the brokers are unreachable, or reject it: the records of other partitions may be deleted
    /// then.
    pub fn delete_records(
        &self,
        topic: &str,
        before: &BTreeMap<i32, i64>,
    ) -> Result<BTreeMap<i32, i64>> {
        let doing = format!("deleting records of {topic}");
        let mut wanted = TopicPartitionList::new();
        for (partition, offset) in before {
            add_offset(&mut wanted, (topic, *partition), *offset, "")
                .map_err(|error| Error::caused_by(doing.clone(), error))?;
        }
        let deleted = self.ask(&doing, self.client.delete_records(&wanted, &options()))?;
        let mut first = BTreeMap::new();
        for element in deleted.elements() {
            let partition = element.partition();
            let rejected = |error| rejection(format!("{doing}/{partition}"), error);
            element.error().map_err(rejected)?;
            if let Offset::Offset(offset) = element.offset() {
                first.insert(partition, offset);
            }
        }
        Ok(first)
    }
}

fn rejection(doing: String, error: KafkaError) -> Error {
    let Some(code) = error.rdkafka_error_code() else {
        return Error::caused_by(doing, error);
    };
    let error = Error::new(doing, code).of_kind(error_class::kind(code));
    match code {
        RDKafkaErrorCode::PolicyViolation => {
            error.help("only topics whose cleanup.policy has `delete` can lose records")
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => error.help(
            "allow this user to delete records of the topic (ACL operation DELETE on the topic)",
        ),
        _ => error.help("see the brokers' logs"),
    }
}
