//! A broker that is away for longer than any session lasts is a pause.

use std::time::{Duration, Instant};

use tests::chain::{OPERATORS, chained};
use tests::{Kafka, Observer, PipelineBuilder, Process, Scenario, stop_all, wait};

/// How long sessions last: what ends with them after 45 s by default ends sooner here.
const SESSION: Duration = Duration::from_secs(6);
/// Much longer.
const AWAY: Duration = Duration::from_secs(20);
/// How soon the flow must be back, on a machine that is busy with other things too; it is printed
/// how soon it was, which should be within two seconds.
const SOON: Duration = Duration::from_secs(5);
/// How many lines each process may write about it.
const LINES: usize = 8;
const PARTITIONS: i32 = 2;
const OUTPUTS: [&str; 2] = ["temperatures_ewma", "temperatures_moving_average"];

#[test]
fn a_broker_that_is_away_for_longer_than_a_session_costs_that_time_and_nothing_else() {
    let mut kafka = Kafka::start(&[]);
    let session = SESSION.as_millis();
    let pipeline = PipelineBuilder::new()
        .settings(&format!(
            "[kafka]\n\"session.timeout.ms\" = {session}\n\"heartbeat.interval.ms\" = 500"
        ))
        .settings(&format!("[defaults]\npartitions = {PARTITIONS}"))
        .producer(
            "thermometers",
            // All of it above the threshold.
            "{ simulated = { sensors = 10, rate = 500, base = 20, daily-amplitude = 1 } }",
            "temperatures_celsius",
        );
    let scenario = Scenario::on(kafka.brokers(), chained(pipeline));
    scenario.create_topics();
    let mut running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    running.push(scenario.start("thermometers"));
    let outputs = OUTPUTS.map(|topic| scenario.name(topic));
    let observer = Observer::new(&kafka.brokers());
    scenario.grows(OUTPUTS[0], 1000);
    scenario.grows(OUTPUTS[1], 1000);
    let full = growth(&observer, &outputs, Duration::from_secs(3)) / 3.0;
    let lines = |running: &[Process]| -> Vec<usize> {
        running
            .iter()
            .map(|one| one.err().lines().count())
            .collect()
    };
    let before = lines(&running);

    kafka.kill();
    let ended = wait::until(AWAY, || {
        (!running.iter_mut().all(Process::is_running)).then_some(())
    });
    assert!(
        ended.is_none(),
        "a process has ended while the broker was away"
    );
    kafka.run();

    let back = Instant::now();
    let flowing = wait::until(wait::LONG, || {
        let elapsed = back.elapsed();
        (growth(&observer, &outputs, Duration::from_secs(1)) > 0.9 * full).then_some(elapsed)
    });
    let flowing = flowing.expect("the flow comes back");
    let said: Vec<usize> = lines(&running)
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    println!(
        "at the full rate {:.1} s after the broker; log lines of each process: {said:?}",
        flowing.as_secs_f64()
    );
    assert!(
        running.iter_mut().all(Process::is_running),
        "a process has ended when the broker came back"
    );
    assert!(flowing < SOON, "it took {flowing:?}");
    assert!(said.iter().all(|lines| *lines <= LINES), "{said:?}");

    stop_all(&mut running);
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    scenario.verify();
}

/// How many records the slower of the outputs gets in some time.
fn growth(observer: &Observer, outputs: &[String; 2], time: Duration) -> f64 {
    let ends = || {
        let end = |topic: &String| Some(observer.ends(topic, PARTITIONS)?.iter().sum::<i64>());
        wait::until(wait::LONG, || Some([end(&outputs[0])?, end(&outputs[1])?]))
            .expect("the broker answers")
    };
    let (start, first) = (Instant::now(), ends());
    std::thread::sleep(time);
    let (elapsed, last) = (start.elapsed(), ends());
    let grown = last
        .iter()
        .zip(first)
        .map(|(last, first)| (last - first) as f64)
        .fold(f64::INFINITY, f64::min);
    grown * time.as_secs_f64() / elapsed.as_secs_f64()
}
