//! `thermal`: the machine's own thermometers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::component::Component;
use rivulet_core::error::{Error, Kind, Result as OrError};
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
            return Err(Error::new(doing, "there are none")
                .of_kind(Kind::Missing)
                .help(
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
            Error::caused_by(
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
mod tests;
