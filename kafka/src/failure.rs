//! What is wrong with a connection, by the words of librdkafka and OpenSSL, and what to do about
//! it.

use rivulet_core::error::Kind;

/// What is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    /// Any of these words says so.
    words: &'static [&'static str],
    /// In a few words.
    pub(crate) what: &'static str,
    /// What to do about it.
    pub(crate) help: &'static str,
    pub(crate) kind: Kind,
    /// Whether a broker that stops cannot be the cause.
    pub(crate) is_certain: bool,
}

const fn login(words: &'static [&'static str], help: &'static str) -> Failure {
    Failure {
        words,
        what: "authentication failed",
        help,
        kind: Kind::Unauthorized,
        is_certain: true,
    }
}

const fn tls(words: &'static [&'static str], help: &'static str) -> Failure {
    Failure {
        words,
        what: "TLS failed",
        help,
        kind: Kind::Unreachable,
        is_certain: true,
    }
}

const fn closed(words: &'static [&'static str], help: &'static str) -> Failure {
    Failure {
        words,
        what: "connection closed by the brokers",
        help,
        kind: Kind::Unreachable,
        is_certain: false,
    }
}

/// A broker answers, but does not let the client in, or the client does not trust it.
const REFUSED: &[Failure] = &[
    login(
        &["mechanism handshake failed", "Unsupported SASL mechanism"],
        "set \"sasl.mechanism\" in [kafka] or --command-config to one that the listener has: the \
         error names them",
    ),
    login(
        &["Authentication failed", "invalid credentials"],
        "check \"sasl.username\" and \"sasl.password\" in [kafka] or --command-config; the brokers \
         store a password for each SCRAM mechanism on its own, see `kafka-configs.sh --describe \
         --entity-type users`",
    ),
    login(
        &["SASL", "uthentication"],
        "check \"sasl.mechanism\", \"sasl.username\", \"sasl.password\" and \"security.protocol\" \
         in [kafka] or --command-config: they must match the listener of the brokers",
    ),
    tls(
        &["has expired"],
        "renew the certificate; if that date is still to come, set the clock of this machine: a Pi \
         has no clock battery, and asks a time server for the time",
    ),
    tls(
        &["not yet valid"],
        "check the clock of this machine: a Pi has no clock battery, so it starts in the past and \
         waits for a time server; if it is right, wait, or renew the certificate",
    ),
    tls(
        &["hostname mismatch", "IP address mismatch"],
        "name the brokers as their certificates do, in --brokers and in their \
         advertised.listeners, or make certificates for these addresses (subjectAltName)",
    ),
    tls(
        &["self-signed", "self signed", "unable to get"],
        "set \"ssl.ca.location\" in [kafka] or --command-config to a PEM file with the certificate \
         of the authority that signed the brokers' certificates",
    ),
    tls(
        &["certificate verify failed"],
        "set \"ssl.ca.location\" in [kafka] or --command-config to a PEM file with the certificate \
         of the authority that signed the brokers' certificates, and check the clock of this \
         machine and for which names and dates they are: `openssl s_client -connect HOST:PORT`",
    ),
    tls(
        &[
            "alert bad certificate",
            "alert certificate required",
            "client SSL authentication might be required",
        ],
        "the listener wants a certificate of this client: set \"ssl.certificate.location\" and \
         \"ssl.key.location\", or \"ssl.keystore.location\", in [kafka] or --command-config",
    ),
    tls(
        &[
            "alert unknown ca",
            "alert certificate unknown",
            "alert certificate expired",
            "alert unsupported certificate",
        ],
        "the brokers do not trust the certificate of this client: one that their truststore trusts \
         and that has not expired must be in \"ssl.certificate.location\" or \
         \"ssl.keystore.location\"",
    ),
    PLAIN_TEXT,
    tls(
        &["no shared cipher", "protocol version", "handshake failure"],
        "this client and the brokers have no version of TLS or no cipher in common: check \
         ssl.enabled.protocols and ssl.cipher.suites of the brokers",
    ),
];

const PLAIN_TEXT: Failure = tls(
    &[
        "PLAINTEXT broker listener",
        "wrong version number",
        "packet length too long",
        "record layer failure",
    ],
    "the listener speaks plain text: name one that speaks TLS with --brokers, or set \
     \"security.protocol\" in [kafka] or --command-config to plaintext or sasl_plaintext",
);

const NEEDS_TLS: Failure = closed(
    &["in state APIVERSION_QUERY"],
    "a listener that requires TLS closes other connections: set \"security.protocol\" in [kafka] \
     or --command-config to ssl or sasl_ssl, and \"ssl.ca.location\"",
);

const NEEDS_SASL: Failure = closed(
    &["in state UP"],
    "a listener that requires SASL closes other connections: set \"security.protocol\" in [kafka] \
     or --command-config to sasl_ssl or sasl_plaintext, and \"sasl.mechanism\", \
     \"sasl.username\" and \"sasl.password\"",
);

const OTHER_TLS: Failure = tls(
    &["SSL", "ssl", "certificate", "security.protocol"],
    "check \"security.protocol\" and \"ssl.ca.location\" in [kafka] or --command-config: a \
     listener speaks either TLS or plain text, and the file must contain the CA that signed the \
     brokers' certificates",
);

impl Failure {
    fn is_in(&self, reason: &str) -> bool {
        self.words.iter().any(|word| reason.contains(word))
    }
}

/// What is wrong if a broker, or something else, is there and no client gets in. `None` if the
/// reason is another.
pub(crate) fn refused(reason: &str) -> Option<Failure> {
    // Each message of a client that uses TLS begins with `ssl://`.
    let reason = reason.split_once("://").map_or(reason, |(_, rest)| rest);
    if let Some(failure) = REFUSED.iter().find(|failure| failure.is_in(reason)) {
        return Some(*failure);
    }
    if let Some(state) = closed_at_once(reason) {
        // librdkafka itself says so only in one of the places where it notices the end.
        if state.contains("in state SSL_HANDSHAKE") {
            return Some(PLAIN_TEXT);
        }
        return [NEEDS_TLS, NEEDS_SASL]
            .into_iter()
            .find(|failure| failure.is_in(state));
    }
    let is_broken = is_closed(reason) || reason.contains("transport error");
    (OTHER_TLS.is_in(reason) && !is_broken).then_some(OTHER_TLS)
}

/// Whether the other side closed the connection. librdkafka notices it when it receives, or when it
/// sends.
fn is_closed(reason: &str) -> bool {
    ["Disconnected", "Broken pipe", "Connection reset"]
        .iter()
        .any(|words| reason.contains(words))
}

/// How a message ends if the broker closed the connection within two seconds: with its state.
fn closed_at_once(reason: &str) -> Option<&str> {
    let (_, after) = reason.split_once("(after ")?;
    let (time, _) = after.split_once("ms in state ")?;
    let is_short = time.parse::<u64>().is_ok_and(|time| time < 2000);
    // Who knows a coordinator was let in before: that broker has just gone down.
    let was_in = reason.contains("Coordinator: ");
    (is_closed(reason) && is_short && !was_in).then_some(after)
}

#[cfg(test)]
mod tests;
