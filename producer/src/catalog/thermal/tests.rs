//! Thermometers as files of a folder.

use tempfile::TempDir;

use super::*;
use crate::testing::{Observed, diagnostic, open_in, readings, take};

const ZONE: &str = "sys/class/thermal/thermal_zone0/temp";
const PROBE: &str = "sys/bus/w1/devices/28-0316a27913ff/temperature";

/// A folder with these files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let base = tempfile::tempdir().unwrap();
    for (path, content) in files {
        write(&base, path, content);
    }
    base
}

fn write(base: &TempDir, path: &str, content: &str) {
    let path = base.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn open(base: &TempDir, settings: &str) -> OrError<Box<dyn Source>> {
    open_in(
        base.path(),
        &format!("thermal = {{ base = \".\", interval-ms = 1, {settings} }}"),
    )
}

fn fails(base: &TempDir, settings: &str) -> String {
    open(base, settings)
        .err()
        .expect("should not open")
        .to_string()
}

#[test]
fn each_round_reads_every_device() {
    let base = tree(&[
        (ZONE, "48312\n"),
        (PROBE, "-1250\n"),
        ("sys/class/thermal/cooling_device0/type", "fan\n"),
    ]);
    let before = now();
    let found = readings(&mut *open(&base, "").unwrap(), 4);
    let plain: Vec<_> = found
        .iter()
        .map(|got| (got.sensor.as_str(), got.seq, got.value))
        .collect();
    let (zone, probe) = ("rpi0.thermal_zone0", "rpi0.28-0316a27913ff");
    assert_eq!(
        plain,
        [
            (zone, 0, 48.312),
            (probe, 0, -1.25),
            (zone, 1, 48.312),
            (probe, 1, -1.25)
        ]
    );
    assert!(
        found
            .iter()
            .all(|got| (before..=now()).contains(&got.time) && got.unit == Some(Unit::Celsius))
    );
}

#[test]
fn the_prefix_and_the_kinds_of_devices_are_settings() {
    let base = tree(&[(ZONE, "1000"), (PROBE, "2000")]);
    for (settings, sensor) in [
        ("prefix = \"attic\"", "attic.thermal_zone0"),
        ("prefix = \"\", zones = false", "28-0316a27913ff"),
    ] {
        let found = readings(&mut *open(&base, settings).unwrap(), 1);
        assert_eq!(found[0].sensor, sensor);
    }
    assert!(diagnostic("thermal = { zones = false, one-wire = false }").contains("leave out"));
    assert!(diagnostic("thermal = { interval-ms = 0 }").contains("from 1"));
}

#[test]
fn a_round_starts_on_time_and_next_waits_no_longer_than_asked() {
    let base = tree(&[(ZONE, "1000")]);
    let mut source = open_in(
        base.path(),
        "thermal = { base = \".\", interval-ms = 86400000 }",
    )
    .unwrap();
    assert!(
        matches!(source.next(Duration::ZERO).unwrap(), Next::Measured(_)),
        "the first round is due at once"
    );
    let start = Instant::now();
    assert!(matches!(
        source.next(Duration::from_millis(5)).unwrap(),
        Next::NotYet
    ));
    assert!((Duration::from_millis(5)..Duration::from_secs(20)).contains(&start.elapsed()));
}

#[test]
fn a_device_that_fails_does_not_affect_others() {
    let base = tree(&[(ZONE, "warm\n"), (PROBE, "85000\n")]);
    fs::create_dir_all(base.path().join("sys/class/thermal/thermal_zone1/temp")).unwrap();
    let found = take(&mut *open(&base, "").unwrap(), 3);
    let zones = base.path().join("./sys/class/thermal");
    for (found, (zone, bytes, reason)) in found.iter().zip([
        ("thermal_zone0", &b"warm\n"[..], "not-a-number"),
        ("thermal_zone1", b"", "not-readable"),
    ]) {
        let bad = Observed::Bad {
            bytes: bytes.into(),
            place: zones.join(zone).join("temp").display().to_string(),
            reason,
        };
        assert_eq!(*found, bad);
    }
    assert!(matches!(&found[2], Observed::Reading(got) if got.value == 85.0));
}

#[test]
fn a_thermometer_may_be_plugged_in_and_out_while_it_runs() {
    fn sensors(source: &mut dyn Source, count: usize) -> Vec<String> {
        let readings = readings(source, count).into_iter();
        readings.map(|got| got.sensor).collect()
    }
    let base = tree(&[(ZONE, "1000")]);
    let mut source = open(&base, "prefix = \"\"").unwrap();
    assert_eq!(sensors(&mut *source, 2), ["thermal_zone0"; 2]);
    write(&base, PROBE, "2000");
    assert_eq!(
        sensors(&mut *source, 2),
        ["thermal_zone0", "28-0316a27913ff"]
    );
    fs::remove_dir_all(base.path().join("sys")).unwrap();
    assert!(
        matches!(source.next(Duration::from_secs(5)).unwrap(), Next::NotYet),
        "a pause, not the end"
    );
    write(&base, ZONE, "3000");
    assert_eq!(sensors(&mut *source, 1), ["thermal_zone0"]);
}

/// Regression: a Pi's zone returned -650788984 for a while, and -650,788 °C went into the
/// averages.
#[test]
fn a_temperature_out_of_range_is_a_dead_letter() {
    fn reason(path: &str, content: &str) -> String {
        let base = tree(&[(path, content)]);
        match take(&mut *open(&base, "").unwrap(), 1).remove(0) {
            Observed::Reading(got) => got.value.to_string(),
            Observed::Record(record) => panic!("{record:?}"),
            Observed::Bad { reason, .. } => reason.to_owned(),
        }
    }
    for content in ["-650788984\n", "-274000\n", "-273151\n", "2147483647\n"] {
        assert_eq!(reason(ZONE, content), "out-of-range", "{content}");
    }
    assert_eq!(
        (reason(ZONE, "-273150"), reason(ZONE, "105000")),
        ("-273.15".to_owned(), "105".to_owned())
    );
    for content in ["-55063\n", "127937\n"] {
        assert_eq!(reason(PROBE, content), "out-of-range", "{content}");
    }
    assert_eq!(
        (reason(PROBE, "-55000"), reason(PROBE, "85000")),
        ("-55".to_owned(), "85".to_owned())
    );
}

#[test]
fn a_thermometer_that_disappears_or_returns_is_logged_once() {
    fn device(sensor: &str) -> Device {
        Device {
            sensor: sensor.to_owned(),
            path: PathBuf::new(),
            range: ZONE_RANGE,
        }
    }
    let mut known = Known::default();
    assert!(known.update(&[device("a"), device("b")]).is_empty());
    assert_eq!(known.update(&[device("a")]), [("b".to_owned(), false)]);
    assert!(known.update(&[device("a")]).is_empty());
    assert_eq!(
        known.update(&[device("a"), device("b"), device("c")]),
        [("b".to_owned(), true)]
    );
    assert_eq!(
        known.update(&[device("a"), device("b")]),
        [("c".to_owned(), false)]
    );
}

#[test]
fn without_devices_the_error_has_help() {
    let base = tree(&[("sys/class/thermal/cooling_device0/type", "fan\n")]);
    assert!(fails(&base, "").contains(
        "there are none\n  help: on a Raspberry Pi enable 1-wire with dtoverlay=w1-gpio"
    ));
    let base = tree(&[(ZONE, "1000")]);
    assert!(fails(&base, "zones = false").contains("there are none"));
    let base = tree(&[("sys/class/thermal", "not a folder")]);
    let error = fails(&base, "");
    assert!(
        error.contains("sys/class/thermal: Not a directory"),
        "{error}"
    );
}

#[test]
fn after_a_restart_sequence_numbers_continue() {
    let base = tree(&[(ZONE, "1000")]);
    let mut first = open(&base, "").unwrap();
    assert_eq!(readings(&mut *first, 3).len(), 3);
    let mut second = open(&base, "").unwrap();
    second.resume(&first.position()).unwrap();
    assert_eq!(readings(&mut *second, 1)[0].seq, 3);
}
