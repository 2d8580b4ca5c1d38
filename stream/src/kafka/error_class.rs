//! What it means for a stage that Kafka does not take what it sends.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::Error;
use crate::log::Rejection;

/// What is to be done about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// It passes: what is not committed is sent again.
    Passes,
    /// The topic is not there. A new one, or one whose leader moves, needs a moment to be known.
    NoTopic,
    /// A record is to blame, and would be rejected again.
    Record(Rejection),
    /// Nothing that the stage does can help.
    Forbidden,
}

impl ErrorClass {
    /// What this code of Kafka's means.
    pub(super) fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
                ErrorClass::Record(Rejection::TooLarge)
            }
            Code::InvalidTimestamp => ErrorClass::Record(Rejection::Timestamp),
            Code::InvalidRecord | Code::PolicyViolation => ErrorClass::Record(Rejection::Policy),
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => ErrorClass::Forbidden,
            Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::InvalidTopic => ErrorClass::NoTopic,
            _ => ErrorClass::Passes,
        }
    }
}

/// The error of a call or a delivery that failed: what was being done, why in Kafka's words, and
/// the remedy where there is one. `user` is who the stage is to Kafka: its transactional id.
pub(super) fn error(
    doing: impl Into<String>,
    code: RDKafkaErrorCode,
    cause: &str,
    user: &str,
) -> Error {
    let error = Error::new(doing, cause);
    match remedy(code, user) {
        Some(remedy) => error.help(remedy),
        None => error,
    }
}

/// The same of an error of librdkafka.
pub(super) fn of(doing: impl Into<String>, failed: &KafkaError, user: &str) -> Error {
    match failed.rdkafka_error_code() {
        Some(code) => error(doing, code, &failed.to_string(), user),
        None => Error::new(doing, failed),
    }
}

fn remedy(code: RDKafkaErrorCode, user: &str) -> Option<String> {
    use RDKafkaErrorCode as Code;
    let remedy = match code {
        Code::TopicAuthorizationFailed => {
            "allow this user to read and write the topic (ACL operations READ, WRITE and DESCRIBE)"
        }
        Code::GroupAuthorizationFailed => {
            "allow this user to use the consumer group named like the stage (ACL operation READ on \
             the group)"
        }
        Code::ClusterAuthorizationFailed => {
            "allow this user to write idempotently (ACL operation IDEMPOTENT_WRITE on the cluster)"
        }
        Code::TransactionalIdAuthorizationFailed => {
            return Some(format!(
                "allow this user to use the transactional id {user} (ACL operations WRITE and \
                 DESCRIBE on it), or choose guarantee = \"at-least-once\""
            ));
        }
        Code::InvalidProducerIdMapping | Code::UnknownProducerId => {
            return Some(format!(
                "the brokers have forgotten the transactional id {user}, which was not used for as \
                 long as their transactional.id.expiration.ms; nothing is lost, it is taken anew"
            ));
        }
        Code::InvalidTransactionTimeout => {
            "set \"transaction.timeout.ms\" in [kafka] to no more than the brokers' \
             transaction.max.timeout.ms"
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            "`rivulet topics describe` tells what the topic takes: its max.message.bytes, or the \
             brokers' message.max.bytes"
        }
        Code::InvalidTimestamp => {
            "the topic's message.timestamp.after.max.ms and message.timestamp.before.max.ms say \
             how far a record's timestamp may be from the broker's clock: see that both clocks are \
             right"
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => NO_TOPIC,
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            "fewer brokers have a copy of the topic than its min.insync.replicas: start the \
             missing ones"
        }
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// What to do about a topic that does not exist.
pub(super) const NO_TOPIC: &str = "create the pipeline's topics with `rivulet topics create \
                                   --pipeline FILE`; `rivulet topics describe` tells what the \
                                   cluster lacks";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_meaning_and_its_remedy() {
        use RDKafkaErrorCode as Code;
        let table = [
            (
                Code::MessageSizeTooLarge,
                ErrorClass::Record(Rejection::TooLarge),
                Some("max.message.bytes"),
            ),
            (
                Code::MessageBatchTooLarge,
                ErrorClass::Record(Rejection::TooLarge),
                Some("max.message.bytes"),
            ),
            (
                Code::InvalidTimestamp,
                ErrorClass::Record(Rejection::Timestamp),
                Some("message.timestamp.after.max.ms"),
            ),
            (
                Code::InvalidRecord,
                ErrorClass::Record(Rejection::Policy),
                None,
            ),
            (
                Code::PolicyViolation,
                ErrorClass::Record(Rejection::Policy),
                None,
            ),
            (
                Code::TopicAuthorizationFailed,
                ErrorClass::Forbidden,
                Some("WRITE"),
            ),
            (
                Code::GroupAuthorizationFailed,
                ErrorClass::Forbidden,
                Some("group"),
            ),
            (
                Code::ClusterAuthorizationFailed,
                ErrorClass::Forbidden,
                Some("IDEMPOTENT_WRITE"),
            ),
            (
                Code::TransactionalIdAuthorizationFailed,
                ErrorClass::Forbidden,
                Some("transactional id ewma@a"),
            ),
            (
                Code::UnknownTopic,
                ErrorClass::NoTopic,
                Some("rivulet topics create"),
            ),
            (
                Code::UnknownTopicOrPartition,
                ErrorClass::NoTopic,
                Some("rivulet topics create"),
            ),
            (
                Code::UnknownPartition,
                ErrorClass::NoTopic,
                Some("rivulet topics create"),
            ),
            (
                Code::InvalidProducerIdMapping,
                ErrorClass::Passes,
                Some("transactional.id.expiration.ms"),
            ),
            (
                Code::NotEnoughReplicas,
                ErrorClass::Passes,
                Some("min.insync.replicas"),
            ),
            (Code::NotLeaderForPartition, ErrorClass::Passes, None),
            (Code::MessageTimedOut, ErrorClass::Passes, None),
            (Code::RequestTimedOut, ErrorClass::Passes, None),
            (Code::ProducerFenced, ErrorClass::Passes, None),
            (Code::InvalidProducerEpoch, ErrorClass::Passes, None),
            (Code::PurgeQueue, ErrorClass::Passes, None),
        ];
        for (code, meaning, remedy) in table {
            assert_eq!(ErrorClass::of(code), meaning, "{code:?}");
            let shown = error("sending to out", code, &code.to_string(), "ewma@a").to_string();
            assert!(shown.starts_with("sending to out: "), "{shown}");
            assert!(
                remedy.is_none_or(|remedy| shown.contains("help: ") && shown.contains(remedy)),
                "{shown}"
            );
        }
    }
}
