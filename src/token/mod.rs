//! Tokens: minted in time, tried before they are trusted, kept over a restart.

pub mod keeper;
pub mod schedule;
pub mod store;
