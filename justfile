# What CI runs, and pieces of it.

# everything
test:
    ./tests/all

# format, lints, unit and black-box tests
check:
    cargo fmt --all --check
    cargo clippy --all-targets -- -D warnings
    cargo test

# the daemon at work, no AWS account needed
demo:
    cargo run -- demo

# memory, wake-ups, start, writes
figures:
    cargo build
    cargo build --release --no-default-features
    benches/figures.py
    cargo bench --bench publish
    cargo bench --bench policy
    benches/audit.py

# docs and golden files that come out of the code
update-golden:
    UPDATE_GOLDEN=1 cargo test
