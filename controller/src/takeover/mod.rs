//! Taking over from KEDA and its HTTP add-on, and giving back: what differs, what to do, doing it.
//!
//! [`Survey`] is what was found, [`import`] and [`handback`] make a [`Plan`] of it without I/O,
//! and a step that is done already is in no plan: whoever was interrupted reads and plans again.

mod difference;
mod error;
mod finding;
mod liveness;
pub mod marks;
mod object;
mod perform;
mod plan;
mod read;
mod removal;
mod step;
mod survey;

#[cfg(test)]
mod tests;

pub use error::TakeoverError;
pub use finding::{Finding, Level, Refusal};
pub use liveness::{LeaseWatch, Life};
pub use object::{Kind, Object, ObjectName};
pub use perform::{Listener, Options, Performer, Progress};
pub use plan::{IsBuiltIn, Plan, Request, handback, import};
pub use read::{Places, Reader};
pub use step::{Origin, Step};
pub use survey::{Part, Survey};
