//! What all calls share: HTTP clients by trust and proxy, identities by their settings, time-outs,
//! the measured clock.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::SharedHttpClient,
        interceptors::{Intercept, context::FinalizerInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{config_bag::ConfigBag, timeout::TimeoutConfig};
use secrecy::ExposeSecret as _;

use super::{
    Bucket, CallObserver, EventHistory, Identity, PolicyReader, Queue, TokenMint,
    bucket::SdkBucket, identity::SdkIdentity, mint::SdkMint, policies::SdkPolicies,
    queue::SdkQueue, trail::SdkHistory,
};
use crate::{
    model::{host_id::HostId, identity::IdentitySpec, outcome::Problem, reason::Reason},
    trust,
};

/// Reached by every host without a proxy: the metadata services.
const NEVER_PROXIED: &str =
    "169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23";

/// All that calls to AWS share.
pub struct Aws {
    pub(super) host: HostId,
    pub(super) observer: Arc<dyn CallObserver>,
    /// Milliseconds that this host's clock is ahead.
    skew: Arc<AtomicI64>,
    identities: Mutex<Vec<(IdentitySpec, String, Arc<SdkIdentity>)>>,
    clients: Mutex<Vec<(ClientKey, SharedHttpClient)>>,
}

type ClientKey = (Option<PathBuf>, Option<String>);

impl Aws {
    /// Nothing is resolved or connected yet.
    pub fn new(host: HostId, observer: Arc<dyn CallObserver>) -> Arc<Self> {
        Arc::new(Self {
            host,
            observer,
            skew: Arc::default(),
            identities: Mutex::default(),
            clients: Mutex::default(),
        })
    }

    /// The identity of these settings: the same one each time, so that all share its credentials.
    /// `region` is used where the identity names none.
    pub fn identity(self: &Arc<Self>, spec: &IdentitySpec, region: &str) -> Arc<dyn Identity> {
        self.sdk_identity(spec, region)
    }

    /// What mints tokens of that identity for registries of `region`, or for ECR Public.
    pub fn mint(
        self: &Arc<Self>,
        spec: &IdentitySpec,
        region: &str,
        public: bool,
    ) -> Arc<dyn TokenMint> {
        Arc::new(SdkMint::new(self.sdk_identity(spec, region), region, public))
    }

    /// The event history of that identity's account in a region.
    pub fn history(self: &Arc<Self>, spec: &IdentitySpec, region: &str) -> Arc<dyn EventHistory> {
        let identity = self.sdk_identity(spec, region);
        Arc::new(SdkHistory { identity, region: region.to_owned() })
    }

    /// The buckets of a region, as that identity sees them.
    pub fn bucket(self: &Arc<Self>, spec: &IdentitySpec, region: &str) -> Arc<dyn Bucket> {
        let identity = self.sdk_identity(spec, region);
        Arc::new(SdkBucket { identity, region: region.to_owned() })
    }

    /// A queue, by its URL.
    pub fn queue(self: &Arc<Self>, spec: &IdentitySpec, region: &str, url: &str) -> Arc<dyn Queue> {
        let identity = self.sdk_identity(spec, region);
        Arc::new(SdkQueue { identity, region: region.to_owned(), url: url.to_owned() })
    }

    /// What reads the policies of a registry as that identity.
    pub fn policies(
        self: &Arc<Self>,
        spec: &IdentitySpec,
        region: &str,
        account: &str,
    ) -> Arc<dyn PolicyReader> {
        Arc::new(SdkPolicies::new(self.sdk_identity(spec, region), region, account))
    }

    pub(super) fn sdk_identity(
        self: &Arc<Self>,
        spec: &IdentitySpec,
        region: &str,
    ) -> Arc<SdkIdentity> {
        let region = spec.region.clone().unwrap_or_else(|| region.to_owned());
        let mut known = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, identity)) =
            known.iter().find(|(other, there, _)| other == spec && *there == region)
        {
            return Arc::clone(identity);
        }
        // Settings of before a reload are let go of.
        known.retain(|(_, _, identity)| Arc::strong_count(identity) > 1);
        let identity = Arc::new(SdkIdentity::new(Arc::clone(self), spec.clone(), region.clone()));
        known.push((spec.clone(), region, Arc::clone(&identity)));
        identity
    }

    /// The HTTP client for an identity's authorities and proxy.
    pub(super) fn http(&self, spec: &IdentitySpec) -> Result<SharedHttpClient, Problem> {
        let proxy = spec.proxy.as_ref().map(|proxy| proxy.expose_secret().to_owned());
        let key = (spec.ca_file.clone(), proxy);
        let mut known = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = known.iter().find(|(other, _)| *other == key) {
            return Ok(client.clone());
        }
        let client = build(&key)?;
        known.push((key, client.clone()));
        Ok(client)
    }

    /// This host's clock minus AWS's, in seconds, as last measured.
    pub(super) fn skew(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let milliseconds = self.skew.load(Ordering::Relaxed) as f64;
        milliseconds / 1000.0
    }

    pub(super) fn date_reader(&self) -> DateReader {
        DateReader { skew: Arc::clone(&self.skew), observer: Arc::clone(&self.observer) }
    }

    /// Tells the observer of a call.
    pub(super) fn called<T>(
        &self,
        service: &'static str,
        operation: &'static str,
        result: &Result<T, Problem>,
        since: Instant,
    ) {
        let word = result.as_ref().map_or_else(|problem| problem.reason.code(), |_| "ok");
        self.observer.call(service, operation, word, since.elapsed());
    }
}

/// The limits of every call.
pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(15))
        .build()
}

fn build((ca_file, proxy): &ClientKey) -> Result<SharedHttpClient, Problem> {
    let mut store = TrustStore::empty().with_native_roots(true);
    let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
    // The SDK panics where there is nothing to trust, so that is found out before.
    trust::roots(bundle.as_deref().map(std::path::Path::new).or(ca_file.as_deref()))?;
    for file in ca_file.iter().cloned().chain(bundle.map(PathBuf::from)) {
        store = store.with_pem_certificate(trust::pem(&file)?);
    }
    let context = TlsContext::builder()
        .with_trust_store(store)
        .build()
        .map_err(|error| Problem::new(Reason::TlsNoTrustStore, error.to_string()))?;
    let proxy = proxy_config(proxy.as_deref())?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.set_proxy_config(proxy.clone());
        builder.build()
    }))
}

/// The proxy of the settings, else of HTTPS_PROXY; NO_PROXY counts for both. Plain HTTP (metadata
/// services, a local endpoint) never goes through it.
fn proxy_config(configured: Option<&str>) -> Result<Option<ProxyConfig>, Problem> {
    let variable = |upper: &str| {
        let value = std::env::var(upper.to_lowercase()).or_else(|_| std::env::var(upper)).ok();
        value.filter(|value| !value.is_empty())
    };
    let Some(url) = configured
        .map(str::to_owned)
        .or_else(|| variable("HTTPS_PROXY"))
        .or_else(|| variable("ALL_PROXY"))
    else {
        return Ok(None);
    };
    let except = match variable("NO_PROXY") {
        Some(rules) => format!("{rules},{NEVER_PROXIED}"),
        None => NEVER_PROXIED.to_owned(),
    };
    let config = ProxyConfig::https(url)
        .map_err(|_| Problem::new(Reason::ProxyRefused, "the proxy's URL can't be understood"))?;
    Ok(Some(config.no_proxy(except)))
}

/// Measures the clock by the Date header of every answer.
#[derive(Clone)]
pub(super) struct DateReader {
    skew: Arc<AtomicI64>,
    observer: Arc<dyn CallObserver>,
}

impl std::fmt::Debug for DateReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DateReader")
    }
}

impl Intercept for DateReader {
    fn name(&self) -> &'static str {
        "DateReader"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().and_then(|response| response.headers().get("date"));
        if let Some(skew) = date.and_then(|date| skew(date, SystemTime::now())) {
            #[allow(clippy::cast_possible_truncation)]
            self.skew.store((skew * 1000.0) as i64, Ordering::Relaxed);
            self.observer.clock_skew(skew);
        }
        Ok(())
    }
}

/// Seconds that `now` is ahead of an HTTP date. The header has whole seconds and the answer took
/// its way, so less than two seconds is none.
fn skew(date: &str, now: SystemTime) -> Option<f64> {
    use aws_smithy_types::date_time::{DateTime, Format};
    let theirs = DateTime::from_str(date, Format::HttpDate).ok()?.as_secs_f64();
    let ours = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
    let ahead = ours - theirs;
    Some(if ahead.abs() < 2.0 { 0.0 } else { ahead.round() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_measured_by_the_date_header_and_small_differences_are_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        assert_eq!(skew("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(0.0));
        assert_eq!(skew("Sun, 06 Nov 1994 08:39:37 GMT", now), Some(601.0));
        assert_eq!(skew("soon", now), None);
    }
}
