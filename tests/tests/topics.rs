//! `rivulet topics` for topics of a pipeline and for any others.

use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use rivulet_core::exit;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{Kafka, PipelineBuilder, Scenario, wait};

mod sizes;

/// A pipeline with one stage that keeps state, and unique names for other topics.
fn scenario() -> Scenario {
    let pipeline = PipelineBuilder::new().topic("warm", "partitions = 2\nexternal = true");
    Scenario::new(pipeline.operator("smooth", "warm", "{ ewma = { alpha = 0.5 } }", "smooth"))
}

/// Records with different keys.
fn numbered(numbers: std::ops::Range<usize>, what: &str) -> Vec<Record> {
    numbers
        .map(|number| Record::of(what).key(number.to_string()))
        .collect()
}

/// Writes records in a transaction, and commits or aborts it.
fn transact(scenario: &Scenario, topic: &str, count: usize, commits: bool) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", scenario.brokers())
        .set("transactional.id", topic)
        .create()
        .expect("the settings are valid");
    let done = producer
        .init_transactions(wait::LONG)
        .and_then(|()| producer.begin_transaction());
    done.expect("the broker has transactions");
    for number in 0..count {
        let key = number.to_string();
        producer
            .send(BaseRecord::to(topic).key(&key).payload("old"))
            .unwrap_or_else(|(error, _)| panic!("producing to {topic}: {error}"));
    }
    producer.flush(wait::LONG).expect("the broker answers");
    let ended = if commits {
        producer.commit_transaction(wait::LONG)
    } else {
        producer.abort_transaction(wait::LONG)
    };
    ended.expect("the transaction is open");
}

/// A plain consumer in a group.
fn member(scenario: &Scenario, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", scenario.brokers())
        .set("group.id", group)
        .set("client.id", "somebody")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("the settings are valid")
}

/// Commits for a group that it has read all records of a topic.
fn has_read_all(scenario: &Scenario, group: &str, topic: &str, partitions: i32) {
    let mut ends = TopicPartitionList::new();
    for partition in 0..partitions {
        let end = records::end(scenario.brokers(), topic, partition);
        ends.add_partition_offset(topic, partition, Offset::Offset(end))
            .expect("the offset is valid");
    }
    let committed = member(scenario, group).commit(&ends, CommitMode::Sync);
    committed.expect("the group has no members");
}

/// The cells of the line that begins with these words.
fn line(shown: &str, begin: &[&str]) -> Vec<String> {
    let lines = shown.lines().map(|line| line.split_whitespace().collect());
    let mut lines = lines.filter(|cells: &Vec<&str>| cells.starts_with(begin));
    let line = lines.next();
    let line = line.unwrap_or_else(|| panic!("{begin:?} is missing in:\n{shown}"));
    line.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_topic_by_name_is_created_shown_and_deleted() {
    let scenario = scenario();
    let topic = scenario.name("weather");
    let rivulet = |arguments: &[&str]| scenario.tool(arguments);
    let create = [
        "topics",
        "create",
        &topic,
        "--partitions",
        "3",
        "--config",
        "retention.ms=86400000",
    ];
    for said in ["created  ", "exists   "] {
        let mut created = rivulet(&create);
        created.succeeds();
        created.says(&[&format!("{said}{topic} (3 partitions, 1 copy")]);
    }
    let wrong = scenario.name("wrong");
    let mut rejected = rivulet(&["topics", "create", &wrong, "--config", "retention.ms=soon"]);
    let error = rejected.fails();
    assert!(
        error.contains("soon for configuration retention.ms"),
        "the broker's own words: {error}"
    );

    records::produce(scenario.brokers(), &topic, &numbered(0..5, "1"));
    let listed = |arguments: &[&str]| {
        let mut list = rivulet(arguments);
        list.succeeds();
        list.out()
    };
    let all = listed(&["topics", "list"]);
    assert_eq!(line(&all, &[&topic])[1..], ["3", "partitions", "1", "copy"]);
    assert!(!all.contains("__") && !all.contains(&wrong), "{all}");
    let mut describe = rivulet(&["topics", "describe", &topic]);
    describe.succeeds();
    let shown = describe.out();
    assert!(
        shown.contains("retention.ms = 86400000   # set for this topic"),
        "{shown}"
    );
    let ends = ["0", "1", "2"].map(|partition| line(&shown, &[partition])[5].clone());
    let ends = ends.map(|end| end.parse::<i64>().expect("it is an offset"));
    assert_eq!(ends.iter().sum::<i64>(), 5, "{shown}");

    let mut delete = rivulet(&["topics", "delete", &topic]);
    let error = delete.fails();
    assert!(error.contains("there is no terminal to ask at"), "{error}");
    assert!(delete.out().contains("5 records"), "{}", delete.out());
    assert!(listed(&["topics", "list"]).contains(&topic));
    rivulet(&["topics", "delete", &topic, "--yes"]).succeeds();
    assert!(!listed(&["topics", "list"]).contains(&topic));
    let error = rivulet(&["topics", "delete", &topic, "--yes"]).fails_with(exit::MISSING);
    assert!(error.contains("there is no such topic"), "{error}");
    let mut internal = rivulet(&["topics", "delete", "__consumer_offsets", "--yes"]);
    let error = internal.fails_with(exit::USAGE);
    assert!(error.contains("one of Kafka's own"), "{error}");
}

#[test]
fn a_topic_of_the_pipeline_is_created_as_the_file_says() {
    let pipeline = PipelineBuilder::new().topic("warm", "partitions = 2\nexternal = true");
    let pipeline = pipeline.operator("smooth", "warm", "{ ewma = { alpha = 0.5 } }", "smooth");
    let scenario = Scenario::on(Kafka::shared(), pipeline);
    let [warm, other] = ["warm", "other"].map(|topic| scenario.name(topic));
    let mut contradicts = scenario.rivulet(&["topics", "create", &warm, "--partitions", "9"]);
    let error = contradicts.fails_with(exit::USAGE);
    assert!(error.contains("the pipeline file says what"), "{error}");
    let mut create = scenario.rivulet(&["topics", "create", &warm, &other]);
    create.succeeds();
    create.says(&[
        &format!("created  {warm} (2 partitions, 1 copy)"),
        &format!("created  {other} (1 partition, 1 copy)"),
    ]);
    let mut list = scenario.rivulet(&["topics", "list"]);
    list.succeeds();
    assert!(list.out().contains(&warm) && !list.out().contains(&other));
    let mut list = scenario.rivulet(&["topics", "list", "--all"]);
    list.succeeds();
    list.says(&[&warm, &other]);
}

#[test]
fn clean_counts_the_records_that_a_group_has_not_read() {
    let scenario = scenario();
    let [topic, group] = ["weather", "dashboard"].map(|name| scenario.name(name));
    let brokers = scenario.brokers();
    records::create_topic(brokers, &topic, 2);
    records::produce(brokers, &topic, &numbered(0..400, "old"));
    has_read_all(&scenario, &group, &topic, 2);
    records::produce(brokers, &topic, &numbered(0..500, "old"));
    transact(&scenario, &topic, 50, false);
    transact(&scenario, &topic, 100, true);

    let clean = ["topics", "clean", &group, &topic];
    let mut asks = scenario.tool(&clean);
    let error = asks.fails();
    assert!(error.contains("there is no terminal to ask at"), "{error}");
    asks.says(&[&format!("{group} has not read 600 records of {topic}")]);
    assert_eq!(records::committed(brokers, &group, &topic), 400);
    let mut cleaned = scenario.tool(&[&clean[..], &["--yes"]].concat());
    cleaned.succeeds();
    cleaned.says(&["done: the group continues after 600 records"]);
    let of_partition = |number: &str| line(&cleaned.out(), &[number])[3].parse::<i64>();
    assert_eq!(
        of_partition("0")
            .ok()
            .zip(of_partition("1").ok())
            .map(|(a, b)| a + b),
        Some(600)
    );
    let mut list = scenario.tool(&["topics", "list", "--internal"]);
    list.succeeds();
    list.says(&["__consumer_offsets"]);

    // The group reads nothing old and everything new.
    records::produce(brokers, &topic, &numbered(0..20, "new"));
    let reader = member(&scenario, &group);
    reader.subscribe(&[&topic]).expect("the topic exists");
    let mut read = 0;
    wait::until_true("the group has read all new records", || {
        if let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) {
            assert_eq!(message.payload(), Some(&b"new"[..]));
            read += 1;
        }
        read == 20
    });

    let error = scenario.tool(&clean).fails_with(exit::CONFLICT);
    assert!(
        error.contains("it has 1 member: somebody@127.0.0.1"),
        "{error}"
    );
    let stage = scenario.name("smooth");
    let mut of_stage = scenario.rivulet(&["topics", "clean", &stage, &scenario.name("warm")]);
    let error = of_stage.fails_with(exit::USAGE);
    assert!(
        error.contains(&format!("`rivulet state reset {stage}`")),
        "{error}"
    );
}

#[test]
fn clean_works_on_a_cluster_that_has_had_no_group() {
    let kafka = Kafka::start(&[]);
    let scenario = Scenario::on(kafka.brokers(), PipelineBuilder::new());
    records::create_topic(scenario.brokers(), "weather", 1);
    records::produce(scenario.brokers(), "weather", &numbered(0..3, "old"));
    let clean = ["topics", "clean", "dashboard", "weather", "--yes"];
    let mut cleaned = scenario.tool(&clean);
    cleaned.succeeds();
    cleaned.says(&[
        "dashboard has no committed offset in weather: it has read nothing",
        "done: the group continues after 3 records",
    ]);
}

#[test]
fn truncate_deletes_the_oldest_records_or_all() {
    let scenario = scenario();
    let topic = scenario.name("weather");
    let brokers = scenario.brokers();
    records::create_topic(brokers, &topic, 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(now.expect("it is after 1970").as_millis()).expect("it is not far");
    let two_hours_ago = now - 2 * 3_600_000;
    records::produce_at(brokers, &topic, &numbered(0..30, "old"), two_hours_ago);
    records::produce(brokers, &topic, &numbered(0..70, "new"));
    let first = || {
        records::read(brokers, &topic, 0)
            .first()
            .map(|record| record.offset)
    };
    let truncate = |more: &[&str]| scenario.tool(&[&["topics", "truncate", &topic], more].concat());

    let mut asks = truncate(&[]);
    let error = asks.fails();
    assert!(error.contains("there is no terminal to ask at"), "{error}");
    asks.says(&[&format!("{topic} loses 100 offsets")]);
    assert_eq!(first(), Some(0));
    for (before, lost, then) in [("10", 10, 10), ("1h", 20, 30)] {
        let mut truncated = truncate(&["--before", before, "--yes"]);
        truncated.succeeds();
        truncated.says(&[&format!("loses {lost} offsets"), "done"]);
        assert_eq!(first(), Some(then));
    }
    let mut all = truncate(&["--yes"]);
    all.succeeds();
    all.says(&["loses 70 offsets"]);
    assert_eq!(first(), None);
    let mut size = scenario.tool(&["topics", "size", &topic]);
    size.succeeds();
    assert_eq!(line(&size.out(), &[&topic])[1..3], ["0", "0"]);

    let compacted = scenario.name("latest");
    let compact = [("cleanup.policy", "compact")];
    records::create_topic_with(brokers, &compacted, 1, compact);
    let mut refused = scenario.tool(&["topics", "truncate", &compacted, "--yes"]);
    let error = refused.fails_with(exit::USAGE);
    assert!(error.contains("compact,delete"), "{error}");
    let changelog = scenario.changelog("smooth");
    let mut refused = scenario.rivulet(&["topics", "truncate", &changelog, "--yes"]);
    let error = refused.fails_with(exit::USAGE);
    assert!(error.contains("the changelog of a stage"), "{error}");
}

#[test]
fn watch_shows_the_rate_of_a_topic_and_the_lag_of_its_groups() {
    let scenario = scenario();
    let [topic, group] = ["weather", "dashboard"].map(|name| scenario.name(name));
    let brokers = scenario.brokers();
    records::create_topic(brokers, &topic, 2);
    records::produce(brokers, &topic, &numbered(0..10, "1"));
    has_read_all(&scenario, &group, &topic, 2);
    let mut watch = scenario.tool(&["topics", "watch", &topic, "--once"]);
    let mut written = 0;
    while watch.is_running() {
        records::produce(brokers, &topic, &numbered(0..10, "1"));
        written += 10;
    }
    watch.succeeds();
    let shown = watch.out();
    let busy = line(&shown, &[&topic]);
    assert_eq!(
        (busy[1].as_str(), &busy[3..]),
        ("2", &["0", "0"].map(str::to_owned)[..])
    );
    assert!(
        busy[2].parse::<f64>().is_ok_and(|rate| rate > 0.0),
        "{shown}"
    );
    assert_eq!(line(&shown, &[&group, &topic, "0"])[4], "grows", "{shown}");

    transact(&scenario, &topic, 5, false);
    let mut watch = scenario.tool(&["topics", "watch", &topic, "--every", "200ms"]);
    let lag = written.to_string();
    watch.says(&["\ntopic "]);
    watch.stop();
    let shown = watch.out();
    assert_eq!(line(&shown, &[&topic])[2], "0.0", "{shown}");
    assert_eq!(
        line(&shown, &[&group, &topic])[2..],
        ["0", &lag, "steady"],
        "{shown}"
    );
}

#[test]
fn a_watch_ends_at_once_while_no_broker_answers() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let scenario = Scenario::on(&address, PipelineBuilder::new());
    let mut watch = scenario.tool(&["topics", "watch"]);
    let _open = listener.accept().expect("the command connects");
    watch.stop();
    assert_eq!(watch.err(), "");
}
