//! Messages as other programs send them.

use rivulet_core::format::FormatContext;
use rivulet_formats::catalog::built_in;
use rivulet_pipeline::ComponentConfig;

use super::super::attempt::Attempt;
use super::*;

fn records(messages: &[&str]) -> Vec<SampleRecord> {
    let record = |(offset, message): (i64, &&str)| SampleRecord {
        offset,
        value: Some(message.as_bytes().to_vec()),
        ..SampleRecord::default()
    };
    (0..).zip(messages).map(record).collect()
}

/// The settings of the guess, which must work on the whole sample.
fn guessed(messages: &[&str]) -> Vec<String> {
    let records = records(messages);
    let guess = Guess::new(&records).unwrap();
    let settings = ComponentConfig::parse(&guess.format()).unwrap();
    let format = built_in().read(&settings).unwrap();
    let format = format.build(&FormatContext::new("t")).unwrap();
    let attempt = Attempt::new(&*format, &records).unwrap();
    assert_eq!(
        attempt.decoded,
        messages.len(),
        "{}\n{attempt}",
        guess.format()
    );
    let line = |(name, value, _): &(String, String, String)| format!("{name} = {value}");
    guess.settings.iter().map(line).collect()
}

#[test]
fn tasmota_telemetry_is_recognised() {
    let message = r#"{"Time":"2026-11-29T12:00:00","BME280":{"Temperature":21.7,"Humidity":46.6,
        "DewPoint":9.7,"Pressure":988.4},"PressureUnit":"hPa","TempUnit":"C"}"#;
    assert_eq!(
        guessed(&[message]),
        [
            "sensor = { constant = \"sensor\" }",
            "time = \"/Time\"",
            "time-format = \"%Y-%m-%dT%H:%M:%S%.f\"",
            "values.dewpoint = \"/BME280/DewPoint\"",
            "values.humidity = \"/BME280/Humidity\"",
            "values.pressure = \"/BME280/Pressure\"",
            "values.temperature = \"/BME280/Temperature\"",
            "units.dewpoint = \"celsius\"",
            "units.humidity = \"%\"",
            "units.pressure = \"hPa\"",
            "units.temperature = \"celsius\"",
        ]
    );
}

#[test]
fn zigbee2mqtt_is_recognised() {
    let messages = [
        r#"{"battery":97,"humidity":51.2,"last_seen":"2026-11-29T12:00:00+01:00",
            "linkquality":120,"pressure":1009,"temperature":20.4,"voltage":2985}"#,
        r#"{"battery":97,"humidity":51.0,"last_seen":"2026-11-29T12:10:00+01:00",
            "linkquality":118,"temperature":20.5,"voltage":2985}"#,
    ];
    let guess = guessed(&messages);
    for expected in [
        "time = \"/last_seen\"",
        "time-format = \"rfc3339\"",
        "values.temperature = \"/temperature\"",
        "units.pressure = \"hPa\"",
        "missing = \"skip\"",
    ] {
        assert!(
            guess.iter().any(|line| line == expected),
            "{expected}: {guess:?}"
        );
    }
    assert!(
        !guess.iter().any(|line| line.contains("linkquality")),
        "{guess:?}"
    );
}

#[test]
fn an_uplink_of_the_things_network_is_recognised() {
    let message = |count, time, degrees| {
        format!(
            r#"{{"end_device_ids":{{"device_id":"garden-1","dev_eui":"70B3D57ED0000001",
            "application_ids":{{"application_id":"garden"}}}},"received_at":"{time}",
            "uplink_message":{{"f_port":2,"f_cnt":{count},"frm_payload":"AQI=",
            "decoded_payload":{{"temperature":{degrees},"humidity":61}},
            "rx_metadata":[{{"gateway_ids":{{"gateway_id":"roof"}},"rssi":-97,"snr":7.2}}],
            "settings":{{"frequency":"868300000"}},"received_at":"{time}"}}}}"#
        )
    };
    let first = message(7, "2026-11-29T12:00:00.123456789Z", 5.5);
    let second = message(8, "2026-11-29T12:10:00.123456789Z", 5.25);
    assert_eq!(
        guessed(&[&first, &second]),
        [
            "sensor = \"/end_device_ids/device_id\"",
            "time = \"/received_at\"",
            "time-format = \"rfc3339\"",
            "seq = \"/uplink_message/f_cnt\"",
            "values.humidity = \"/uplink_message/decoded_payload/humidity\"",
            "values.temperature = \"/uplink_message/decoded_payload/temperature\"",
            "units.humidity = \"%\"",
            "units.temperature = \"celsius\"",
        ]
    );
}

#[test]
fn a_notification_of_shelly_is_recognised() {
    let message = r#"{"src":"shellyhtg3-84fce6000001","dst":"home/events","method":"NotifyStatus",
        "params":{"ts":1764417600.44,"temperature:0":{"id":0,"tC":21.4,"tF":70.5},
        "humidity:0":{"id":0,"rh":48.5}}}"#;
    let guess = guessed(&[message]);
    for expected in [
        "sensor = \"/src\"",
        "time = \"/params/ts\"",
        "time-format = \"seconds\"",
        "values.tc = \"/params/temperature:0/tC\"",
        "units.tc = \"celsius\"",
        "units.rh = \"%\"",
    ] {
        assert!(
            guess.iter().any(|line| line == expected),
            "{expected}: {guess:?}"
        );
    }
}

#[test]
fn a_state_of_home_assistant_is_recognised() {
    let message = r#"{"entity_id":"sensor.living_room_temperature","state":"21.4",
        "attributes":{"unit_of_measurement":"°C","device_class":"temperature",
        "friendly_name":"Living room"},"last_changed":"2026-11-29T12:00:00.123456+00:00",
        "last_updated":"2026-11-29T12:00:00.123456+00:00"}"#;
    let guess = guessed(&[message]);
    for expected in [
        "sensor = \"/entity_id\"",
        "time-format = \"rfc3339\"",
        "value = \"/state\"",
        "unit = \"/attributes/unit_of_measurement\"",
    ] {
        assert!(
            guess.iter().any(|line| line == expected),
            "{expected}: {guess:?}"
        );
    }
}

#[test]
fn a_date_and_a_time_of_day_are_recognised() {
    let message = |time, speed| {
        format!(
            r#"{{"EVENT_NO_TRIP":"167930","OPD_DATE":"07-SEP-26","VEHICLE_ID":"1776",
            "METERS":"110","ACT_TIME":"{time}","VELOCITY":"{speed}","DIRECTION":"192",
            "RADIO_QUALITY":"","GPS_LONGITUDE":"-122.6","GPS_LATITUDE":"45.6"}}"#
        )
    };
    let messages = [
        message(29_040, "0"),
        message(29_045, "7"),
        message(86_500, "9"),
    ];
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    assert_eq!(
        guessed(&messages),
        [
            "sensor = \"/VEHICLE_ID\"",
            "time = \"/OPD_DATE\"",
            "time-format = \"%d-%b-%y\"",
            "time-plus = \"/ACT_TIME\"",
            "value = \"/VELOCITY\"",
        ]
    );
}

#[test]
fn own_messages_need_no_mapping() {
    let message = r#"{"sensor":"a","seq":1,"time":2,"value":3.5,"unit":"kelvin"}"#;
    assert_eq!(guessed(&[message]), [""; 0]);
}

#[test]
fn a_sample_without_numbers_is_an_error() {
    for (message, expected) in [
        ("5", "no record is a JSON object"),
        ("abc", "no record is a JSON object"),
        (
            r#"{"id":"a","on":true}"#,
            "no field of the sample has a number",
        ),
    ] {
        let error = Guess::new(&records(&[message])).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
