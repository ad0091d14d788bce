//! A count that somebody asks for, and what becomes of it when another takes its place.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;
use zeron_core::EndpointId;

/// A count that somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    pub(crate) replicas: u32,
    pub(crate) victims: Arc<[EndpointId]>,
    /// The count that was known when it was asked for.
    pub(crate) base: Option<u32>,
    pub(crate) asked: Instant,
    /// Some attempt had no clear answer: it may have come about, or still come.
    pub(crate) is_doubtful: bool,
}

impl Wish {
    pub(super) fn class(&self) -> Class {
        match self.base {
            Some(0) if self.replicas > 0 => Class::FromZero,
            Some(base) if self.replicas <= base => Class::Down,
            Some(_) | None => Class::Up,
        }
    }

    pub(crate) fn is_lowering(&self) -> bool {
        self.base.is_some_and(|base| self.replicas < base)
    }

    /// Takes the place of `older`. Where both lower, what was to go still goes first; else `older`
    /// is given back: nothing comes of it.
    pub(super) fn replace(&mut self, older: Self) -> Option<Self> {
        if !(self.is_lowering() && older.is_lowering()) {
            return Some(older);
        }
        let victims: BTreeSet<EndpointId> = older
            .victims
            .iter()
            .chain(&*self.victims)
            .copied()
            .collect();
        self.victims = victims.into_iter().collect();
        self.is_doubtful |= older.is_doubtful;
        None
    }

    /// It was made in the belief that another write, itself made for `base`, would succeed: the
    /// count may be either. A wish that raises never lowers, so the lower one is the safe one.
    pub(super) fn doubt_base(&mut self, base: Option<u32>) {
        if let (Some(own), Some(base)) = (self.base, base) {
            self.base = Some(own.min(base));
        }
    }
}

/// In the order in which they are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    FromZero,
    Up,
    Down,
}
