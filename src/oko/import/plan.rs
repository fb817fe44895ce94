//! What is to be done about each row of a chunk, and doing it.

use rusqlite::Connection;
use uuid::Uuid;

use super::{Import, Pass, Seen};
use crate::crypto::KeyRing;
use crate::oko::OkoError;
use crate::oko::report::Outcome;
use crate::oko::rows::Row;
use crate::store::StoreError;

/// What is to be done about a row.
pub(super) enum Plan<C> {
    /// It is here as it is there.
    There,
    /// It cannot be taken over, for this reason.
    Skip(String),
    /// It is to be written.
    Write(C),
}

/// What is to be done about rows, by their ids in the suite.
pub(super) type Plans<C> = Vec<(Uuid, Plan<C>)>;

/// What is written for a row.
pub(super) trait Change: Send + 'static {
    /// What it comes to.
    fn outcome(&self) -> Outcome;

    /// Notes what later rows may refer to, when it is not written.
    fn see(&self, seen: &mut Seen);

    fn write(&self, connection: &Connection) -> Result<(), StoreError>;
}

/// Looks up what is here of a row.
pub(super) type LookUp<R, C> = fn(&Connection, &KeyRing, &Seen, R) -> Result<Plan<C>, OkoError>;

impl Import<'_> {
    /// Looks up rows that need no key derivation, and carries out what is planned.
    pub(super) async fn take_over<R: Row, C: Change>(
        &mut self,
        pass: &mut Pass,
        rows: Vec<R>,
        look_up: LookUp<R, C>,
    ) -> Result<(), OkoError> {
        let (ring, seen) = (&self.node.ring, &self.seen);
        let plans = self
            .node
            .store
            .read(|connection| {
                let rows = rows.into_iter();
                rows.map(|row| Ok((row.id(), look_up(connection, ring, seen, row)?)))
                    .collect::<Result<_, OkoError>>()
            })
            .await?;
        self.carry_out(pass, plans).await
    }

    /// Writes the changes in one transaction, and reports each row.
    pub(super) async fn carry_out<C: Change>(
        &mut self,
        pass: &mut Pass,
        plans: Plans<C>,
    ) -> Result<(), OkoError> {
        let (kind, count) = (pass.kind, plans.len());
        let mut changes = Vec::with_capacity(count);
        for (id, plan) in plans {
            match plan {
                Plan::There => self.report.note(kind, Outcome::There),
                Plan::Skip(why) => self.report.skip(kind, id, why),
                Plan::Write(change) => changes.push(change),
            }
        }
        let outcomes: Vec<Outcome> = changes.iter().map(Change::outcome).collect();
        self.write(changes).await?;
        self.note_all(kind, outcomes);
        self.tell(pass, count);
        Ok(())
    }

    async fn write<C: Change>(&mut self, changes: Vec<C>) -> Result<(), OkoError> {
        if self.options.dry_run {
            changes.iter().for_each(|change| change.see(&mut self.seen));
        } else if !changes.is_empty() {
            self.begin().await?;
            let store = &self.node.store;
            store
                .write(move |connection| changes.iter().try_for_each(|one| one.write(connection)))
                .await?;
        }
        Ok(())
    }
}
