//! Whom the workers run as.

use nix::unistd::{Gid, Group, Uid, User};

use super::reader::Reader;

/// A user and a group to become; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: Option<Uid>,
    /// The user's name, by which supplementary groups are found.
    pub name: Option<String>,
    /// The group; the user's primary one unless another was named.
    pub gid: Option<Gid>,
}

/// What `--user` and `--group` name.
pub(super) fn identity(reader: &mut Reader) -> Identity {
    let user = reader.optional("user", find_user).unwrap_or_default();
    let group = reader.optional("group", find_group);
    let identity = Identity { gid: group.or(user.gid), ..user };
    let own = Identity { uid: Some(Uid::effective()), gid: Some(Gid::effective()), name: None };
    match (identity.uid, identity.gid) {
        _ if Uid::effective().is_root() => {}
        (Some(uid), _) if Some(uid) != own.uid => reader.wrong("user", ONLY_ROOT),
        (_, Some(gid)) if Some(gid) != own.gid => reader.wrong("group", ONLY_ROOT),
        _ => {}
    }
    if let (Some(uid), None) = (identity.uid, identity.gid)
        && reader.said.entry("group").is_none()
    {
        // Keeping the group would keep root's.
        reader.wrong("user", format!("there is no entry for user {uid}, so say --group as well"));
    }
    identity
}

const ONLY_ROOT: &str = "only root can run workers as somebody else";

fn find_user(text: &str) -> Result<Identity, String> {
    let (entry, number) = match text.parse() {
        Ok(number) => (User::from_uid(Uid::from_raw(number)), Some(Uid::from_raw(number))),
        Err(_) => (User::from_name(plain(text)?), None),
    };
    match (entry.map_err(|errno| format!("{text:?} cannot be looked up: {errno}"))?, number) {
        (Some(user), _) => Ok(Identity { uid: Some(user.uid), name: Some(user.name), gid: Some(user.gid) }),
        (None, Some(uid)) => Ok(Identity { uid: Some(uid), ..Identity::default() }),
        (None, None) => Err(format!("there is no user {text:?}")),
    }
}

fn find_group(text: &str) -> Result<Gid, String> {
    if let Ok(number) = text.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(plain(text)?) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(format!("there is no group {text:?}")),
        Err(errno) => Err(format!("{text:?} cannot be looked up: {errno}")),
    }
}

fn plain(name: &str) -> Result<&str, String> {
    match name {
        "" => Err("an empty name".to_owned()),
        _ if name.contains('\0') => Err(format!("{name:?} contains a NUL")),
        _ => Ok(name),
    }
}
