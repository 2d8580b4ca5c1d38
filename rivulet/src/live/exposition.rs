//! What a process's `/metrics` say: [`ProcessMetrics`].

use std::collections::BTreeMap;

/// What is read of the metrics of one process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ProcessMetrics {
    /// The memory of the process, in bytes.
    pub(super) memory: Option<f64>,
    /// By the name of the stage in Kafka.
    pub(super) stages: BTreeMap<String, StageMetrics>,
}

/// The metrics of one stage. Counters begin at 0 when its process starts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct StageMetrics {
    /// Records of inputs that were processed and committed, or the readings of a source.
    pub(super) read: f64,
    /// Records that were written.
    pub(super) written: f64,
    pub(super) commits: f64,
    /// What is not committed, in offsets. `None` without partitions.
    pub(super) lag: Option<i64>,
    /// What it is at, such as `restoring`.
    pub(super) activity: Option<String>,
    /// How many results took at most this long, in seconds, in rising order.
    pub(super) latency: Vec<(f64, f64)>,
}

impl ProcessMetrics {
    /// Reads Prometheus' text format. What it does not know is skipped, and so is what it cannot
    /// read: another program may have another format.
    pub(super) fn parse(text: &str) -> Self {
        let mut metrics = ProcessMetrics::default();
        for (name, labels, text) in text.lines().filter_map(sample) {
            let Ok(value) = text.parse::<f64>() else {
                continue;
            };
            if name == "process_resident_memory_bytes" {
                metrics.memory = Some(value);
            }
            let Some(stage) = labels.get("stage") else {
                continue;
            };
            let stage = metrics.stages.entry(stage.clone()).or_default();
            match name {
                "rivulet_records_processed_total" | "rivulet_source_readings_total" => {
                    stage.read += value;
                }
                "rivulet_records_written_total" => stage.written += value,
                "rivulet_commits_total" => stage.commits += value,
                "rivulet_lag_records" => {
                    *stage.lag.get_or_insert_default() += text.parse::<i64>().unwrap_or_default();
                }
                "rivulet_stage_state" if value == 1.0 => {
                    stage.activity = labels.get("state").cloned();
                }
                "rivulet_end_to_end_seconds_bucket" => {
                    let bound = labels.get("le").and_then(|bound| bound.parse().ok());
                    stage.latency.extend(bound.map(|bound| (bound, value)));
                }
                _ => (),
            }
        }
        for stage in metrics.stages.values_mut() {
            stage
                .latency
                .sort_by(|one, other| one.0.total_cmp(&other.0));
        }
        metrics
    }
}

/// A line: name, labels and the text of the value. `None` if it is a comment or cannot be read.
fn sample(line: &str) -> Option<(&str, BTreeMap<&str, String>, &str)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    let mut rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquoted(quoted)?;
            labels.insert(label.trim_start_matches(','), value);
            rest = after;
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?;
    (!name.starts_with('#')).then_some((name, labels, value))
}

/// The text up to the closing quote, and what is after that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (index, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => {
                value.push(if letter == 'n' { '\n' } else { letter });
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return Some((value, &text[index + 1..])),
            _ => value.push(letter),
        }
    }
    None
}

/// The time within which a share of the results came (0.5 is the median), from how many came within
/// each bound, as Prometheus' `histogram_quantile` computes it: linear within a bucket. What is
/// longer than the last finite bound counts as that bound. `None` if nothing came.
pub(super) fn quantile(share: f64, buckets: &[(f64, f64)]) -> Option<f64> {
    let (_, all) = buckets.last()?;
    let rank = share * all;
    let index = buckets
        .iter()
        .position(|(_, within)| *within >= rank && *within > 0.0)?;
    let (below, before) = index
        .checked_sub(1)
        .map_or((0.0, 0.0), |index| buckets[index]);
    let (bound, within) = buckets[index];
    if bound.is_infinite() || within <= before {
        return Some(below);
    }
    Some(below + (bound - below) * (rank - before) / (within - before))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_shown_is_read_and_the_rest_is_skipped() {
        let text = r#"# HELP rivulet_commits Commits.
# TYPE rivulet_commits counter
rivulet_commits_total{stage="ewma"} 17
rivulet_records_processed_total{stage="ewma",topic="a",partition="0"} 40
rivulet_records_processed_total{stage="ewma",topic="a",partition="1"} 2.5e1
rivulet_records_written_total{stage="a \"b\"\\,c"} 3
rivulet_lag_records{stage="ewma",topic="a",partition="0"} 3
rivulet_stage_state{stage="ewma",state="joining"} 0
rivulet_stage_state{stage="ewma",state="running"} 1
rivulet_end_to_end_seconds_bucket{stage="ewma",le="+Inf"} 9
rivulet_end_to_end_seconds_bucket{stage="ewma",le="0.5"} 7
process_resident_memory_bytes 10600000
rivulet_commits_total{stage="cut
rivulet_commits_total{stage="ewma"} many
up

# EOF
"#;
        let metrics = ProcessMetrics::parse(text);
        assert_eq!(metrics.memory, Some(10_600_000.0));
        assert_eq!(metrics.stages["a \"b\"\\,c"].written, 3.0);
        let expected = StageMetrics {
            read: 65.0,
            written: 0.0,
            commits: 17.0,
            lag: Some(3),
            activity: Some("running".into()),
            latency: vec![(0.5, 7.0), (f64::INFINITY, 9.0)],
        };
        assert_eq!(metrics.stages["ewma"], expected);
    }

    #[test]
    fn a_quantile_is_within_its_bucket() {
        let buckets = [(0.1, 0.0), (0.2, 50.0), (0.5, 90.0), (f64::INFINITY, 100.0)];
        assert_eq!(quantile(0.5, &buckets), Some(0.2));
        assert_eq!(quantile(0.7, &buckets), Some(0.2 + 0.3 * 0.5));
        assert_eq!(quantile(0.99, &buckets), Some(0.5));
        assert_eq!(quantile(0.5, &[(0.1, 0.0), (f64::INFINITY, 0.0)]), None);
        assert_eq!(quantile(0.5, &[]), None);
    }

    proptest! {
        #[test]
        fn no_text_is_an_error(text in "[a-z_{}=\"\\\\, 0-9\n#]{0,80}") {
            ProcessMetrics::parse(&text);
        }
    }
}
