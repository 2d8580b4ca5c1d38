mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use rivulet_formats::avro::container::ContainerReader;

use super::*;
use crate::testing::{Observed, all, rejects, take};

const KEY: &str = "0123456789abcdefghijklmnopqrstuv";

fn plan(sensors: usize, samples: (u64, u64)) -> ExperimentPlan {
    ExperimentPlan {
        sensors,
        sample_rate: 1,
        stabilization_samples: samples.0,
        carry_out_samples: samples.1,
        ..ExperimentPlan::default()
    }
}

fn options(plans: Vec<ExperimentPlan>) -> ExperimentOptions {
    ExperimentOptions {
        plans,
        key: SecretKey::new(KEY).unwrap(),
        topic: Some("experiment".to_owned()),
        document_topic: None,
        truth_log: None,
        seed: Some(7),
    }
}

fn source(plans: Vec<ExperimentPlan>) -> ExperimentSource {
    ExperimentSource::new(options(plans)).unwrap()
}

/// A message as a consumer sees it.
#[derive(Debug, Clone, PartialEq)]
struct Message {
    topic: String,
    name: String,
    datum: Value,
}

impl Message {
    fn text(&self, field: &str) -> String {
        self.datum[field].as_str().unwrap().to_owned()
    }

    fn number(&self, field: &str) -> f64 {
        self.datum[field].as_f64().unwrap()
    }

    /// Without what is another time in another run.
    fn timeless(mut self) -> Self {
        let fields = self.datum.as_object_mut().unwrap();
        for field in ["timestamp", "measurement_hash"] {
            fields.remove(field);
        }
        self
    }
}

fn messages(observed: Vec<Observed>) -> Vec<Message> {
    let message = |observed| {
        let Observed::Record(record) = observed else {
            panic!("{observed:?}")
        };
        let data = ContainerReader::new(None)
            .json(&record.value.unwrap())
            .unwrap();
        let [datum] = &data[..] else {
            panic!("{data:?}")
        };
        let datum: Value = serde_json::from_str(datum).unwrap();
        assert_eq!(
            datum["experiment"].as_str().unwrap().as_bytes(),
            &*record.key.unwrap()
        );
        let name = match &record.headers[..] {
            [(header, Some(name))] if header == RECORD_NAME => name.clone(),
            [] => Vec::new(),
            other => panic!("{other:?}"),
        };
        Message {
            topic: record.topic.unwrap().into_owned(),
            name: String::from_utf8(name).unwrap(),
            datum,
        }
    };
    observed.into_iter().map(message).collect()
}

#[test]
fn an_experiment_tells_its_stages_and_measurements() {
    let mut source = ExperimentSource::new(ExperimentOptions {
        document_topic: Some("documents".to_owned()),
        ..options(vec![plan(3, (2, 5))])
    })
    .unwrap();
    assert_eq!((source.running(), source.messages().total), (0, 7 * 3 + 5));
    let first = messages(take(&mut source, 3));
    assert_eq!(source.running(), 1);
    let all: Vec<Message> = first
        .into_iter()
        .chain(messages(all(&mut source)))
        .collect();
    assert_eq!((source.running(), source.messages().done), (0, 26));
    let names: Vec<&str> = all.iter().map(|message| &*message.name).collect();
    let measured = |count| vec!["sensor_temperature_measured"; count];
    let expected = [
        vec!["experiment_configured", "stabilization_started"],
        measured(6),
        vec!["experiment_started"],
        measured(15),
        vec!["experiment_terminated", ""],
    ];
    assert_eq!(names, expected.concat());
    let [configured, .., document] = &all[..] else {
        panic!()
    };
    let range = json!({ "upper_threshold": 26.5, "lower_threshold": 25.5 });
    assert_eq!(configured.datum["temperature_range"], range);
    assert_eq!(
        (&*document.topic, &document.datum["temperature_range"]),
        ("documents", &range)
    );

    let sensors: BTreeSet<String> = configured.datum["sensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sensor| sensor.as_str().unwrap().to_owned())
        .collect();
    let measured: Vec<&Message> = all
        .iter()
        .filter(|message| message.name.starts_with("sensor"))
        .collect();
    let mut averages = Vec::new();
    for sample in measured.chunks(3) {
        let one = |field| {
            sample
                .iter()
                .map(|one| one.text(field))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(one("sensor"), sensors);
        assert_eq!(
            (one("measurement_id").len(), one("measurement_hash").len()),
            (1, 1)
        );
        let mean = sample
            .iter()
            .map(|one| one.number("temperature"))
            .sum::<f64>()
            / 3.0;
        averages.push((sample[0].number("timestamp"), mean));
    }
    assert!((averages[0].1 - 21.0).abs() < 1e-5 && (averages[1].1 - 26.0).abs() < 1e-5);
    for (index, pair) in averages.windows(2).enumerate() {
        let step = pair[1].0 - pair[0].0;
        assert!((step - 0.001).abs() < 1e-6, "sample {index}: {step}");
    }
    let documented = document.datum["measurements"].as_array().unwrap();
    assert_eq!(documented.len(), 5, "those of the walk");
    for (documented, (timestamp, mean)) in documented.iter().zip(&averages[2..]) {
        assert_eq!(documented["timestamp"].as_f64(), Some(*timestamp));
        assert!((documented["temperature"].as_f64().unwrap() - mean).abs() < 1e-4);
    }
}

#[test]
fn a_seed_decides_everything_but_the_time() {
    let run = |seed| {
        let options = ExperimentOptions {
            seed,
            ..options(vec![plan(2, (1, 9))])
        };
        let messages = messages(all(&mut ExperimentSource::new(options).unwrap()));
        messages
            .into_iter()
            .map(Message::timeless)
            .collect::<Vec<_>>()
    };
    assert_eq!(run(Some(1)), run(Some(1)));
    assert_ne!(run(Some(1)), run(Some(2)));
    assert_ne!(run(None), run(None));
}

/// How many messages of sensors each second has, by the schedule.
fn rates(load: &str) -> BTreeMap<u64, usize> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../config/loads")
        .join(load);
    let source = source(plan::read_load(&path).unwrap());
    let mut rates = BTreeMap::new();
    for mut life in source.experiments {
        while let Some(event) = life.event() {
            if let LifeCycleEvent::Sample(_) = event {
                *rates.entry(life.offset(event) / 1000).or_default() += life.sensors().len();
            }
            life.sent();
        }
    }
    rates
}

#[test]
fn the_loads_have_the_rates_that_they_promise() {
    let steps = |steps: &[(u64, u64, usize)]| {
        let seconds = |(from, to, rate): &(u64, u64, usize)| {
            (*from..*to)
                .map(|second| (second, *rate))
                .collect::<Vec<_>>()
        };
        steps.iter().flat_map(seconds).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(rates("1.json"), steps(&[(0, 60, 10)]));
    assert_eq!(
        rates("2.json"),
        steps(&[(0, 30, 10), (30, 48, 50), (48, 60, 10)])
    );
    // The last second of the third has only a half.
    let third = [
        (0, 30, 10),
        (30, 45, 50),
        (45, 48, 90),
        (48, 60, 50),
        (60, 72, 40),
        (72, 73, 20),
    ];
    assert_eq!(rates("3.json"), steps(&third));
}

#[test]
fn all_events_are_in_the_order_of_the_schedule() {
    let later = ExperimentPlan {
        start: 1,
        ..plan(3, (5, 30))
    };
    let mut source = source(vec![
        later,
        ExperimentPlan {
            sample_rate: 30,
            ..plan(2, (2, 40))
        },
    ]);
    let messages = messages(all(&mut source));
    assert_eq!(messages.len(), 35 * 3 + 42 * 2 + 8);
    let times = messages
        .iter()
        .filter_map(|message| message.datum["timestamp"].as_f64());
    assert!(times.collect::<Vec<_>>().is_sorted());
    assert!(source.lateness().longest() < Duration::from_secs(20));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// A process may die after any message, and more than once.
    #[test]
    fn a_restart_goes_on_at_the_next_message(cuts in proptest::collection::vec(0..20_usize, 1..4)) {
        let plans = vec![plan(3, (2, 6)), plan(2, (0, 10))];
        let options = ExperimentOptions {
            document_topic: Some("documents".to_owned()),
            ..options(plans)
        };
        let open = || ExperimentSource::new(ExperimentOptions { seed: None, ..options.clone() });
        let mut source = ExperimentSource::new(options.clone()).unwrap();
        let whole = messages(all(&mut ExperimentSource::new(options.clone()).unwrap()));
        let mut seen = Vec::new();
        for cut in cuts {
            seen.extend(messages(take(&mut source, cut)));
            let position = source.position();
            prop_assert!(position.to_string().len() < 500, "{}", position);
            source = open().unwrap();
            source.resume(&position).unwrap();
            prop_assert_eq!(&source.position()["experiments"], &position["experiments"]);
        }
        seen.extend(messages(all(&mut source)));
        // Each measurement has one time and one hash, also if two processes have sent it.
        let mut once = BTreeMap::new();
        for message in seen.iter().filter(|message| message.name.starts_with("sensor")) {
            let same = ["timestamp", "measurement_hash"].map(|field| message.datum[field].clone());
            let known = once.entry(message.text("measurement_id")).or_insert_with(|| same.clone());
            prop_assert_eq!(&*known, &same);
        }
        for document in seen.iter().filter(|message| message.topic == "documents") {
            let id = &document.datum["experiment"];
            let of_it = seen.iter().filter(|one| one.datum["experiment"] == *id);
            let times: Vec<&Value> = of_it
                .skip_while(|one| one.name != "experiment_started")
                .filter(|one| one.name.starts_with("sensor"))
                .map(|one| &one.datum["timestamp"])
                .collect();
            let sensors = times.len() / document.datum["measurements"].as_array().unwrap().len();
            for (measured, documented) in
                times.chunks(sensors).zip(document.datum["measurements"].as_array().unwrap())
            {
                prop_assert_eq!(measured[0], &documented["timestamp"]);
            }
        }
        let timeless = |messages: Vec<Message>| -> Vec<Message> {
            let mut messages: Vec<Message> = messages.into_iter().map(Message::timeless).collect();
            for message in &mut messages {
                if let Some(measurements) = message.datum["measurements"].as_array_mut() {
                    for one in measurements {
                        one["timestamp"] = Value::Null;
                    }
                }
            }
            messages
        };
        // The pause may move one experiment before the other: each of them has its own order.
        let sorted = |mut messages: Vec<Message>| {
            messages.sort_by_key(|message| message.text("experiment"));
            messages
        };
        prop_assert_eq!(sorted(timeless(seen)), sorted(timeless(whole)));
    }
}

#[test]
fn other_experiments_do_not_go_on_where_these_stopped() {
    let mut source = source(vec![plan(3, (2, 6))]);
    take(&mut source, 4);
    let position = source.position();
    let mut other = self::source(vec![plan(4, (2, 6))]);
    rejects(&mut other, &position, "the experiments are others");
    rejects(&mut other, &json!({ "line": 3 }), "not a position");
    let mut wrong = position.clone();
    wrong["experiments"][0]["event"] = json!(100);
    rejects(
        &mut self::source(vec![plan(3, (2, 6))]),
        &wrong,
        "event 100",
    );
}
