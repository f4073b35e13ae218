//! `ECS_ENGINE_AUTH_TYPE` and `ECS_ENGINE_AUTH_DATA` in the ECS agent's `ecs.config`.
//!
//! The agent fetches ECR tokens itself, by the task's execution role or the instance's, and reads
//! this file only when it starts: what stands here is for registries that it would not take for
//! ECR (aliases) and for agents that may not call ECR, and it takes effect with a restart of the
//! agent. `restart_command` does that, but only while no task is being placed.

pub mod introspection;
mod lines;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use self::lines::Lines;
use super::{
    Entries, Output, Ownership, Published, Seen, file, location::Location, program::Program,
};
use crate::model::outcome::Problem;

/// How long the agent's restart may take.
const RESTART: Duration = Duration::from_secs(15);

/// The agent's file.
pub struct EcsConfig {
    location: Location,
    restart_command: Vec<String>,
    /// The agent runs with an older file.
    due: Mutex<bool>,
}

impl EcsConfig {
    /// Nothing is looked at yet.
    pub fn new(location: Location, restart_command: Vec<String>) -> Self {
        Self { location, restart_command, due: Mutex::default() }
    }

    /// Restarts the agent if it must be and may be.
    fn restart(&self) -> Result<Option<String>, Problem> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if !*due || self.restart_command.is_empty() {
            return Ok(None);
        }
        match introspection::placing(introspection::AGENT) {
            Ok(Some(task)) => {
                return Ok(Some(format!("the agent's restart waits for the task {task}")));
            }
            Ok(None) => {}
            // An agent that does not answer places no tasks, and reads the file when it starts.
            Err(error) => {
                *due = false;
                return Ok(Some(format!("the agent was not restarted: {error}")));
            }
        }
        let program =
            Program { argv: &self.restart_command, owner: None, timeout: RESTART, secrets: &[] };
        program.run(b"")?;
        *due = false;
        Ok(Some("the agent was restarted".to_owned()))
    }
}

impl Output for EcsConfig {
    fn publish(&self, entries: &Entries, withdraw: &Ownership) -> Result<Published, Problem> {
        let mut published = file::publish(&self.location, None, &Lines, entries, withdraw)?;
        if published.written {
            *self.due.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
        published.notes.extend(self.restart()?);
        Ok(published)
    }

    fn files(&self, _hosts: &[String]) -> Vec<PathBuf> {
        self.location.files()
    }

    fn read_back(&self, entries: &Entries) -> Result<BTreeMap<String, Seen>, Problem> {
        file::read_back(&self.location, None, &Lines, entries)
    }
}

#[cfg(test)]
mod tests;
