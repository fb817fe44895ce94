//! Of the whole-node tests' support, what their suite is made with.

use crate::users::BOT_TOKEN;

#[path = "../node/support/users.rs"]
mod users;

pub use users::{public_key, share};
