//! What is seen of triggers from outside: when each was read, which are unknown, which functions fell to zero.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::Value;

use super::fleet::{Fate, Trigger};
use crate::subject::zeron::Zeron;

/// Timestamps of the admin API are microseconds of Unix time.
const MICROS: f64 = 1e6;

/// Everything seen so far.
#[derive(Debug)]
pub(super) struct Looks<'a> {
    triggers: HashMap<&'a str, &'a Trigger>,
    interval: f64,
    /// When each healthy trigger was read last, in seconds.
    read: HashMap<&'a str, f64>,
    /// By how much each reading came later than an interval after the one before.
    late: Vec<(&'a str, f64)>,
    unknown: BTreeSet<&'a str>,
    failed: BTreeSet<&'a str>,
    dropped: BTreeSet<&'a str>,
    woken: BTreeSet<&'a str>,
    looked: f64,
}

impl<'a> Looks<'a> {
    pub(super) fn of(triggers: &'a [Trigger], interval: Duration) -> Self {
        Self {
            triggers: triggers.iter().map(|it| (it.name.as_str(), it)).collect(),
            interval: interval.as_secs_f64(),
            read: HashMap::new(),
            late: Vec::new(),
            unknown: BTreeSet::new(),
            failed: BTreeSet::new(),
            dropped: BTreeSet::new(),
            woken: BTreeSet::new(),
            looked: 0.0,
        }
    }

    /// Triggers without a value, and those whose function should be up and is not.
    pub(super) fn missing(&self, zeron: &Zeron) -> Result<Vec<String>> {
        let mut missing: BTreeSet<&str> = self.triggers.keys().copied().collect();
        for function in functions(zeron)? {
            let Some(trigger) = self.trigger(&function) else {
                continue;
            };
            let is_up = function["ready"].as_u64() > Some(0);
            if read_at(&function).is_some() && is_up == trigger.is_busy {
                missing.remove(trigger.name.as_str());
            }
        }
        Ok(missing.into_iter().map(str::to_owned).collect())
    }

    /// From here on everything counts.
    pub(super) fn begin(&mut self, zeron: &Zeron) -> Result<()> {
        self.read.clear();
        self.look(zeron)
    }

    /// Looks at all functions.
    pub(super) fn look(&mut self, zeron: &Zeron) -> Result<()> {
        self.looked = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let functions = functions(zeron)?;
        for function in &functions {
            if let Some(trigger) = self.trigger(function) {
                self.see(trigger, function);
            }
        }
        Ok(())
    }

    fn see(&mut self, trigger: &'a Trigger, function: &Value) {
        let name = trigger.name.as_str();
        let replicas = ["desired", "ready"].map(|field| function[field].as_u64().unwrap_or(0));
        if trigger.is_busy && replicas.contains(&0) {
            self.dropped.insert(name);
        }
        if !trigger.is_busy && replicas != [0, 0] {
            self.woken.insert(name);
        }
        match (trigger.fate, read_at(function)) {
            (Fate::Fails, None) => {
                self.failed.insert(name);
            }
            (Fate::Fails, Some(_)) => {}
            (Fate::Healthy, None) => {
                self.unknown.insert(name);
            }
            (Fate::Healthy, Some(at)) => {
                if let Some(before) = self.read.insert(name, at)
                    && at > before
                {
                    self.late
                        .push((name, (at - before - self.interval).max(0.0)));
                }
            }
        }
    }

    /// What was not read again by now is late by as much as it is old.
    pub(super) fn end(&mut self) {
        for (name, at) in &self.read {
            let late = self.looked - at - self.interval;
            if late > 0.0 {
                self.late.push((name, late));
            }
        }
    }

    fn trigger(&self, function: &Value) -> Option<&'a Trigger> {
        let name = function["id"]["name"].as_str()?;
        self.triggers.get(name).copied()
    }

    /// The trigger and the lateness in seconds of every reading.
    pub(super) fn lateness(&self) -> impl Iterator<Item = &(&'a str, f64)> {
        self.late.iter()
    }

    /// Healthy triggers that were seen without a value.
    pub(super) fn unknown(&self) -> Vec<&'a str> {
        self.unknown.iter().copied().collect()
    }

    /// Triggers of failing sources that were seen without a value, as they must be.
    pub(super) fn failed(&self) -> usize {
        self.failed.len()
    }

    /// Functions with work that were seen without a replica.
    pub(super) fn dropped(&self) -> Vec<&'a str> {
        self.dropped.iter().copied().collect()
    }

    /// Functions without work that were seen with one.
    pub(super) fn woken(&self) -> Vec<&'a str> {
        self.woken.iter().copied().collect()
    }
}

fn functions(zeron: &Zeron) -> Result<Vec<Value>> {
    match zeron.admin("/v1/functions")?["functions"].take() {
        Value::Array(functions) => Ok(functions),
        _ => None.context("no functions"),
    }
}

/// When the function's trigger was read, in seconds of Unix time; none while it is unknown.
fn read_at(function: &Value) -> Option<f64> {
    let at = &function["triggers"][0]["value"]["known"]["at"];
    at.as_f64().map(|micros| micros / MICROS)
}
