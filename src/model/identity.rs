//! What the configuration says of an identity.

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};

/// Where an identity's credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsSource {
    /// The default chain of the SDK: environment, profile, web identity, ECS, EC2.
    DefaultChain,
    /// A named profile of the shared configuration files.
    Profile(String),
    /// A role, assumed with the credentials of another identity.
    Role {
        /// The role's ARN.
        role_arn: String,
        /// The external id that the role's trust policy asks for.
        external_id: Option<String>,
        /// The session's name; by default made from the host's id.
        session_name: Option<String>,
        /// The identity that assumes it.
        source: Box<IdentitySpec>,
        /// How long a session lasts.
        duration: Option<Duration>,
    },
}

/// One `[identity.NAME]` table, validated, with the identities it builds on inside.
#[derive(Clone, Debug)]
pub struct IdentitySpec {
    /// NAME.
    pub name: String,
    /// Where the credentials come from.
    pub source: CredentialsSource,
    /// The region of STS and profile calls; by default the SDK's own choice, then the registry's.
    pub region: Option<String>,
    /// FIPS endpoints of AWS APIs.
    pub fips: bool,
    /// Dual-stack endpoints of AWS APIs.
    pub dual_stack: bool,
    /// An endpoint in place of AWS's, for every service.
    pub endpoint_url: Option<String>,
    /// An HTTP proxy for AWS calls; may hold a password. By default HTTPS_PROXY and NO_PROXY count.
    pub proxy: Option<SecretString>,
    /// A file of certificate authorities trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl PartialEq for IdentitySpec {
    fn eq(&self, other: &Self) -> bool {
        let proxy = |spec: &Self| spec.proxy.as_ref().map(|proxy| proxy.expose_secret().to_owned());
        self.name == other.name
            && self.source == other.source
            && self.region == other.region
            && (self.fips, self.dual_stack) == (other.fips, other.dual_stack)
            && self.endpoint_url == other.endpoint_url
            && proxy(self) == proxy(other)
            && self.ca_file == other.ca_file
    }
}

impl Eq for IdentitySpec {}
