//! Checks a pipeline file with all catalogs at hand.

#[cfg(test)]
mod errors;
mod manifest;
#[cfg(test)]
mod schema;

pub use self::manifest::Manifest;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use rivulet_pipeline::{Diagnostics, Pipeline, Text};

    use crate::registry::Registry;

    fn checked(text: &str) -> Result<Pipeline, Diagnostics> {
        let text = Text {
            path: "p.toml".into(),
            text: text.into(),
        };
        Pipeline::parse_with(Arc::new(text), &Registry::default())
    }

    const CHAIN: &str = r#"
[producer.in]
source = { list = { values = [1] } }
to = "a"
[operator.work]
from = "a"
steps = [STEPS]
to = "b"
[sink.out]
from = "b"
sink = "console"
"#;

    fn with_steps(steps: &str) -> Result<Pipeline, Diagnostics> {
        checked(&CHAIN.replace("STEPS", steps))
    }

    #[test]
    fn every_shipped_pipeline_is_right() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        let mut count = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                Pipeline::load(&path, &Registry::default())
                    .unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
                count += 1;
            }
        }
        assert!(count >= 3);
    }

    #[test]
    fn errors_in_several_steps_are_all_reported() {
        let diagnostics = with_steps(
            "{ ewma = { alpha = 1.5 } }, { average = { window = 0 } }, { median = {} }, { ewma = { \
             alhpa = 1 } }",
        )
        .unwrap_err();
        let shown = diagnostics.to_string();
        assert!(
            shown.contains("p.toml:7:29: alpha cannot be 1.5"),
            "{shown}"
        );
        assert!(shown.contains("a window cannot hold 0 readings"), "{shown}");
        assert!(shown.contains("there is no operator `median`"), "{shown}");
        assert!(shown.contains("unknown field `alhpa`, expected"), "{shown}");
        assert_eq!(diagnostics.count(), 4, "{shown}");
    }

    #[test]
    fn every_operator_has_a_changelog() {
        for steps in [
            "{ threshold = { above = 1 } }",
            "{ ewma = { alpha = 0.5 } }",
        ] {
            let topics = with_steps(steps).unwrap().topics;
            assert!(topics.contains_key("work-changelog") && topics.contains_key("in-changelog"));
            assert!(!topics.contains_key("out-changelog"), "a sink has none");
        }
    }

    #[test]
    fn state_on_several_partitions_of_numbers_is_an_error() {
        let numbers = "[defaults]\npartitions = 4\nformat = \"number\"\n";
        let text = numbers.to_owned() + &CHAIN.replace("STEPS", "{ ewma = { alpha = 0.5 } }");
        let shown = checked(&text).unwrap_err().to_string();
        assert!(
            shown.contains("is of format `number` and has 4 partitions"),
            "{shown}"
        );
        assert!(shown.contains("its records have no key"), "{shown}");
    }

    #[test]
    fn a_source_that_can_be_read_again_has_no_spool() {
        let text = CHAIN
            .replace("STEPS", "\"noise\"")
            .replace("to = \"a\"", "to = \"a\"\nspool = { path = \"s\" }");
        let shown = checked(&text).unwrap_err().to_string();
        assert!(
            shown.contains("p.toml:3:12: `list` needs no spool")
                && shown.contains("remove `spool`"),
            "{shown}"
        );
    }
}
