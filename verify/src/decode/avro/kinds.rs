//! What types are, and the values of those that are not made of others.

use serde_json::{Value, json};

/// A type, and the namespace in which it stands.
pub(super) type Placed = (Value, String);

/// What a type is.
pub(super) fn kind(schema: &Value) -> &str {
    match schema {
        Value::Array(_) => "union",
        Value::String(kind) => kind,
        object => object["type"].as_str().unwrap_or_default(),
    }
}

/// What a number counts, if that is a time.
pub(super) fn time_unit(schema: &Value) -> Option<&str> {
    let logical = schema.get("logicalType")?.as_str()?;
    match kind(schema) {
        "int" => (logical == "date").then_some(logical),
        "long" => {
            let unit = logical.strip_prefix("local-").unwrap_or(logical);
            let known = ["timestamp-millis", "timestamp-micros", "timestamp-nanos"];
            known.contains(&unit).then_some(unit)
        }
        _ => None,
    }
}

/// A number in a type.
pub(super) fn whole(number: i64, schema: &Value) -> Value {
    match time_unit(schema) {
        _ if ["float", "double"].contains(&kind(schema)) => float_value(number as f64),
        Some("date") => json!({ "time": number.saturating_mul(86_400_000) }),
        Some("timestamp-micros") => json!({ "time": number.div_euclid(1000) }),
        Some("timestamp-nanos") => json!({ "time": number.div_euclid(1_000_000) }),
        Some(_) => json!({ "time": number }),
        None => number.into(),
    }
}

/// JSON has no infinite numbers.
pub(super) fn float_value(float: f64) -> Value {
    if float.is_finite() {
        float.into()
    } else {
        json!([])
    }
}

/// The digits after the point of a decimal number.
pub(super) fn scale(schema: &Value) -> Option<u64> {
    if *schema.get("logicalType")? != "decimal" {
        return None;
    }
    let scale = schema.get("scale").map_or(Some(0), Value::as_u64)?;
    u32::try_from(scale).ok().map(u64::from)
}

pub(super) fn decimal(schema: &Value, bytes: &[u8]) -> Value {
    let (Some(scale), Some(first)) = (scale(schema), bytes.first()) else {
        return json!([]);
    };
    if bytes.len() > 16 {
        return json!([]);
    }
    let mut number = if *first >= 0x80 { -1_i128 } else { 0 };
    for byte in bytes {
        number = (number << 8) | i128::from(*byte);
    }
    format!("{number}e-{scale}")
        .parse()
        .map_or(json!([]), float_value)
}
