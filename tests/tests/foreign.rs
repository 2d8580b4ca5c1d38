//! What others write to the cluster: no command shows it in a way that commands a terminal, hides
//! something or begins a line.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rivulet_core::text::is_plain;
use rivulet_tests::chain::CONVERT;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{PipelineBuilder, Process, Scenario, wait};
use serde_json::{Value, json};

/// A secret key of experiments.
const KEY: &str = "0123456789abcdefghijklmnopqrstuv";

/// It clears the screen, runs text backwards, hides some, and begins lines that look like ours.
const HOSTILE: &str = "\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{200b}\u{2028}\r\n<0>FORGED\nFORGED\n  \
                       help: FORGED\u{85}";

/// The unit of a reading has at most 30 bytes.
const HOSTILE_UNIT: &str = "\u{1b}c\nFORGED\u{202e}";

/// The reading that comes last.
const LAST: &str = "the last one";

const EWMA: &str = "{ ewma = { alpha = 0.5 } }";

fn scenario() -> Scenario {
    let console = |show: &str| format!("{{ console = {{ show = \"{show}\" }} }}");
    let sinks = ["value", "reading", "json", "record"];
    let pipeline = PipelineBuilder::new()
        .topic("in", "external = true")
        .producer("source", "{ list = { values = [60] } }", "listed")
        .operator("convert", "in", CONVERT, "converted")
        .operator("ewma", "in", EWMA, "smooth")
        .operator("average", "in", "{ average = { window = 1 } }", "average")
        .operator("strange", "in", EWMA, "stranger")
        .operator("guest", "in", CONVERT, "guests");
    let pipeline = sinks.iter().fold(pipeline, |pipeline, show| {
        pipeline.sink(show, "smooth", &console(show))
    });
    Scenario::new(pipeline)
}

fn reading(sensor: &str, seq: u64, unit: &Value) -> Record {
    let fields = json!({ "sensor": sensor, "seq": seq, "time": seq, "value": 60, "unit": unit });
    Record::of(fields.to_string())
        .key(sensor)
        .with_header(HOSTILE, HOSTILE)
}

/// Readings of a hostile sensor, records that are no readings, and the last reading.
fn input() -> Vec<Record> {
    let celsius = json!("celsius");
    let mut records: Vec<Record> = (0..3).map(|seq| reading(HOSTILE, seq, &celsius)).collect();
    for unit in [
        json!(HOSTILE),
        json!(HOSTILE_UNIT),
        json!([HOSTILE]),
        json!("kelvin"),
    ] {
        records.push(reading(HOSTILE, 3, &unit));
    }
    let field = |name: &str, value: Value| {
        let mut fields = json!({ "sensor": "a", "seq": 0, "time": 0, "value": 60 });
        fields[name] = value;
        Record::of(fields.to_string()).key(HOSTILE)
    };
    records.extend(["sensor", "seq", "time", "value"].map(|name| field(name, json!([HOSTILE]))));
    records.extend(["seq", "time", "value", HOSTILE].map(|name| field(name, json!(HOSTILE))));
    records.push(Record::of(HOSTILE).key(HOSTILE));
    records.extend((0..3).map(|seq| reading(LAST, seq, &celsius)));
    records
}

/// The ground truth log of a hostile experiment.
fn truth() -> String {
    let span = json!({ "experiment_id": HOSTILE, "measurement_id": HOSTILE });
    let line = |timestamp: &str, fields: Value| {
        let line = json!({ "timestamp": timestamp, "fields": fields, "spans": [&span] });
        line.to_string() + "\n"
    };
    let time = "2026-11-29T12:00:00Z";
    [
        line(time, json!({ "stage": "configuration" })),
        line(HOSTILE, json!({ "avg_temperature": 1 })),
        line(time, json!({ "range_event": HOSTILE })),
        line(HOSTILE, json!({ "stage": "terminated" })),
        line(time, json!({ "stage": HOSTILE })),
        HOSTILE.to_owned(),
    ]
    .concat()
}

/// Records in a dead-letter topic that no stage has written.
fn letters(topic: &str) -> Vec<Record> {
    let letter = |headers: &[(&str, &str)]| {
        let record = reading(HOSTILE, 0, &json!("celsius"));
        headers.iter().fold(record, |record, (name, value)| {
            record.with_header(&format!("rivulet.{name}"), *value)
        })
    };
    let place = [("topic", topic), ("partition", "0"), ("offset", "0")];
    let why = [("stage", HOSTILE), ("reason", HOSTILE), ("error", HOSTILE)];
    let foreign = [("topic", HOSTILE), ("partition", HOSTILE)];
    vec![
        letter(&[]),
        letter(&[&place[..], &why].concat()),
        letter(&[&foreign[..], &why].concat()),
        letter(&[("handled", HOSTILE), ("letters", HOSTILE)]),
        letter(&[("state", "kept"), ("chain", HOSTILE), ("offsets", "")]),
    ]
}

/// Fails if the output of a process holds what others wrote as they wrote it.
fn is_safe(process: &Process) {
    for shown in [process.out(), process.err()] {
        let raw = |character: &char| *character != '\n' && !is_plain(*character);
        let found: Vec<char> = shown.chars().filter(raw).collect();
        assert!(found.is_empty(), "{found:?} in {}", process.report());
        for line in shown.lines() {
            let text = line.trim_start().trim_start_matches("<0>");
            let text = text.trim_start_matches("help: ");
            assert!(
                !text.starts_with("FORGED"),
                "{line:?} in {}",
                process.report()
            );
        }
    }
}

/// The commands that `rivulet` lists in its help, such as `state show`.
fn commands(scenario: &Scenario, of: &[&str]) -> Vec<String> {
    let mut help = scenario.rivulet(&[of, &["--help"]].concat());
    help.succeeds();
    let help = help.out();
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        return vec![of.join(" ")];
    };
    let list = list.split("\n\n").next().unwrap_or_default();
    let names = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .flat_map(|name| commands(scenario, &[of, &[name]].concat()))
        .collect()
}

/// What to add to a command, once for each way to run it. STAGE@ is the name of a stage.
fn ways(command: &str) -> &'static [&'static [&'static str]] {
    match command {
        "consume" => &[
            &["in@", "--until-end"],
            &["in@", "--until-end", "--json"],
            &["in@", "--until-end", "--key", HOSTILE],
            &[HOSTILE],
        ],
        "catalog" | "man" => &[&[]],
        "topics create" => &[&[], &["new@", "--config", "retention.ms=\u{1b}[2J\nFORGED"]],
        "topics list" => &[&[], &["--all"], &["--internal"]],
        "topics describe" | "topics size" => &[&[], &["in@"]],
        "topics delete" => &[&["in@"], &["--yes"]],
        "topics clean" => &[&["visitor@", "in@", "--yes"], &[HOSTILE, "in@"]],
        "topics watch" => &[&["--once"], &["in@", "--once"]],
        "check" => &[&[], &["--json"], &["--schema"]],
        "groups" => &[&[], &["--lag", "any"]],
        "compare" => &[
            &["smooth@", "average@", "--input", "in@", "--once"],
            &[HOSTILE],
        ],
        "state show" => &[
            &[],
            &["ewma@"],
            &["ewma@", "--json"],
            &["ewma@", "--sensor", "none"],
            &["strange@"],
            &["strange@", "--json"],
            &["source@"],
        ],
        "state check" => &[&[], &["strange@"]],
        "state keep" => &[&["ewma@", "--yes"], &["strange@", "--yes"]],
        "state forget" => &[
            &["ewma@", "--idle", "1s", "--dry-run"],
            &["ewma@", "--sensor", HOSTILE, "--yes"],
            &["strange@", "--sensor", HOSTILE, "--dry-run"],
        ],
        "state resume" => &[&["ewma@", "--yes"], &["strange@", "--dry-run"]],
        "state reset" => &[&["ewma@", "--dry-run"], &["strange@", "--dry-run"]],
        "dlq ls" => &[&[], &["--json"]],
        "dlq show" => &[&[], &["--handled", "--full"]],
        "dlq replay" => &[&["--dry-run"], &["convert@", "--yes"]],
        "dlq drop" => &[&["--dry-run"], &["ewma@", "--yes"]],
        "formats try" => &[
            &["in@"],
            &["in@", "--format", "number"],
            &[
                "in@",
                "--format",
                "json = { sensor = \"sensor\", value = \"value\" }",
            ],
        ],
        "formats guess" | "topics truncate" => &[&["in@"]],
        "produce" => &[
            &["in@", "/dev/null"],
            &[
                "in@",
                "pipeline.toml",
                "--limit",
                "1",
                "--reports",
                "--key",
                HOSTILE,
            ],
            &[HOSTILE, "/dev/null"],
        ],
        "experiment" => &[
            &[
                "--secret-key",
                KEY,
                "--topic",
                "in@",
                "--sample-rate=1",
                "--researcher",
                HOSTILE,
            ],
            &["--secret-key", KEY, "--topic", HOSTILE],
            &["--secret-key", KEY, "--config-file", HOSTILE],
            &["--secret-key", HOSTILE],
        ],
        "verify" => &[&[], &["--allow-unverifiable", "--allow-duplicates"]],
        "truth" => &[
            &["truth.log"],
            &["truth.log", "--compare", "in@"],
            &["truth.log", "--results", "truth.log"],
            &["truth.log", "--results-topic", "in@", "--json"],
            &["pipeline.toml"],
        ],
        "completions" => &[&["bash"]],
        "tap" => &[
            &["convert@", "--last", "50"],
            &["convert@", "--last", "50", "--json"],
            &["convert@", "--last", "50", "--sensor", HOSTILE],
            &[HOSTILE],
        ],
        "report" => &[&[], &["--no-verify", "--csv", "report.csv"], &[HOSTILE]],
        // Without a terminal these say what is wrong with their words. What they show is tested at
        // one, and in a browser.
        "top" => &[&[], &[HOSTILE], &["--sensor", HOSTILE]],
        "plot" => &[&["in@"], &[HOSTILE], &["in@", "--format", HOSTILE]],
        "web" => &[
            &[HOSTILE],
            &["--listen", "0.0.0.0:0", "--token-file", HOSTILE],
        ],
        _ => panic!("how to run `rivulet {command}` is missing in tests/foreign.rs"),
    }
}

/// A member of a group that reads the input and commits nothing.
fn guest(scenario: &Scenario, group: &str) -> BaseConsumer {
    let guest: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", scenario.brokers())
        .set("group.id", group)
        .set("client.id", HOSTILE)
        .create()
        .expect("the settings are valid");
    guest
        .subscribe(&[&scenario.name("in")])
        .expect("the topic exists");
    wait::until_true("the guest is a member", || {
        guest.poll(std::time::Duration::ZERO);
        records::members(scenario.brokers(), group) == Some(1)
    });
    guest
}

#[test]
fn no_command_shows_what_others_wrote_as_it_is() {
    let scenario = scenario();
    records::produce(scenario.brokers(), &scenario.name("in"), &input());
    let stages = [
        "source", "convert", "ewma", "average", "value", "reading", "json", "record",
    ];
    let named: Vec<String> = stages.iter().map(|stage| scenario.name(stage)).collect();
    let mut arguments = vec!["run"];
    arguments.extend(named.iter().map(String::as_str));
    let mut run = scenario.rivulet(&arguments);
    run.says(&[LAST, "dead letter 1: ", &format!("\"sensor\":\"{LAST}\"")]);
    for stage in ["convert", "ewma", "average"] {
        let input = scenario.name("in");
        wait::until_true(&format!("{stage} has read everything"), || {
            let written = records::written(scenario.brokers(), &input);
            scenario.committed(stage, "in") == written
        });
    }
    run.stop();
    is_safe(&run);
    assert!(
        run.err().matches("dead letter").count() > 9,
        "{}",
        run.report()
    );

    let mut demo = scenario.rivulet(&["demo"]);
    demo.ends_within(wait::LONG);
    is_safe(&demo);

    let dead_letters = scenario.dead_letters("convert");
    records::produce(
        scenario.brokers(),
        &dead_letters,
        &letters(&scenario.name("in")),
    );
    let state = json!({ "chain": HOSTILE, "offsets": {}, "memories": [[1.0, 1.0]] }).to_string();
    let state = Record::of(state).key(HOSTILE);
    records::produce(scenario.brokers(), &scenario.changelog("strange"), &[state]);
    let position = json!({ "commit": 9, "instance": HOSTILE, "position": HOSTILE }).to_string();
    let position = Record::of(position).key("position");
    records::produce(
        scenario.brokers(),
        &scenario.changelog("source"),
        &[position],
    );
    for (program, stage) in [
        ("rivulet-operator", "strange"),
        ("rivulet-producer", "source"),
    ] {
        let mut process = scenario.program(program, &[&scenario.name(stage)]);
        process.fails();
        is_safe(&process);
    }

    // The first is in the group of a stage, the second in one of its own, and the third in a group
    // with a name that nobody wants to see.
    let groups = [
        scenario.name("guest"),
        scenario.name("visitor"),
        scenario.name(HOSTILE),
    ];
    let _guests: Vec<BaseConsumer> = groups.iter().map(|group| guest(&scenario, group)).collect();

    scenario.write("truth.log", truth());
    let mut commands = commands(&scenario, &[]);
    assert!(commands.len() > 20, "{commands:?}");
    // What deletes the rest comes last. These two were tried above.
    commands.sort_by_key(|command| command == "topics delete");
    commands.retain(|command| !["run", "demo"].contains(&command.as_str()));
    for command in &commands {
        for way in ways(command) {
            let way = way.iter().map(|argument| match argument.strip_suffix('@') {
                Some(name) => scenario.name(name),
                None => (*argument).to_owned(),
            });
            let arguments: Vec<String> = command.split(' ').map(str::to_owned).chain(way).collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut process = scenario.rivulet(&arguments);
            process.ends_within(wait::LONG);
            is_safe(&process);
        }
    }
}
