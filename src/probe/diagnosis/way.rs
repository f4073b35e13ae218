//! Failures on the way: nobody answered, so the stage says what broke.

use std::net::IpAddr;

use super::{Diagnosis, Stage, stage_of, stage_of_phase};
use crate::{
    model::reason::Reason,
    oci::{
        error::{Broken, Failure, Unconnected, Unresolved, Untrusted},
        phases::{Hop, Phase},
        trace::{Exchange, Step},
    },
};

/// What a failure on the way means.
pub(super) fn of(exchange: &Exchange, failure: &Failure) -> Diagnosis {
    let storage = exchange.hop == Hop::Storage;
    let (reason, stage) = match failure {
        Failure::Resolve { why: Unresolved::NoSuchName, .. } => {
            (Reason::NameNotFound, Stage::Resolve)
        }
        Failure::Resolve { .. } | Failure::Slow { phase: Phase::Resolve, .. } => {
            (Reason::ResolverFailing, Stage::Resolve)
        }
        Failure::Proxy { .. } => (Reason::ProxyRefused, Stage::Proxy),
        Failure::Connect { .. } | Failure::Slow { phase: Phase::Connect, .. } if storage => {
            (Reason::StorageUnreachable, Stage::Storage)
        }
        Failure::Connect { why: Unconnected::Refused, .. } => {
            (Reason::ConnectionRefused, Stage::Connect)
        }
        Failure::Connect { .. } | Failure::Slow { phase: Phase::Connect, .. } => {
            let public = exchange.address.is_some_and(|address| is_public(address.ip()));
            let reason =
                if public { Reason::PublicAddressUnreachable } else { Reason::ConnectionTimeout };
            (reason, Stage::Connect)
        }
        Failure::Tls { why, .. } => {
            let reason = match why {
                Untrusted::UnknownAuthority | Untrusted::Certificate => Reason::TlsUntrusted,
                Untrusted::Expired => Reason::TlsExpired,
                Untrusted::NotYetValid => Reason::TlsNotYetValid,
                Untrusted::WrongName => Reason::TlsWrongName,
                Untrusted::Handshake => Reason::TlsHandshakeFailed,
            };
            (reason, Stage::Tls)
        }
        Failure::Slow { phase: Phase::Tls, .. } => (Reason::TlsHandshakeFailed, Stage::Tls),
        Failure::Trust { .. } => (Reason::TlsNoTrustStore, Stage::Tls),
        Failure::Redirect { .. } => (Reason::RedirectUnusable, Stage::LayerUrl),
        Failure::Slow { phase, .. } => (Reason::TransferStalled, stage_of_phase(*phase, exchange)),
        Failure::Body { why: Broken::HungUp, .. } => (Reason::BodyTruncated, stage_of(exchange)),
        // The same connection has just carried other answers: it is no fault of the network.
        Failure::Exchange { why: Broken::HungUp | Broken::Reset, .. }
            if exchange.step == Step::UploadStart =>
        {
            (Reason::UploadHungUp, Stage::Push)
        }
        Failure::Exchange { why: Broken::NotHttp, .. } => {
            (Reason::ManifestUnreadable, stage_of(exchange))
        }
        Failure::Exchange { .. } | Failure::Body { .. } | Failure::Unfinished { .. } => {
            (Reason::ConnectionBroken, stage_of(exchange))
        }
    };
    let to = exchange.address.map(|address| format!(" ({address})")).unwrap_or_default();
    let diagnosis = Diagnosis::bad(reason, stage, format!("{}{to}: {failure}", exchange.url));
    match reason {
        Reason::PublicAddressUnreachable => {
            diagnosis.or_else("a host without private endpoints needs a NAT route instead")
        }
        _ => diagnosis,
    }
}

/// Whether an address is one of the internet's: neither private, shared, link-local nor loopback.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_told_from_those_of_a_vpc() {
        for (address, public) in [
            ("52.1.2.3", true),
            ("10.1.2.3", false),
            ("172.31.0.1", false),
            ("100.64.1.1", false),
            ("169.254.1.1", false),
            ("127.0.0.1", false),
            ("2600:1f00::1", true),
            ("fd00::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
