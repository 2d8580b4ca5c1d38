//! Faults of the cluster and of the network: the first warning names the cause in Kafka's words,
//! the place and the remedy, and no wrong cause.

use rivulet_tests::chain::CONVERT;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, wait};

/// A fault, and what the first warning or error of a process must say.
struct Fault<'f> {
    name: &'f str,
    process: Process,
    says: &'f [&'f str],
    /// Wrong words, which no line may contain.
    never: &'f [&'f str],
}

impl Fault<'_> {
    fn check(mut self) {
        let message = wait::until(wait::LONG, || {
            let is_running = self.process.is_running();
            first_warning(&self.process.err()).map_or((!is_running).then(String::new), Some)
        });
        let message = message.unwrap_or_default();
        println!("{}: {message}", self.name);
        for word in self.says {
            assert!(
                message.contains(word),
                "{}: `{word}` is missing in: {message}\n{}",
                self.name,
                self.process.err()
            );
        }
        for word in self.never {
            let all = self.process.err();
            assert!(
                !all.contains(word),
                "{}: `{word}` is wrong:\n{all}",
                self.name
            );
        }
    }
}

/// The first warning or error, with its help line if there is one.
pub(crate) fn first_warning(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| {
        !["WARN", "ERROR", "error: "]
            .iter()
            .any(|word| line.contains(word))
    });
    let first = lines.next()?;
    let second = lines.next().filter(|line| line.contains("help: "));
    Some(match second {
        Some(help) => format!("{first}\n{help}"),
        None => first.to_owned(),
    })
}

fn pipeline() -> PipelineBuilder {
    PipelineBuilder::new()
        .topic("celsius", "external = true")
        .operator("convert", "celsius", CONVERT, "fahrenheit")
        .sink("out", "fahrenheit", "\"console\"")
}

fn reading(value: f64) -> Record {
    Record::of(format!(
        "{{\"sensor\":\"a\",\"seq\":0,\"time\":0,\"value\":{value},\"unit\":\"celsius\"}}"
    ))
    .key("a")
}

/// The pipeline with these client properties.
fn on(brokers: &str, properties: &str) -> Scenario {
    Scenario::on(
        brokers,
        pipeline().settings(&format!("[kafka]\n{properties}")),
    )
}

#[test]
fn an_output_topic_that_is_deleted_is_named() {
    for guarantee in ["exactly-once", "at-least-once"] {
        let scenario = Scenario::new(pipeline()).guarantee(guarantee);
        let mut convert = scenario.start("convert");
        records::produce(
            scenario.brokers(),
            &scenario.name("celsius"),
            &[reading(1.0)],
        );
        assert_eq!(scenario.values("fahrenheit", 1), [33.8]);
        let fahrenheit = scenario.name("fahrenheit");
        records::delete_topic(scenario.brokers(), &fahrenheit);
        records::produce(
            scenario.brokers(),
            &scenario.name("celsius"),
            &[reading(2.0)],
        );
        let said = convert.fails();
        assert!(
            said.contains(&fahrenheit) && said.contains("Unknown topic"),
            "{said}"
        );
        let fault = Fault {
            name: &format!("deleted output, {guarantee}"),
            process: convert,
            says: &[&fahrenheit, "Unknown topic", "rivulet topics create"],
            never: &["brokers unreachable", "brokers reachable"],
        };
        fault.check();
        // After the remedy, the uncommitted readings arrive.
        records::create_topic(scenario.brokers(), &fahrenheit, 1);
        scenario.drain("convert");
        assert_eq!(scenario.values("fahrenheit", 1), [35.6]);
    }
}

#[test]
fn an_unreachable_advertised_listener_is_named() {
    for announced in ["127.0.0.1:1", "no-such-host.invalid:9092"] {
        let kafka = Kafka::advertised_as(announced);
        let scenario = Scenario::on(kafka.brokers(), pipeline());
        scenario.create_topics();
        for stage in ["convert", "out"] {
            Fault {
                name: &format!("{stage}, advertised.listeners {announced}"),
                process: scenario.start_through(&kafka.second(), stage),
                says: &["advertised.listeners", announced, &kafka.second()],
                never: &["check that Kafka runs there", "transaction coordinator"],
            }
            .check();
        }
    }
}

const PLAIN: &str =
    "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"right\";";

fn sasl(mechanism: &str, password: &str) -> String {
    format!(
        "\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.mechanism\" = \"{mechanism}\"\n\
         \"sasl.username\" = \"alice\"\n\"sasl.password\" = \"{password}\""
    )
}

#[test]
fn a_wrong_password_or_protocol_is_named() {
    let kafka = Kafka::with_sasl(PLAIN);
    let sasl_listener = kafka.second();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let tls_port = silent.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || silent.incoming().for_each(drop));
    let faults: [(&str, &str, &str, &[&str]); 5] = [
        (
            "a wrong password",
            &sasl_listener,
            &sasl("PLAIN", "wrong"),
            &["Authentication failed", "sasl.password"],
        ),
        (
            "a wrong mechanism",
            &sasl_listener,
            &sasl("SCRAM-SHA-256", "right"),
            &["SCRAM-SHA-256", "sasl.mechanism"],
        ),
        (
            "no SASL",
            &sasl_listener,
            "",
            &["SASL", "security.protocol"],
        ),
        (
            "TLS to a listener that speaks plain text",
            &kafka.brokers(),
            "\"security.protocol\" = \"ssl\"",
            &["SSL", "security.protocol"],
        ),
        (
            "plain text to a listener that speaks TLS",
            &tls_port,
            "",
            &["security.protocol"],
        ),
    ];
    for (name, brokers, properties, says) in faults {
        let scenario = on(brokers, properties);
        let process = scenario.start("convert");
        Fault {
            name,
            process,
            says,
            never: &["check that Kafka runs there"],
        }
        .check();
    }
}

#[test]
fn an_expired_transactional_id_is_named() {
    let kafka = Kafka::start(&[
        ("transactional.id.expiration.ms", "1000"),
        (
            "transaction.remove.expired.transaction.cleanup.interval.ms",
            "500",
        ),
    ]);
    let scenario = Scenario::on(kafka.brokers(), pipeline());
    scenario.create_topics();
    let convert = scenario.start("convert");
    let celsius = scenario.name("celsius");
    records::produce(&kafka.brokers(), &celsius, &[reading(1.0)]);
    assert_eq!(scenario.values("fahrenheit", 1).len(), 1);
    let mut sent = 1;
    // No event says that the id has expired.
    wait::until_true("the transactional id expires", || {
        std::thread::sleep(std::time::Duration::from_millis(2500));
        records::produce(&kafka.brokers(), &celsius, &[reading(2.0)]);
        sent += 1;
        assert_eq!(
            scenario.values("fahrenheit", sent).len(),
            sent,
            "nothing is lost"
        );
        first_warning(&convert.err()).is_some()
    });
    Fault {
        name: "an expired transactional id",
        process: convert,
        says: &["transactional.id.expiration.ms", "transactional id"],
        never: &["Purged in queue"],
    }
    .check();
}
