//! What a stage does about an error code of Kafka.

use crate::monitor::ClientMonitor;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use rivulet_core::error::{Error, Kind};
use rivulet_core::log::Rejection;

/// What a stage can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// Retry: uncommitted records are processed again.
    Retriable,
    /// The topic does not exist. A new topic, or one whose leader moves, needs a moment.
    UnknownTopic,
    /// One of the records is to blame, and would be rejected again.
    Record(Rejection),
    /// Nothing: the user lacks a permission.
    Unauthorized,
}

impl ErrorClass {
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
            | Code::TransactionalIdAuthorizationFailed => ErrorClass::Unauthorized,
            Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::InvalidTopic => ErrorClass::UnknownTopic,
            _ => ErrorClass::Retriable,
        }
    }
}

/// The error of a call or a delivery that failed, with the remedy for `code` if there is one.
/// `user` is the stage's transactional id.
pub(super) fn error(
    doing: impl Into<String>,
    code: RDKafkaErrorCode,
    cause: &str,
    user: &str,
) -> Error {
    let error = Error::new(doing, cause).of_kind(kind(code));
    match remedy(code, user) {
        Some(remedy) => error.help(remedy),
        None => error,
    }
}

/// The same for an error of librdkafka.
pub(super) fn of(doing: impl Into<String>, failed: &KafkaError, user: &str) -> Error {
    match failed.rdkafka_error_code() {
        Some(code) => error(doing, code, &failed.to_string(), user),
        None => Error::caused_by(doing, failed.clone()),
    }
}

/// Of what kind an error with this code is.
pub(super) fn kind(code: RDKafkaErrorCode) -> Kind {
    use RDKafkaErrorCode as Code;
    match (ErrorClass::of(code), code) {
        (ErrorClass::Unauthorized, _) | (_, Code::SaslAuthenticationFailed) => Kind::Unauthorized,
        (ErrorClass::UnknownTopic, _) => Kind::Missing,
        (ErrorClass::Record(Rejection::TooLarge), _) => Kind::TooLarge,
        (_, Code::InvalidConfig | Code::InvalidReplicationFactor | Code::InvalidPartitions) => {
            Kind::Usage
        }
        (
            _,
            Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::FencedInstanceId
            | Code::TopicAlreadyExists,
        ) => Kind::Conflict,
        (
            _,
            Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::RequestTimedOut,
        ) => Kind::Unreachable,
        _ => Kind::Other,
    }
}

fn remedy(code: RDKafkaErrorCode, user: &str) -> Option<String> {
    use RDKafkaErrorCode as Code;
    let remedy = match code {
        Code::TopicAuthorizationFailed => {
            "allow this user to read and write the topic (ACL operations READ, WRITE and DESCRIBE)"
        }
        Code::GroupAuthorizationFailed => {
            "allow this user to use the consumer group with the stage's name (ACL operation READ \
             on the group)"
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
                "the brokers have expired the transactional id {user}, which was not used for \
                 their transactional.id.expiration.ms; nothing is lost, the stage initialises it \
                 again"
            ));
        }
        Code::InvalidTransactionTimeout => {
            "set \"transaction.timeout.ms\" in [kafka] to no more than the brokers' \
             transaction.max.timeout.ms"
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            "`rivulet topics describe` shows how large records may be: the topic's \
             max.message.bytes, or the brokers' message.max.bytes"
        }
        Code::InvalidTimestamp => {
            "the topic's message.timestamp.after.max.ms and message.timestamp.before.max.ms limit \
             how far a record's timestamp may be from the broker's clock: check both clocks"
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => NO_TOPIC,
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            "fewer brokers have a replica of the topic than its min.insync.replicas: start the \
             missing ones"
        }
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// What to do about a topic that does not exist.
pub(super) const NO_TOPIC: &str = "create the pipeline's topics with `rivulet topics create \
                                   --pipeline FILE`; `rivulet topics describe` shows what the \
                                   cluster lacks";

/// Whether the call can be repeated.
pub(crate) fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        _ => false,
    }
}

/// Whether a consumer has a fatal error. It then reads nothing, and calls other than `poll` can
/// hang for ever.
pub(crate) fn has_fatal_error(consumer: &BaseConsumer<ClientMonitor>) -> bool {
    consumer.client().fatal_error().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_code_has_its_class_and_its_remedy() {
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
                ErrorClass::Unauthorized,
                Some("WRITE"),
            ),
            (
                Code::GroupAuthorizationFailed,
                ErrorClass::Unauthorized,
                Some("group"),
            ),
            (
                Code::ClusterAuthorizationFailed,
                ErrorClass::Unauthorized,
                Some("IDEMPOTENT_WRITE"),
            ),
            (
                Code::TransactionalIdAuthorizationFailed,
                ErrorClass::Unauthorized,
                Some("transactional id ewma@a"),
            ),
            (
                Code::UnknownTopic,
                ErrorClass::UnknownTopic,
                Some("rivulet topics create"),
            ),
            (
                Code::UnknownTopicOrPartition,
                ErrorClass::UnknownTopic,
                Some("rivulet topics create"),
            ),
            (
                Code::UnknownPartition,
                ErrorClass::UnknownTopic,
                Some("rivulet topics create"),
            ),
            (
                Code::InvalidProducerIdMapping,
                ErrorClass::Retriable,
                Some("transactional.id.expiration.ms"),
            ),
            (
                Code::NotEnoughReplicas,
                ErrorClass::Retriable,
                Some("min.insync.replicas"),
            ),
            (Code::NotLeaderForPartition, ErrorClass::Retriable, None),
            (Code::MessageTimedOut, ErrorClass::Retriable, None),
            (Code::RequestTimedOut, ErrorClass::Retriable, None),
            (Code::ProducerFenced, ErrorClass::Retriable, None),
            (Code::InvalidProducerEpoch, ErrorClass::Retriable, None),
            (Code::PurgeQueue, ErrorClass::Retriable, None),
        ];
        for (code, class, remedy) in table {
            assert_eq!(ErrorClass::of(code), class, "{code:?}");
            let shown = error("sending to out", code, &code.to_string(), "ewma@a").to_string();
            assert!(shown.starts_with("sending to out: "), "{shown}");
            assert!(
                remedy.is_none_or(|remedy| shown.contains("help: ") && shown.contains(remedy)),
                "{shown}"
            );
        }
    }
}
