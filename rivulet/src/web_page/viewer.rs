//! One who looks at the page: [`PageViewer`].

use std::fmt::Write;
use std::sync::Arc;

use rivulet_core::unit::Unit;
use serde_json::json;

use super::charts::{Chart, ChartLine};
use super::query::ViewQuery;
use super::shared::{SharedPage, ViewerPlace};
use super::shown;
use super::splice::{Splice, rounded};

/// One who looks at the page, and what he has seen of it.
#[derive(Debug)]
pub(super) struct PageViewer {
    page: Arc<SharedPage>,
    query: ViewQuery,
    seen: u64,
    /// What he has of each of his sensors.
    charts: Vec<Arc<Chart>>,
    table: Option<Arc<str>>,
    _place: ViewerPlace,
}

impl PageViewer {
    /// One who has seen nothing. `None` if too many look.
    pub(super) fn new(page: Arc<SharedPage>, query: ViewQuery) -> Option<Self> {
        Some(PageViewer {
            _place: page.enter()?,
            page,
            charts: query.sensors.iter().map(|_| Arc::default()).collect(),
            query,
            seen: 0,
            table: None,
        })
    }

    /// What has changed since he has looked last, as JSON.
    pub(super) fn next(&mut self) -> String {
        let mut json = "{\"parts\":[".to_owned();
        self.seen = self.page.write_parts(self.seen, &mut json);
        json += "],\"charts\":[";
        for (index, sensor) in self.query.sensors.iter().enumerate() {
            let live = &self.page.live;
            let new = (self.page.charts).get(sensor, &self.query, || live.readings());
            if index > 0 {
                json.push(',');
            }
            write_chart(&mut json, &self.charts[index], &new);
            self.charts[index] = new;
        }
        json.push(']');
        let table = self.page.table(self.query.page);
        if self.table.as_ref() != Some(&table) {
            json += ",\"table\":";
            json += &table;
            self.table = Some(table);
        }
        json.push('}');
        json
    }
}

/// Writes what has changed of a chart: the lines, and the figures.
fn write_chart(json: &mut String, old: &Chart, new: &Chart) {
    json.push_str("{\"lines\":[");
    let none = ChartLine::default();
    for (index, line) in new.lines.iter().enumerate() {
        let before = old.lines.get(index).unwrap_or(&none);
        if index > 0 {
            json.push(',');
        }
        write_line(json, before, line);
    }
    json.push(']');
    if old.figures != new.figures {
        let figures = new.figures.as_ref().map(shown::comparison);
        // Writing to a string cannot fail.
        let _ = write!(json, ",\"figures\":{}", json!(figures));
    }
    json.push('}');
}

fn write_line(json: &mut String, old: &ChartLine, new: &ChartLine) {
    json.push('{');
    if let Some(splice) = Splice::new(&old.points, &new.points) {
        *json += "\"points\":";
        splice.write(json);
    }
    if !new.says_as(old) {
        if !json.ends_with('{') {
            json.push(',');
        }
        let last = new.last.map(|last| (last.time, rounded(last.value)));
        let unit = new.unit.as_ref().map(Unit::symbol);
        let _ = write!(json, "\"said\":{}", json!([unit, new.count, last]));
    }
    json.push('}');
}
