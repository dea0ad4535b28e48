//! Keeps the users in step with their file, and the keys of issuers with theirs.
//!
//! A file is looked at three times a second rather than subscribed to: that works on every file system, through renames and
//! symbolic links, and a missed event cannot leave a removed user in.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Identity;
use super::jwt::Issuer;
use super::users::UsersFile;

const PERIOD: Duration = Duration::from_millis(300);
/// A file that changed so recently may change again without a new time stamp, so its stamp is not trusted yet.
const SETTLED: Duration = Duration::from_secs(2);

/// What a change of a file's content changes. `None` where it could change again unseen.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<(u64, u64, u64, SystemTime, i64, i64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().and_then(|file| {
            let modified = file.modified().ok()?;
            let settled = modified.elapsed().is_ok_and(|age| age > SETTLED);
            settled.then(|| (file.dev(), file.ino(), file.len(), modified, file.ctime(), file.ctime_nsec()))
        }))
    }

    /// Whether the file is surely the one that `self` was taken of.
    fn holds(&self, path: &Path) -> bool {
        self.0.is_some() && *self == Self::of(path)
    }
}

/// What one look at the file saw.
struct Look {
    stamp: Stamp,
    file: Result<UsersFile, String>,
}

fn look(path: &Path, last: &Stamp) -> Option<Look> {
    if last.holds(path) {
        return None;
    }
    let stamp = Stamp::of(path);
    Some(Look { stamp, file: UsersFile::load(path).map_err(|error| error.to_string()) })
}

/// Looks, and asks, until it is told to stop.
pub(super) async fn run(identity: &Identity, stop: CancellationToken) {
    // Each in a task of its own: what comes from elsewhere must not be able to end the watch over the users. They end with this.
    let mut fetching = JoinSet::new();
    for at in 0..issuers(identity).len() {
        let identity = identity.clone();
        fetching.spawn(async move {
            if let Some(issuer) = issuers(&identity).get(at) {
                issuer.follow(|| identity.announce()).await;
            }
        });
    }
    look_at_files(identity, stop).await;
}

fn issuers(identity: &Identity) -> &[Issuer] {
    identity.0.trust.get().map_or(&[], |trust| trust.issuers())
}

async fn look_at_files(identity: &Identity, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stamp = Stamp(None);
    let mut keys = Vec::new();
    let mut current: Option<Result<UsersFile, String>> = None;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let path: PathBuf = identity.0.file.clone();
        let seen = tokio::task::spawn_blocking(move || {
            let look = look(&path, &stamp);
            (look, stamp)
        });
        let Ok((look, old)) = seen.await else { return };
        stamp = old;
        let following = identity.clone();
        let Ok(kept) = tokio::task::spawn_blocking(move || follow_keys(&following, keys)).await else { return };
        keys = kept;
        let Some(look) = look else { continue };
        stamp = look.stamp;
        if current.as_ref() != Some(&look.file) {
            apply(identity, &look.file, current.is_none());
            current = Some(look.file);
        }
    }
}

/// What the last look at an issuer's keys saw: the file, and what was wrong with it.
type SeenKeys = (Stamp, Option<String>);

/// Reloads the keys of every issuer whose file has changed. Blocks.
fn follow_keys(identity: &Identity, mut seen: Vec<SeenKeys>) -> Vec<SeenKeys> {
    let issuers = issuers(identity);
    seen.resize_with(issuers.len(), || (Stamp(None), None));
    for (issuer, (stamp, problem)) in issuers.iter().zip(&mut seen) {
        let Some(file) = issuer.file().filter(|file| !stamp.holds(file)) else { continue };
        *stamp = Stamp::of(file);
        let now = match issuer.reload(file) {
            Ok(changed) => {
                if changed {
                    identity.announce();
                }
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if now != *problem {
            if let Some(error) = &now {
                tracing::error!(error, "keys of an issuer are not usable, the last valid ones stay");
            }
            *problem = now;
        }
    }
    seen
}

fn apply(identity: &Identity, seen: &Result<UsersFile, String>, first: bool) {
    match seen {
        // What was read at start, or what was valid before the file broke.
        Ok(file) if identity.holds(file) => {
            if !first {
                tracing::info!(users = file.users().len(), "users file is usable again");
            }
        }
        Ok(file) => {
            identity.replace(file);
            tracing::info!(users = file.users().len(), epoch = identity.epoch(), "users file reloaded");
        }
        Err(error) => tracing::error!(%error, users = identity.len(), "users file is not usable, the last valid users stay"),
    }
}
