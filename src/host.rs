//! Finds out which host this is, without asking the network.

use std::{fs, path::Path};

use crate::model::host_id::HostId;

/// The EC2 instance id as the firmware tells it (Nitro: the board's asset tag), else the machine
/// id, else the host name. `prefix` is where the host's root is mounted.
///
/// The instance id comes first because a machine id may be baked into an image, and then every
/// instance of it has the same one.
pub fn identify(prefix: &Path) -> HostId {
    let read = |path: &str| {
        let text = fs::read_to_string(prefix.join(path.trim_start_matches('/'))).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let found = read("/sys/devices/virtual/dmi/id/board_asset_tag")
        .filter(|tag| is_instance_id(tag))
        .or_else(|| read("/sys/hypervisor/uuid").filter(|uuid| uuid.starts_with("ec2")))
        .or_else(|| read("/etc/machine-id").filter(|id| id != "uninitialized"))
        .or_else(|| rustix::system::uname().nodename().to_str().ok().map(str::to_owned));
    HostId::new(found.unwrap_or_else(|| "unknown-host".to_owned()))
}

/// `i-` and hexadecimal digits.
fn is_instance_id(tag: &str) -> bool {
    tag.strip_prefix("i-")
        .is_some_and(|id| id.len() >= 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        identify(root.path()).as_str().to_owned()
    }

    #[test]
    fn the_instance_id_wins_over_a_machine_id_that_an_image_may_carry() {
        let tag = "sys/devices/virtual/dmi/id/board_asset_tag";
        let machine = ("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        assert_eq!(host(&[(tag, "i-0abc1234def567890\n"), machine]), "i-0abc1234def567890");
        assert_eq!(host(&[(tag, "Default string\n"), machine]), machine.1.trim());
        assert!(!host(&[]).is_empty());
    }
}
