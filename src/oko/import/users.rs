//! Users.

use rusqlite::Connection;

use super::{Import, Seen};
use crate::crypto::KeyRing;
use crate::oko::OkoError;
use crate::oko::imported::{Entry, Imported, UserExtra};
use crate::oko::report::Outcome;
use crate::oko::rows::{Kind, User};
use crate::shares::{Sealing, Transfer};

const CHUNK: usize = 512;

/// What is to be done about a user.
enum Plan {
    There,
    Conflict(&'static str),
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
            let (last, count) = (chunk.last, chunk.rows.len());
            let mut plans = Vec::with_capacity(count);
            let ring = &self.node.ring;
            let planned = self
                .node
                .store
                .read(|connection| {
                    let plans = chunk.rows.into_iter();
                    plans
                        .map(|user| Ok((user.user_id, plan(connection, ring, user)?)))
                        .collect::<Result<Vec<_>, OkoError>>()
                })
                .await?;
            for (id, plan) in planned {
                match plan {
                    Plan::There => self.report.note(Kind::User, Outcome::There),
                    Plan::Conflict(why) => self.report.skip(Kind::User, id, why),
                    plan => plans.push(plan),
                }
            }
            self.write_users(plans).await?;
            self.tell(&mut pass, count);
            if last {
                return Ok(());
            }
        }
    }

    async fn write_users(&mut self, plans: Vec<Plan>) -> Result<(), OkoError> {
        if plans.is_empty() {
            return Ok(());
        }
        let outcomes: Vec<Outcome> = plans.iter().map(Plan::outcome).collect();
        if !self.options.dry_run {
            self.begin().await?;
            self.node
                .store
                .write(move |connection| plans.iter().try_for_each(|plan| plan.write(connection)))
                .await?;
        } else {
            let Seen { users, .. } = &mut self.seen;
            users.extend(plans.iter().filter_map(|plan| match plan {
                Plan::Add { user, .. } => Some(user.user_id),
                Plan::Note { entry, .. } => Some(entry.source_id),
                _ => None,
            }));
        }
        self.note_all(Kind::User, outcomes);
        Ok(())
    }
}

fn plan(connection: &Connection, ring: &KeyRing, user: User) -> Result<Plan, OkoError> {
    let (imported, transfer) = (Imported(connection), Transfer(connection));
    let identifier = Sealing(ring).blind_user(&user.identity)?;
    let extra = UserExtra::from(&user);
    let seal = || Entry::seal(ring, Kind::User, user.user_id, &extra);
    if let Some(entry) = imported.of_source(Kind::User, user.user_id)? {
        let known = transfer.user(entry.row)?;
        if known.is_none_or(|known| known.identifier != identifier) {
            return Ok(Plan::Conflict("this id is another user's here"));
        }
        if entry.open::<UserExtra>(ring, Kind::User)? == extra {
            return Ok(Plan::There);
        }
        return Ok(Plan::Note {
            row: entry.row,
            entry: seal()?,
            outcome: Outcome::Updated,
        });
    }
    if let Some(known) = transfer.user_of(&identifier)? {
        // He registered here before; what the suite has of him is added to that.
        return Ok(Plan::Note {
            row: known.row,
            entry: seal()?,
            outcome: Outcome::There,
        });
    }
    let entry = seal()?;
    Ok(Plan::Add {
        user,
        identifier,
        entry,
    })
}

impl Plan {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Note { outcome, .. } => *outcome,
            Self::Add { .. } => Outcome::Imported,
            Self::There | Self::Conflict(_) => Outcome::There,
        }
    }

    fn write(&self, connection: &Connection) -> Result<(), OkoError> {
        let imported = Imported(connection);
        match self {
            Self::There | Self::Conflict(_) => {}
            Self::Note { row, entry, .. } => imported.put(Kind::User, *row, entry)?,
            Self::Add {
                user,
                identifier,
                entry,
            } => {
                let row = Transfer(connection).add_user(
                    user.user_id,
                    user.identity.auth_type(),
                    identifier,
                    user.created_at.timestamp(),
                )?;
                imported.put(Kind::User, row, entry)?;
            }
        }
        Ok(())
    }
}
