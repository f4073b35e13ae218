//! Who uses the primary account's images: `CloudTrail`'s records to findings.
//!
//! `input` -> `splitter` -> `record` -> `rules` (pure) -> `journal`, `summary`.

pub mod splitter;
