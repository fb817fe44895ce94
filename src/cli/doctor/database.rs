//! Whether the secret opens the database, and whether this program reads it. Of a node that runs both are known.

use super::Case;
use crate::cli::finding::Finding;
use crate::crypto::EncryptionSecret;
use crate::node::MIGRATIONS;
use crate::store::{DATABASE_FILE, Keychain, StoreError, open_read_only, schema_version};

const AREA: &str = "database";

pub(super) fn look(case: &Case) -> Vec<Finding> {
    if case.node.is_some() {
        return vec![Finding::ok(AREA, "the node has it open")];
    }
    let path = case.config.data_dir.join(DATABASE_FILE);
    let finding = match schema_version(&path) {
        Ok(None) => Finding::note(AREA, format!("{} is not there yet", path.display()))
            .mend("ksnode init makes it"),
        Ok(Some(found)) if found > MIGRATIONS.len() => {
            let known = MIGRATIONS.len();
            Finding::wrong(
                AREA,
                StoreError::Newer {
                    path: path.clone(),
                    found,
                    known,
                }
                .to_string(),
            )
        }
        Ok(Some(_)) if !case.config.secret_file.exists() => return Vec::new(),
        Ok(Some(found)) => match opens(case) {
            Ok(()) => Finding::ok(
                AREA,
                format!("{} opens with the secret (schema {found})", path.display()),
            ),
            Err(error) => Finding::wrong(AREA, crate::cli::on_one_line(&error)),
        },
        Err(error) => Finding::wrong(AREA, error.to_string()),
    };
    vec![finding.on(&path)]
}

fn opens(case: &Case) -> anyhow::Result<()> {
    let config = &case.config;
    let secret = EncryptionSecret::from_file(&config.secret_file, config.allow_readable_secret)?;
    let connection = open_read_only(&config.data_dir.join(DATABASE_FILE))?;
    let keychain = Keychain(&connection);
    // A first start that was cut off has left no keys.
    if keychain.node_id()?.is_some() {
        keychain.open(&secret, None)?;
    }
    Ok(())
}
