//! The comparison stays within its memory.

use rivulet_core::size::Size;

use super::*;

#[test]
fn a_flood_of_sensors_stays_within_the_memory() {
    let limits = Limits::new(Size(16_000_000)).unwrap();
    let most = usize::try_from(limits.state()).unwrap();
    let (mut sink, screen) = sink_within(limits, "compare = { lag-max = 0 }", &[EWMA, AVERAGE]);
    // The first sensor is complete, and nothing of the others has a partner.
    for topic in [EWMA, AVERAGE] {
        write(&mut sink, topic, &reading("a", 0, 0, 1.0));
    }
    for number in 0..20_000_u64 {
        let time = i64::try_from(number).unwrap();
        write(
            &mut sink,
            EWMA,
            &reading(&format!("sensor {number}"), 0, time, 1.0),
        );
        write(&mut sink, EWMA, &reading("waits", number, time, 1.0));
    }
    let used: usize = sink
        .comparison
        .sensors
        .iter()
        .map(|(name, sensor)| sink.comparison.rules.size(name) + sensor.waiting_size())
        .sum();
    assert!(used <= most + 1000, "{used} of {most}");
    let compared = sink.comparison.sensors.len();
    assert!((100..10_000).contains(&compared), "{compared}");
    // Those that are compared still are.
    for topic in [EWMA, AVERAGE] {
        write(&mut sink, topic, &reading("a", 1, 1, 1.0));
    }
    sink.finish().unwrap();
    let shown = screen.text();
    assert!(shown.contains("a: 2 joined"));
    let rest = format!(
        "; of other than the first {compared} sensors, because the memory is full {}\n",
        20_002 - compared
    );
    assert!(
        shown.ends_with(&rest),
        "{rest} in {}",
        &shown[shown.len() - 300..]
    );
}

#[test]
fn readings_that_wait_stay_within_the_memory() {
    let limits = Limits::new(Size(16_000_000)).unwrap();
    let settings = "compare = { waiting-max = 1000000 }";
    let (mut sink, _) = sink_within(limits, settings, &ALL);
    for seq in 0..100_000 {
        let time = i64::try_from(seq).unwrap();
        write(&mut sink, DEFAULT_INPUT, &reading("a", seq, time, 1.0));
        write(&mut sink, EWMA, &reading("b", seq, time, 1.0));
    }
    let most = usize::try_from(limits.state()).unwrap() / 2;
    let used: usize = sink
        .comparison
        .sensors
        .values()
        .map(SensorComparison::waiting_size)
        .sum();
    assert!((most / 2..most + 1000).contains(&used), "{used} of {most}");
    assert!(
        sink.comparison
            .sensors
            .values()
            .all(|sensor| sensor.join.dropped > 10_000)
    );
}
