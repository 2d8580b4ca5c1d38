//! What a message of librdkafka says about a connection.

/// What is wrong with the connections to the brokers, and what to do about it.
pub(super) fn describe_failure(reason: &str, brokers: &str) -> (&'static str, &'static str) {
    let has_any = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has_any(&["SASL", "uthentication"]) {
        let help = "check \"sasl.mechanism\", \"sasl.username\", \"sasl.password\" and \
                    \"security.protocol\" in [kafka]: they must match the listener of the brokers";
        ("authentication failed", help)
    } else if has_any(&["SSL", "ssl", "certificate", "security.protocol"]) {
        let help = "check \"security.protocol\" and \"ssl.ca.location\" in [kafka]: a listener \
                    speaks either TLS or plain text, and the file must contain the CA that signed \
                    the brokers' certificates";
        ("TLS failed", help)
    } else if is_closed_at_once(reason) {
        let help = "a listener that requires SASL or TLS closes other connections: check \
                    \"security.protocol\" and \"sasl.mechanism\" in [kafka]";
        ("connection closed by the brokers", help)
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

/// Whether the address that failed is advertised by a broker, and not in the bootstrap list.
/// librdkafka puts it in front as `rpi1:9092/2: `, with the broker's id.
fn is_advertised(reason: &str, brokers: &str) -> bool {
    let Some((address, rest)) = reason.split_once('/') else {
        return false;
    };
    let is_number = rest
        .split_once(':')
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    is_number && brokers.split(',').all(|broker| broker.trim() != address)
}

/// Whether the broker closed an established connection within two seconds.
fn is_closed_at_once(reason: &str) -> bool {
    let Some((_, after)) = reason.split_once("(after ") else {
        return false;
    };
    let Some((time, state)) = after.split_once("ms in state ") else {
        return false;
    };
    let is_short = time.parse::<u64>().is_ok_and(|time| time < 2000);
    reason.contains("Disconnected")
        && is_short
        && ["UP", "APIVERSION_QUERY"]
            .iter()
            .any(|up| state.starts_with(up))
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
    let (name, rest) = reason.split_once(": ")?;
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
    fn each_reason_has_a_help_of_its_own() {
        for (reason, expected, remedy) in [
            (
                "SASL authentication error: Authentication failed: Invalid username or password",
                "authentication failed",
                "sasl.password",
            ),
            (
                "SASL SCRAM-SHA-256 mechanism handshake failed: Unsupported SASL mechanism",
                "authentication failed",
                "sasl.mechanism",
            ),
            (
                "SSL handshake failed: wrong version number",
                "TLS failed",
                "security.protocol",
            ),
            (
                "Disconnected: closed by peer (after 3ms in state UP, 1 identical)",
                "connection closed by the brokers",
                "security.protocol",
            ),
            (
                "Disconnected: closed by peer (after 0ms in state APIVERSION_QUERY)",
                "connection closed by the brokers",
                "security.protocol",
            ),
            (
                "Disconnected: closed by peer (after 42031ms in state UP)",
                "brokers unreachable",
                "Kafka runs there",
            ),
            (
                "Connect to ipv4#127.0.0.1:1 failed: Connection refused",
                "brokers unreachable",
                "Kafka runs there",
            ),
        ] {
            let (what, help) = describe_failure(reason, "rpi0:9092");
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
