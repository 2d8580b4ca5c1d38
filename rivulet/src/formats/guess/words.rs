//! What the names of fields say.

use super::fields::SampleField;

/// How well a field fits as the sensor.
pub(super) fn sensor(field: &SampleField) -> Option<u32> {
    let name = field.name().to_lowercase().replace(['-', '_', ' '], "");
    let rank: u32 = match name.as_str() {
        "sensorid" | "deviceid" | "entityid" | "sensor" | "device" | "vehicleid" => 9,
        "deveui" | "nodeid" | "stationid" | "friendlyname" | "devicename" => 8,
        "src" | "mac" | "id" | "name" | "station" | "node" | "uuid" => 6,
        _ if name.ends_with("id") => 3,
        _ => return None,
    };
    // What changes with each record is no sensor, and a fraction is none.
    let fits = field.is_text() || (rank > 6 && field.is_between(0.0, 1e15));
    fits.then(|| (rank * 10).saturating_sub(field.depth()))
}

/// How well a field fits as the time.
pub(super) fn time(field: &SampleField) -> Option<u32> {
    let format = field.time_format()?;
    let name = field.name().to_lowercase().replace(['-', '_', ' '], "");
    let rank: u32 = match name.as_str() {
        "time" | "timestamp" | "ts" | "datetime" | "measuredat" | "eventtime" => 9,
        "receivedat" | "lastupdated" | "lastseen" | "lastchanged" | "createdat" => 8,
        _ if ["time", "date", "timestamp"]
            .iter()
            .any(|word| name.contains(word)) =>
        {
            7
        }
        "at" | "when" | "t" | "utc" | "unixtime" => 6,
        // Many numbers look like a date.
        _ if format == "rfc3339" || format.contains(' ') => 4,
        _ => return None,
    };
    Some((rank * 10).saturating_sub(field.depth()))
}

/// How well a field fits as the seconds since midnight.
pub(super) fn time_of_day(field: &SampleField) -> Option<u32> {
    let is_named = field.name().to_lowercase().contains("time");
    // Timetables go on after midnight.
    (is_named && field.is_between(0.0, 2.0 * 86_400.0)).then_some(1)
}

/// How well a field fits as the sequence number.
pub(super) fn seq(field: &SampleField) -> Option<u32> {
    let name = field.name().to_lowercase().replace(['-', '_', ' '], "");
    let rank: u32 = match name.as_str() {
        "seq" | "sequence" | "seqno" | "sequencenumber" => 9,
        "counter" | "fcnt" | "msgid" | "packet" => 7,
        _ => return None,
    };
    Some((rank * 10).saturating_sub(field.depth()))
}

/// How well a field fits as the unit.
pub(super) fn unit(field: &SampleField) -> Option<u32> {
    let name = field.name().to_lowercase();
    let is_unit = name == "unit" || name == "units" || name == "unit_of_measurement";
    (is_unit && field.is_text()).then(|| 100_u32.saturating_sub(field.depth()))
}

/// The unit of a field that is known as a measurement; `Some(None)` if its unit is not known.
#[expect(
    clippy::option_option,
    reason = "a measurement without a known unit is neither"
)]
pub(super) fn value(field: &SampleField) -> Option<Option<&'static str>> {
    let name = field.name().to_lowercase();
    let parts: Vec<&str> = name.split(['_', '-', ' ', ':', '.']).collect();
    let has = |words: &[&str]| {
        words
            .iter()
            .any(|word| name == *word || parts.contains(word) || name.ends_with(word))
    };
    if has(&["tf", "fahrenheit"]) {
        return Some(Some("fahrenheit"));
    }
    if has(&["temperature", "dewpoint", "celsius"]) || ["tc", "temp"].contains(&name.as_str()) {
        return Some(Some("celsius"));
    }
    if has(&["humidity", "rh", "moisture"]) {
        return Some(Some("%"));
    }
    if has(&["pressure"]) {
        return Some(field.is_between(800.0, 1100.0).then_some("hPa"));
    }
    if has(&["co2"]) {
        return Some(Some("ppm"));
    }
    if has(&["illuminance", "lux"]) {
        return Some(Some("lx"));
    }
    if has(&["apower", "power"]) {
        return Some(Some("W"));
    }
    let others = [
        "voltage",
        "current",
        "energy",
        "speed",
        "velocity",
        "distance",
        "level",
        "weight",
        "flow",
        "value",
        "measurement",
        "state",
        "reading",
        "concentration",
    ];
    has(&others).then_some(None)
}
