//! A `mysql` trigger as its parameters declare it.

use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

use super::login::Login;
use super::table;
use crate::parameters::Parameters;
use crate::sql::QueryTrigger;

/// What to ask, and whom.
#[derive(Debug)]
pub(super) struct MysqlTrigger {
    pub(super) login: Login,
    pub(super) query: QueryTrigger,
}

impl MysqlTrigger {
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
        let target = parameters.target(&table::QUERY_VALUE);
        let activation = parameters.number(&table::ACTIVATION_QUERY_VALUE);
        let login = Login::read(parameters)?;
        // KEDA's name of the metric, with the characters that it replaces.
        let name = format!("mysql-{}", login.database);
        let name = name.replace(['/', '.', ':', '%', '(', ')'], "-");
        let query = QueryTrigger::new(text, target?, activation.unwrap_or(0.0), name);
        Some(Self { login, query })
    }
}

#[cfg(test)]
mod tests;
