//! Whether what clients saw of one key could have been seen of a node that does one call after the other, each at some
//! moment between its beginning and its end (Wing and Gong's search, with Lowe's memory of where it was).
//!
//! One key has few clients and a small state, so the search is short; keys do not touch each other, so a history is as
//! good as the histories of its keys.

use std::collections::HashSet;
use std::time::Instant;

/// The share that a key has; none before its register.
type State = Option<u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Stored, or refused because the key is known.
    Register {
        share: u64,
        stored: bool,
    },
    /// Of a register that was not answered it is not known whether it was: what is known is that it was not later.
    Unanswered {
        share: u64,
    },
    Get(Option<u64>),
    Check(bool),
    /// Confirmed; or it is another share (`Some(false)`); or there is none.
    Reshare {
        share: u64,
        confirmed: Option<bool>,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub begun: Instant,
    pub ended: Instant,
    pub call: Call,
}

impl Call {
    /// The states that may follow on this one: none when it cannot have been so.
    fn after(self, state: State) -> Vec<State> {
        let only_if = |fits: bool| if fits { vec![state] } else { Vec::new() };
        match self {
            Self::Register {
                share,
                stored: true,
            } if state.is_none() => vec![Some(share)],
            Self::Register { stored, .. } => only_if(!stored && state.is_some()),
            Self::Unanswered { share } if state.is_none() => vec![None, Some(share)],
            Self::Unanswered { .. } => vec![state],
            Self::Get(found) => only_if(state == found),
            Self::Check(exists) => only_if(state.is_some() == exists),
            Self::Reshare { share, confirmed } => only_if(match confirmed {
                Some(confirmed) => state.is_some() && (state == Some(share)) == confirmed,
                None => state.is_none(),
            }),
        }
    }
}

/// Whether there is such an order.
pub fn is_linearizable(history: &[Operation]) -> bool {
    let mut waiting = vec![(vec![false; history.len()], None)];
    let mut known = HashSet::new();
    while let Some((done, state)) = waiting.pop() {
        if done.iter().all(|done| *done) {
            return true;
        }
        if !known.insert((done.clone(), state)) {
            continue;
        }
        let undone = || (0..history.len()).filter(|&index| !done[index]);
        let first_end = undone().map(|index| history[index].ended).min().unwrap();
        // Whoever began later than another ended came after it.
        for next in undone().filter(|&index| history[index].begun <= first_end) {
            for state in history[next].call.after(state) {
                let mut done = done.clone();
                done[next] = true;
                waiting.push((done, state));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Call::*;
    use super::*;

    /// Calls with the moments of their beginnings and ends.
    fn history(calls: &[(u64, u64, Call)]) -> Vec<Operation> {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let operation = |&(begun, ended, call)| Operation {
            begun: at(begun),
            ended: at(ended),
            call,
        };
        calls.iter().map(operation).collect()
    }

    const STORED: Call = Register {
        share: 7,
        stored: true,
    };
    const OTHER: Call = Register {
        share: 8,
        stored: true,
    };
    const KNOWN: Call = Register {
        share: 8,
        stored: false,
    };

    #[test]
    fn what_a_good_node_does_is_accepted() {
        let goods: &[&[(u64, u64, Call)]] = &[
            &[],
            &[
                (0, 1, Get(None)),
                (2, 3, STORED),
                (4, 5, Get(Some(7))),
                (4, 6, Check(true)),
            ],
            // At the same moment either may be first.
            &[(0, 9, STORED), (1, 2, Get(Some(7))), (3, 4, Check(true))],
            &[(0, 9, STORED), (1, 2, Check(false)), (3, 4, Get(Some(7)))],
            &[(0, 9, STORED), (1, 2, KNOWN)],
            &[(0, 9, KNOWN), (1, 2, STORED)],
            // Without an answer both are possible, until the end of the call.
            &[
                (0, 3, Unanswered { share: 7 }),
                (4, 5, Get(None)),
                (6, 7, OTHER),
            ],
            &[
                (0, 3, Unanswered { share: 7 }),
                (4, 5, Get(Some(7))),
                (6, 7, KNOWN),
            ],
            &[
                (0, 9, Unanswered { share: 7 }),
                (4, 5, Get(None)),
                (10, 11, Check(true)),
            ],
            &[
                (0, 1, STORED),
                (
                    2,
                    3,
                    Reshare {
                        share: 7,
                        confirmed: Some(true),
                    },
                ),
                (
                    2,
                    3,
                    Reshare {
                        share: 8,
                        confirmed: Some(false),
                    },
                ),
            ],
            &[
                (
                    0,
                    1,
                    Reshare {
                        share: 7,
                        confirmed: None,
                    },
                ),
                (2, 3, STORED),
            ],
        ];
        for calls in goods {
            assert!(is_linearizable(&history(calls)), "{calls:?}");
        }
    }

    #[test]
    fn what_a_good_node_never_does_is_found() {
        let bad: &[&[(u64, u64, Call)]] = &[
            // An acknowledged share that is not there, or no more.
            &[(0, 1, STORED), (2, 3, Get(None))],
            &[(0, 1, STORED), (2, 3, Check(false))],
            &[(0, 1, STORED), (2, 3, Get(Some(7))), (4, 5, Get(None))],
            &[
                (0, 1, STORED),
                (
                    2,
                    3,
                    Reshare {
                        share: 7,
                        confirmed: None,
                    },
                ),
            ],
            // Two of them, or another one.
            &[(0, 1, STORED), (2, 3, OTHER)],
            &[(0, 1, STORED), (0, 1, OTHER)],
            &[(0, 1, STORED), (2, 3, Get(Some(8)))],
            &[
                (0, 1, STORED),
                (
                    2,
                    3,
                    Reshare {
                        share: 7,
                        confirmed: Some(false),
                    },
                ),
            ],
            &[
                (0, 1, STORED),
                (
                    2,
                    3,
                    Reshare {
                        share: 8,
                        confirmed: Some(true),
                    },
                ),
            ],
            // One that nobody stored, or that is there before it is asked for.
            &[(0, 1, KNOWN)],
            &[(0, 1, Get(Some(7)))],
            &[(0, 1, Get(Some(7))), (2, 3, STORED)],
            // Seen, and then not yet there.
            &[(0, 9, STORED), (1, 2, Get(Some(7))), (3, 4, Check(false))],
            // What was not answered is decided at its end.
            &[
                (0, 3, Unanswered { share: 7 }),
                (4, 5, Get(None)),
                (6, 7, Get(Some(7))),
            ],
            &[
                (0, 3, Unanswered { share: 7 }),
                (4, 5, Get(Some(7))),
                (6, 7, Get(None)),
            ],
        ];
        for calls in bad {
            assert!(!is_linearizable(&history(calls)), "{calls:?}");
        }
    }
}
