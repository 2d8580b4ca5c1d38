//! Why the brokers reject a new topic, in their own words.

use std::collections::BTreeMap;

use super::{Wire, put_count, put_text};
use crate::NewTopic;

/// The request `CreateTopics` and its version.
const CREATE_TOPICS: (i16, i16) = (19, 4);
/// How long the brokers may take, in milliseconds.
const TIMEOUT: i32 = 5000;

/// The reason for which a broker rejects a topic; `None` if it does not say. Creates nothing.
pub(crate) fn reason(
    properties: &BTreeMap<String, String>,
    broker: (&str, u16),
    topic: &NewTopic,
) -> Option<String> {
    let mut wire = Wire::open(properties, broker, "asking why a topic is rejected").ok()?;
    let mut body = Vec::new();
    put_count(&mut body, 1);
    put_text(&mut body, &topic.name);
    body.extend(topic.partitions.to_be_bytes());
    let copies = topic.replication.unwrap_or(-1);
    body.extend(i16::try_from(copies).ok()?.to_be_bytes());
    // The brokers assign the replicas.
    put_count(&mut body, 0);
    put_count(&mut body, topic.settings.len());
    for (name, value) in &topic.settings {
        put_text(&mut body, name);
        put_text(&mut body, value);
    }
    body.extend(TIMEOUT.to_be_bytes());
    // Only validated.
    body.push(1);
    let mut reply = wire.ask(CREATE_TOPICS.0, CREATE_TOPICS.1, &body).ok()?;
    let _throttled = reply.int32()?;
    let results = reply.list(|topic| {
        let (_name, _code) = (topic.text()?, topic.int16()?);
        topic.text()
    })?;
    let reason = results.into_iter().next()?;
    Some(reason).filter(|reason| !reason.is_empty())
}
