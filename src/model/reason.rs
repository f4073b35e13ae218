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

    // test pulls: the way there
    NameNotFound "name_not_found" "the resolver says that there is no such host" "look for a typo in account, region or suffix of the host name; an alias needs its DNS record";
    ResolverFailing "resolver_failing" "the resolver fails or does not answer" "check /etc/resolv.conf, the path to the resolver and the VPC's enableDnsSupport: other names fail as well";
    ConnectionRefused "connection_refused" "the connection was refused or reset" "look for a host firewall, a network ACL or a security group that rejects, and whether the name resolves to the right address";
    ConnectionTimeout "connection_timeout" "nothing came back to the attempt to connect" "open the way: a NAT route or the VPC endpoint ecr.dkr, and port 443 from this host in the endpoint's security group";
    PublicAddressUnreachable "public_address_unreachable" "the name resolves to a public address that can't be reached from here" "turn on private DNS for the VPC endpoints ecr.dkr and ecr.api, or give the subnet a route to the internet";
    ConnectionBroken "connection_broken" "the connection broke off in the middle of a request" "look for a proxy, firewall or load balancer on the way that cuts connections; it is tried again";
    TlsExpired "tls_expired" "the server's certificate has expired" "check this host's clock first; if it is right, whoever runs the server or the intercepting proxy must renew the certificate";
    TlsNotYetValid "tls_not_yet_valid" "the server's certificate is not valid yet" "set this host's clock; if it is right, the certificate of an intercepting proxy is too new";
    TlsWrongName "tls_wrong_name" "the server's certificate is for another name" "something else answers there: check DNS for the host name, and that an alias has a certificate of its own";
    TlsHandshakeFailed "tls_handshake_failed" "the TLS handshake failed" "look for something that is no TLS server on that port, or a middlebox that cuts handshakes";
    RedirectUnusable "redirect_unusable" "the registry sends its clients somewhere that is not followed" "look at the proxy or mirror in front of the registry: layers must come over https, without credentials in the URL";

    // test pulls: credential and permissions
    CredentialMissing "credential_missing" "the registry got no credential that it could read" "see why there is no token (`ecr-warden status`), and where the engine looks for its credential";
    TokenWrongRegion "token_wrong_region" "the token was minted in another region than the registry's" "configure the registry with its own region: a token is good in one region only";
    TokenPrincipalGone "token_principal_gone" "the principal behind the token is gone" "the role was deleted and created again, or its session ended: mint a new token (`ecr-warden refresh`)";
    ApiEndpointMissing "api_endpoint_missing" "the registry can be reached, but the API that gives tokens can't" "create the VPC endpoint ecr.api beside ecr.dkr, with private DNS and port 443 open to this host";
    IdentityPolicy "identity_policy" "the identity's own policy does not allow the call" "allow the action on the repository's ARN in the secondary account, in the policy of the role that pulls";
    ResourcePolicyOrRepository "resource_policy_or_repository" "the repository grants nothing to this principal, or does not exist" "grant the action in the primary account's repository policy, and check that the repository exists: across accounts the two look alike";
    ExplicitDeny "explicit_deny" "a policy denies the call explicitly" "find the deny in the kind of policy that the detail names; no further allow can lift it";
    OrganizationPolicy "organization_policy" "the organization's policy blocks the call" "ask the organization's administrators: the service control policy allows neither this region nor this call";
    VpcEndpointPolicy "vpc_endpoint_policy" "the VPC endpoint's policy does not let the call through" "allow the principal and the repository in the policies of the endpoints ecr.dkr and ecr.api";
    PartialGrant "partial_grant" "the manifest may be read, but not the layers" "add ecr:GetDownloadUrlForLayer beside ecr:BatchGetImage in the same policy";
    AccessDenied "access_denied" "the registry denies the call and does not say by which policy" "check the repository policy, the identity's policy, endpoint policies and service control policies, in this order";

    // test pulls: the image
    RepositoryMissing "repository_missing" "there is no such repository" "create it, or correct the name: it is the part behind the host, not the whole URI; a pull-through cache needs ecr:CreateRepository";
    ImageMissing "image_missing" "there is no image of that tag or digest" "look whether a lifecycle rule or somebody deleted or archived it (CloudTrail: PolicyExecutionEvent, BatchDeleteImage), or push it; a pull-through cache needs ecr:BatchImportUpstreamImage";
    ImageArchived "image_archived" "the image is archived" "restore it: that takes up to 20 minutes; then exempt it from the lifecycle rule that archived it";
    IndexChildMissing "index_child_missing" "the index names an image for this platform that is gone" "push the image again: a lifecycle rule removed the child, or the push was not complete";
    PlatformMissing "platform_missing" "there is no image for this host's platform" "build and push the image for the platform that the detail names";
    ImageUnsupported "image_unsupported" "the image is of a kind that engines don't pull" "build it again with one current format: schema 1, unknown media types and layers that don't match their configuration are refused";
    ReferenceInvalid "reference_invalid" "the registry finds the reference invalid" "correct repository, tag or digest: a + in a tag is not allowed, for one";
    ManifestUnreadable "manifest_unreadable" "something answered that is no registry" "look for a captive portal or a proxy's own page: the detail shows what came";
    LayerMissing "layer_missing" "the registry does not have a layer of the image" "push the image again: the push was not complete, or the layer was cleaned up";
    KmsKeyUnusable "kms_key_unusable" "the repository's KMS key can't be used" "enable the key, cancel its deletion, and restore ECR's grant on it, in the primary account";
    UpstreamFailing "upstream_failing" "the pull-through cache can't get the image from upstream" "check the upstream's credentials in Secrets Manager, its rate limits, and that it is reachable";

    // test pulls: the layers
    StorageDenied "storage_denied" "the registry lets the image through, but its storage denies the layers" "allow s3:GetObject on arn:aws:s3:::prod-REGION-starport-layer-bucket/* in the policy of the VPC endpoint for S3";
    StorageUnreachable "storage_unreachable" "the registry can be reached, but the storage with the layers can't" "add the S3 gateway endpoint to this subnet's route table, and let the security group out to its prefix list";
    StorageUrlExpired "storage_url_expired" "the storage says that the signed URL has expired" "check this host's clock and a proxy that caches redirects: each pull gets a fresh URL";
    StorageRejected "storage_rejected" "the storage rejects the request" "read its words in the detail; a proxy that adds an Authorization header is a usual suspect";
    DigestMismatch "digest_mismatch" "the bytes are not those that were asked for" "look for a proxy or cache on the way that changes or mixes up content, and bypass it";
    BodyTruncated "body_truncated" "the answer ended too early" "look for a proxy with a size limit or a full disk, and for connections that are cut";
    TransferStalled "transfer_stalled" "bytes stopped coming" "look at path MTU and idle timeouts of NAT and firewalls on the way to the host that the detail names";
    ProbeDeadline "probe_deadline" "the test pull did not end in its time" "see the phase in the detail; a slow way needs a longer timeout or a shallower depth";

    // the audit of CloudTrail
    AuditDenied "audit_denied" "a call to the registry was denied" "allow it in the layer that the finding names, or find out why the caller tries";
    AuditUnexpected "audit_unexpected" "no [[audit.expect]] allows for this call" "find out who made it; if it is right, say so in [[audit.expect]]";
    AuditNewPrincipal "audit_new_principal" "a principal uses the registry for the first time" "find out whether it should; [[audit.expect]] says which ones do";
    AuditNewAccount "audit_new_account" "an account uses the registry for the first time" "find out whose it is, and which statement of which policy lets it in";
    AuditNewRegion "audit_new_region" "the registry is used in a region for the first time" "find out whether somebody moved, or uses stolen credentials where nobody looks";
    AuditNewRepository "audit_new_repository" "a repository is used for the first time" "nothing, if it is a new one of yours";
    AuditPush "audit_push" "another account than the registry's own has pushed an image" "find out whether it should: pull permissions are enough for hosts";
    AuditTagOverwrite "audit_tag_overwrite" "a tag means another image than before" "find out whether that was a release; immutable tags prevent it";
    AuditDelete "audit_delete" "images or a repository were deleted, or can't be pulled any more" "find out who wanted that, and whether a deployment still names them";
    AuditPolicyChange "audit_policy_change" "a repository's or the registry's policy was changed" "compare what it grants now with what it should grant; the record has the whole policy";
    AuditSettingChange "audit_setting_change" "a setting of the registry or of a repository was changed" "find out who wanted that: policy scope, tag mutability and exclusions change what hosts may pull and what is kept";
    AuditTemplateChange "audit_template_change" "a repository creation template or a pull-through cache rule was changed" "check the policy that the template gives: the next new repository is pullable or not by it";
    AuditLifecycle "audit_lifecycle" "a lifecycle policy was changed, or has removed images" "check that no deployment names an image that it removes";
    AuditReplicationChange "audit_replication_change" "replication was changed" "check that every region and account that pulls still receives its images";
    AuditScanningChange "audit_scanning_change" "image scanning was changed" "find out who wanted that";
    AuditKeyChange "audit_key_change" "a KMS key or grant that repositories depend on was changed" "without it nobody can pull from them: cancel the deletion, enable the key, or renew the grant";
    AuditForeignPull "audit_foreign_pull" "an account that is not listed has pulled an image" "find out whose it is and take it out of the policy, or list it in audit.accounts";
    AuditUnknownSession "audit_unknown_session" "our own role was used under a name that is not one of our hosts" "treat the credentials as stolen until somebody says what it was: revoke the role's sessions, then look at what they did";
    AuditUnreadable "audit_unreadable" "a log file can't be read" "check its path, owner and mode, or the connection that it comes through";
    AuditTruncated "audit_truncated" "a log file ends before its end" "fetch it again; what stood before the end was examined";
    AuditCorrupt "audit_corrupt" "a log file is damaged" "fetch it again; if the object itself is damaged, somebody else than CloudTrail wrote it";
    AuditBomb "audit_bomb" "a log file unpacks to far more than any log" "find out who put it there: CloudTrail did not";
    AuditPermissionMissing "audit_permission_missing" "the identity may not read the trail" "allow cloudtrail:LookupEvents, or s3:ListBucket and s3:GetObject (kms:Decrypt for an encrypted trail), or sqs:ReceiveMessage and sqs:DeleteMessage, as docs/audit.md lists them";
    AuditGap "audit_gap" "there is a time that nobody has looked at" "get the records of that time from the trail's bucket and read them with `ecr-warden audit scan`";
    AuditJournalUnwritable "audit_journal_unwritable" "findings can't be written to the journal" "check free space, owner and mode of the journal's folder; nothing is lost meanwhile: the audit waits";
    AuditRecordUnread "audit_record_unread" "a record can't be read" "look at what it is; whatever is not of CloudTrail does not belong among the files";

    // rehearsals of pushes
    UploadHungUp "upload_hung_up" "the registry hangs up when an upload is started" "grant ecr:InitiateLayerUpload and check that the repository exists: ECR may answer the lack of either like this, and it is no fault of the network";
    PushPartialGrant "push_partial_grant" "one step of a push is allowed and another is not" "grant all seven actions of a push in the same policy";
    UploadRejected "upload_rejected" "the registry rejects a step of the push" "read its words in the detail; a proxy that changes methods, headers or bodies is a usual suspect";
    TagImmutable "tag_immutable" "the tag exists and can't be overwritten" "push under a new tag; an image that is the same is in the repository already";
    PushUnrehearsed "push_unrehearsed" "the rehearsal of a push could not go as far as asked" "name an image that is in the repository: its configuration is what is sent again, so that nothing is added";
    PutImageUnproven "put_image_unproven" "the registry refused the manifest for what it lacks, not for who pushed it" "nothing is known to be wrong: whether ECR asks for the permission first is not proven; push = \"image\" settles it";
    PushLeftBehind "push_left_behind" "the test image could not be deleted again" "delete it by its digest (aws ecr batch-delete-image), and grant ecr:BatchDeleteImage or rehearse no further than complete";

    // policies
    PolicyUnreadable "policy_unreadable" "the policy may not be read, so nothing is known of drift" "allow ecr:GetRepositoryPolicy (and for patterns ecr:DescribeRepositories) in the repository's or registry's policy and in the reader's own; the registry's own policy needs an audit_identity in the primary account";
    PolicyPullDenied "policy_pull_denied" "the primary account's policies do not let this host pull" "put back what is missing, or remove the denial that is named, in the primary account; `ecr-warden policy explain` shows the statement to paste";
    PolicyPredictionWrong "policy_prediction_wrong" "the policies and the test pull do not agree" "the detail names the layers that are left: look there, or compare again after the next check of policies";
    RepositoryGone "repository_gone" "there is no such repository" "correct the name in the configuration, or create the repository; across accounts a repository that grants nothing can look the same";
    PolicyMalformed "policy_malformed" "the policy can't be read" "correct the places named; nothing was concluded from what could be read";
    PolicyGrantsLost "policy_grants_lost" "the policy grants less than is expected" "put the lost grants back into the primary account's policy, or take them out of what is expected";
    PolicyGrantsGained "policy_grants_gained" "the policy grants more than is expected" "find out who widened it and whether that was meant; else take the gained grants back";
    PolicyGrantsNothing "policy_grants_nothing" "no policy of the layer that is named allows the request" "add the statement that is shown where it says; across accounts both sides must allow";
    PolicyDeniesAccess "policy_denies_access" "a statement denies the request by name" "narrow or remove the statement that is named: nothing that allows outweighs it";
    PolicyAccessUndecided "policy_access_undecided" "the request is allowed unless what is not known is against it" "read the policies or give the facts that the detail names (--context, --unique-id)";
    PolicyOrphan "policy_orphan" "the policy names a principal that was deleted" "replace the id with the ARN of what is meant today: a role that is created again under the same name is another one";
    PolicyPreviousRole "policy_previous_role" "the policy names a role that was deleted, perhaps a previous one of this host's" "write the role's ARN into the policy again: AWS then stores the id of the role of today";
    PolicyPublic "policy_public" "the policy opens the registry to every account of AWS" "name accounts or roles, or add a condition on aws:PrincipalOrgID";
    PolicyNotPrincipal "policy_not_principal" "NotPrincipal does not do what it seems to" "rewrite it: Principal \"*\" with a condition on aws:PrincipalArn or aws:PrincipalAccount";
    PolicyActionUnknown "policy_action_unknown" "the policy names an action that ECR does not have" "correct the name; one that is newer than this version of ecr-warden may stay";
    PolicyTokenInResource "policy_token_in_resource" "GetAuthorizationToken in a resource's policy does nothing" "take it out here, and allow it in the policy of the role that pulls";
    PolicyTokenResource "policy_token_resource" "GetAuthorizationToken is allowed on something, not on everything" "give it a statement of its own with \"Resource\": \"*\"";
    PolicyRegistryScope "policy_registry_scope" "a registry policy of scope V1 does not speak of these actions" "set REGISTRY_POLICY_SCOPE to V2 (aws ecr put-account-setting), or use repository policies";
    PolicyPartialPull "policy_partial_pull" "the policy gives half of a pull" "give ecr:BatchGetImage and ecr:GetDownloadUrlForLayer together";
    PolicyArnMalformed "policy_arn_malformed" "an ARN in the policy can't be the one that is meant" "correct it: arn:aws:ecr:REGION:ACCOUNT:repository/NAME, with the registry's own region and account";
    PolicyResourceInRepository "policy_resource_in_repository" "a repository's policy needs no Resource" "leave it out, or write \"*\": it speaks of its own repository alone";
    PolicyConditionDead "policy_condition_dead" "a condition can never be met, or never matters" "take it out, or correct key and values";
    PolicyConditionDocker "policy_condition_docker" "a condition does not see requests of container engines as they are" "use aws:SourceVpce, aws:PrincipalArn or aws:PrincipalOrgID in its place";
    PolicyNearlyFull "policy_nearly_full" "the policy has hardly any room left" "name accounts in place of roles, use wildcards, or move grants to the registry policy";
    PolicySidTwice "policy_sid_twice" "two statements have the same Sid" "give each its own: findings and AWS's own messages name statements by it";
    PolicyVariableLiteral "policy_variable_literal" "a policy variable is plain text in this version of the language" "write \"Version\": \"2012-10-17\"";
    PolicyUndecided "policy_undecided" "whether the policies mean the same can't be decided" "the detail says what it depends on; compare with fewer conditions and wildcards, or name the repository or registry";

    // test pulls through engines
    EngineUnreachable "engine_unreachable" "the engine can't be asked" "start it, name its socket, and let this program open that: root may";
    EngineRefused "engine_refused" "the engine fails, and its words are not known here" "read them in the detail; its own log says more";
    EngineDenied "engine_denied" "the engine says that the pull is denied, and not why" "see what `ecr-warden probe` says of the same image: engines say the same of a missing grant, repository and tag";
    EngineDiskFull "engine_disk_full" "the engine has no space left" "prune images, and look at the engine's folder and its temporary one, inodes included";
    EngineNoSpace "engine_no_space" "there is too little space for a test pull, so none was made" "free space where the engine keeps its images, or probe a smaller image";
    EngineImageDiffers "engine_image_differs" "what the engine has is not what the registry has" "look for a mirror or cache in the engine's configuration that gives another image";
    EngineViewsDiffer "engine_views_differ" "the engine sees another image under this reference than ecr-warden does" "look for a mirror in the engine's configuration; right after a push both may be right";
    EngineLeftBehind "engine_left_behind" "the image that the test pull brought could not be removed" "remove it by the reference that the detail names";
    EngineNotAsked "engine_not_asked" "the engine has no way to be asked as deep as wanted" "probe with --depth full, and an image that no workload on this host uses";

    // test pulls: themselves
    ProbeBudgetSpent "probe_budget_spent" "the day's budget for test pulls is spent" "raise bytes_per_day or requests_per_day in [probing], or pull less often or less deep";
    ProbeSlow "probe_slow" "a test pull is much slower than it usually is" "look at the host and the phase that the detail names";

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
