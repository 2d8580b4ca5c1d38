//! The report as one HTML page: [`page`].

use std::fmt::Write;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use rivulet_core::text::plain;
use rivulet_sinks::catalog::compare::Side;
use rivulet_verify::Report;

use super::chart::{charts, series_name};
use super::figures::table;
use super::{RunReport, Verdict};
use crate::groups::GroupLag;
use crate::live::{StageCondition, StageFigures};
use crate::{look, text};

/// How many sensors have a chart, and how many are in the table.
const CHARTS: usize = 12;
const ROWS: usize = 1000;

/// The rules of the page, with the colours of all series.
fn style() -> String {
    let mut style = include_str!("report.css").to_owned();
    let (mut light, mut dark) = (String::new(), String::new());
    let compared = [Side::Input, Side::Ewma, Side::Average];
    let compared = compared.map(|side| (look::class_of_side(side).to_owned(), look::of_side(side)));
    let others = look::OTHERS.iter().enumerate();
    let others = others.map(|(index, colours)| (format!("other{index}"), *colours));
    for (class, colours) in compared.into_iter().chain(others) {
        // Writing to text cannot fail.
        let _ = write!(light, "--{class}: {};", colours.light);
        let _ = write!(dark, "--{class}: {};", colours.dark);
        if class.starts_with("other") {
            let _ = write!(
                style,
                "span.{class}::before {{ color: var(--{class}) }}\n\
                 svg path.{class} {{ stroke: var(--{class}) }}\n",
            );
        }
    }
    let _ = write!(
        style,
        ":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    );
    style
}

/// The whole page.
pub(super) fn page(report: &RunReport<'_>) -> String {
    let title = format!("Report of {}", report.file);
    let readings = &report.readings;
    let sensors: Vec<&str> = readings.sensors().take(CHARTS).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content={ "rivulet " (env!("CARGO_PKG_VERSION")) };
                title { (title) }
                style { (PreEscaped(style())) }
            }
            body {
                header {
                    h1 { (title) }
                    (facts(report))
                }
                (verdict(&report.verdict))
                @if is_behind(report) {
                    p.quiet {
                        "Some stages had a lag: what they had not processed yet is missing. Make \
                         the report again when they have caught up: rivulet groups --wait 60"
                    }
                }
                main {
                    h2 { "Pipeline" }
                    pre { (report.graph) }
                    (stages(&report.figures.stages))
                    @for note in report.figures.error.iter().chain(&report.figures.notes) {
                        p.quiet { (plain(note)) }
                    }
                    h2 { "Comparison" }
                    @if readings.is_comparing() {
                        (table(readings, ROWS))
                        @if let Some(left_out) = readings.not_compared() {
                            p.quiet { (plain(&left_out.replacen('l', "L", 1))) "." }
                        }
                    } @else {
                        p.quiet { "No sink of the pipeline compares." }
                    }
                    h2 { "Readings" }
                    @if sensors.is_empty() {
                        p.quiet { "There are no readings in " (names(report)) "." }
                    }
                    @for sensor in &sensors {
                        h3 { @if sensor.is_empty() { "(all)" } @else { (plain(sensor)) } }
                        (charts(sensor, readings.topics(), readings.series(sensor)))
                    }
                    @if readings.sensor_count() > sensors.len() {
                        p.quiet {
                            "The first " (CHARTS) " of "
                            (look::number(readings.sensor_count() as f64, 0)) " sensors."
                        }
                    }
                    (dead_letters(report))
                    h2 { "Verification" }
                    (details(&report.verdict))
                    h2 { "Pipeline file" }
                    details { summary { (report.file) } pre { (report.text) } }
                }
                footer.quiet {
                    p {
                        "Event times are in UTC. A line is broken where readings are missing for \
                         five times longer than usual. mean and rms are of the differences; lag is \
                         the shift with the highest correlation to the input; smoothness says how \
                         much smaller the steps from value to value are than those of the input."
                    }
                }
            }
        }
    };
    page.into_string()
}

fn names(report: &RunReport<'_>) -> String {
    let topics = report.readings.topics().iter();
    topics
        .map(|topic| topic.name.clone())
        .collect::<Vec<_>>()
        .join(", ")
}

fn facts(report: &RunReport<'_>) -> Markup {
    let bound = |bound: Option<i64>, none: &str| bound.map_or(none.to_owned(), text::time);
    let times = report
        .entered
        .map(|(first, last)| format!("{} to {}", text::time(first), text::time(last)));
    let topics = report.readings.topics().iter();
    let topics = topics.map(|topic| match topic.side {
        Some(_) => format!("{} = {}", series_name(topic), topic.name),
        None => topic.name.clone(),
    });
    html! {
        dl.facts {
            dt { "made" } dd { (report.made) " by rivulet " (env!("CARGO_PKG_VERSION")) }
            dt { "brokers" } dd { (plain(report.brokers)) }
            dt { "guarantee" } dd { (report.guarantee) }
            dt { "topics" } dd { (topics.collect::<Vec<_>>().join(", ")) }
            @if report.from.is_some() || report.to.is_some() {
                dt { "only" }
                dd {
                    "records that entered the pipeline from "
                    (bound(report.from, "the beginning")) " to " (bound(report.to, "the end"))
                }
            }
            dt { "entered" } dd { (times.unwrap_or_else(|| "no readings".to_owned())) }
            dt { "readings" }
            dd {
                (look::number(report.read as f64, 0))
                @if report.readings.invalid() > 0 {
                    ", and " (text::plural(report.readings.invalid(), "record")) " without one"
                }
            }
        }
    }
}

fn verdict(verdict: &Verdict) -> Markup {
    match verdict {
        Verdict::Skipped => html! {
            p.verdict { strong { "Not verified" } "The report was made without a verification." }
        },
        Verdict::Failed(why) => html! {
            p.verdict { strong { "Not verified" } (plain(why)) }
        },
        Verdict::Done(report) => {
            let (class, word) = match (report.is_clean(), report.unverified()) {
                (false, _) => ("bad", "✘ The topics do not hold what they must"),
                (true, Some(_)) => ("", "Not everything could be verified"),
                (true, None) => ("good", "✔ Verified"),
            };
            html! { p.verdict.(class) { strong { (word) } (last_line(report)) } }
        }
    }
}

/// Whether readings are missing because stages have not caught up.
fn is_behind(report: &RunReport<'_>) -> bool {
    let lags = report.figures.stages.iter().filter_map(|stage| stage.lag);
    let has_lag = lags.into_iter().any(|lag| lag.lag != GroupLag::default());
    matches!(&report.verdict, Verdict::Done(verified) if !verified.is_clean()) && has_lag
}

/// The sentence with all counts.
fn last_line(report: &Report) -> String {
    let text = report.to_string();
    text.lines()
        .rfind(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned()
}

fn details(verdict: &Verdict) -> Markup {
    match verdict {
        Verdict::Done(report) => html! {
            p.quiet {
                "What each topic must hold was computed from the first topics, by code that shares \
                 nothing with the operators."
            }
            pre { (report) }
        },
        Verdict::Skipped | Verdict::Failed(_) => html! { p.quiet { "There is none." } },
    }
}

fn stages(stages: &[StageFigures]) -> Markup {
    let dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    html! {
        div.scroll {
            table {
                caption {
                    "The stages when the report was made"
                    @if stages.iter().any(|stage| stage.shares_process) {
                        "; the memory is that of a process that runs several"
                    }
                }
                thead {
                    tr {
                        th scope="col" { "stage" }
                        @for head in ["does", "node", "state"] { th.text scope="col" { (head) } }
                        @for head in ["lag, records", "p50", "p99", "memory"] {
                            th scope="col" { (head) }
                        }
                    }
                }
                tbody {
                    @for stage in stages {
                        tr {
                            th scope="row" { (stage.stage) }
                            td.text { (stage.does) }
                            td.text { (plain(&stage.nodes.join(", "))) }
                            td.text.wide { (state(stage)) }
                            td { (dash(stage.lag.map(|lag| look::lag(lag.lag)))) }
                            td { (dash(stage.p50.map(look::seconds))) }
                            td { (dash(stage.p99.map(look::seconds))) }
                            td { (dash(stage.memory.map(look::megabytes))) }
                        }
                    }
                }
            }
        }
    }
}

fn state(stage: &StageFigures) -> Markup {
    let class = match stage.state {
        StageCondition::Running => "good",
        StageCondition::Down | StageCondition::NotReady => "bad",
        StageCondition::Starting | StageCondition::Ended | StageCondition::Unknown => "quiet",
    };
    html! {
        span.(class) { (stage.state.name()) }
        @if stage.state.is_trouble() && !stage.sentence.is_empty() {
            ": " (plain(&stage.sentence))
        }
    }
}

fn dead_letters(report: &RunReport<'_>) -> Markup {
    html! {
        h2 { "Dead letters" }
        @if report.dead_letters.groups.is_empty() {
            p.quiet { "There are none." }
        } @else {
            div.scroll {
                table {
                    thead {
                        tr {
                            th scope="col" { "stage" } th.text scope="col" { "reason" }
                            @for head in ["open", "replayed", "dropped"] {
                                th scope="col" { (head) }
                            }
                            th.text scope="col" { "one of the errors" }
                        }
                    }
                    tbody {
                        @for group in &report.dead_letters.groups {
                            tr {
                                th scope="row" { (group.stage) }
                                td.text { (plain(&group.reason)) }
                                @for count in [group.open, group.replayed, group.dropped] {
                                    td { (look::number(count as f64, 0)) }
                                }
                                td.text.wide {
                                    (plain(group.sample.as_deref().unwrap_or_default()))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
