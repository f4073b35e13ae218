//! Whatever is in a consumer's file: its rules come to an answer, and a complaint says something.
#![no_main]

use std::path::Path;

use ecr_warden::consumer::{containerd, containers, docker, ecs, kubelet};
use libfuzzer_sys::fuzz_target;

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

fuzz_target!(|text: &str| {
    let path = Path::new("/f");
    if let Ok(config) = docker::parse(Some(text.as_bytes()), path) {
        let _ = docker::pick(&config, HOST, path);
        let _ = containers::pick(&config, HOST, "app/web", path);
    }
    if let Some(cri) = containerd::Cri::of(text) {
        let _ = (cri.ignores(path), cri.static_credential());
    }
    if let Err(problem) = containerd::entries(text, HOST, path) {
        assert!(!problem.detail.is_empty());
    }
    if let Ok(data) = ecs::AuthData::of(text, path) {
        let _ = data.token(&data.key(HOST));
    }
    if let Ok(read) = kubelet::parse(text.as_bytes(), path) {
        for pattern in read.providers.iter().flat_map(|one| &one.match_images) {
            let _ = kubelet::matches(pattern, HOST);
        }
    }
    let _ = kubelet::flag(text, kubelet::CONFIG_FLAG);
});
