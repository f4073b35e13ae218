//! Test pulls and rehearsed pushes, and what their failures mean. `pull.rs` and `push.rs` do and note
//! what they see; `diagnosis.rs` and `push/verdict.rs` are pure and say what it means; a capsule
//! carries the one to the other, also by file.

pub mod advice;
pub mod attempt;
pub mod baseline;
pub mod budget;
pub mod capsule;
pub mod denial;
pub mod diagnosis;
pub mod engine;
pub mod job;
pub mod pull;
pub mod push;
pub mod report;
pub mod statement;
pub mod timeline;
pub mod turn;

pub use crate::model::probe::Depth;
