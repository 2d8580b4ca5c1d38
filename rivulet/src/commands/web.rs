//! `rivulet web`: the page of the pipeline.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rivulet_core::error::{Error, Kind, Result as OrError};
use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;
use rivulet_node::signals;
use rivulet_web::AccessToken;

use crate::CheckedPipeline;
use crate::args::WebArgs;
use crate::live::{self, Live, LiveTopics};
use crate::web_page::{PageAbout, PipelinePage, random_token};

pub(super) fn run(
    pipeline: &CheckedPipeline<'_>,
    args: &WebArgs,
    end: EndProcess,
) -> Result<(), BoxError> {
    let topics = LiveTopics::of_pipeline(pipeline, args.live.sink.as_deref())?;
    let settings = args.live.settings()?;
    let token = token(args.token_file.as_deref())?;
    signals::end_at_once(end)?;
    let live = Arc::new(Live::new(topics));
    live::watch(pipeline, &live, &settings, || {
        let about = PageAbout::pipeline(pipeline);
        let _page = PipelinePage::start(&about, live.clone(), args.listen, token)?;
        loop {
            // Until a signal ends the process.
            thread::park();
        }
    })
}

/// The token in a file, or another one each time.
fn token(file: Option<&Path>) -> OrError<AccessToken> {
    let Some(file) = file else {
        return random_token();
    };
    let doing = || format!("reading the token in {}", file.display());
    let text = fs::read_to_string(file).map_err(|error| Error::caused_by(doing(), error))?;
    let line = text.lines().next().unwrap_or_default().trim();
    AccessToken::new(line).map_err(|cause| {
        Error::new(doing(), cause)
            .of_kind(Kind::Usage)
            .help("`openssl rand -hex 16` prints a good one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_or_the_first_line_of_a_file() {
        assert!(token(None).unwrap() != token(None).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(token(Some(&file)).is_err());
        fs::write(&file, "0123456789abcdef\r\nmore\n").unwrap();
        let expected = AccessToken::new("0123456789abcdef").unwrap();
        assert!(token(Some(&file)).unwrap() == expected);
        fs::write(&file, "short\n").unwrap();
        let error = token(Some(&file)).unwrap_err().to_string();
        assert!(
            error.contains("at least 16 characters") && error.contains("openssl"),
            "{error}"
        );
    }
}
