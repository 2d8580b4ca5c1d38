//! Results that are too large for their topic.

use super::*;

#[test]
fn a_result_too_large_for_its_topic_is_a_dead_letter() {
    let world = world();
    // Four characters are enough for sums below 100.
    let pipeline = limited(pipeline(), FRAMING + 4);
    let (metrics, result) = outcome_of(&world, &pipeline);
    result.unwrap();
    let sums = values(&world, "out");
    assert_eq!(
        (
            sums.first().map(String::as_str),
            sums.last().map(String::as_str)
        ),
        (Some("1.0"), Some("97.0"))
    );
    assert_eq!(
        values(&world, "sum-dead-letters"),
        ["abc", "15", "16", "17", "18", "19", "20"]
    );
    assert_eq!(metrics.dead.get(), 7);
}

#[test]
fn the_key_counts_towards_the_largest_message() {
    let sensor = "a sensor with a long name";
    let size = sum_of_one(sensor, 10_000)[0].len() + sensor.len();
    assert_eq!(sum_of_one(sensor, FRAMING + size).len(), 1);
    assert_eq!(sum_of_one(sensor, FRAMING + size - 1).len(), 0);
}

/// The results for one JSON reading, where the output has this `max.message.bytes`.
fn sum_of_one(sensor: &str, max_message_bytes: usize) -> Vec<String> {
    let text = r#"
        [defaults]
        partitions = 1
        [topic.in]
        external = true
        [operator.sum]
        from = "in"
        steps = ["sum"]
        to = "out"
    "#;
    let pipeline = limited(parse(text), max_message_bytes);
    let world = World::new(0, false);
    make_topics(&world, &pipeline);
    let value = format!(r#"{{"sensor":"{sensor}","seq":0,"time":0,"value":1.5,"unit":"kelvin"}}"#);
    world
        .cluster()
        .produce(None, &("in".into(), 0), vec![content(value)])
        .unwrap();
    outcome_of(&world, &pipeline).1.unwrap();
    values(&world, "out")
}
