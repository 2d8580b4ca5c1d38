//! Lessons are compared with what one sees: a page that lies is found.

use rivulet_tests::{PipelineBuilder, Scenario, lessons};

const PAGE: &str = r"# A lesson

```console
$ export RIVULET_BROKERS=localhost:9092
$ rivulet topics create crumbs --partitions 2
created  crumbs (2 partitions, …)
$ rivulet topics list
crumbs  3 partitions  1 copy
```

```console other
$ export RIVULET_BROKERS=localhost:9092
$ rivulet consume crumbs
assigned crumbs [0 1]
```

```console
$ echo 20.5 > value.txt; rivulet produce crumbs value.txt --key hall
sent 1 record to crumbs
$ rivulet produce nothing value.txt
```

```console other
hall  crumbs [1] @0  …Z  20.5
^C
1 record
```
";

#[test]
fn a_page_that_lies_is_found() {
    // Only for its folder and its clean-up.
    let scenario = Scenario::on("127.0.0.1:1", PipelineBuilder::new());
    scenario.write("page.md", PAGE);
    let outcome = lessons::run(&scenario.path("page.md")).expect("it is a page");
    assert_eq!(outcome.commands, 7);
    let differences: Vec<String> = outcome
        .differences
        .iter()
        .map(ToString::to_string)
        .collect();
    let [partitions, missing] = &differences[..] else {
        panic!("{differences:?}")
    };
    assert!(partitions.contains("line 7: rivulet topics list: it shows something else"));
    assert!(
        partitions.contains("  page     crumbs  3 partitions"),
        "{partitions}"
    );
    assert!(
        partitions.contains("  terminal crumbs  2 partitions"),
        "{partitions}"
    );
    assert!(missing.contains("line 20: "), "{missing}");
    assert!(missing.contains("  terminal error: "), "{missing}");
}
