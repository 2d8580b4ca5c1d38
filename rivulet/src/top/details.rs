//! The details of the chosen stage.

use ratatui::text::{Line, Span};
use rivulet_core::text::plain;

use super::paint::{BOLD, DIM, UNKNOWN};
use super::snapshot::TopSnapshot;
use super::stages;
use super::state::TopState;
use crate::groups::{LagReport, PartitionReport};
use crate::live::{ShownDeadLetter, StageFigures};
use crate::terminal::fit;
use crate::{look, text};

/// What is known of the chosen stage, line by line.
pub(super) fn lines(state: &TopState, snapshot: &TopSnapshot, width: usize) -> Vec<Line<'static>> {
    let Some(stage) = snapshot.chosen() else {
        return vec![Line::raw("no stage yet")];
    };
    let mut lines = vec![Line::from_iter([
        Span::styled(plain(&stage.stage).into_owned(), BOLD),
        Span::raw(format!(": {}, {}   ", stage.kind, plain(&stage.does))),
        Span::styled(stage.state.name(), state.of_state(stage)),
    ])];
    lines.extend(facts(stage).into_iter().map(|(name, fact)| {
        Line::from_iter([Span::styled(fit::left(name, 12), DIM), Span::raw(fact)])
    }));
    lines.push(Line::default());
    lines.extend(partitions(&stage.partitions, width));
    let found = &snapshot.dead_letters;
    let reasons = found.by_reason.iter();
    let reasons: Vec<String> = reasons
        .map(|(reason, count)| format!("{} {}", look::number(*count as f64, 0), plain(reason)))
        .collect();
    let counts = if reasons.is_empty() {
        "no dead letters".to_owned()
    } else {
        format!("dead letters: {}", reasons.join(", "))
    };
    lines.push(Line::styled(counts, BOLD));
    lines.extend(found.last.iter().flat_map(dead_letter));
    lines
}

fn facts(stage: &StageFigures) -> Vec<(&'static str, String)> {
    let listed = |names: &[String]| plain(&names.join(", ")).into_owned();
    let time = |time: Option<f64>| time.map_or_else(|| UNKNOWN.to_owned(), look::seconds);
    let mut facts = vec![("says", plain(&stage.sentence).into_owned())];
    facts.push(("runs on", listed(&stage.nodes)));
    facts.push(("reads", listed(&stage.from)));
    facts.push(("writes", listed(&stage.to)));
    facts.retain(|(_, fact)| !fact.is_empty());
    let (about, out) = (stage.is_estimate, !stage.to.is_empty());
    let out = out.then(|| format!(", {}/s out", stages::rate(stage.rate_out, about)));
    let into = stages::rate(stage.rate_in, about);
    facts.push(("rate", format!("{into}/s in{}", out.unwrap_or_default())));
    let (p50, p99) = (time(stage.p50), time(stage.p99));
    facts.push((
        "latency",
        format!("p50 {p50}, p99 {p99}, from the entry into the pipeline"),
    ));
    facts.push((
        "commits",
        format!("{}/s", stages::rate(stage.commits, false)),
    ));
    let memory = stages::memory(stage).replace('*', ", shared with other stages");
    facts.push(("memory", memory));
    facts
}

fn partitions(partitions: &[PartitionReport], width: usize) -> Vec<Line<'static>> {
    if partitions.is_empty() {
        return Vec::new();
    }
    let number = |offset: i64| look::number(offset as f64, 0);
    let rows = partitions.iter().map(|partition| {
        let LagReport { lag, direction } = partition.lag;
        [
            plain(&partition.topic).into_owned(),
            partition.partition.to_string(),
            partition
                .committed
                .map_or_else(|| UNKNOWN.to_owned(), number),
            number(partition.end),
            lag.to_string(),
            direction.map_or_else(String::new, |direction| direction.to_string()),
        ]
    });
    let heads = ["topic", "partition", "committed", "end", "lag", ""].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(heads).chain(rows).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = fit::width(cell).max(*width);
        }
    }
    let others: usize = widths[1..].iter().map(|width| width + 2).sum();
    widths[0] = widths[0].min(width.saturating_sub(others).max(8));
    let lines = rows.iter().enumerate().map(|(index, row)| {
        let mut line = fit::left(&row[0], widths[0]);
        for (cell, width) in row[1..5].iter().zip(&widths[1..5]) {
            line += "  ";
            line += &fit::right(cell, *width);
        }
        line = format!("{line}  {}", row[5]);
        Line::styled(
            line,
            if index == 0 {
                BOLD
            } else {
                ratatui::style::Style::new()
            },
        )
    });
    lines.chain([Line::default()]).collect()
}

/// What a dead letter says was made plain when it was read.
fn dead_letter(letter: &ShownDeadLetter) -> Vec<Line<'static>> {
    let mut lines = vec![
        Line::from_iter([
            Span::raw(format!("{}  ", text::time(letter.time))),
            Span::styled(letter.reason.clone(), BOLD),
            Span::raw(format!("  {}", letter.origin)),
        ]),
        Line::raw(format!("    error  {}", letter.error)),
    ];
    let parts = [("key", &letter.key), ("value", &letter.value)];
    for (name, part) in parts {
        if let Some(part) = part {
            lines.push(Line::raw(format!("    {name:5}  {part}")));
        }
    }
    lines
}
