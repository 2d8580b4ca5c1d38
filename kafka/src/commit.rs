//! What every commit is made of, that of a stage and that of a tool.

use std::result::Result;
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Adds the offsets of a group to the open transaction of a producer, and commits it. `request`
/// makes a request as often as its caller likes; it is told what the request is for. `deliver`
/// waits until what was sent is acknowledged: the offsets are on their way at the same time.
pub(crate) fn commit<C: ProducerContext, E>(
    producer: &BaseProducer<C>,
    offsets: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
    timeout: Duration,
    mut request: impl FnMut(&str, &dyn Fn() -> KafkaResult<()>) -> Result<(), E>,
    deliver: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    if let Some((offsets, group)) = offsets {
        request("adding the offsets to the transaction", &|| {
            producer.send_offsets_to_transaction(offsets, group, timeout)
        })?;
    }
    deliver()?;
    request("committing the transaction", &|| {
        producer.commit_transaction(timeout)
    })
}

/// Adds an offset to commit.
///
/// # Errors
/// If it is not the offset of a record.
pub(crate) fn add_offset(
    list: &mut TopicPartitionList,
    (topic, partition): (&str, i32),
    offset: i64,
    metadata: &str,
) -> KafkaResult<()> {
    let mut added = list.add_partition(topic, partition);
    added.set_offset(Offset::Offset(offset))?;
    if !metadata.is_empty() {
        added.set_metadata(metadata);
    }
    Ok(())
}
