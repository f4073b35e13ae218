//! Which host this is, and where in a fleet's spread it stands.

use sha2::{Digest, Sha256};

/// A stable name of this host: the EC2 instance id where there is one, else the machine id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostId(String);

impl HostId {
    /// Takes the identifier as it was found.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The identifier itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This host's place in `[0, 1)` for the thing called `what`: the same after every restart,
    /// and even over a fleet.
    pub fn spread(&self, what: &str) -> f64 {
        let digest = Sha256::new()
            .chain_update(self.0.as_bytes())
            .chain_update([0])
            .chain_update(what.as_bytes())
            .finalize();
        let mut first = [0_u8; 4];
        first.copy_from_slice(&digest[..4]);
        f64::from(u32::from_be_bytes(first)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::HostId;

    #[test]
    fn a_host_keeps_its_place_and_a_fleet_is_even() {
        assert_eq!(
            HostId::new("i-1").spread("a").to_bits(),
            HostId::new("i-1").spread("a").to_bits()
        );
        let mut tenths = [0_u32; 10];
        for host in 0..10_000 {
            let place = HostId::new(format!("i-{host:017x}")).spread("token");
            assert!((0.0..1.0).contains(&place));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let tenth = (place * 10.0) as usize;
            tenths[tenth] += 1;
        }
        assert!(tenths.iter().all(|n| (800..1200).contains(n)), "{tenths:?}");
    }
}
