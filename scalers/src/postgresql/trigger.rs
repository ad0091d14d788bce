//! A `postgresql` trigger as its parameters declare it.

use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

use super::login::Login;
use super::table;
use crate::parameters::Parameters;
use crate::sql::QueryTrigger;

/// Longest name of a channel, in bytes: PostgreSQL cuts longer ones (`NAMEDATALEN`).
const MAX_CHANNEL: usize = 63;

/// What to ask, and whom.
#[derive(Debug)]
pub(super) struct PostgresTrigger {
    pub(super) login: Login,
    pub(super) query: QueryTrigger,
}

impl PostgresTrigger {
    /// The trigger, unless something is wrong with it, and everything that was noticed.
    pub(super) fn parse(spec: &TriggerSpec) -> (Option<Self>, Vec<TriggerProblem>) {
        let mut parameters = Parameters::new(spec);
        let trigger = Self::read(&mut parameters);
        let problems = parameters.finish();
        let is_valid = problems.iter().all(|problem| problem.is_warning);
        (trigger.filter(|_| is_valid), problems)
    }

    fn read(parameters: &mut Parameters<'_>) -> Option<Self> {
        let text = parameters.required(&table::QUERY);
        let target = parameters.target(&table::TARGET_QUERY_VALUE);
        let activation = parameters.number(&table::ACTIVATION_TARGET_QUERY_VALUE);
        let channel = read_channel(parameters);
        let login = Login::read(parameters);
        let name = "postgresql".to_owned();
        let mut query = QueryTrigger::new(text, target?, activation.unwrap_or(0.0), name);
        query.channel = channel;
        Some(Self {
            login: login?,
            query,
        })
    }
}

fn read_channel(parameters: &mut Parameters<'_>) -> Option<String> {
    let is_pushed = parameters.flag(&table::PUSH);
    let channel = parameters.text(&table::CHANNEL).map(str::to_owned);
    match (&channel, is_pushed) {
        (None, true) => parameters.problem(&table::CHANNEL, "push needs channel"),
        (Some(_), false) => {
            parameters.warning(&table::CHANNEL, "channel is of use with push alone")
        }
        (Some(channel), true) if channel.len() > MAX_CHANNEL => {
            let message = format!("channel is longer than {MAX_CHANNEL} bytes");
            parameters.problem(&table::CHANNEL, message);
        }
        _ => {}
    }
    channel.filter(|_| is_pushed)
}

#[cfg(test)]
mod tests;
