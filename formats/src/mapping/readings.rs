//! Makes readings of the fields of a record.

use std::borrow::Cow;

use rivulet_core::format::check_sensor;
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::readings::Readings;
use rivulet_core::unit::Unit;

use super::field::Field;
use super::plan::{Fields, MappedUnit, MappedValue, Mapping, Source};
use super::table::Missing;
use super::time::nearest;

impl Mapping {
    /// Whether a record concerns the chain, as far as its headers tell.
    #[must_use]
    pub fn picks_headers(&self, record: &ConsumerRecord<'_>) -> bool {
        let on_headers = self
            .when
            .iter()
            .filter(|(source, _)| matches!(source, Source::Header(_)));
        holds(on_headers, record, &[])
    }

    fn picks_fields<'a>(&self, record: &ConsumerRecord<'a>, fields: &Fields<'a>) -> bool {
        let on_fields = self
            .when
            .iter()
            .filter(|(source, _)| !matches!(source, Source::Header(_)));
        holds(on_fields, record, fields)
    }

    /// The readings of a record with these fields. `unit` is that of its topic.
    ///
    /// # Errors
    /// Why the record is invalid.
    pub fn readings<'a>(
        &self,
        record: &ConsumerRecord<'a>,
        fields: &Fields<'a>,
        unit: Option<Unit>,
    ) -> Result<Readings<'a>, InvalidReading> {
        if !self.picks_fields(record, fields) {
            return Ok(Readings::None);
        }
        let find = |source: &Source| self.present(source, record, fields);
        let Some(sensor) = find(&self.sensor)? else {
            return Ok(Readings::None);
        };
        let sensor = sensor
            .name()
            .map_err(|error| self.of(&self.sensor, error))?;
        let Some(seq) = find(&self.seq)? else {
            return Ok(Readings::None);
        };
        let seq = seq.seq().map_err(|error| self.of(&self.seq, error))?;
        let Some(time) = find(&self.time)? else {
            return Ok(Readings::None);
        };
        let mut time = self
            .time_format
            .read(&time)
            .map_err(|error| self.of(&self.time, error))?;
        if let Some(plus) = &self.time_plus {
            let Some(seconds) = find(plus)? else {
                return Ok(Readings::None);
            };
            let seconds = seconds.number().map_err(|error| self.of(plus, error))?;
            time = time.saturating_add(nearest(seconds * 1000.0));
        }
        let value = |mapped: &MappedValue, sensor: Cow<'a, str>| {
            let Some(value) = find(&mapped.source)? else {
                return Ok(None);
            };
            let value = value
                .number()
                .map_err(|error| self.of(&mapped.source, error))?;
            let unit = self.unit(&mapped.unit, record, fields)?.or(unit);
            check_sensor(&sensor)?;
            Ok(Some(Reading {
                sensor,
                seq,
                time,
                value,
                unit,
            }))
        };
        let several = self.values.iter().filter_map(|mapped| {
            let name = mapped.name.as_ref()?;
            value(mapped, format!("{sensor}/{name}").into()).transpose()
        });
        if self.is_named() {
            return several.collect();
        }
        Ok(value(&self.values[0], sensor)?.map_or(Readings::None, Readings::One))
    }

    /// What is at a place; `None` if that is nothing and skipped.
    fn present<'a>(
        &self,
        source: &Source,
        record: &ConsumerRecord<'a>,
        fields: &Fields<'a>,
    ) -> Result<Option<Field<'a>>, InvalidReading> {
        let field = Mapping::at(source, record, fields);
        match self.missing {
            _ if !field.is_missing() => Ok(Some(field)),
            Missing::Skip => Ok(None),
            Missing::DeadLetter => {
                let detail = format!("there is nothing at {}", self.name(source));
                Err(InvalidReading::new("missing", detail))
            }
        }
    }

    fn unit<'a>(
        &self,
        unit: &MappedUnit,
        record: &ConsumerRecord<'a>,
        fields: &Fields<'a>,
    ) -> Result<Option<Unit>, InvalidReading> {
        let source = match unit {
            MappedUnit::OfTopic => return Ok(None),
            MappedUnit::Always(unit) => return Ok(Some(*unit)),
            MappedUnit::At(source) => source,
        };
        let field = Mapping::at(source, record, fields);
        if field.is_missing() {
            return Ok(None);
        }
        let name = field.name().map_err(|error| self.of(source, error))?;
        name.parse()
            .map(Some)
            .map_err(|why: String| self.of(source, InvalidReading::new("not-a-unit", why)))
    }

    /// Names the place in an error.
    fn of(&self, source: &Source, mut invalid: InvalidReading) -> InvalidReading {
        invalid.detail = format!("{}: {}", self.name(source), invalid.detail);
        invalid
    }
}

fn holds<'m, 'a>(
    mut conditions: impl Iterator<Item = &'m (Source, Vec<String>)>,
    record: &ConsumerRecord<'a>,
    fields: &Fields<'a>,
) -> bool {
    conditions.all(|(source, is)| {
        let field = Mapping::at(source, record, fields);
        match &is[..] {
            [] => !field.is_missing(),
            texts => texts.iter().any(|text| field.is(text)),
        }
    })
}
