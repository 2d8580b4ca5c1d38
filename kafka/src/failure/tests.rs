//! Tests with messages as librdkafka writes them.

use super::*;

#[test]
fn each_reason_has_a_help_of_its_own() {
    for (reason, what, help) in [
        (
            "sasl_ssl://rpi0:9093/bootstrap: SASL authentication error: Authentication failed: \
             Invalid username or password (after 311ms in state AUTH_REQ)",
            "authentication failed",
            "sasl.password",
        ),
        (
            "SASL authentication error: Authentication failed during authentication due to \
             invalid credentials with SASL mechanism SCRAM-SHA-512",
            "authentication failed",
            "kafka-configs.sh",
        ),
        (
            "SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL mechanism: \
             broker's supported mechanisms: PLAIN",
            "authentication failed",
            "sasl.mechanism",
        ),
        (
            "certificate verify failed: certificate has expired, it was valid until Nov 20",
            "TLS failed",
            "clock",
        ),
        (
            "certificate verify failed: certificate is not yet valid",
            "TLS failed",
            "clock",
        ),
        (
            "certificate verify failed: IP address mismatch, it is for rpi0.lan",
            "TLS failed",
            "subjectAltName",
        ),
        (
            "certificate verify failed: unable to get local issuer certificate",
            "TLS failed",
            "ssl.ca.location",
        ),
        (
            "error:0A000086:SSL routines::certificate verify failed: broker certificate could \
             not be verified",
            "TLS failed",
            "clock",
        ),
        (
            "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL \
             alert number 42 (after 0ms in state APIVERSION_QUERY)",
            "TLS failed",
            "ssl.certificate.location",
        ),
        (
            "SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a \
             PLAINTEXT broker listener? (after 1ms in state SSL_HANDSHAKE)",
            "TLS failed",
            "plain text",
        ),
        (
            "ssl://rpi0:9093/bootstrap: Disconnected: SSL connection closed by peer (after 0ms in \
             state SSL_HANDSHAKE)",
            "TLS failed",
            "plain text",
        ),
        (
            "SSL handshake failed: wrong version number",
            "TLS failed",
            "security.protocol",
        ),
        (
            "SSL handshake failed: something new",
            "TLS failed",
            "security.protocol",
        ),
        (
            "ssl://rpi0:9093/bootstrap: Disconnected: SSL connection closed by peer (after 9ms in \
             state UP)",
            "connection closed by the brokers",
            "sasl_ssl",
        ),
        (
            "Disconnected: closed by peer (after 3ms in state UP, 1 identical)",
            "connection closed by the brokers",
            "sasl.mechanism",
        ),
        (
            "Disconnected: closed by peer (after 0ms in state APIVERSION_QUERY)",
            "connection closed by the brokers",
            "ssl.ca.location",
        ),
        (
            "ssl://rpi0:9093/bootstrap: Send failed: error:80000020:system library::Broken pipe: \
             tls_retry_write_records failure (after 0ms in state UP)",
            "connection closed by the brokers",
            "sasl_ssl",
        ),
        (
            "rpi0:9092/bootstrap: Send failed: Connection reset by peer (after 1ms in state \
             APIVERSION_QUERY)",
            "connection closed by the brokers",
            "ssl.ca.location",
        ),
    ] {
        let failure = refused(reason).expect(reason);
        assert_eq!(failure.what, what, "{reason}");
        assert!(failure.help.contains(help), "{reason}: {}", failure.help);
    }
}

#[test]
fn an_unreachable_broker_has_refused_nobody() {
    for reason in [
        "Disconnected: closed by peer (after 42031ms in state UP)",
        "TxnCoordinator: rpi0:9092: Disconnected: closed by peer (after 17ms in state UP)",
        "ssl://rpi0:9093/1: Disconnected: SSL connection closed by peer (after 4203ms in state UP)",
        "ssl://rpi0:9093/1: Receive failed: SSL transport error: Connection timed out (after 9ms \
         in state UP)",
        "ssl://rpi0:9093/1: Send failed: error:80000020:system library::Broken pipe: \
         tls_retry_write_records failure (after 42031ms in state UP)",
        "Connect to ipv4#127.0.0.1:1 failed: Connection refused",
        "sasl_ssl://rpi0:9093/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
        "ssl://rpi0:9093/bootstrap: Failed to resolve 'rpi0:9093': Name or service not known",
    ] {
        assert!(refused(reason).is_none(), "{reason}");
    }
}
