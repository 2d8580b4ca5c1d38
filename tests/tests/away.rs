//! A broker that is down for longer than any session costs that time, and nothing else.

use std::time::{Duration, Instant};

use rivulet_tests::chain::{OPERATORS, chained};
use rivulet_tests::{
    Endpoint, Kafka, Observer, PipelineBuilder, Process, Scenario, stop_all, wait,
};

/// The session timeout, shorter than the default of 45 s.
const SESSION: Duration = Duration::from_secs(6);
/// How long the broker is down: much longer than a session.
const AWAY: Duration = Duration::from_secs(20);
/// How soon the throughput must be back, on a busy machine. The test prints how soon it was: within
/// two seconds is normal.
const SOON: Duration = Duration::from_secs(5);
/// How many seconds after that a stage is no longer ready.
const STALLED_AFTER: u64 = 5;
/// How many lines each process may log.
const LINES: usize = 8;
const PARTITIONS: i32 = 2;
const OUTPUTS: [&str; 2] = ["temperatures_ewma", "temperatures_moving_average"];

#[test]
fn a_broker_down_for_longer_than_a_session_is_only_a_pause() {
    let mut kafka = Kafka::start(&[]);
    let session = SESSION.as_millis();
    let pipeline = PipelineBuilder::new()
        .settings(&format!(
            "[kafka]\n\"session.timeout.ms\" = {session}\n\"heartbeat.interval.ms\" = 500"
        ))
        .settings(&format!("[defaults]\npartitions = {PARTITIONS}"))
        .producer(
            "thermometers",
            // All readings are above the threshold.
            "{ simulated = { sensors = 10, rate = 500, base = 20, daily-amplitude = 1 } }",
            "temperatures_celsius",
        );
    let scenario = Scenario::on(kafka.brokers(), chained(pipeline));
    scenario.create_topics();
    let (observed, others) = OPERATORS.split_first().expect("there are four");
    let mut command = scenario.stage(observed, "a");
    let (first, endpoint) = Endpoint::start(observed, &mut command, STALLED_AFTER);
    let mut running = vec![first];
    running.extend(others.iter().map(|stage| scenario.start(stage)));
    running.push(scenario.start("thermometers"));
    let outputs = OUTPUTS.map(|topic| scenario.name(topic));
    let observer = Observer::new(&kafka.brokers());
    scenario.grows(OUTPUTS[0], 1000);
    scenario.grows(OUTPUTS[1], 1000);
    let full = growth(&observer, &outputs, Duration::from_secs(3)) / 3.0;
    let before = log_lines(&running);

    kafka.kill();
    let unready = endpoint.until_ready(false);
    assert!(
        unready.contains(": not ready: ") && unready.contains("brokers unreachable at "),
        "{unready}"
    );
    let ended = wait::until(AWAY, || {
        (!running.iter_mut().all(Process::is_running)).then_some(())
    });
    assert!(ended.is_none(), "a process ended while the broker was down");
    kafka.run();

    let back = Instant::now();
    let flowing = wait::until(wait::LONG, || {
        let elapsed = back.elapsed();
        (growth(&observer, &outputs, Duration::from_secs(1)) > 0.9 * full).then_some(elapsed)
    });
    let flowing = flowing.expect("the throughput comes back");
    let lines: Vec<usize> = log_lines(&running)
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    println!(
        "full throughput {:.1} s after the broker; log lines of each process: {lines:?}",
        flowing.as_secs_f64()
    );
    assert!(
        running.iter_mut().all(Process::is_running),
        "a process ended when the broker came back"
    );
    assert!(flowing < SOON, "it took {flowing:?}");
    let _ = endpoint.until_ready(true);
    assert!(lines.iter().all(|lines| *lines <= LINES), "{lines:?}");

    stop_all(&mut running);
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    scenario.verify();
}

/// How many lines each process has logged.
fn log_lines(running: &[Process]) -> Vec<usize> {
    let lines = running.iter().map(|process| process.err().lines().count());
    lines.collect()
}

/// How many records the slower output gets in `time`.
fn growth(observer: &Observer, outputs: &[String; 2], time: Duration) -> f64 {
    let (start, first) = (Instant::now(), ends(observer, outputs));
    std::thread::sleep(time);
    let (elapsed, last) = (start.elapsed(), ends(observer, outputs));
    let grown = last
        .iter()
        .zip(first)
        .map(|(last, first)| (last - first) as f64)
        .fold(f64::INFINITY, f64::min);
    grown * time.as_secs_f64() / elapsed.as_secs_f64()
}

/// The sum of the end offsets of each output.
fn ends(observer: &Observer, outputs: &[String; 2]) -> [i64; 2] {
    let end = |topic: &String| Some(observer.ends(topic, PARTITIONS)?.iter().sum::<i64>());
    wait::until(wait::LONG, || Some([end(&outputs[0])?, end(&outputs[1])?]))
        .expect("the broker responds")
}
