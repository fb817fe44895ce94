//! The administrator: his password, and his page below `/admin`.
//!
//! In reading order: `administrator` and `password` tell whether a password is his; `site` is where a request for the page
//! comes in and what every answer has in common; `visitor`, `session` and `forgery` decide who may ask, `route` what is asked
//! for; `login` lets in, `actions` does what a form asks for, long work as one of the `jobs`; `pages` and `assets` are what is
//! seen, and `download` is what is taken along.
//!
//! The pages are made here and not in a browser: they can be read without a script, they need no second API, and whoever may
//! not see something is not sent it.

mod actions;
mod administrator;
mod answer;
mod assets;
mod download;
mod error;
mod forgery;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod jobs;
mod login;
mod pacing;
mod pages;
mod password;
mod readable;
mod route;
mod second_factor;
mod session;
mod site;
mod visitor;

pub use administrator::{
    AdminError, Administrator, FIRST_PASSWORD_FILE, HASH_FILE, SHORTEST_PASSWORD, keep_password,
};
use error::PageError;
pub use jobs::{JobFacts, Jobs, Outcome};
pub use password::PasswordHash;
pub use readable::readable;
pub use second_factor::{Ring, SECOND_FACTOR_FILE, SecondFactor, remove_second_factor};
pub use session::{Flash, SessionFacts, Sessions};
pub use site::{Access, Answer, Rooms, Site, SiteParts};
pub use visitor::{Visitor, Way};
