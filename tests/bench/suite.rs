//! The node of the Docker suite that the whole-node tests take over.

#[path = "../node/oko/encryption.rs"]
pub mod encryption;
#[path = "../node/oko/fixture.rs"]
pub mod fixture;
#[path = "../node/oko/limit.rs"]
pub mod limit;
