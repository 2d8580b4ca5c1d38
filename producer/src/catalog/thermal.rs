//! `thermal`: the machine's own thermometers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::component::Component;
use rivulet_core::error::{Error, Result as OrError};
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::unit::Unit;
use serde::Deserialize;
use serde_json::Value;

use super::{SourceContext, SourceSettings};
use crate::sequences::Sequences;
use crate::setting::{Count, now};
use crate::source::{Next, Source};

/// How many bytes to read from a device's file. A temperature takes six.
const MOST: u64 = 4096;

/// The range of a thermal zone in °C, from absolute zero to where no processor works.
const ZONE_RANGE: RangeInclusive<f64> = -273.15..=500.0;
/// The range of a DS18B20 in °C.
const DS18B20_RANGE: RangeInclusive<f64> = -55.0..=125.0;

/// Thermal zones (`/sys/class/thermal/*/temp`: the processor) and 1-wire thermometers
/// (`/sys/bus/w1/devices/28-*/temperature`: DS18B20), each read once every `interval-ms`, in °C.
///
/// A sensor's name is `PREFIX.DEVICE`, such as `rpi0.thermal_zone0`. The default prefix is the
/// machine's name; with an empty prefix the name is that of the device. Each round looks for
/// devices, so a thermometer can be plugged in later. One that disappears or comes back is logged
/// once. A device that cannot be read gives a dead letter in each round and does not affect the
/// others. So does a temperature that the device cannot measure: below absolute zero (the kernel
/// means "invalid" by -274 °C), or outside of a DS18B20's -55 to 125 °C. A DS18B20 returns 85 °C
/// after it got power until its first measurement: if such values come in between, check its
/// wiring. Reading a 1-wire thermometer takes up to 0.75 s.
///
/// ```
/// use std::time::Duration;
///
/// use rivulet_producer::catalog::{SourceContext, read};
/// use rivulet_producer::source::Next;
/// use rivulet_pipeline::ComponentConfig;
///
/// # let base = tempfile::tempdir().unwrap();
/// # let base = base.path().to_str().unwrap();
/// let zone = format!("{base}/sys/class/thermal/thermal_zone0");
/// std::fs::create_dir_all(&zone).unwrap();
/// std::fs::write(format!("{zone}/temp"), "48312\n").unwrap();
/// let config = format!("thermal = {{ base = \"{base}\", prefix = \"rpi0\" }}");
/// let settings = read(&ComponentConfig::parse(&config).unwrap()).unwrap();
/// let mut source = settings.open(&SourceContext::default())?;
/// let Next::Measured(reading) = source.next(Duration::ZERO)? else { panic!("there is one") };
/// assert_eq!((&*reading.sensor, reading.value), ("rpi0.thermal_zone0", 48.312));
/// # Ok::<(), rivulet_core::error::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Table")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Thermal {
    base: PathBuf,
    interval: Duration,
    zones: bool,
    one_wire: bool,
    prefix: Option<String>,
}

/// The settings as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Table {
    /// The folder that holds `sys`; `/` unless it is set.
    base: PathBuf,
    /// How often each thermometer is read; every 1000 ms unless it is set.
    interval_ms: Count<86_400_000>,
    /// Whether thermal zones are read, such as the processor's.
    zones: bool,
    /// Whether thermometers on the 1-wire bus are read.
    one_wire: bool,
    /// What stands before a device's name in the name of its sensor; the machine's name unless it
    /// is set.
    prefix: Option<String>,
}

impl Default for Table {
    fn default() -> Self {
        Table {
            base: "/".into(),
            interval_ms: Count(1000),
            zones: true,
            one_wire: true,
            prefix: None,
        }
    }
}

impl TryFrom<Table> for Thermal {
    type Error = &'static str;

    fn try_from(
        Table {
            base,
            interval_ms,
            zones,
            one_wire,
            prefix,
        }: Table,
    ) -> Result<Self, Self::Error> {
        if !zones && !one_wire {
            return Err(
                "both zones and 1-wire thermometers are switched off; leave out `zones` or \
                 `one-wire`",
            );
        }
        Ok(Thermal {
            base,
            interval: Duration::from_millis(interval_ms.0),
            zones,
            one_wire,
            prefix,
        })
    }
}

impl Component for Thermal {
    const NAME: &'static str = "thermal";
    const ABOUT: &'static str =
        "the machine's own thermometers: its processor's and those on the 1-wire bus";
    const EXAMPLE: &'static str = "thermal = { interval-ms = 5000 }";
}

impl SourceSettings for Thermal {
    fn open(&self, context: &SourceContext) -> OrError<Box<dyn Source>> {
        let prefix = match self.prefix.as_deref().unwrap_or(&context.host) {
            "" => String::new(),
            prefix => format!("{prefix}."),
        };
        let thermal = Thermal {
            base: context.folder.join(&self.base),
            ..self.clone()
        };
        if devices(&thermal, &prefix)?.is_empty() {
            let doing = format!("looking for thermometers under {}", thermal.base.display());
            return Err(Error::new(doing, "there are none").help(
                "on a Raspberry Pi enable 1-wire with dtoverlay=w1-gpio in \
                 /boot/firmware/config.txt, reboot and check the wiring; on other machines use the \
                 source `simulated`",
            ));
        }
        Ok(Box::new(ThermalSource {
            thermal,
            prefix,
            devices: Vec::new(),
            known: Known::default(),
            next: 0,
            due: Instant::now(),
            content: Vec::new(),
            sequences: Sequences::default(),
        }))
    }

    fn is_live(&self) -> bool {
        true
    }
}

struct ThermalSource {
    thermal: Thermal,
    prefix: String,
    /// The devices of this round.
    devices: Vec<Device>,
    known: Known,
    /// The next device in `devices`.
    next: usize,
    /// When the next round begins.
    due: Instant,
    /// The content of the last device's file.
    content: Vec<u8>,
    sequences: Sequences,
}

struct Device {
    sensor: String,
    path: PathBuf,
    /// What it can measure, in °C.
    range: RangeInclusive<f64>,
}

/// All devices that were ever present, and whether they are present now.
#[derive(Debug, Default)]
struct Known(BTreeMap<String, bool>);

impl Known {
    /// Updates the devices. Returns those that have disappeared or come back, and whether they are
    /// present now.
    fn update(&mut self, devices: &[Device]) -> Vec<(String, bool)> {
        let mut changed = Vec::new();
        for (sensor, was_present) in &mut self.0 {
            let is_present = devices.iter().any(|device| device.sensor == *sensor);
            if is_present != *was_present {
                *was_present = is_present;
                changed.push((sensor.clone(), is_present));
            }
        }
        self.0
            .extend(devices.iter().map(|device| (device.sensor.clone(), true)));
        changed
    }
}

impl ThermalSource {
    /// Waits for the next round and begins it. Returns `false` if it is not due within `wait`.
    fn begin_round(&mut self, wait: Duration) -> OrError<bool> {
        let left = self.due.saturating_duration_since(Instant::now());
        thread::sleep(left.min(wait));
        if left > wait {
            return Ok(false);
        }
        // Missed rounds are skipped.
        self.due = Instant::now().max(self.due + self.thermal.interval);
        self.devices = devices(&self.thermal, &self.prefix)?;
        for (sensor, is_present) in self.known.update(&self.devices) {
            if is_present {
                tracing::info!("thermometer {sensor} is back");
            } else {
                tracing::warn!("thermometer {sensor} is gone: looking for it in each round");
            }
        }
        self.next = 0;
        Ok(true)
    }
}

impl Source for ThermalSource {
    fn next(&mut self, wait: Duration) -> OrError<Next<'_>> {
        if self.next == self.devices.len() && !self.begin_round(wait)? {
            return Ok(Next::NotYet);
        }
        let Some(device) = self.devices.get(self.next) else {
            return Ok(Next::NotYet);
        };
        self.next += 1;
        let value = match measure(device, &mut self.content) {
            Ok(Some(value)) => Ok(value),
            // Unplugged just now. The next round logs it.
            Ok(None) => return Ok(Next::NotYet),
            Err(invalid) => Err(invalid),
        };
        Ok(
            match value.and_then(|value| Ok((value, self.sequences.take(&device.sensor)?))) {
                Ok((value, seq)) => {
                    let sensor = device.sensor.as_str().into();
                    Next::Measured(Reading {
                        sensor,
                        seq,
                        time: now(),
                        value,
                        unit: Some(Unit::Celsius),
                    })
                }
                Err(invalid) => Next::Bad {
                    bytes: &self.content,
                    place: device.path.display().to_string(),
                    invalid,
                },
            },
        )
    }

    fn position(&self) -> Value {
        self.sequences.position()
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        self.sequences = Sequences::at(position)?;
        Ok(())
    }
}

/// The present devices, in the order of their names.
fn devices(thermal: &Thermal, prefix: &str) -> OrError<Vec<Device>> {
    let kinds = [
        (thermal.zones, "sys/class/thermal", "", "temp", ZONE_RANGE),
        (
            thermal.one_wire,
            "sys/bus/w1/devices",
            "28-",
            "temperature",
            DS18B20_RANGE,
        ),
    ];
    let mut devices = Vec::new();
    for (_, folder, start, file, range) in kinds.into_iter().filter(|kind| kind.0) {
        let folder = thermal.base.join(folder);
        let names = names(&folder, start).map_err(|error| {
            Error::new(
                format!("looking for thermometers in {}", folder.display()),
                error,
            )
            .help("let this user read it")
        })?;
        for name in names {
            let path = folder.join(&name).join(file);
            // Cooling devices are in the same folder and have no temperature.
            if path.exists() {
                devices.push(Device {
                    sensor: format!("{prefix}{name}"),
                    path,
                    range: range.clone(),
                });
            }
        }
    }
    Ok(devices)
}

/// The names in a folder that start with `start`, in order. Empty if the folder does not exist.
fn names(folder: &Path, start: &str) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(
            entry?
                .file_name()
                .into_string()
                .ok()
                .filter(|name| name.starts_with(start)),
        );
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads a temperature in °C. `content` is then the content of the device's file. `None` if the
/// device is gone.
fn measure(device: &Device, content: &mut Vec<u8>) -> Result<Option<f64>, InvalidReading> {
    content.clear();
    match File::open(&device.path).and_then(|file| file.take(MOST).read_to_end(content)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(InvalidReading::new("not-readable", error.to_string())),
        Ok(_) => {}
    }
    let text = String::from_utf8_lossy(content);
    let thousandths: i32 = text.trim().parse().map_err(|_| {
        InvalidReading::new(
            "not-a-number",
            format!(
                "{:?} is not a number of thousandths of a degree",
                text.trim()
            ),
        )
    })?;
    let value = f64::from(thousandths) / 1000.0;
    if !device.range.contains(&value) {
        let (least, most) = device.range.clone().into_inner();
        let detail =
            format!("{value} °C is outside of what the device can measure, {least} to {most} °C");
        return Err(InvalidReading::new("out-of-range", detail));
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
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
}
