//! Users.

use rusqlite::Connection;

use super::plan::{Change, Plan};
use super::{Import, Seen};
use crate::crypto::KeyRing;
use crate::oko::OkoError;
use crate::oko::imported::{Entry, Imported, UserExtra};
use crate::oko::report::Outcome;
use crate::oko::rows::{Kind, User};
use crate::shares::{Sealing, Transfer};
use crate::store::StoreError;

const CHUNK: usize = 512;

/// What is written for a user.
enum UserChange {
    /// He is new here.
    Add {
        user: User,
        identifier: Vec<u8>,
        entry: Entry,
    },
    /// He is here; what the suite noted of him is kept.
    Note {
        row: i64,
        entry: Entry,
        outcome: Outcome,
    },
}

impl Import<'_> {
    pub(super) async fn users(&mut self) -> Result<(), OkoError> {
        let mut pass = self.pass(Kind::User).await?;
        loop {
            let mut chunk = self.chunk::<User>(&mut pass, CHUNK).await?;
            for user in &mut chunk.rows {
                self.by_email += u64::from(self.options.subjects.apply(user));
            }
            self.take_over(&mut pass, chunk.rows, look_up).await?;
            if chunk.last {
                return Ok(());
            }
        }
    }
}

fn look_up(
    connection: &Connection,
    ring: &KeyRing,
    _: &Seen,
    user: User,
) -> Result<Plan<UserChange>, OkoError> {
    let (imported, transfer) = (Imported(connection), Transfer(connection));
    let identifier = Sealing(ring).blind_user(&user.identity)?;
    let extra = UserExtra::from(&user);
    let seal = || Entry::seal(ring, Kind::User, user.user_id, &extra);
    if let Some(entry) = imported.of_source(Kind::User, user.user_id)? {
        let known = transfer.user(entry.row)?;
        if known.is_none_or(|known| known.identifier != identifier) {
            return Ok(Plan::Skip("this id is another user's here".to_owned()));
        }
        if entry.open::<UserExtra>(ring, Kind::User)? == extra {
            return Ok(Plan::There);
        }
        return Ok(Plan::Write(UserChange::Note {
            row: entry.row,
            entry: seal()?,
            outcome: Outcome::Updated,
        }));
    }
    if let Some(known) = transfer.user_of(&identifier)? {
        // He registered here before; what the suite has of him is added to that.
        return Ok(Plan::Write(UserChange::Note {
            row: known.row,
            entry: seal()?,
            outcome: Outcome::There,
        }));
    }
    let entry = seal()?;
    Ok(Plan::Write(UserChange::Add {
        user,
        identifier,
        entry,
    }))
}

impl Change for UserChange {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Note { outcome, .. } => *outcome,
            Self::Add { .. } => Outcome::Imported,
        }
    }

    fn see(&self, seen: &mut Seen) {
        let id = match self {
            Self::Note { entry, .. } => entry.source_id,
            Self::Add { user, .. } => user.user_id,
        };
        seen.users.insert(id);
    }

    fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        let imported = Imported(connection);
        match self {
            Self::Note { row, entry, .. } => imported.put(Kind::User, *row, entry),
            Self::Add {
                user,
                identifier,
                entry,
            } => {
                let transfer = Transfer(connection);
                // Another row of the same chunk may have brought him: a list of names can give two addresses one.
                let row = match transfer.user_of(identifier)? {
                    Some(known) => known.row,
                    None => transfer.add_user(
                        user.user_id,
                        user.identity.auth_type(),
                        identifier,
                        user.created_at.timestamp(),
                    )?,
                };
                imported.put(Kind::User, row, entry)
            }
        }
    }
}
