//! `ecr-warden setup kubelet`: the kubelet's CredentialProviderConfig (kubelet.config.k8s.io/v1).

use std::io::{self, Write};

use crate::{config::settings::Settings, helper};

/// Prints it. 1: there is nobody whom the helper could ask.
pub(super) fn run(settings: &Settings, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let Some(socket) = super::socket(settings, err)? else {
        return Ok(1);
    };
    writeln!(out, "# /etc/ecr-warden/kubelet-credential-provider.yaml, with the kubelet's flags")?;
    writeln!(
        out,
        "#   --image-credential-provider-config=/etc/ecr-warden/kubelet-credential-provider.yaml"
    )?;
    writeln!(out, "#   --image-credential-provider-bin-dir=/usr/bin")?;
    writeln!(
        out,
        "# (the kubelet reads it when it starts; one flag names one file, so providers of others belong in it too)"
    )?;
    writeln!(
        out,
        "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:"
    )?;
    writeln!(out, "  - name: docker-credential-ecr-warden\n    args: [\"kubelet\"]")?;
    writeln!(out, "    apiVersion: credentialprovider.kubelet.k8s.io/v1")?;
    // Every answer states its own; this one is never used.
    writeln!(out, "    defaultCacheDuration: \"0s\"\n    matchImages:")?;
    for host in settings.hosts_of(socket) {
        writeln!(out, "      - {host:?}")?;
    }
    let state = &settings.daemon.state_directory;
    let elsewhere = [
        ("ECR_WARDEN_SOCKET", &socket.path, helper::SOCKET),
        ("ECR_WARDEN_STATE", state, helper::STATE),
    ];
    let elsewhere: Vec<_> =
        elsewhere.into_iter().filter(|(_, is, default)| is.as_os_str() != *default).collect();
    if !elsewhere.is_empty() {
        writeln!(out, "    env:")?;
    }
    for (name, is, _) in elsewhere {
        writeln!(out, "      - name: {name}\n        value: {:?}", is.display().to_string())?;
    }
    Ok(0)
}
