//! Faults of the cluster and of the way to it: the first warning names the cause in Kafka's words,
//! the place and the remedy, and blames nobody else.

use tests::chain::CONVERT;
use tests::records::{self, Record};
use tests::{Kafka, PipelineBuilder, Process, Scenario, wait};

/// A fault, and what the first warning or error of a process must say about it.
struct Fault<'f> {
    name: &'f str,
    process: Process,
    says: &'f [&'f str],
    /// What would be false, and may be said neither first nor later.
    never: &'f [&'f str],
}

impl Fault<'_> {
    fn check(mut self) {
        let told = wait::until(wait::LONG, || {
            let running = self.process.is_running();
            first_warning(&self.process.err()).map_or((!running).then(String::new), Some)
        });
        let told = told.unwrap_or_default();
        println!("{}: {told}", self.name);
        for word in self.says {
            assert!(
                told.contains(word),
                "{}: `{word}` is missing in: {told}\n{}",
                self.name,
                self.process.err()
            );
        }
        for word in self.never {
            let all = self.process.err();
            assert!(
                !all.contains(word),
                "{}: `{word}` is not so:\n{all}",
                self.name
            );
        }
    }
}

/// The first warning or error with its help, once that is there.
fn first_warning(text: &str) -> Option<String> {
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

/// On the broker that all share, through some properties of its clients.
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
        // What was not committed is there after the remedy.
        records::create_topic(scenario.brokers(), &fahrenheit, 1);
        scenario.drain("convert");
        assert_eq!(scenario.values("fahrenheit", 1), [35.6]);
    }
}

#[test]
fn an_address_that_brokers_announce_and_nobody_reaches_is_named() {
    for announced in ["127.0.0.1:1", "no-such-host.invalid:9092"] {
        let kafka = Kafka::announced_as(announced);
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

#[test]
fn a_wrong_password_or_protocol_is_named() {
    let kafka = Kafka::guarded(PLAIN);
    let guarded = kafka.second();
    let sasl = |mechanism: &str, password: &str| {
        format!(
            "\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.mechanism\" \
             = \"{mechanism}\"\n\"sasl.username\" = \"alice\"\n\"sasl.password\" = \"{password}\""
        )
    };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let tls_port = silent.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || silent.incoming().for_each(drop));
    let faults: [(&str, &str, &str, &[&str]); 5] = [
        (
            "a wrong password",
            &guarded,
            &sasl("PLAIN", "wrong"),
            &["Authentication failed", "sasl.password"],
        ),
        (
            "a wrong mechanism",
            &guarded,
            &sasl("SCRAM-SHA-256", "right"),
            &["SCRAM-SHA-256", "sasl.mechanism"],
        ),
        ("no SASL", &guarded, "", &["SASL", "security.protocol"]),
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
fn a_transactional_id_that_the_brokers_have_forgotten_is_told_as_that() {
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
    // Nobody tells when the id is forgotten.
    wait::until_so("the transactional id is forgotten", || {
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
