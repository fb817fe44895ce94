//! Taking over a node of the Docker suite, from a real Postgres and from a real dump, and giving one back.

mod contents;
mod encryption;
mod exports;
mod fixture;
mod imports;
mod large;
mod limit;
mod place;
mod refusals;
mod resumed;
mod rotation;
