//! The job that keeps the metrics address served; what holds the port now may let go of it later.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::Metrics,
    model::outcome::{Again, Outcome, Problem},
    observe::{
        http::{self, Site},
        web_config::WebConfig,
    },
    schedule::job::Job,
};

/// The job.
pub(super) struct Listen {
    /// What the configuration says.
    pub(super) settings: Metrics,
    /// What is served.
    pub(super) site: Arc<Site>,
    /// Ends the service.
    pub(super) stop: CancellationToken,
}

impl Listen {
    async fn listen(&self) -> Result<Option<String>, Problem> {
        let Some(address) = self.settings.listen else {
            return Ok(None);
        };
        let web = self.settings.web_config_file.as_deref().map(WebConfig::load).transpose()?;
        let listener = http::bind(address).await?;
        let address = listener.local_addr().unwrap_or(address);
        let scheme =
            if web.as_ref().is_some_and(|web| web.tls().is_some()) { "https" } else { "http" };
        tokio::spawn(http::serve(
            listener,
            web.map(Arc::new),
            Arc::clone(&self.site),
            self.stop.clone(),
        ));
        Ok(Some(format!("serving {scheme}://{address}/metrics")))
    }
}

impl Job for Listen {
    fn name(&self) -> &'static str {
        "listen"
    }

    fn run(&mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(async {
            match self.listen().await {
                Ok(Some(line)) => Outcome::changed(line, Again::OnSignal),
                Ok(None) => Outcome::ok(Again::OnSignal),
                Err(problem) => Outcome::bad(problem, Again::BackOff(Duration::from_secs(60))),
            }
        })
    }
}
