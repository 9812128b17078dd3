//! Paths as the original treats them, with the working directory and the users of a [`World`].

use muster_supervisord::paths;

use super::world::{Account, World};

pub(super) use paths::directory;

/// `os.path.expanduser`.
pub(super) fn expand_user(path: &str, world: &dyn World) -> String {
    paths::expand_user(path, |name| {
        if !name.is_empty() {
            return world.user(Account::Name(name)).map(|user| user.home);
        }
        world.variable("HOME").or_else(|| Some(world.user(Account::Id(world.uid()))?.home))
    })
}

/// `os.path.abspath`.
pub(super) fn absolute(path: &str, world: &dyn World) -> String {
    paths::absolute(path, &world.cwd())
}

/// The original's `normalize_path`.
pub(super) fn normalized(path: &str, world: &dyn World) -> String {
    absolute(&expand_user(path, world), world)
}
