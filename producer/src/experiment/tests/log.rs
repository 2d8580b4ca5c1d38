use std::fs;
use std::path::Path;

use super::*;
use crate::experiment::range::TemperatureRange;

/// The lines of the only log in a folder, without their times.
fn log(folder: &Path) -> Vec<Value> {
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    let name = file.file_name().into_string().unwrap();
    let day = name.strip_prefix("producer.json.log.").unwrap();
    day.parse::<jiff::civil::Date>().unwrap();
    let lines = fs::read_to_string(file.path()).unwrap();
    let line = |line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        line
    };
    lines.lines().map(line).collect()
}

#[test]
fn the_log_has_the_stages_and_all_that_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let range = TemperatureRange::new(20.0, 20.5).unwrap();
    let plan = ExperimentPlan {
        range,
        start_temperature: 18.25,
        ..plan(2, (2, 1))
    };
    let mut source = ExperimentSource::new(ExperimentOptions {
        truth_log: Some(folder.path().join(TRUTH_LOG)),
        ..options(vec![plan])
    })
    .unwrap();
    let sent = messages(all(&mut source));
    let log = log(folder.path());
    let fields: Vec<&Value> = log.iter().map(|line| &line["fields"]).collect();
    let walk = &fields[10]["avg_temperature"];
    let out = walk.as_f64().unwrap() > 20.5 || walk.as_f64().unwrap() < 20.0;
    let sensors = |sample: usize| {
        let first = 2 + sample * 2 + sample / 2;
        sent[first..first + 2]
            .iter()
            .map(|message| {
                let temperature = message.number("temperature");
                json!({ "sensor": message.text("sensor"), "temperature": temperature })
            })
            .collect::<Vec<_>>()
    };
    let expected = [
        vec![
            json!({ "stage": "configuration" }),
            json!({ "stage": "stabilization" }),
        ],
        vec![json!({ "avg_temperature": 19.25 })],
        sensors(0),
        vec![
            json!({ "avg_temperature": 20.25 }),
            json!({ "range_event": "Stabilized" }),
        ],
        sensors(1),
        vec![json!({ "stage": "carry out" })],
        vec![json!({ "avg_temperature": walk })],
        if out {
            vec![json!({ "range_event": "OutOfRange" })]
        } else {
            vec![]
        },
        sensors(2),
        vec![json!({ "stage": "terminated", "elapsed": 3, "stabilization": 2, "carry_out": 1 })],
    ]
    .concat();
    assert_eq!(fields.len(), expected.len(), "{fields:?}");
    for (field, expected) in fields.iter().zip(&expected) {
        match field.get("temperature") {
            // One is the text of an f32, and the other is that of an f64.
            Some(temperature) => {
                assert_eq!(field["sensor"], expected["sensor"]);
                let both = [temperature, &expected["temperature"]].map(|one| one.as_f64().unwrap());
                assert!((both[0] - both[1]).abs() < 1e-5);
            }
            None => assert_eq!(*field, expected),
        }
    }
    let experiment = json!({ "experiment_id": sent[0].text("experiment"), "name": "experiment" });
    let measurement =
        json!({ "measurement_id": sent[2].text("measurement_id"), "name": "measurement" });
    assert_eq!(
        (&log[0]["span"], &log[0]["level"]),
        (&experiment, &json!("INFO"))
    );
    assert_eq!(log[2]["spans"], json!([experiment, measurement]));
    assert_eq!(
        (&log[2]["span"], &log[2]["level"]),
        (&measurement, &json!("DEBUG"))
    );
}

#[test]
fn a_line_that_was_cut_off_is_removed_and_the_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(TRUTH_LOG);
    let run = || {
        let truth_log = Some(path.clone());
        let options = ExperimentOptions {
            truth_log,
            ..options(vec![plan(1, (0, 1))])
        };
        all(&mut ExperimentSource::new(options).unwrap());
    };
    run();
    let whole = log(folder.path());
    let file = fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut text = fs::read(&file).unwrap();
    text.extend_from_slice(b"{\"timestamp\":\"20");
    fs::write(&file, text).unwrap();
    run();
    assert_eq!(log(folder.path()).len(), 2 * whole.len());
    let missing = ExperimentOptions {
        truth_log: Some(folder.path().join("nothing/here")),
        ..options(vec![plan(1, (0, 1))])
    };
    let error = ExperimentSource::new(missing).unwrap_err().to_string();
    assert!(
        error.contains("nothing/here") && error.contains("help: "),
        "{error}"
    );
}
