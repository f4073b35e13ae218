//! The closed catalogue of reasons. Metrics, logs, status and the command line all speak in them;
//! `docs/runbook.md` has a section for each, which a test sees to.

use std::fmt;

/// Declares the catalogue: variant, stable code, one-line text, one-line remedy.
macro_rules! reasons {
    ($($variant:ident $code:literal $text:literal $remedy:literal;)+) => {
        /// Why something is not fine, or not known.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $text] $variant,)+
        }

        impl Reason {
            /// Every member, in the catalogue's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable code: a metric's label value, a runbook's anchor.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What is the matter, in one line.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// What to do about it, in one line.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }
        }
    };
}

reasons! {
    // configuration
    ConfigInvalid "config_invalid" "the configuration has mistakes" "run `ecr-warden check`: it lists every mistake with file, line and column; the last valid configuration stays in force meanwhile";
    RestartRequired "restart_required" "a changed setting takes effect only after a restart" "restart ecr-warden; everything else of the new configuration is in force already";

    // identity
    CredentialsMissing "credentials_missing" "no AWS credentials were found" "attach an instance profile, set AWS_* variables, or name a profile or role in [identity]";
    CredentialsExpired "credentials_expired" "the AWS credentials have expired" "renew their source (SSO login, credential process, session); an instance profile renews by itself";
    CredentialsInvalid "credentials_invalid" "AWS does not know the credentials" "check that the access key exists and is active, and that role and user were not deleted";
    AssumeRoleDenied "assume_role_denied" "the role may not be assumed" "allow sts:AssumeRole in the caller's policy and name the caller (and external id) in the role's trust policy";
    ProfileMissing "profile_missing" "the named profile does not exist" "add the profile to the shared configuration files or correct its name in [identity]";
    PrincipalUnknown "principal_unknown" "STS could not be asked who the identity is" "allow the host to reach STS (an interface endpoint for sts where there is no internet); tokens are minted meanwhile";

    // AWS calls
    PermissionMissing "permission_missing" "the identity may not call GetAuthorizationToken" "allow ecr:GetAuthorizationToken on \"*\" in the identity's own account";
    Throttled "throttled" "AWS throttles the calls" "nothing on this host: it backs off; look for other callers of the same account and region, or ask for a higher quota";
    AwsUnreachable "aws_unreachable" "the AWS endpoint can't be reached" "check DNS, routes, security groups, the VPC endpoint ecr.api and the proxy settings";
    AwsServerError "aws_server_error" "AWS answered with an error of its own" "nothing on this host: it tries again; see the AWS health dashboard when it lasts";
    AwsRejected "aws_rejected" "AWS rejected the request" "read the words of AWS in the detail; region, endpoint and partition of the identity are the usual suspects";
    AwsAnswerUnreadable "aws_answer_unreadable" "the answer is not what the API promises" "check endpoint_url and proxies in between: something other than AWS may be answering";
    ClockSkew "clock_skew" "the clock is wrong, so AWS refuses the signatures" "set the clock: start chrony or systemd-timesyncd (169.254.169.123 on EC2)";
    NameUnresolved "name_unresolved" "the host name can't be resolved" "check /etc/resolv.conf, the VPC's DNS settings and the private hosted zone of the endpoint";
    TlsUntrusted "tls_untrusted" "the server's certificate is not trusted" "add the certificate authority with ca_file, or remove the intercepting proxy";
    TlsNoTrustStore "tls_no_trust_store" "no trusted certificate authority was found" "install ca-certificates, set SSL_CERT_FILE, or name a ca_file";
    ProxyRefused "proxy_refused" "the HTTP proxy refused the connection" "check HTTPS_PROXY, its credentials and its allow list; add VPC endpoints to NO_PROXY";

    // token
    TokenRefused "token_refused" "the registry refuses the token" "it is replaced at once; if new ones are refused too, check that the region is the registry's and that the role was not deleted and created again";
    TokenExpired "token_expired" "the token has expired and no successor came" "see the refresh's own reason; the expired credential was withdrawn so that it shadows nothing";
    TokenExpiryImplausible "token_expiry_implausible" "the stated expiry can't be right" "check this host's clock; the token counts as living 12 hours because the registry accepts it";
    RegistryUnreachable "registry_unreachable" "the registry can't be reached" "check routes, security groups, the VPC endpoint ecr.dkr and the proxy settings; where only a mirror can be reached, set refresh.verify = false";
    RegistryUnhealthy "registry_unhealthy" "the registry answers with an error of its own" "nothing on this host: it tries again; see the AWS health dashboard when it lasts";

    // kept state
    StateCorrupt "state_corrupt" "the kept state could not be understood and was set aside" "nothing: a new token was minted; look at the file set aside if it happens again";
    StateForeign "state_foreign" "the kept state belongs to another host and was not used" "nothing: a new token is minted; don't bake the state directory into machine images";
    StateUnreadable "state_unreadable" "the kept state can't be read" "check owner and mode of the state directory: the daemon's user must own it, with mode 0700";
    StateUnwritable "state_unwritable" "the state can't be kept" "check free space, owner and mode of the state directory; until then a restart mints a new token";

    // outputs
    OutputMalformed "output_malformed" "the file is not what it should be and was left alone" "repair or remove the file; ecr-warden never overwrites what it can't read";
    OutputUnreadable "output_unreadable" "the file can't be read" "check owner, mode and mount of the file";
    OutputUnwritable "output_unwritable" "the file can't be written" "check owner, mode and mount of the file's folder";
    OutputSandboxed "output_sandboxed" "the service's sandbox forbids writing there" "run `ecr-warden setup systemd` and install the drop-in that it prints: it lists the outputs' folders in ReadWritePaths";
    OutputUntrustedPath "output_untrusted_path" "the path leads through a link or folder that another user could have planted" "name the real path in [[output]], or make every folder on the way belong to root or to the output's owner";
    OutputOwnerUnknown "output_owner_unknown" "the output's owner does not exist" "create the user or group, or correct owner and group in [[output]]";
    OutputReadableByOthers "output_readable_by_others" "others can read the file with the credential" "chmod 600 the file; its mode is not changed silently";
    OutputInPlace "output_in_place" "the file could only be written in place" "mount its folder instead of the file, so that it can be replaced in one step";
    OutputNoExchange "output_no_exchange" "the filesystem can't exchange two files in one step" "nothing: it is written by rename; another writer's simultaneous change could be lost";
    OutputContended "output_contended" "another program keeps rewriting the file" "find the other writer (docker login in a loop, configuration management) and let one of the two own the file";
    OutputDiskFull "output_disk_full" "there is no space left for the file" "free space or raise the quota; the old file is untouched";
    OutputStuck "output_stuck" "the file's filesystem does not answer" "check the NFS or FUSE mount; the daemon goes on without it";
    OutputMissing "output_missing" "the consumer does not see the credential" "it is put back at the next check; look for what removes it";
    OutputShadowedByStore "output_shadowed_by_store" "credsStore is set, so Docker ignores the auths entry" "remove credsStore from the file, or use the credential helper";
    OutputShadowedByHelper "output_shadowed_by_helper" "a credHelpers entry for this registry wins over the auths entry" "remove the credHelpers entry, or make it ecr-warden";
    OutputShadowedByFile "output_shadowed_by_file" "another file is read first and has an entry for this registry" "remove the entry from that file (podman logout REGISTRY), or publish there";
    OutputFight "output_fight" "another program keeps removing or changing the credential" "find it (docker logout in a script, configuration management, another login job) and let one of the two own the entry";
    OutputForeignFile "output_foreign_file" "a file of somebody else's is in the output's place" "move it away, or name another path: a rendered file is ecr-warden's as a whole";
    TemplateInvalid "template_invalid" "the template can't be rendered" "correct the template; docs/outputs.md lists what it may use";
    HelperNotAllowed "helper_not_allowed" "this user may not ask for credentials" "add the user to users, or one of its groups to groups, of the output with kind = \"socket\"";
    CommandFailed "command_failed" "the output's command failed" "run the command by hand with the same input; it is tried again meanwhile";
    OutputHidesSettings "output_hides_settings" "publishing there would hide settings of the administrator's" "make a hosts.toml that names those files (ca, client) in the registry's own folder; ecr-warden then edits it";
    ContainerdNoConfigPath "containerd_no_config_path" "containerd does not read hosts.toml" "set config_path in containerd's configuration and restart containerd";
    ContainerdOtherPath "containerd_other_path" "containerd reads another folder" "name containerd's config_path as the output's path";
    ContainerdPathList "containerd_path_list" "this containerd takes the list in config_path for one folder" "set config_path to one folder and restart containerd";
    ContainerdStaticCredential "containerd_static_credential" "containerd's configuration has a credential of its own, read only when it starts" "remove it from containerd's configuration and restart containerd";
    OutputNoToken "output_no_token" "there is no token to publish yet" "see the token's own reason";

    // a consumer's own credential, as `explain` finds it
    CredentialAbsent "credential_absent" "the consumer has no credential for this registry" "publish one there with an [[output]], or give the consumer the credential helper";
    CredentialExpired "credential_expired" "the consumer's credential has expired" "let an [[output]] keep it fresh; `ecr-warden refresh` publishes at once";
    CredentialRefused "credential_refused" "the registry refuses the consumer's credential" "replace it; a new one that is refused too is of another region, or of a role that was deleted and created again";
    CredentialMalformed "credential_malformed" "the credential can't be read as user and password" "remove the entry (docker logout REGISTRY) and let it be written again";
    CredentialUntried "credential_untried" "the credential could not be tried from here" "run this as root on the host itself; the detail says what was in the way";
    HelperMissing "helper_missing" "the credential helper that the file names is not installed" "install it in a folder of the consumer's PATH, or remove its entry from the file";
    HelperFailed "helper_failed" "the credential helper gives no credential" "run it by hand as the same user: echo REGISTRY | docker-credential-NAME get";
    KubeletNoMatch "kubelet_no_match" "no credential provider of the kubelet answers for this image" "name the registry's host in matchImages of a provider, and restart the kubelet";
    ContainerdFailsClosed "containerd_fails_closed" "the header in hosts.toml is dead, and containerd stops there" "renew the header, or name the registry a second time as server without one, so that the node's own credentials count";
    ContainerdDefaultHidden "containerd_default_hidden" "the registry's own folder hides what _default says" "copy the hosts.toml of _default into the registry's folder, or remove that folder";
    EcsRoleUnseen "ecs_role_unseen" "the ECS agent fetches a token itself, by a role that this host can't see" "look at the task definition's execution role, else at the instance's: it needs ecr:GetAuthorizationToken and the pull actions";
    EcsAgentNotRestarted "ecs_agent_not_restarted" "the ECS agent started before its file was written, and goes by what it read then" "restart the agent: systemctl restart ecs";
    NoConsumer "no_consumer" "no consumer of registries was found on this host" "run this on the host itself, or set host_prefix in [daemon] to where its root is mounted";

    // the daemon itself
    JobTimeout "job_timeout" "the job did not finish within its deadline" "see what it waits for: network or filesystem; it is tried again";
    JobPanicked "job_panicked" "the job ran into a defect" "report the log line; other jobs are not affected and it is tried again";
    ListenFailed "listen_failed" "the address could not be listened on" "choose another address or stop the program that holds it";
    WebConfigInvalid "web_config_invalid" "the web_config_file can't be used" "correct the file; see the exporter-toolkit's format in the configuration reference";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    #[test]
    fn codes_are_unique_snake_case_and_every_text_is_one_line() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(reason.code().chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{reason}");
            assert!(!reason.text().is_empty() && !reason.text().contains('\n'), "{reason}");
            assert!(!reason.remedy().is_empty() && !reason.remedy().contains('\n'), "{reason}");
        }
    }
}
