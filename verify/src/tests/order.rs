//! Sensors in several inputs and partitions, with and without an order.

use super::*;

#[test]
fn results_of_an_undefined_order_are_not_verifiable() {
    let pipeline = r#"
        [producer.one]
        source = "list"
        to = "first"
        [producer.two]
        source = "list"
        to = "second"
        [operator.smooth]
        from  = ["first", "second"]
        steps = [{ ewma = { alpha = 0.5 } }]
        to    = "smooth"
        [operator.behind]
        from  = "smooth"
        steps = ["round"]
        to    = "rounded"
        [operator.stateless]
        from  = ["first", "second"]
        steps = ["round"]
        to    = "joined"
    "#;
    let (one, two) = (
        json("a", "celsius", &[(0, 1.0), (1, 2.0)]),
        json("a", "celsius", &[(0, 3.0), (1, 4.0)]),
    );
    let joined = [&two[..1], &one[..], &two[1..]].concat();
    let mut table = Table::default()
        .with("first", vec![one])
        .with("second", vec![two])
        .with("joined", vec![joined]);
    let report = verified(pipeline, &mut table);
    let figures = "verified 4 readings in 1 topics: 0 missing, 0 extra, 0 wrong, 0 out of order";
    assert_eq!(
        verdict(&report),
        format!("{figures}; not verifiable: 2 topics")
    );
    assert!(report.is_clean());
    let shown = report.to_string();
    assert!(
        shown.contains("smooth   not verifiable: `smooth` writes it: it keeps state"),
        "{shown}"
    );
    assert!(
        shown.contains("rounded  not verifiable: its input `smooth` is not verifiable"),
        "{shown}"
    );
}

#[test]
fn sensors_in_several_inputs_and_partitions_are_verified_each() {
    let pipeline = r#"
        [topic.smooth]
        partitions = 2
        [producer.one]
        source = "list"
        to = "first"
        [producer.two]
        source = "list"
        to = "second"
        [operator.smooth]
        from  = ["first", "second"]
        steps = [{ ewma = { alpha = 0.5, emit-seed = true } }]
        to    = "smooth"
    "#;
    let mut table = Table::default()
        .with(
            "first",
            vec![
                json("a", "celsius", &[(0, 1.0), (1, 3.0)]),
                json("c", "celsius", &[(0, 9.0)]),
            ],
        )
        .with("second", vec![json("b", "celsius", &[(0, 5.0), (1, 7.0)])])
        .with(
            "smooth",
            vec![
                json("b", "celsius", &[(0, 5.0), (1, 6.0)]),
                [
                    json("a", "celsius", &[(0, 1.0)]),
                    json("c", "celsius", &[(0, 9.0)]),
                    json("a", "celsius", &[(1, 2.0)]),
                ]
                .concat(),
            ],
        );
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 5,
        "{report}"
    );
    table.topics.get_mut("smooth").unwrap()[0].swap(0, 1);
    assert_eq!(verified(pipeline, &mut table).total().out_of_order, 1);
}
