//! How far the work is, on a terminal alone: on standard error, so that standard output stays what was asked for.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::backup::Progress;
use crate::control::PhaseStep;

const WITH_TOTAL: &str = "{msg:32} [{bar:30}] {percent:>3}%";
const WITHOUT_TOTAL: &str = "{msg:32} {pos}";

/// A bar that says what is being done, drawn on a terminal alone. It is gone when this is dropped: what is printed next
/// stands where it stood.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar that shows nothing until the first step.
    pub fn new() -> Self {
        let target = ProgressDrawTarget::stderr();
        Self(ProgressBar::with_draw_target(None, target))
    }

    /// Shows a step.
    pub fn show(&self, step: &PhaseStep) {
        show(&self.0, step);
    }

    /// The watcher of work that this process does itself.
    pub fn progress(&self) -> Progress {
        let bar = self.0.clone();
        Progress::new(move |step| show(&bar, &step.into()))
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn show(bar: &ProgressBar, step: &PhaseStep) {
    let phase = phase(&step.phase);
    let known = step.total > 0;
    if bar.message() != phase || bar.length().is_some() != known {
        let template = if known { WITH_TOTAL } else { WITHOUT_TOTAL };
        // A test sees to it that the templates are understood.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !known {
            bar.unset_length();
        }
        bar.set_message(phase.to_owned());
    }
    if known {
        bar.set_length(step.total);
    }
    bar.set_position(step.done);
}

/// What a phase is called for people.
fn phase(name: &str) -> &str {
    match name {
        "copy" => "copying the database",
        "check" => "checking pages and indexes",
        "open" => "opening every sealed row",
        "encrypt" => "encrypting the copy",
        "decrypt" => "decrypting the backup",
        "keypair" => "server key pairs",
        "user" => "users",
        "wallet" => "wallets",
        "share" => "key shares",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_understood() {
        for template in [WITH_TOTAL, WITHOUT_TOTAL] {
            ProgressStyle::with_template(template).unwrap();
        }
    }

    #[test]
    fn a_phase_of_a_newer_node_is_shown_by_its_name() {
        let bar = Bar(ProgressBar::hidden());
        for (name, total, shown) in [
            ("open", 10, "opening every sealed row"),
            ("fold", 0, "fold"),
        ] {
            let phase = name.to_owned();
            let done = 3;
            bar.show(&PhaseStep { phase, done, total });
            assert_eq!(bar.0.message(), shown);
            assert_eq!(bar.0.position(), 3);
        }
    }
}
