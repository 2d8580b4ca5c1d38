//! Graphs as they are drawn.

use std::fmt::Write;
use std::sync::Arc;

use proptest::prelude::*;
use rivulet_pipeline::Text;

use super::*;

fn drawn(text: &str) -> String {
    let text = Arc::new(Text {
        path: "p.toml".into(),
        text: text.into(),
    });
    draw(&Pipeline::parse(text).unwrap_or_else(|diagnostics| panic!("{diagnostics}")))
}

const CHAIN: &str = r#"
        [producer.thermometer]
        source = { file = { path = "t.csv" } }
        to     = "temperatures_celsius"
        [operator.convert]
        from  = "temperatures_celsius"
        steps = [{ convert = { from = "celsius", to = "fahrenheit" } }]
        to    = "temperatures_fahrenheit"
        [operator.threshold]
        from  = "temperatures_fahrenheit"
        steps = [{ threshold = { above = 50 } }]
        to    = "temperatures_above_threshold"
        [operator.ewma]
        from  = "temperatures_above_threshold"
        steps = [{ ewma = { alpha = 0.5 } }]
        to    = "temperatures_ewma"
        [operator.average]
        from  = "temperatures_above_threshold"
        steps = [{ average = { window = 3 } }]
        to    = "temperatures_moving_average"
        [sink.out-ewma]
        from = "temperatures_ewma"
        sink = "console"
        [sink.out-average]
        from = "temperatures_moving_average"
        sink = "console"
    "#;

#[test]
fn the_chain_shows_its_split() {
    let expected = "\
[thermometer: file] → temperatures_celsius → [convert] → temperatures_fahrenheit → [threshold] →
temperatures_above_threshold ─┬→ [ewma] → temperatures_ewma → [out-ewma: console]
                              └→ [average] → temperatures_moving_average → [out-average: console]
";
    assert_eq!(drawn(CHAIN), expected);
}

#[test]
fn a_sink_with_two_inputs_is_drawn_once_with_both() {
    let text = format!(
        "{CHAIN}\n[sink.compare]\nfrom = \
         [\"temperatures_ewma\", \"temperatures_moving_average\"]\nsink = \"compare\""
    );
    let expected = "\
[thermometer: file] → temperatures_celsius → [convert] → temperatures_fahrenheit → [threshold] →
temperatures_above_threshold ─┬→ [ewma] → temperatures_ewma ─┬→ [out-ewma: console]
                              │                              └→ [compare] (below)
                              └→ [average] → temperatures_moving_average ─┬→ [out-average: console]
                                                                          └→ [compare] (below)
temperatures_ewma + temperatures_moving_average → [compare]
";
    assert_eq!(drawn(&text), expected);
}

#[test]
fn a_stage_lists_its_steps_and_a_topic_unusual_settings() {
    let text = r#"
            [topic.celsius]
            format = "number"
            external = true
            [topic.ewma]
            format = "number"
            partitions = 4
            [operator.fused]
            from  = "celsius"
            steps = ["convert", "threshold", "ewma"]
            to    = "ewma"
            [sink.console]
            from = "ewma"
            sink = "console"
        "#;
    let expected = "celsius (number, external) → [fused: convert, threshold, ewma] → ewma \
                    (number, 4 partitions) → [console]\n";
    // One column too wide: the last stage moves to the next line.
    assert!(width(expected) > WIDTH);
    assert_eq!(
        drawn(text),
        expected
            .replace("[console]", "\n[console]")
            .replace(" \n", "\n")
    );
}

#[test]
fn nodes_with_several_inputs_are_drawn_below() {
    let text = r#"
            [producer.source]
            source = "lines"
            to     = "a"
            [producer.other]
            source = "lines"
            to     = ["d", "c"]
            [operator.left]
            from  = "a"
            steps = ["noise"]
            to    = "b"
            [operator.right]
            from  = "a"
            steps = ["round"]
            to    = "c"
            [operator.join]
            from  = ["b", "c"]
            steps = ["noise"]
            to    = "e"
            [sink.out]
            from = ["e", "d"]
            sink = "console"
        "#;
    let expected = "\
[source: lines] → a ─┬→ [left: noise] → b → [join] (below)
                     └→ [right: round] → c (below)
[other: lines] ─┬→ d → [out] (below)
                └→ c (below)
[other] + [right] → c → [join] (below)
b + c → [join: noise] → e → [out] (below)
e + d → [out: console]
";
    assert_eq!(drawn(text), expected);
}

#[test]
fn a_split_that_does_not_fit_moves_below() {
    let text = r#"
            [producer.a-producer-with-a-long-name]
            source = "lines"
            to     = "first"
            [operator.left]
            from  = "first"
            steps = ["noise"]
            to    = "second_topic_with_a_name_of_forty_letters"
            [sink.keep-all-that-comes-in-a-file]
            from = "second_topic_with_a_name_of_forty_letters"
            sink = "file"
            [sink.show]
            from = "second_topic_with_a_name_of_forty_letters"
            sink = "console"
            [sink.out]
            from = "first"
            sink = "console"
        "#;
    let expected = "\
[a-producer-with-a-long-name: lines] → first ─┬→ [left: noise] →
                                              │  second_topic_with_a_name_of_forty_letters (below)
                                              └→ [out: console]
second_topic_with_a_name_of_forty_letters ─┬→ [keep-all-that-comes-in-a-file: file]
                                           └→ [show: console]
";
    assert_eq!(drawn(text), expected);
}

proptest! {
    /// Random stages over topics in a fixed order, so that there is no cycle.
    #[test]
    fn every_stage_of_any_graph_is_drawn_once(
        stages in proptest::collection::vec((0usize..6, 0usize..6, 1usize..4), 1..12),
    ) {
        let mut text = "[producer.source]\nsource = \"lines\"\nto = \
                        [\"t0\", \"t1\", \"t2\", \"t3\", \"t4\", \"t5\"]\n".to_owned();
        for (index, (from, second, ahead)) in stages.iter().enumerate() {
            let second = if from == second {
                String::new()
            } else {
                format!(", \"t{second}\"")
            };
            let to = 6 + index + ahead;
            writeln!(
                text,
                "[operator.stage{index}]\nfrom = [\"t{from}\"{second}]\nsteps = [\"noise\"]\n\
                 to = \"t{to}\""
            )
            .unwrap();
        }
        let drawn = drawn(&text);
        for index in 0..stages.len() {
            let stage = format!("[stage{index}: noise]");
            prop_assert_eq!(drawn.matches(&stage).count(), 1, "{}", drawn);
        }
        prop_assert!(drawn.lines().all(|line| width(line) <= WIDTH), "{}", drawn);
    }
}
