//! The listener: sockets, and how many connections are open at once.
//!
//! What is spoken over a connection is not this room's matter: it hands each one to a function.

mod listener;

pub use listener::{ListenError, bind, serve};
