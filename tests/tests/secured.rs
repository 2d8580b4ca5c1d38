//! TLS and passwords, on a broker with an authority of its own: what works, and what the first
//! error of a command and the first warning of a stage say about each mistake.

use std::sync::OnceLock;

use rivulet_core::exit;
use rivulet_tests::chain::CONVERT;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{Certificate, Kafka, PipelineBuilder, Process, Scenario, wait};

use crate::first_lines::first_warning;

/// The password of `alice`, of the key and of the PKCS#12 file. No message may contain it.
const PASSWORD: &str = "open-sesame";
const WRONG: &str = "close-sesame";

/// A broker with a listener for each case, and the files of its clients.
struct Secured {
    kafka: Kafka,
    files: Vec<(&'static str, Vec<u8>)>,
}

/// The listeners with TLS: name, protocol, the host of the certificate, and from and to which day
/// from now it is valid.
const TLS_LISTENERS: [(&str, &str, &str, [i64; 2]); 6] = [
    ("tls", "SSL", "127.0.0.1", [-1, 30]),
    ("mutual", "SSL", "127.0.0.1", [-1, 30]),
    ("expired", "SSL", "127.0.0.1", [-20, -10]),
    ("early", "SSL", "127.0.0.1", [10, 20]),
    ("elsewhere", "SSL", "rpi0.lan", [-1, 30]),
    ("login", "SASL_SSL", "127.0.0.1", [-1, 30]),
];

impl Secured {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Secured> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let authority = Certificate::authority("the authority");
        let client = authority.sign("client", [-1, 30]);
        let mut settings = vec![
            ("ssl.keystore.type".to_owned(), "PEM".to_owned()),
            ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
        ];
        let mut set = |listener: &str, name: &str, value: &str| {
            settings.push((format!("listener.name.{listener}.{name}"), value.to_owned()));
        };
        // As a value in a file of Java's properties.
        let text = |pem| {
            String::from_utf8(pem)
                .expect("PEM is text")
                .replace('\n', "\\n")
        };
        for (listener, _, host, days) in TLS_LISTENERS {
            let own = authority.sign(host, days);
            set(listener, "ssl.keystore.key", &text(own.key_pem()));
            set(listener, "ssl.keystore.certificate.chain", &text(own.pem()));
            set(
                listener,
                "ssl.truststore.certificates",
                &text(authority.pem()),
            );
        }
        set("mutual", "ssl.client.auth", "required");
        let module = "org.apache.kafka.common.security";
        let plain = format!("{module}.plain.PlainLoginModule required user_alice=\"{PASSWORD}\";");
        let scram = format!("{module}.scram.ScramLoginModule required;");
        let all = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512";
        for (listener, mechanisms) in [("login", all), ("unencrypted", "PLAIN")] {
            set(listener, "sasl.enabled.mechanisms", mechanisms);
            set(listener, "plain.sasl.jaas.config", &plain);
            set(listener, "scram-sha-256.sasl.jaas.config", &scram);
            set(listener, "scram-sha-512.sasl.jaas.config", &scram);
        }
        let mut listeners = vec![("unencrypted", "SASL_PLAINTEXT")];
        listeners.extend(TLS_LISTENERS.map(|(listener, protocol, ..)| (listener, protocol)));
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let kafka = Kafka::with_listeners(&listeners, &settings);
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            kafka.add_user(mechanism, "alice", PASSWORD);
        }
        let files = vec![
            ("ca.pem", authority.pem()),
            ("other-ca.pem", Certificate::authority("another").pem()),
            ("client.pem", client.pem()),
            ("key.pem", client.key_pem()),
            ("encrypted.pem", client.encrypted_key_pem(PASSWORD)),
            ("client.p12", client.pkcs12(PASSWORD)),
            ("old.p12", client.old_pkcs12(PASSWORD)),
        ];
        Secured { kafka, files }
    }

    /// The pipeline at a listener, with a file of these properties.
    fn at(&self, listener: &str, properties: &str) -> Scenario {
        let brokers = match listener {
            "plaintext" => self.kafka.brokers(),
            "nobody" => "127.0.0.1:1".to_owned(),
            listener => self.kafka.listener(listener),
        };
        let pipeline = PipelineBuilder::new()
            .topic("celsius", "external = true")
            .operator("convert", "celsius", CONVERT, "fahrenheit");
        let scenario = Scenario::on(brokers, pipeline);
        for (name, content) in &self.files {
            scenario.write(name, content);
        }
        scenario.write("client.properties", properties);
        scenario
    }
}

fn topics(scenario: &Scenario, command: &str) -> Process {
    scenario.rivulet(&["topics", command, "--command-config", "client.properties"])
}

fn convert(scenario: &Scenario) -> Process {
    let name = scenario.name("convert");
    scenario.program(
        "rivulet-operator",
        &[&name, "--command-config", "client.properties"],
    )
}

const TLS: &str = "security.protocol=ssl\nssl.ca.location=ca.pem\n";

fn pem(key: &str) -> String {
    format!("{TLS}ssl.certificate.location=client.pem\nssl.key.location={key}\n")
}

fn pkcs12(file: &str, password: &str) -> String {
    format!("{TLS}ssl.keystore.location={file}\nssl.keystore.password={password}\n")
}

fn login(protocol: &str, mechanism: &str, user: &str, password: &str) -> String {
    format!(
        "security.protocol={protocol}\nssl.ca.location=ca.pem\nsasl.mechanism={mechanism}\n\
         sasl.username={user}\nsasl.password={password}\n"
    )
}

#[test]
fn every_way_in_works() {
    let secured = Secured::shared();
    let encrypted = format!("{}ssl.key.password={PASSWORD}\n", pem("encrypted.pem"));
    let ways = [
        ("tls", TLS.to_owned()),
        ("mutual", pem("key.pem")),
        ("mutual", encrypted),
        ("mutual", pkcs12("client.p12", PASSWORD)),
        ("login", login("sasl_ssl", "PLAIN", "alice", PASSWORD)),
        (
            "login",
            login("sasl_ssl", "SCRAM-SHA-256", "alice", PASSWORD),
        ),
        (
            "login",
            login("sasl_ssl", "SCRAM-SHA-512", "alice", PASSWORD),
        ),
    ];
    let scenarios = ways.map(|(listener, properties)| secured.at(listener, &properties));
    for mut list in scenarios
        .each_ref()
        .map(|scenario| topics(scenario, "list"))
    {
        list.succeeds();
    }
    let [.., scenario] = scenarios;
    topics(&scenario, "create").succeeds();
    let mut stage = convert(&scenario);
    let brokers = secured.kafka.brokers();
    let reading = "{\"sensor\":\"a\",\"seq\":0,\"time\":0,\"value\":1,\"unit\":\"celsius\"}";
    let reading = Record::of(reading).key("a");
    records::produce(&brokers, &scenario.name("celsius"), &[reading]);
    let results = records::read(&brokers, &scenario.name("fahrenheit"), 1);
    assert_eq!(results[0].number(), 33.8);
    stage.stop();
}

/// A name, a listener, the properties of the client, and what must be said about them.
type Mistake = (&'static str, &'static str, String, &'static [&'static str]);

/// Each mistake must be named by the first error of a command, which ends with this code, and by
/// the first warning or error of a stage.
fn are_named(code: u8, mistakes: &[Mistake]) {
    // They mostly wait.
    for some in mistakes.chunks(4) {
        let started = some.iter().map(|(name, listener, properties, says)| {
            let scenario = Secured::shared().at(listener, properties);
            let processes = [topics(&scenario, "list"), convert(&scenario)];
            (name, says, scenario, processes)
        });
        for (name, says, scenario, [mut command, mut stage]) in started.collect::<Vec<_>>() {
            let is_file = scenario.brokers().ends_with(":1");
            let place = if is_file { "" } else { scenario.brokers() };
            let said = first_warning(&command.fails_with(code)).unwrap_or_default();
            check(&format!("{name}, command"), &said, says, place, &command);
            let said = wait::until(wait::LONG, || {
                let is_running = stage.is_running();
                first_warning(&stage.err()).or((!is_running).then(String::new))
            });
            let said = said.unwrap_or_default();
            check(&format!("{name}, stage"), &said, says, place, &stage);
        }
    }
}

fn check(name: &str, said: &str, says: &[&str], place: &str, process: &Process) {
    println!("{name}: {said}");
    for words in says.iter().chain(&[place, "help: "]) {
        let all = process.err();
        assert!(
            said.contains(words),
            "{name}: `{words}` is missing in: {said}\n{all}"
        );
    }
    for words in [PASSWORD, WRONG, "is Kafka running", "that Kafka runs"] {
        let all = process.err();
        assert!(!all.contains(words), "{name}: `{words}` is wrong:\n{all}");
    }
}

#[test]
fn why_a_broker_is_not_trusted_is_named() {
    let other = TLS.replace("ca.pem", "other-ca.pem");
    let mistakes = [
        (
            "the CA of others",
            "tls",
            other,
            &[
                "unable to get local issuer",
                "`the authority`",
                "ssl.ca.location",
            ][..],
        ),
        (
            "no CA",
            "tls",
            "security.protocol=ssl".to_owned(),
            &["certificate verify failed", "ssl.ca.location", "clock"],
        ),
        (
            "an expired certificate",
            "expired",
            TLS.to_owned(),
            &["certificate has expired", "valid until", "renew", "clock"],
        ),
        (
            "a certificate that is not yet valid",
            "early",
            TLS.to_owned(),
            &[
                "certificate is not yet valid",
                "valid from",
                "clock",
                "a Pi",
            ],
        ),
        (
            "a certificate for another host",
            "elsewhere",
            TLS.to_owned(),
            &["IP address mismatch", "rpi0.lan", "advertised.listeners"],
        ),
    ];
    are_named(exit::UNREACHABLE, &mistakes);
}

#[test]
fn a_listener_that_expects_something_else_is_named() {
    let mistakes = [
        (
            "plain text to TLS",
            "tls",
            String::new(),
            &["requires TLS closes", "security.protocol"][..],
        ),
        (
            "TLS to plain text",
            "plaintext",
            TLS.to_owned(),
            &["SSL", "speaks plain text", "security.protocol"],
        ),
        (
            "no certificate of the client",
            "mutual",
            TLS.to_owned(),
            &[
                "alert bad certificate",
                "ssl.certificate.location",
                "ssl.keystore.location",
            ],
        ),
        (
            "no SASL over TLS",
            "login",
            TLS.to_owned(),
            &["requires SASL closes", "sasl_ssl", "sasl.mechanism"],
        ),
        (
            "no SASL",
            "unencrypted",
            String::new(),
            &["requires SASL closes", "sasl_plaintext", "sasl.mechanism"],
        ),
    ];
    are_named(exit::UNREACHABLE, &mistakes);
}

#[test]
fn why_a_user_may_not_come_in_is_named() {
    let says = &["Authentication failed", "sasl.username", "sasl.password"][..];
    let wrong = |mechanism, user, password| login("sasl_ssl", mechanism, user, password);
    let mistakes = [
        (
            "a wrong password",
            "login",
            wrong("PLAIN", "alice", WRONG),
            says,
        ),
        (
            "a wrong password, SCRAM",
            "login",
            wrong("SCRAM-SHA-512", "alice", WRONG),
            says,
        ),
        (
            "an unknown user",
            "login",
            wrong("PLAIN", "bob", PASSWORD),
            says,
        ),
        (
            "an unknown user, SCRAM",
            "login",
            wrong("SCRAM-SHA-256", "bob", PASSWORD),
            says,
        ),
        (
            "a wrong mechanism",
            "unencrypted",
            login("sasl_plaintext", "SCRAM-SHA-256", "alice", PASSWORD),
            &["Unsupported SASL mechanism", "PLAIN", "sasl.mechanism"],
        ),
    ];
    are_named(exit::UNAUTHORIZED, &mistakes);
}

#[test]
fn why_a_key_cannot_be_read_is_named() {
    let encrypted = pem("encrypted.pem");
    let mistakes = [
        (
            "a wrong password of the key",
            "nobody",
            format!("{encrypted}ssl.key.password={WRONG}\n"),
            &["bad decrypt", "encrypted.pem", "check \"ssl.key.password\""][..],
        ),
        (
            "no password of the key",
            "nobody",
            encrypted,
            &[
                "it is encrypted",
                "encrypted.pem",
                "set \"ssl.key.password\"",
            ],
        ),
        (
            "a wrong password of PKCS#12",
            "nobody",
            pkcs12("client.p12", WRONG),
            &["mac verify failure", "client.p12", "ssl.keystore.password"],
        ),
        (
            "PKCS#12 of an old program",
            "nobody",
            pkcs12("old.p12", PASSWORD),
            &["unsupported", "old.p12", "openssl pkcs12 -legacy"],
        ),
        (
            "the key of another certificate",
            "nobody",
            pem("key.pem").replace("client.pem", "ca.pem"),
            &["key values mismatch", "key.pem", "its own certificate"],
        ),
    ];
    are_named(exit::USAGE, &mistakes);
}
