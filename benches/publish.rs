//! A change of 1,000 registries in one config.json, against the floor: the same bytes written,
//! synced and renamed by hand. `cargo bench --bench publish`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use ecr_warden::{
    model::{
        output::{OutputKind, OutputSpec},
        token::{AuthorizationToken, Token},
    },
    output::{Entries, Host, Ownership, build},
};
use jiff::Timestamp;
use secrecy::SecretString;

fn entries(password: char) -> Entries {
    // As long as ECR's passwords are.
    let secret =
        AuthorizationToken::of("AWS", &SecretString::from(String::from(password).repeat(1800)));
    let token = Token { secret, minted: Timestamp::UNIX_EPOCH, expires: Timestamp::MAX };
    (0..1000).map(|n| (format!("{n:012}.dkr.ecr.eu-west-1.amazonaws.com"), token.clone())).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() {
    for folder in ["/dev/shm", "/var/tmp"] {
        let folder = Path::new(folder).join(format!("ecr-warden-bench-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("config.json");
        let spec = OutputSpec::new("bench", OutputKind::DockerConfig, path.clone());
        let output = build(
            &spec,
            &Host { prefix: Path::new("/"), state: Path::new("/nonexistent"), desk: None },
        );
        let (one, two) = (entries('a'), entries('b'));
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for round in 0..30 {
            let wanted = if round % 2 == 0 { &one } else { &two };
            let began = Instant::now();
            let published = output.publish(wanted, &Ownership::new()).unwrap();
            ours.push(began.elapsed());
            assert_eq!((published.written, published.set.len()), (true, 1000));
            let bytes = fs::read(&path).unwrap();
            let began = Instant::now();
            let temporary = folder.join("floor.new");
            let mut file = fs::File::create(&temporary).unwrap();
            file.write_all(&bytes).unwrap();
            file.sync_all().unwrap();
            fs::rename(&temporary, folder.join("floor")).unwrap();
            fs::File::open(&folder).unwrap().sync_all().unwrap();
            floor.push(began.elapsed());
        }
        let (ours, floor) = (median(ours), median(floor));
        println!(
            "{}: {:.1} ms for 1,000 registries ({} KiB); written and synced by hand {:.1} ms; {:.1} times the floor",
            folder.parent().unwrap().display(),
            ours.as_secs_f64() * 1000.0,
            fs::metadata(&path).unwrap().len() / 1024,
            floor.as_secs_f64() * 1000.0,
            ours.as_secs_f64() / floor.as_secs_f64()
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
