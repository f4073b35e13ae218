//! READY, RELOADING, STATUS, WATCHDOG and STOPPING to systemd, sd_notify(3). Without a
//! NOTIFY_SOCKET everything here does nothing.

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::observe::pulse::Pulse;

/// The service is up.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// What `systemctl status` shows.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// The service ends.
pub fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "systemd could not be notified");
    }
}

/// Feeds the watchdog for as long as every loop answers: each feed asks all of them first, so one
/// loop that is stuck has the service restarted even while timers still run.
pub async fn feed_watchdog(pulse: Pulse, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    let mut silent_before = Vec::new();
    loop {
        let silent = pulse.ping(limit / 4).await;
        if silent.is_empty() {
            send(&[NotifyState::Watchdog]);
        } else if silent != silent_before {
            error!(loops = silent.join(", "), "loops do not answer; the watchdog is not fed");
            status(&format!("stuck: {}", silent.join(", ")));
        }
        silent_before = silent;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(limit / 3) => {}
        }
    }
}
