//! Registries and their host names, in every partition. Pure.
//!
//! The partitions are data: a new one is a new row. Sources: AWS General Reference (ECR endpoints),
//! and the host patterns that AWS's own credential helper recognises.

use std::fmt;

/// One partition of AWS.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name in ARNs.
    pub name: &'static str,
    /// What its regions begin with.
    pub regions: &'static [&'static str],
    /// The suffix of standard and FIPS host names.
    pub suffix: &'static str,
    /// The suffix of dual-stack host names, where there are any.
    pub dual_stack: Option<&'static str>,
    /// What the regions with FIPS endpoints begin with.
    pub fips: &'static [&'static str],
}

/// Every partition.
pub const PARTITIONS: &[Partition] = &[
    Partition {
        name: "aws-us-gov",
        regions: &["us-gov-"],
        suffix: "amazonaws.com",
        dual_stack: Some("on.aws"),
        fips: &["us-gov-"],
    },
    Partition {
        name: "aws-cn",
        regions: &["cn-"],
        suffix: "amazonaws.com.cn",
        dual_stack: Some("on.amazonwebservices.com.cn"),
        fips: &[],
    },
    Partition {
        name: "aws-iso",
        regions: &["us-iso-"],
        suffix: "c2s.ic.gov",
        dual_stack: None,
        fips: &[],
    },
    Partition {
        name: "aws-iso-b",
        regions: &["us-isob-"],
        suffix: "sc2s.sgov.gov",
        dual_stack: None,
        fips: &[],
    },
    Partition {
        name: "aws-iso-e",
        regions: &["eu-isoe-"],
        suffix: "cloud.adc-e.uk",
        dual_stack: None,
        fips: &[],
    },
    Partition {
        name: "aws-iso-f",
        regions: &["us-isof-"],
        suffix: "csp.hci.ic.gov",
        dual_stack: None,
        fips: &[],
    },
    Partition {
        name: "aws-eusc",
        regions: &["eusc-"],
        suffix: "amazonaws.eu",
        dual_stack: None,
        fips: &[],
    },
    // Last: it takes every region that no other partition claims, so that a new one just works.
    Partition {
        name: "aws",
        regions: &[""],
        suffix: "amazonaws.com",
        dual_stack: Some("on.aws"),
        fips: &["us-"],
    },
];

/// The host names of ECR Public (the second is its dual-stack one).
const PUBLIC_HOSTS: [&str; 2] = ["public.ecr.aws", "ecr-public.aws.com"];

/// The region in which tokens for ECR Public are minted.
pub const PUBLIC_REGION: &str = "us-east-1";

/// The partition that a region belongs to; `None` for what can't be a region's name.
pub fn partition_of_region(region: &str) -> Option<&'static Partition> {
    let mut parts = region.split('-');
    let number = parts.next_back()?;
    let plausible = region.len() <= 32
        && parts.clone().count() >= 2
        && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit());
    if !plausible {
        return None;
    }
    PARTITIONS
        .iter()
        .find(|partition| partition.regions.iter().any(|prefix| region.starts_with(prefix)))
}

/// A registry: the private ECR of one account in one region, or ECR Public.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RegistryId {
    /// Private.
    Private {
        /// The 12-digit account.
        account: String,
        /// The region.
        region: String,
    },
    /// `public.ecr.aws`.
    Public,
}

impl RegistryId {
    /// The region in which its tokens are minted.
    pub fn token_region(&self) -> &str {
        match self {
            Self::Private { region, .. } => region,
            Self::Public => PUBLIC_REGION,
        }
    }
}

impl fmt::Display for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private { account, region } => write!(f, "{account}.{region}"),
            Self::Public => f.write_str("public"),
        }
    }
}

/// One of a registry's host names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryHost {
    /// Whose it is.
    pub registry: RegistryId,
    /// The FIPS endpoint.
    pub fips: bool,
    /// The dual-stack endpoint.
    pub dual_stack: bool,
}

impl RegistryHost {
    /// Reads a host name: `ACCOUNT.dkr.ecr[-fips].REGION.SUFFIX` or
    /// `ACCOUNT.dkr-ecr[-fips].REGION.DUAL_STACK_SUFFIX`, in any case. A port, a scheme or a path
    /// is not part of a host name; a region under another partition's suffix is no registry.
    pub fn parse(host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        if let Some(at) = PUBLIC_HOSTS.iter().position(|public| *public == host) {
            return Some(Self { registry: RegistryId::Public, fips: false, dual_stack: at == 1 });
        }
        let (account, rest) = host.split_once('.')?;
        if !is_account(account) {
            return None;
        }
        let forms = [
            ("dkr.ecr.", false, false),
            ("dkr.ecr-fips.", true, false),
            ("dkr-ecr.", false, true),
            ("dkr-ecr-fips.", true, true),
        ];
        let (rest, fips, dual_stack) = forms
            .iter()
            .find_map(|(form, fips, dual)| Some((rest.strip_prefix(form)?, *fips, *dual)))?;
        let (region, suffix) = rest.split_once('.')?;
        let partition = partition_of_region(region)?;
        let expected = if dual_stack { partition.dual_stack? } else { partition.suffix };
        let registry =
            RegistryId::Private { account: account.to_owned(), region: region.to_owned() };
        let parsed = Self { registry, fips, dual_stack };
        (suffix == expected && parsed.host_name().is_some()).then_some(parsed)
    }

    /// The host name; `None` where the partition or the region has no such endpoint.
    pub fn host_name(&self) -> Option<String> {
        let RegistryId::Private { account, region } = &self.registry else {
            let host = PUBLIC_HOSTS[usize::from(self.dual_stack)];
            return (!self.fips).then(|| host.to_owned());
        };
        let partition = partition_of_region(region)?;
        if !is_account(account)
            || (self.fips && !partition.fips.iter().any(|prefix| region.starts_with(prefix)))
        {
            return None;
        }
        let fips = if self.fips { "-fips" } else { "" };
        Some(if self.dual_stack {
            format!("{account}.dkr-ecr{fips}.{region}.{}", partition.dual_stack?)
        } else {
            format!("{account}.dkr.ecr{fips}.{region}.{}", partition.suffix)
        })
    }
}

/// Twelve digits.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a configured host name stands for several: `*.dkr.ecr.eu-west-1.amazonaws.com`.
pub fn is_pattern(host: &str) -> bool {
    host.contains('*')
}

/// Whether a host name is one of a pattern's, by the kubelet's rules for `matchImages`: label by
/// label, and `*` stands for any characters within one label.
pub fn matches(pattern: &str, host: &str) -> bool {
    let (mut globs, mut labels) = (pattern.split('.'), host.split('.'));
    loop {
        match (globs.next(), labels.next()) {
            (None, None) => return true,
            (Some(glob), Some(label)) if label_matches(glob, label) => {}
            _ => return false,
        }
    }
}

fn label_matches(glob: &str, label: &str) -> bool {
    let Some((head, tail)) = glob.split_once('*') else {
        return glob == label;
    };
    let Some(mut rest) = label.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = tail.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last) && !label.is_empty()
}

/// The one of these names, of which some may be patterns, that a host name is found under: itself,
/// else the longest pattern.
pub fn find<'a>(names: impl Iterator<Item = &'a str>, host: &str) -> Option<&'a str> {
    names
        .filter(|name| *name == host || (is_pattern(name) && matches(name, host)))
        .max_by_key(|name| (*name == host, name.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_stands_for_labels_and_never_for_more_of_them() {
        let hit = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
        for pattern in
            ["*.dkr.ecr.eu-west-1.amazonaws.com", "1*2.dkr.ecr.*-west-*.amazonaws.com", hit]
        {
            assert!(matches(pattern, hit), "{pattern}");
        }
        for pattern in [
            "*.amazonaws.com",
            "*",
            "*.dkr.ecr.us-*.amazonaws.com",
            "1*3.dkr.ecr.eu-west-1.amazonaws.com",
        ] {
            assert!(!matches(pattern, hit), "{pattern}");
        }
        assert!(!matches("*.test", ".test") && !matches("*.test", "a.b.test"));
        let names = ["*.b.test", "x*.b.test", "xa.b.test"];
        assert_eq!(find(names.into_iter(), "xa.b.test"), Some("xa.b.test"));
        assert_eq!(find(names.into_iter(), "xb.b.test"), Some("x*.b.test"));
        assert_eq!(find(names.into_iter(), "c.d.test"), None);
    }

    fn private(region: &str, fips: bool, dual_stack: bool) -> RegistryHost {
        let registry =
            RegistryId::Private { account: "123456789012".into(), region: region.into() };
        RegistryHost { registry, fips, dual_stack }
    }

    #[test]
    fn every_partition_and_form_has_the_name_that_aws_documents() {
        for (host, expected) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", private("eu-west-1", false, false)),
            (
                "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
                private("us-east-1", true, false),
            ),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", private("eu-west-1", false, true)),
            ("123456789012.dkr-ecr-fips.us-west-2.on.aws", private("us-west-2", true, true)),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                private("cn-north-1", false, false),
            ),
            (
                "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
                private("cn-north-1", false, true),
            ),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                private("us-gov-west-1", true, false),
            ),
            (
                "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
                private("eusc-de-east-1", false, false),
            ),
            (
                "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov",
                private("us-iso-east-1", false, false),
            ),
            (
                "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
                private("us-isob-east-1", false, false),
            ),
            (
                "123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
                private("eu-isoe-west-1", false, false),
            ),
            (
                "123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
                private("us-isof-south-1", false, false),
            ),
        ] {
            assert_eq!(RegistryHost::parse(host).as_ref(), Some(&expected), "{host}");
            assert_eq!(expected.host_name().as_deref(), Some(host));
        }
    }

    #[test]
    fn what_is_no_registry_is_not_taken_for_one() {
        for host in [
            "",
            "docker.io",
            "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.cn",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com",
            "123456789012.dkr.ecr-fips.cn-north-1.amazonaws.com.cn",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com:443",
            "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr-ecr.us-iso-east-1.on.aws",
            "x.public.ecr.aws",
        ] {
            assert_eq!(RegistryHost::parse(host), None, "{host}");
        }
    }

    #[test]
    fn public_is_a_kind_of_its_own() {
        for (host, dual_stack) in [("public.ecr.aws", false), ("ecr-public.aws.com", true)] {
            let parsed = RegistryHost::parse(host).unwrap();
            assert_eq!(parsed.registry, RegistryId::Public);
            assert_eq!(
                (parsed.dual_stack, parsed.host_name().as_deref()),
                (dual_stack, Some(host))
            );
        }
    }

    proptest! {
        #[test]
        fn names_go_round(
            account in "[0-9]{12}",
            region in "(us-gov-|cn-|us-iso-|us-isob-|eu-isoe-|us-isof-|eusc-de-|us-|eu-|ap-|il-|mx-)(east|west|north|south|central)-[1-9]",
            fips: bool,
            dual_stack: bool,
        ) {
            let host = RegistryHost { registry: RegistryId::Private { account, region }, fips, dual_stack };
            if let Some(name) = host.host_name() {
                prop_assert_eq!(RegistryHost::parse(&name), Some(host.clone()));
                prop_assert_eq!(RegistryHost::parse(&name.to_ascii_uppercase()), Some(host));
            }
        }

        #[test]
        fn no_text_is_a_problem(text in "\\PC*") {
            if let Some(host) = RegistryHost::parse(&text) {
                prop_assert_eq!(host.host_name(), Some(text.to_ascii_lowercase()));
            }
        }
    }
}
