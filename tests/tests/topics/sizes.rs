//! `rivulet topics size`, over every protocol that it understands.

use rivulet_tests::records::{self, Record};
use rivulet_tests::{Certificate, Kafka, PipelineBuilder, Scenario};

use super::line;

/// Fails unless `topics size` shows 100 records of 1,000 bytes in a topic of its own. The broker is
/// asked at an address that needs these properties of clients.
fn has_sizes(kafka: &Kafka, address: &str, properties: &str) {
    let pipeline = PipelineBuilder::new().topic("in", "partitions = 2\nexternal = true");
    let pipeline = pipeline.operator("smooth", "in", "{ ewma = { alpha = 0.5 } }", "smooth");
    let pipeline = pipeline.settings(&format!("[kafka]\n{properties}"));
    let scenario = Scenario::on(address, pipeline);
    scenario.create_topics();
    let topic = scenario.name("in");
    let records: Vec<Record> = (0..100)
        .map(|number| Record::of(vec![b'x'; 1000]).key(number.to_string()))
        .collect();
    records::produce(&kafka.brokers(), &topic, &records);
    let mut size = scenario.rivulet(&["topics", "size", &topic]);
    size.succeeds();
    let shown = size.out();
    let counts = [&line(&shown, &[&topic, "0"])[2], &line(&shown, &["1"])[1]];
    let counts = counts.map(|count| count.parse::<i64>().expect("it is a number"));
    assert!(counts.iter().all(|count| *count > 20), "{shown}");
    let total = line(&shown, &["100", "records,"]);
    let kib: f64 = total[2].parse().expect("it is a number");
    assert!(
        (98.0..110.0).contains(&kib) && total[3] == "KiB",
        "{shown}{}",
        size.err()
    );
}

#[test]
fn size_counts_records_and_bytes_with_and_without_sasl() {
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                user_alice=\"right\";";
    let kafka = Kafka::with_sasl(jaas);
    has_sizes(&kafka, &kafka.brokers(), "");
    let user = "\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.mechanism\" = \"PLAIN\"\n\
                \"sasl.username\" = \"alice\"\n\"sasl.password\" = \"right\"";
    has_sizes(&kafka, &kafka.second(), user);
}

#[test]
fn size_counts_records_and_bytes_over_tls() {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let [ca, store] = ["ca.pem", "store.pem"].map(|name| folder.path().join(name));
    let broker = Certificate::self_signed("127.0.0.1");
    let both = [broker.key_pem(), broker.pem()].concat();
    for (file, pem) in [(&ca, broker.pem()), (&store, both)] {
        std::fs::write(file, pem).expect("the folder is there");
    }
    let settings = [
        ("listener.name.second.ssl.keystore.type", "PEM"),
        (
            "listener.name.second.ssl.keystore.location",
            store.to_str().expect("it is ASCII"),
        ),
    ];
    let kafka = Kafka::with_listeners(&[("second", "SSL")], &settings);
    let properties = format!(
        "\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"{}\"",
        ca.display()
    );
    has_sizes(&kafka, &kafka.second(), &properties);
}
