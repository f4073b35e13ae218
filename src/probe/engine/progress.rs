//! What Docker says while it pulls: a stream of JSON lines, whose status was 200 before anything
//! could go wrong. An error comes as a line of its own. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// No line of a pull is as long.
const LONGEST_LINE: usize = 1 << 20;

/// What the lines said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    rest: Vec<u8>,
    /// By the layer's short name: whether it was there already.
    layers: BTreeMap<String, bool>,
    /// The first error.
    pub(super) error: Option<String>,
    /// The digest that the engine computed.
    pub(super) digest: Option<String>,
    /// Lines that were read.
    pub(super) lines: usize,
}

impl Progress {
    /// Takes the next piece of the stream.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.line(&line);
        }
        if self.rest.len() > LONGEST_LINE {
            self.rest.clear();
        }
    }

    /// The stream has ended.
    pub(super) fn end(&mut self) {
        let line = std::mem::take(&mut self.rest);
        self.line(&line);
    }

    fn line(&mut self, line: &[u8]) {
        let Ok(Value::Object(line)) = serde_json::from_slice(line) else {
            return;
        };
        self.lines += 1;
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        let detail = line.get("errorDetail").and_then(|detail| detail["message"].as_str());
        let error = [detail.unwrap_or_default(), text("error")];
        if let Some(error) = error.into_iter().find(|error| !error.is_empty()) {
            self.error.get_or_insert_with(|| error.to_owned());
            return;
        }
        let (id, status) = (text("id"), text("status"));
        if let Some(digest) = status.strip_prefix("Digest: ") {
            self.digest = Some(digest.trim().to_owned());
        }
        // podman has one `stream` a layer, with the first digits of its digest.
        let copied = text("stream").trim().strip_prefix("Copying blob ").map(|blob| {
            let skipped = blob.contains("skipped") || blob.contains("already exists");
            (blob.split_whitespace().next().unwrap_or_default().to_owned(), skipped)
        });
        if let Some((blob, skipped)) = copied {
            self.layers.insert(blob, skipped);
        }
        match status {
            "Already exists" => {
                self.layers.insert(id.to_owned(), true);
            }
            "Pull complete" | "Download complete" => {
                self.layers.insert(id.to_owned(), false);
            }
            _ => {}
        }
    }

    /// Layers that were fetched, and layers that were there already. Where the layers are known
    /// nothing else counts: podman tells of the configuration in the same words.
    pub(super) fn counts(&self, known: Option<&[String]>) -> (usize, usize) {
        let is_layer = |id: &str| {
            let hex =
                |digest: &String| digest.rsplit(':').next().is_some_and(|hex| hex.starts_with(id));
            !id.is_empty() && known.is_none_or(|known| known.iter().any(hex))
        };
        let layers = || self.layers.iter().filter(|(id, _)| is_layer(id));
        let shared = layers().filter(|(_, shared)| **shared).count();
        (layers().count() - shared, shared)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = concat!(
        "{\"status\":\"Pulling from app/web\",\"id\":\"sha256:aa\"}\r\n",
        "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"0123\"}\r\n",
        "{\"status\":\"Already exists\",\"progressDetail\":{},\"id\":\"4567\"}\r\n",
        "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1,\"total\":2},\"id\":\"0123\"}\r\n",
        "{\"status\":\"Download complete\",\"progressDetail\":{},\"id\":\"0123\"}\r\n",
        "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"0123\"}\r\n",
        "{\"status\":\"Digest: sha256:bb\"}\r\n",
        "{\"status\":\"Status: Downloaded newer image for x\"}\r\n",
    );

    #[test]
    fn fetched_layers_are_told_from_those_that_were_there() {
        let mut progress = Progress::default();
        progress.feed(STREAM.as_bytes());
        assert_eq!(
            (progress.counts(None), progress.digest.as_deref()),
            ((1, 1), Some("sha256:bb"))
        );
        assert_eq!(progress.error, None);
        let known = ["sha256:0123ff".to_owned()];
        assert_eq!(progress.counts(Some(&known)), (1, 0), "what is no layer of it does not count");
    }

    #[test]
    fn an_error_comes_after_an_answer_that_was_good() {
        let mut progress = Progress::default();
        progress.feed(
            b"{\"status\":\"Pulling from app/web\"}\n{\"errorDetail\":{\"message\":\"no space",
        );
        progress.feed(b" left on device\"},\"error\":\"no space left on device\"}");
        assert_eq!(progress.error, None);
        progress.end();
        assert_eq!(progress.error.as_deref(), Some("no space left on device"));
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_it_says_the_same(cuts in proptest::collection::vec(0..STREAM.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            cuts.push(STREAM.len());
            let (mut progress, mut from) = (Progress::default(), 0);
            for to in cuts {
                progress.feed(&STREAM.as_bytes()[from..to]);
                from = to;
            }
            progress.end();
            prop_assert_eq!(progress.counts(None), (1, 1));
        }

        #[test]
        fn no_stream_makes_it_fail(piece in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut progress = Progress::default();
            progress.feed(&piece);
            progress.end();
        }
    }
}
