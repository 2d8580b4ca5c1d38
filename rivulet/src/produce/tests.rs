//! Tests on an embedded broker.

use std::sync::Mutex;

use rivulet_core::exit;
use rivulet_kafka::EmbeddedBroker;

use super::*;

fn options(input: InputSource) -> ProduceOptions {
    ProduceOptions {
        topics: vec!["out".into()],
        input,
        format: None,
        keys: KeyChoice::None,
        partition: None,
        headers: Vec::new(),
        producers: None,
        pace: PaceOptions::default(),
        limit: None,
        reports: true,
        transactions: None,
        seed: 1,
    }
}

/// A file with this text in a folder of its own.
fn file(text: &str) -> (tempfile::TempDir, InputSource) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    std::fs::write(&path, text).unwrap();
    (folder, InputSource::File(path))
}

/// The result, and what was printed.
fn run(options: &ProduceOptions) -> (Produced, Result<()>, Vec<String>) {
    let broker = EmbeddedBroker::start().unwrap();
    for topic in ["out", "other"] {
        broker.create_topic(topic, 4).unwrap();
    }
    let properties = [("bootstrap.servers".to_owned(), broker.brokers())];
    let connection = Connection {
        properties: properties.into(),
        timeout: None,
    };
    let said = Mutex::new(String::new());
    let say = |text: &str| {
        said.lock().unwrap().push_str(text);
        Ok(())
    };
    let bar = ProgressBar::hidden();
    let shutdown = Shutdown::new();
    let cluster = Cluster::new(&connection).unwrap();
    let checked = options.check();
    // The embedded broker does not answer when it is asked for settings.
    let topics = options.topic_names();
    let checked = checked.and_then(|()| check_topics(&cluster, &topics, options.partition));
    let (produced, result) = match checked {
        Ok(()) => send_all(
            &connection,
            options,
            (DEFAULT_MAX_MESSAGE, DEFAULT_MAX_MESSAGE),
            &say,
            &bar,
            &shutdown,
        ),
        Err(error) => (Produced::default(), Err(error)),
    };
    let said = said.into_inner().unwrap();
    let mut said: Vec<String> = said.lines().map(str::to_owned).collect();
    said.sort();
    (produced, result, said)
}

#[test]
fn each_of_several_producers_sends_everything() {
    let (_folder, input) = file("[1, 2, 3]");
    let mut options = options(input);
    options.producers = NonZeroUsize::new(2);
    options.partition = Some(2);
    let (produced, result, said) = run(&options);
    assert_eq!(result, Ok(()));
    let sent: Vec<u64> = produced
        .producers
        .iter()
        .map(|counts| counts.sent)
        .collect();
    assert_eq!((sent, produced.total().sent), (vec![3, 3], 6));
    assert_eq!(said.len(), 6);
    let of_second = said
        .iter()
        .filter(|line| line.starts_with("producer1  out [2] @"));
    assert_eq!(of_second.count(), 3);
}

#[test]
fn topics_get_the_records_in_turn_up_to_the_limit() {
    let (_folder, input) = file("a\nb\nc\nd\n");
    let mut options = options(input);
    options.topics.push("other".into());
    options.partition = Some(0);
    options.keys = KeyChoice::Count;
    options.limit = Some(3);
    options.pace.flush_every = Some(1);
    let (produced, result, said) = run(&options);
    assert_eq!((produced.total().sent, result), (3, Ok(())));
    assert_eq!(said, ["0  out [0] @0", "1  other [0] @0", "2  out [0] @1"]);
}

#[test]
fn what_comes_before_an_error_of_the_input_is_delivered() {
    let (_folder, input) = file("[{\"id\":1},\n{\"id\":2},\n{\"id\":");
    let mut options = options(input);
    options.keys = KeyChoice::Field("id".parse().unwrap());
    let (produced, result, said) = run(&options);
    let error = result.unwrap_err();
    assert_eq!(
        (produced.total().sent, said.len(), error.code()),
        (2, 2, exit::CORRUPT)
    );
    assert!(error.to_string().contains("input: "), "{error}");
    assert!(error.to_string().contains("line 3 column 6"), "{error}");

    options.keys = KeyChoice::Field("no".parse().unwrap());
    let (produced, result, _) = run(&options);
    assert_eq!(produced.total().sent, 0);
    assert!(result.unwrap_err().to_string().contains("record 1: "));
}

#[test]
fn a_missing_topic_or_partition_has_its_remedy() {
    let (_folder, input) = file("a\n");
    let mut options = options(input);
    options.partition = Some(4);
    let error = run(&options).1.unwrap_err();
    assert_eq!(error.kind(), Kind::Missing);
    assert!(error.to_string().contains("the last one is 3"), "{error}");

    // It is looked for before the input.
    options.topics.push("none".into());
    options.partition = None;
    options.input = InputSource::File("/nowhere/at/all".into());
    let error = run(&options).1.unwrap_err();
    assert!(
        error.to_string().contains("`rivulet topics create none`"),
        "{error}"
    );
}

#[test]
fn transactions_end_and_are_counted() {
    let (_folder, input) = file("1\n2\n3\n4\n5\n");
    let mut options = options(input);
    options.reports = false;
    options.transactions = Some(TransactionOptions {
        records: 2,
        hold: Duration::ZERO,
        abort: 0.0,
        id: "t".into(),
    });
    let (produced, result, said) = run(&options);
    assert_eq!(result, Ok(()));
    assert_eq!(
        produced.to_string(),
        "committed 5 records in 3 transactions, aborted 0 in 0"
    );
    assert_eq!(said[2], "transaction 3: committed 1 record");

    options.transactions.as_mut().unwrap().abort = 1.0;
    let (produced, result, said) = run(&options);
    assert_eq!((result, produced.total().aborted), (Ok(()), (5, 3)));
    assert_eq!(said[0], "transaction 1: aborted 2 records");
}

#[test]
fn standard_input_is_for_one_producer() {
    let mut options = options(InputSource::Standard);
    options.producers = NonZeroUsize::new(2);
    let error = run(&options).1.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("give a file"), "{error}");
}
