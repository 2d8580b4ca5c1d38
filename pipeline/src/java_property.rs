//! Properties of Java's clients that librdkafka does not have, and what to write instead.

/// What to write in a client file instead of a property that only Java's clients have.
pub(crate) fn instead_of(name: &str) -> Option<&'static str> {
    JAVA.iter()
        .find(|(names, _)| names.contains(&name))
        .map(|(_, instead)| *instead)
}

/// All names of properties that only Java's clients have.
#[must_use]
pub fn names() -> Vec<&'static str> {
    JAVA.iter()
        .flat_map(|(names, _)| names.iter())
        .copied()
        .collect()
}

const JAVA: &[(&[&str], &str)] = &[
    (
        &["ssl.truststore.location"],
        "set ssl.ca.location to a PEM file with the CA's certificate; `keytool -exportcert -rfc` \
         writes one from a Java truststore",
    ),
    (
        &["ssl.truststore.certificates"],
        "set ssl.ca.pem, or ssl.ca.location to a PEM file with the CA's certificate",
    ),
    (
        &["ssl.truststore.password", "ssl.truststore.type"],
        "remove the line: ssl.ca.location is a PEM file, which has no password",
    ),
    (
        &["ssl.keystore.type"],
        "remove the line: ssl.keystore.location is a PKCS#12 file, and ssl.certificate.location \
         and ssl.key.location are PEM files; `keytool -importkeystore -deststoretype PKCS12` \
         converts a Java keystore",
    ),
    (
        &["ssl.keystore.key"],
        "set ssl.key.pem, or ssl.key.location to a PEM file",
    ),
    (
        &["ssl.keystore.certificate.chain"],
        "set ssl.certificate.pem, or ssl.certificate.location to a PEM file",
    ),
    (
        &["ssl.protocol", "ssl.enabled.protocols", "ssl.provider"],
        "remove the line: OpenSSL negotiates the newest version of TLS that the brokers have",
    ),
    (
        &[
            "ssl.keymanager.algorithm",
            "ssl.trustmanager.algorithm",
            "ssl.secure.random.implementation",
            "ssl.engine.factory.class",
        ],
        "remove the line: OpenSSL has no such choice",
    ),
    (
        &["sasl.jaas.config"],
        "set sasl.mechanism, sasl.username and sasl.password",
    ),
    (
        &[
            "sasl.client.callback.handler.class",
            "sasl.login.callback.handler.class",
            "sasl.login.class",
        ],
        "remove the line: librdkafka runs no Java; set sasl.username and sasl.password",
    ),
    (
        &[
            "key.serializer",
            "value.serializer",
            "key.deserializer",
            "value.deserializer",
        ],
        "remove the line: the pipeline file says how records are written, with format = \"…\" in \
         [topic.NAME]",
    ),
    (
        &["max.request.size"],
        "remove the line: it follows from the topics; set config = { \"max.message.bytes\" = … } \
         in [topic.NAME]",
    ),
    (
        &["buffer.memory", "max.poll.records"],
        "remove the line: [limits] memory bounds what a stage holds",
    ),
    (
        &["default.api.timeout.ms", "max.block.ms"],
        "set socket.timeout.ms, the longest wait for the answer to a request",
    ),
    (
        &[
            "interceptor.classes",
            "metric.reporters",
            "metrics.num.samples",
            "metrics.recording.level",
            "metrics.sample.window.ms",
            "partitioner.class",
            "auto.include.jmx.reporter",
            "exclude.internal.topics",
        ],
        "remove the line: rivulet needs none",
    ),
    (&["send.buffer.bytes"], "set socket.send.buffer.bytes"),
    (&["receive.buffer.bytes"], "set socket.receive.buffer.bytes"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_the_property_of_librdkafka() {
        for (name, instead) in [
            ("ssl.truststore.location", "ssl.ca.location"),
            ("ssl.keystore.type", "PKCS#12"),
            ("sasl.jaas.config", "sasl.username"),
            ("key.serializer", "format = "),
        ] {
            let remedy = instead_of(name).unwrap_or_default();
            assert!(remedy.contains(instead), "{name}: {remedy}");
        }
        assert_eq!(instead_of("ssl.ca.location"), None);
    }
}
