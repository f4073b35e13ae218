//! The rooms import only what `docs/architecture.md` allows: the table is read out of that page.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The import table: room to what it may import. `*` is everything.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string("docs/architecture.md").unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| room")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let allowed = cells[1].split(", ").map(|name| name.trim_matches('`').to_owned());
            (cells[0].trim_matches('`').to_owned(), allowed.collect())
        })
        .collect()
}

/// What a file imports of ours: `room` or `room::part`, for every `crate::room::part` in it.
fn imports(text: &str) -> BTreeSet<(String, String)> {
    let code: String = text
        .lines()
        .take_while(|line| !line.starts_with("mod tests {"))
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let path = &code[at + "crate::".len()..];
        if path.starts_with('{') {
            let mut depth = 0;
            let mut start = 1;
            for (index, c) in path.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if (c == ',' && depth == 1) || depth == 0 {
                    found.extend(names(path[start..index].trim()));
                    start = index + 1;
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.extend(names(path));
        }
    }
    found
}

fn names(path: &str) -> Option<(String, String)> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let room = word(path);
    let part = path[room.len()..].strip_prefix("::").map(word).unwrap_or_default();
    (!room.is_empty()).then_some((room, part))
}

#[test]
fn no_room_imports_what_the_table_does_not_allow() {
    let table = table();
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix("src").unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if ["main", "lib", "bin"].contains(&room) || inside.ends_with("tests.rs") {
            continue;
        }
        let Some(allowed) = table.get(room) else {
            wrong.push(format!("{}: the room {room} is not in the table", file.display()));
            continue;
        };
        if allowed.contains("*") {
            continue;
        }
        for (target, part) in imports(&fs::read_to_string(&file).unwrap()) {
            let narrow = format!("{target}::{part}");
            if target != room && !allowed.contains(&target) && !allowed.contains(&narrow) {
                wrong.push(format!("{} imports {narrow}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_aws_room_imports_the_sdk_and_only_cron_knows_the_scheduler() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        if !file.starts_with("src/aws") {
            assert!(
                !text.contains("aws_sdk") && !text.contains("aws_config::"),
                "{}",
                file.display()
            );
        }
        if file != Path::new("src/schedule/cron.rs") {
            assert!(!text.contains("tokio_cron_scheduler"), "{}", file.display());
        }
    }
}
