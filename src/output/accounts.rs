//! Users and groups of the host: from its /etc/passwd and /etc/group, and for those that live
//! elsewhere (LDAP, SSSD) from `getent`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::model::{outcome::Problem, reason::Reason};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// The home folder, as the host sees it.
    pub home: PathBuf,
}

/// Looks a user up on the host whose root is at `prefix`.
pub fn user(prefix: &Path, name: &str) -> Result<User, Problem> {
    lookup(prefix, "passwd", name)
        .and_then(|line| parse_user(&line))
        .ok_or_else(|| unknown("user", name))
}

/// Looks a group up; its id.
pub fn group(prefix: &Path, name: &str) -> Result<u32, Problem> {
    let id = |line: String| line.split(':').nth(2)?.parse().ok();
    lookup(prefix, "group", name).and_then(id).ok_or_else(|| unknown("group", name))
}

/// The ids of a group's members, as far as they are listed with the group.
pub fn members(prefix: &Path, name: &str) -> Vec<u32> {
    let line = lookup(prefix, "group", name).unwrap_or_default();
    let listed = line.split(':').nth(3).unwrap_or_default();
    let members = listed.split(',').filter(|member| !member.is_empty());
    members.filter_map(|member| user(prefix, member).ok()).map(|user| user.uid).collect()
}

/// Every user of the host's own file, by name; those that live elsewhere are not listed anywhere.
pub fn users(prefix: &Path) -> Vec<(String, User)> {
    let text = fs::read_to_string(prefix.join("etc/passwd")).unwrap_or_default();
    let named = |line: &str| Some((line.split(':').next()?.to_owned(), parse_user(line)?));
    text.lines().filter_map(named).collect()
}

/// The ids of the groups that list a user as a member.
pub fn groups_of(prefix: &Path, name: &str) -> Vec<u32> {
    let text = fs::read_to_string(prefix.join("etc/group")).unwrap_or_default();
    let of = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let member = fields.get(3)?.split(',').any(|member| member == name);
        member.then(|| fields.get(2)?.parse().ok())?
    };
    text.lines().filter_map(of).collect()
}

fn lookup(prefix: &Path, database: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(prefix.join("etc").join(database)).unwrap_or_default();
    let named = |line: &&str| line.split(':').next() == Some(name);
    if let Some(line) = text.lines().find(named) {
        return Some(line.to_owned());
    }
    if prefix != Path::new("/") {
        return None;
    }
    let output = Command::new("getent")
        .args([database, name])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find(named).map(str::to_owned)
}

fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    Some(User {
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
        home: fields.get(5).filter(|home| home.starts_with('/')).map(PathBuf::from)?,
    })
}

fn unknown(what: &str, name: &str) -> Problem {
    Problem::new(Reason::OutputOwnerUnknown, format!("{what} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_the_hosts_own_file() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(
            root.path().join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nci:x:1001:1002:,:/srv/ci:\n",
        )
        .unwrap();
        let found = user(root.path(), "ci").unwrap();
        assert_eq!(found, User { uid: 1001, gid: 1002, home: "/srv/ci".into() });
        assert_eq!(user(root.path(), "c").unwrap_err().reason, Reason::OutputOwnerUnknown);
    }
}
