//! The catalog of formats, one file each.
//!
//! To add one, add a file beside the others and its line to the list below: a type whose fields are
//! the settings, and which implements [`FormatSettings`] and
//! [`Component`](rivulet_core::component::Component).

use rivulet_core::format::FormatSettings;

rivulet_pipeline::catalog! { "format", dyn FormatSettings:
    avro::Avro,
    avro_file::AvroFile,
    json::Json,
    number::Number,
}

#[cfg(test)]
mod tests {
    use rivulet_pipeline::ComponentConfig;

    use super::*;

    #[test]
    fn every_example_is_read() {
        for entry in built_in().entries() {
            let config = ComponentConfig::parse(entry.example).unwrap();
            assert_eq!(config.name(), entry.name);
            built_in()
                .read(&config)
                .unwrap_or_else(|diagnostic| panic!("{}: {diagnostic:?}", entry.example));
            assert!(!entry.about.is_empty());
        }
    }
}
