//! A mapping whose settings are valid.

use rivulet_core::log::ConsumerRecord;
use rivulet_core::unit::Unit;

use super::condition::Condition;
use super::field::Field;
use super::place::{Place, Pointer, UnitPlace};
use super::table::{MappingTable, Missing};
use super::time::TimeFormat;

/// A mapping whose settings are valid. Made from a [`MappingTable`].
#[derive(Debug, Clone)]
pub struct Mapping {
    pub(super) pointers: Vec<Pointer>,
    pub(super) sensor: Source,
    pub(super) seq: Source,
    pub(super) time: Source,
    pub(super) time_format: TimeFormat,
    pub(super) time_plus: Option<Source>,
    pub(super) values: Vec<MappedValue>,
    pub(super) when: Vec<(Source, Vec<String>)>,
    pub(super) missing: Missing,
}

/// A value of a record.
#[derive(Debug, Clone)]
pub(super) struct MappedValue {
    /// Its name. `None` if it is the only one.
    pub(super) name: Option<String>,
    pub(super) source: Source,
    pub(super) unit: MappedUnit,
}

/// The unit of a value.
#[derive(Debug, Clone)]
pub(super) enum MappedUnit {
    OfTopic,
    Always(Unit),
    At(Source),
}

/// Where a part of a reading comes from: a [`Place`] with fields by their index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Field(usize),
    Header(String),
    Key,
    Offset,
    Timestamp,
    Constant(String),
}

/// The fields of a record, one for each of [`Mapping::pointers`].
pub type Fields<'a> = [Field<'a>];

/// What may be in a setting besides a field or a header.
struct Allowed {
    setting: &'static str,
    places: &'static [Special],
}

/// A place that is neither a field nor a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Special {
    Key,
    Offset,
    Timestamp,
    Constant,
}

const SENSOR: Allowed = Allowed {
    setting: "sensor",
    places: &[Special::Key, Special::Constant],
};
const SEQ: Allowed = Allowed {
    setting: "seq",
    places: &[Special::Key, Special::Offset],
};
const TIME: Allowed = Allowed {
    setting: "time",
    places: &[Special::Key, Special::Timestamp],
};
const VALUE: Allowed = Allowed {
    setting: "value",
    places: &[Special::Key],
};
const TIME_PLUS: Allowed = only_fields("time-plus");
const UNIT: Allowed = only_fields("unit");
const WHEN: Allowed = only_fields("when");

const fn only_fields(setting: &'static str) -> Allowed {
    let places = &[];
    Allowed { setting, places }
}

impl TryFrom<MappingTable> for Mapping {
    type Error = String;

    fn try_from(table: MappingTable) -> Result<Self, String> {
        let mut pointers = Pointers(Vec::new());
        let has_time = table
            .time
            .as_ref()
            .is_some_and(|at| *at != Place::Timestamp);
        if table.time_format.is_some() && !has_time {
            return Err(
                "`time-format` has no effect on the record's timestamp: add `time`, or remove it"
                    .to_owned(),
            );
        }
        if matches!(&table.sensor, Some(Place::Constant(name)) if name.is_empty()) {
            return Err("a sensor has a name; \"\" is none".to_owned());
        }
        let mut mapping = Mapping {
            sensor: pointers.source(table.sensor.unwrap_or(Place::Key), &SENSOR)?,
            seq: pointers.source(table.seq.unwrap_or(Place::Offset), &SEQ)?,
            time: pointers.source(table.time.unwrap_or(Place::Timestamp), &TIME)?,
            time_format: table.time_format.unwrap_or_default(),
            time_plus: table
                .time_plus
                .map(|at| pointers.source(at, &TIME_PLUS))
                .transpose()?,
            values: Vec::new(),
            when: Vec::new(),
            missing: table.missing,
            pointers: Vec::new(),
        };
        let mut units = table.units;
        let values: Vec<(Option<String>, Place)> = match table.value {
            Some(_) if !table.values.is_empty() => {
                return Err("`value` and `values` exclude each other: remove one".to_owned());
            }
            Some(value) => vec![(None, value)],
            None if table.values.is_empty() => {
                return Err(
                    "it does not say where the value is: add value = \"FIELD\", or values = { \
                     NAME = \"FIELD\", … }"
                        .to_owned(),
                );
            }
            None => table
                .values
                .into_iter()
                .map(|(name, at)| (Some(name), at))
                .collect(),
        };
        for (name, at) in values {
            if name
                .as_ref()
                .is_some_and(|name| name.is_empty() || name.contains('/'))
            {
                return Err(format!(
                    "`{}` cannot be a name in `values`: it becomes a part of the sensor's name, \
                     after a /",
                    name.unwrap_or_default()
                ));
            }
            let unit = name.as_ref().and_then(|name| units.remove(name));
            let unit = match unit.or_else(|| table.unit.clone()) {
                None => MappedUnit::OfTopic,
                Some(UnitPlace::Always(unit)) => MappedUnit::Always(unit),
                Some(UnitPlace::At(at)) => MappedUnit::At(pointers.source(at, &UNIT)?),
            };
            let source = pointers.source(at, &VALUE)?;
            mapping.values.push(MappedValue { name, source, unit });
        }
        if let Some((name, _)) = units.first_key_value() {
            return Err(format!("`units` names `{name}`, which is not in `values`"));
        }
        let when: Vec<Condition> = table.when.map(Vec::from).unwrap_or_default();
        for Condition { place, is } in when {
            mapping.when.push((pointers.source(place, &WHEN)?, is));
        }
        mapping.pointers = pointers.0;
        Ok(mapping)
    }
}

/// The fields that are looked up, each once.
struct Pointers(Vec<Pointer>);

impl Pointers {
    fn source(&mut self, place: Place, allowed: &Allowed) -> Result<Source, String> {
        let (special, source, what) = match place {
            Place::Field(pointer) => {
                let known = self.0.iter().position(|other| *other == pointer);
                return Ok(Source::Field(known.unwrap_or_else(|| {
                    self.0.push(pointer);
                    self.0.len() - 1
                })));
            }
            Place::Header(name) => return Ok(Source::Header(name)),
            Place::Key => (Special::Key, Source::Key, "the record's key"),
            Place::Offset => (Special::Offset, Source::Offset, "the record's offset"),
            Place::Timestamp => {
                let what = "the record's timestamp";
                (Special::Timestamp, Source::Timestamp, what)
            }
            Place::Constant(text) => (Special::Constant, Source::Constant(text), "a constant"),
        };
        let Allowed { setting, places } = allowed;
        if places.contains(&special) {
            return Ok(source);
        }
        Err(format!(
            "`{setting}` cannot be {what}; name a field or a header"
        ))
    }
}

impl Mapping {
    /// The fields that it needs.
    #[must_use]
    pub fn pointers(&self) -> &[Pointer] {
        &self.pointers
    }

    /// Whether a sensor's name ends with the name of one of several values.
    pub(super) fn is_named(&self) -> bool {
        self.values[0].name.is_some()
    }

    /// The sensor's own name, without that of the value, and the value's index. `None` if it has no
    /// such value.
    pub(super) fn split<'s>(&self, sensor: &'s str) -> Option<(&'s str, usize)> {
        if !self.is_named() {
            return Some((sensor, 0));
        }
        let (own, name) = sensor.rsplit_once('/')?;
        let index = self
            .values
            .iter()
            .position(|value| value.name.as_deref() == Some(name))?;
        (!own.is_empty()).then_some((own, index))
    }

    /// The key of the records of a sensor: its name without that of the value.
    #[must_use]
    pub fn key<'s>(&self, sensor: &'s str) -> &'s str {
        self.split(sensor).map_or(sensor, |(own, _)| own)
    }

    /// What is at a place.
    pub(super) fn at<'a>(
        source: &Source,
        record: &ConsumerRecord<'a>,
        fields: &Fields<'a>,
    ) -> Field<'a> {
        match source {
            Source::Field(index) => fields[*index].clone(),
            Source::Header(name) => Field::bytes(record.headers.header(name)),
            Source::Key => Field::bytes(record.key),
            Source::Offset => Field::Integer(record.offset.into()),
            Source::Timestamp => Field::Time(record.timestamp),
            Source::Constant(text) => Field::Text(text.clone().into()),
        }
    }

    /// The name of a place, for an error.
    pub(super) fn name(&self, source: &Source) -> String {
        let place = match source.clone() {
            Source::Field(index) => Place::Field(self.pointers[index].clone()),
            Source::Header(name) => Place::Header(name),
            Source::Key => Place::Key,
            Source::Offset => Place::Offset,
            Source::Timestamp => Place::Timestamp,
            Source::Constant(text) => Place::Constant(text),
        };
        place.to_string()
    }
}
