//! What a message of librdkafka says about a connection.

use crate::failure::refused;

/// What is wrong with the connections to the brokers, and what to do about it.
pub(super) fn describe_failure(reason: &str, brokers: &str) -> (&'static str, &'static str) {
    if let Some(failure) = refused(reason) {
        (failure.what, failure.help)
    } else if is_advertised(reason, brokers) {
        let help = "check that Kafka runs at the address in the error and that its name resolves: \
                    it is the advertised.listeners in that broker's server.properties";
        ("brokers unreachable", help)
    } else {
        let help = "check that Kafka runs there and that the names resolve; name other brokers \
                    with --brokers or [kafka] brokers";
        ("brokers unreachable", help)
    }
}

/// What librdkafka logs about a connection, without the name of its thread.
pub(crate) fn reason_of(message: &str) -> &str {
    message
        .split_once("]: ")
        .map_or(message, |(_thread, reason)| reason)
}

/// A message without the protocol, which librdkafka puts in front unless it is plain text.
fn without_protocol(reason: &str) -> &str {
    match reason.split_once("://") {
        Some((protocol, rest)) if !protocol.contains(' ') => rest,
        _ => reason,
    }
}

/// Whether the address that failed is advertised by a broker, and not in the bootstrap list.
fn is_advertised(reason: &str, brokers: &str) -> bool {
    let is_other = |address| brokers.split(',').all(|broker| broker.trim() != address);
    advertised_address(reason).is_some_and(is_other)
}

/// Whether a client that logs this may send a request for a second time. Failed attempts to connect
/// do not count: no request was in flight on such a connection, and an unreachable broker makes
/// them fail again and again.
///
/// librdkafka logs a broken connection before it repeats the requests that were in flight on it. It
/// suppresses the same message for half a minute. That does no harm, because the first one counts
/// until the producer is replaced.
pub(super) fn may_repeat_request(facility: &str, message: &str) -> bool {
    matches!(facility, "FAIL" | "ERROR" | "REQTMOUT") && !is_connect_failure(message)
}

/// Whether the connection failed before it was established.
pub(super) fn is_connect_failure(message: &str) -> bool {
    let words = [
        "Connect to ",
        "Failed to resolve",
        "in state CONNECT",
        "brokers are down",
    ];
    words.iter().any(|words| message.contains(words))
}

/// The advertised address that a message of librdkafka begins with, as `HOST:PORT/ID: ` or
/// `TxnCoordinator: HOST:PORT: `. `None` if it begins with no such address.
pub(super) fn advertised_address(reason: &str) -> Option<&str> {
    let (name, rest) = without_protocol(reason).split_once(": ")?;
    if let Some((address, id)) = name.split_once('/') {
        return id
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(address);
    }
    let is_logical = matches!(name, "GroupCoordinator" | "TxnCoordinator");
    let (address, _) = rest.split_once(": ")?;
    (is_logical && address.contains(':') && !address.contains(' ')).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_away_is_told_from_one_that_refuses() {
        for (reason, expected, remedy) in [
            (
                "ssl://rpi0:9093/bootstrap: SSL handshake failed: wrong version number",
                "TLS failed",
                "security.protocol",
            ),
            (
                "ssl://rpi0:9093/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
                "brokers unreachable",
                "Kafka runs there",
            ),
            (
                "GroupCoordinator: rpi9:9093: Failed to resolve 'rpi9:9093'",
                "brokers unreachable",
                "advertised.listeners",
            ),
            (
                "ssl://rpi9:9093/2: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
                "brokers unreachable",
                "advertised.listeners",
            ),
        ] {
            let (what, help) = describe_failure(reason, "rpi0:9093");
            assert_eq!(what, expected, "{reason}");
            assert!(help.contains(remedy), "{reason}: {help}");
        }
    }

    #[test]
    fn an_advertised_address_is_told_from_a_bootstrap_address() {
        for (reason, expected) in [
            (
                "rpi9:9092/1: Failed to resolve 'rpi9:9092': Name or service not known",
                Some("rpi9:9092"),
            ),
            (
                "sasl_ssl://rpi9:9092/1: Failed to resolve 'rpi9:9092': Name or service not known",
                Some("rpi9:9092"),
            ),
            (
                "TxnCoordinator: rpi9:9092: Connect to ipv4#10.0.0.9:9092 failed",
                Some("rpi9:9092"),
            ),
            (
                "GroupCoordinator: rpi9:9092: Connect to ipv4#10.0.0.9:9092 failed",
                Some("rpi9:9092"),
            ),
            (
                "rpi0:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused",
                None,
            ),
            ("GroupCoordinator: Failed to resolve 'x': y", None),
            ("1/1 brokers are down", None),
        ] {
            assert_eq!(advertised_address(reason), expected, "{reason}");
        }
    }
}
