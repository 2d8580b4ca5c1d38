//! Dead letters, replayed and dropped.

use super::*;

#[test]
fn bad_records_and_wrong_units_must_be_dead_letters() {
    let mut table = worked_example();
    let first = &mut table.topics.get_mut("celsius").unwrap()[0];
    first.insert(3, b"abc".to_vec());
    first.insert(
        5,
        json("a", "kelvin", &[(99, 280.0)])[0].clone().into_bytes(),
    );
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 2 missing, 0 extra, 0 wrong, 0 out of order"
    );
    table = table.with("convert-dead-letters", vec![vec!["abc".into(), "k".into()]]);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(report.is_clean(), "{report}");
    table = table.with("ewma-dead-letters", vec![vec!["?".into()]]);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 0 missing, 1 extra, 0 wrong, 0 out of order"
    );
}

#[test]
fn a_replayed_record_that_is_invalid_again_is_one_open_letter() {
    let mut table = worked_example();
    let input = &mut table.topics.get_mut("celsius").unwrap()[0];
    input.push(b"abc".to_vec());
    input.push(json("a", "kelvin", &[(14, 280.0)])[0].clone().into_bytes());
    table.add_dead_letter("convert", "celsius", 14);
    table.add_dead_letter("convert", "celsius", 15);
    assert!(verified(&chain(PRODUCER, ""), &mut table).is_clean());
    table.resolve("convert", Resolved::Replayed, "0..1");
    let input = &mut table.topics.get_mut("celsius").unwrap()[0];
    input.extend(input.clone().drain(14..));
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(
        report.to_string().contains("2 missing"),
        "they were replayed and are not dead letters again: {report}"
    );
    table.add_dead_letter("convert", "celsius", 16);
    table.add_dead_letter("convert", "celsius", 17);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(
        report.is_clean() && !report.to_string().contains("repeated"),
        "{report}"
    );
    table.resolve("convert", Resolved::Dropped, "3..4");
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_replayed_reading_must_have_a_result() {
    let mut table = worked_example();
    // An older pipeline rejected the fourth reading, so its results are missing in all topics.
    for (topic, at) in [("fahrenheit", 3), ("above", 0)] {
        table.topics.get_mut(topic).unwrap()[0].remove(at);
    }
    let pipeline = chain(PRODUCER, "");
    let pipeline = &pipeline[..pipeline.find("[operator.ewma]").unwrap()];
    table.add_dead_letter("convert", "celsius", 3);
    let report = verified(pipeline, &mut table);
    assert!(
        report.to_string().contains("2 missing, 1 extra"),
        "{report}"
    );
    table.resolve("convert", Resolved::Replayed, "0");
    for (topic, reading) in [
        ("celsius", json("a", "celsius", &[(3, 14.0)])),
        ("fahrenheit", json("a", "fahrenheit", &[(3, 57.2)])),
        ("above", json("a", "fahrenheit", &[(3, 57.2)])),
    ] {
        table.add(topic, &reading[0], Vec::new());
    }
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 24,
        "{report}"
    );
    table.topics.get_mut("fahrenheit").unwrap()[0].pop();
    assert!(
        verified(pipeline, &mut table)
            .to_string()
            .contains("1 missing, 0 extra"),
        "it has no result"
    );
}

#[test]
fn a_replay_into_a_topic_of_the_pipeline_is_expected_there() {
    let pipeline = chain(PRODUCER, "");
    let pipeline = &pipeline[..pipeline.find("[operator.ewma]").unwrap()];
    let mut table = worked_example();
    // `threshold` rejected the reading at offset 3 of its input, and processes it after the replay.
    table.topics.get_mut("above").unwrap()[0].remove(0);
    table.add_dead_letter("threshold", "fahrenheit", 3);
    table.resolve("threshold", Resolved::Replayed, "0");
    table.add(
        "fahrenheit",
        &json("a", "fahrenheit", &[(3, 57.2)])[0],
        Vec::new(),
    );
    table.add(
        "above",
        &json("a", "fahrenheit", &[(3, 57.2)])[0],
        Vec::new(),
    );
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 25,
        "{report}"
    );
    table.add(
        "fahrenheit",
        &json("a", "fahrenheit", &[(3, 57.2)])[0],
        Vec::new(),
    );
    assert!(
        verified(pipeline, &mut table)
            .to_string()
            .contains("0 missing, 1 extra"),
        "it was replayed once"
    );
}

#[test]
fn a_dropped_dead_letter_is_resolved() {
    let mut table = worked_example();
    let pipeline = chain(PRODUCER, "");
    let pipeline = &pipeline[..pipeline.find("[operator.threshold]").unwrap()];
    table.topics.get_mut("fahrenheit").unwrap()[0].remove(3);
    table.add_dead_letter("convert", "celsius", 3);
    table.add(
        "convert-dead-letters",
        "?",
        vec![("rivulet.stage".into(), None)],
    );
    let report = verified(pipeline, &mut table);
    assert!(
        report.to_string().contains("1 missing, 2 extra"),
        "{report}"
    );
    table.resolve("convert", Resolved::Dropped, "0..1");
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 13,
        "{report}"
    );
}

#[test]
fn dead_letters_for_limits_of_the_brokers_are_accepted() {
    for reason in ["too-large", "timestamp-refused", "rejected", "state-full"] {
        let mut table = worked_example();
        let pipeline = chain(PRODUCER, "");
        let pipeline = &pipeline[..pipeline.find("[operator.ewma]").unwrap()];
        table.topics.get_mut("above").unwrap()[0].remove(0);
        table.add_dead_letter_for("threshold", "fahrenheit", 3, reason);
        table.topics.get_mut("celsius").unwrap()[0].push(b"abc".to_vec());
        table.add_dead_letter_for("convert", "celsius", 14, reason);
        let report = verified(pipeline, &mut table);
        assert!(
            report.is_clean() && report.total().expected == 23,
            "{report}"
        );
        assert!(
            report
                .to_string()
                .contains("note: `threshold` routed 1 records to its dead-letter topic because"),
            "{report}"
        );
        table.topics.get_mut("above").unwrap()[0].remove(0);
        assert_eq!(verified(pipeline, &mut table).total().missing, 1);
    }
}
