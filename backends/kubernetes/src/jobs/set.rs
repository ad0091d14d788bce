//! The Jobs of one ScaledJob: those that the watch shows, those that are being made, and what is to
//! be done about them. Pure: no I/O, and time only as it is given.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::{FunctionId, JobCounts, StartFailure};

use super::job::{Job, JobPod, Progress};
use super::object::JobObject;
use crate::back_off::BackOff;

/// Creations of one ScaledJob that are under way at most.
const IN_FLIGHT: u32 = 8;
/// UIDs of Jobs that were deleted last: an answer about one of them may still come.
const GONE: usize = 256;
const BACK_OFF: BackOff = BackOff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The Jobs of one ScaledJob.
#[derive(Debug)]
pub(super) struct JobSet {
    /// What they are made of; `None`: it is not ours, and they are only counted.
    pub(super) object: Option<Arc<JobObject>>,
    /// Whether its Jobs were listed since it is ours: what an owner before made may not show yet.
    pub(super) is_listed: bool,
    is_listing: bool,
    jobs: HashMap<Arc<str>, Job>,
    pods: HashMap<Box<str>, JobPod>,
    gone: VecDeque<Arc<str>>,
    in_flight: u32,
    begun: u64,
    /// What `begun` is to reach.
    ordered: u64,
    /// Created since that was last told.
    created: u32,
    back_off: BackOff,
    retry_at: Option<Instant>,
    pub(super) failure: Option<StartFailure>,
    /// UIDs of Jobs that are being deleted.
    deleting: HashSet<Arc<str>>,
    delete_back_off: BackOff,
    delete_at: Option<Instant>,
    /// Of older generations, deleted since that was last told.
    rolled_out: u32,
    /// What was told last.
    pub(super) told: Option<(JobCounts, Option<StartFailure>)>,
}

/// One Job to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deletion {
    pub(super) uid: Arc<str>,
    pub(super) name: Arc<str>,
    /// Because it is of an older generation; else because enough are kept.
    pub(super) is_rollout: bool,
}

impl Default for JobSet {
    fn default() -> Self {
        Self {
            object: None,
            is_listed: false,
            is_listing: false,
            jobs: HashMap::new(),
            pods: HashMap::new(),
            gone: VecDeque::new(),
            in_flight: 0,
            begun: 0,
            ordered: 0,
            created: 0,
            back_off: BACK_OFF,
            retry_at: None,
            failure: None,
            deleting: HashSet::new(),
            delete_back_off: BACK_OFF,
            delete_at: None,
            rolled_out: 0,
            told: None,
        }
    }
}

impl JobSet {
    /// It is ours from now on, or changed.
    pub(super) fn declare(&mut self, object: Arc<JobObject>) {
        let is_other = |old: &Arc<JobObject>| old.uid != object.uid;
        if self.object.as_ref().is_none_or(is_other) {
            self.ordered = self.begun;
            self.failure = None;
            self.is_listed = false;
        }
        if self.object.as_ref() != Some(&object) {
            // A mended template is tried at once.
            self.retry_at = None;
            self.back_off.reset();
        }
        self.object = Some(object);
    }

    /// It is not ours any more: what is not begun is not made.
    pub(super) fn forget(&mut self) {
        self.object = None;
        self.ordered = self.begun;
        self.failure = None;
        self.told = None;
    }

    /// Whether nothing is known or wanted of it.
    pub(super) fn is_empty(&self) -> bool {
        self.object.is_none() && self.jobs.is_empty() && self.pods.is_empty() && self.in_flight == 0
    }

    /// Whether something is under way for whoever had it before.
    pub(super) fn is_loose(&self) -> bool {
        self.object.is_none() && self.in_flight > 0
    }

    // === what the watch shows ===

    pub(super) fn put(&mut self, uid: Arc<str>, job: Job) {
        self.jobs.insert(uid, job);
    }

    pub(super) fn remove(&mut self, uid: &str) {
        if let Some((uid, _)) = self.jobs.remove_entry(uid) {
            self.deleting.remove(&uid);
            if self.gone.len() == GONE {
                self.gone.pop_front();
            }
            self.gone.push_back(uid);
        }
    }

    pub(super) fn put_pod(&mut self, uid: Box<str>, pod: JobPod) {
        self.pods.insert(uid, pod);
    }

    pub(super) fn remove_pod(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    /// What a whole list did not show is gone.
    pub(super) fn sweep_jobs(&mut self, list: u64) {
        let gone = self.jobs.iter().filter(|(_, job)| job.seen < list);
        let gone: Vec<_> = gone.map(|(uid, _)| Arc::clone(uid)).collect();
        for uid in gone {
            self.remove(&uid);
        }
    }

    pub(super) fn sweep_pods(&mut self, list: u64) {
        self.pods.retain(|_, pod| pod.seen >= list);
    }

    /// Whether its Jobs are to be listed now, which begins then.
    pub(super) fn begin_list(&mut self, now: Instant) -> Option<Arc<JobObject>> {
        let object = self.object.clone()?;
        let is_due = self.retry_at.is_none_or(|at| at <= now);
        if self.is_listed || self.is_listing || !is_due {
            return None;
        }
        self.is_listing = true;
        Some(object)
    }

    /// These are its Jobs, those included that the watch is still to show.
    pub(super) fn listed(&mut self, jobs: impl IntoIterator<Item = (Arc<str>, Job)>) {
        self.is_listing = false;
        self.is_listed = true;
        self.back_off.reset();
        self.retry_at = None;
        for (uid, job) in jobs {
            if !self.gone.contains(&uid) {
                self.jobs.entry(uid).or_insert(job);
            }
        }
    }

    /// They could not be listed; that is tried again.
    pub(super) fn not_listed(&mut self, now: Instant) -> Duration {
        self.is_listing = false;
        let pause = self.back_off.next();
        self.retry_at = Some(now + pause);
        pause
    }

    // === counting ===

    /// Those that are being made count: nobody orders them twice.
    pub(super) fn counts(&self) -> JobCounts {
        let needed = self.object.as_ref();
        let needed = needed.map_or(&[][..], |it| it.pending_pod_conditions.as_slice());
        let at_work = self.pods.values().filter(|pod| pod.is_at_work(needed));
        let at_work: HashSet<&str> = at_work.map(|pod| &*pod.job).collect();
        let (mut running, mut pending) = (self.in_flight, self.in_flight);
        for (uid, job) in self.jobs.iter().filter(|(_, job)| !job.is_finished()) {
            running += 1;
            let is_said = needed.is_empty() && job.is_at_work;
            if !is_said && !at_work.contains(&**uid) {
                pending += 1;
            }
        }
        JobCounts {
            running,
            pending,
            begun: self.begun,
        }
    }

    // === making ===

    /// So many are to be begun in all.
    pub(super) fn order(&mut self, begun: u64) {
        self.ordered = begun.max(self.begun);
        if self.wanted() == 0 {
            self.failure = None;
        }
    }

    /// Not begun yet.
    pub(super) fn wanted(&self) -> u32 {
        u32::try_from(self.ordered.saturating_sub(self.begun)).unwrap_or(u32::MAX)
    }

    /// Begins one, if one is wanted and may be tried: after a failure one at a time.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Arc<JobObject>> {
        let object = self.object.clone()?;
        let most = match self.back_off.failures() {
            0 => IN_FLIGHT,
            _ => 1,
        };
        let is_due = self.retry_at.is_none_or(|at| at <= now);
        if self.wanted() == 0 || self.in_flight >= most || !is_due {
            return None;
        }
        self.in_flight += 1;
        self.begun += 1;
        Some(object)
    }

    /// One was made; the watch may have shown it already, and may have shown its end.
    pub(super) fn made(&mut self, uid: Arc<str>, job: Job) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.created += 1;
        self.back_off.reset();
        self.retry_at = None;
        self.failure = None;
        if !self.gone.contains(&uid) {
            self.jobs.entry(uid).or_insert(job);
        }
    }

    /// One was refused: it is wanted again, after a pause.
    pub(super) fn refused(&mut self, now: Instant) -> Duration {
        self.in_flight = self.in_flight.saturating_sub(1);
        // Its begin is counted for ever; another one takes its place.
        if self.object.is_some() {
            self.ordered += 1;
        }
        let pause = self.back_off.next();
        self.retry_at = Some(now + pause);
        pause
    }

    /// Nobody wants it any more, and it was not made.
    pub(super) fn dropped(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// What was created since the last time, once nothing is under way.
    pub(super) fn take_created(&mut self) -> Option<u32> {
        let is_over = self.in_flight == 0 && self.created > 0;
        is_over.then(|| std::mem::take(&mut self.created))
    }

    // === deleting ===

    /// One Job that is to go and may be deleted now.
    pub(super) fn begin_deletion(&mut self, now: Instant) -> Option<Deletion> {
        if self.delete_at.is_some_and(|at| at > now) {
            return None;
        }
        let deletion = self.deletions().into_iter().next()?;
        self.deleting.insert(Arc::clone(&deletion.uid));
        Some(deletion)
    }

    pub(super) fn deleted(&mut self, deletion: &Deletion) {
        self.delete_back_off.reset();
        self.delete_at = None;
        self.rolled_out += u32::from(deletion.is_rollout);
    }

    pub(super) fn not_deleted(&mut self, deletion: &Deletion, now: Instant) {
        self.deleting.remove(&deletion.uid);
        self.delete_at = Some(now + self.delete_back_off.next());
    }

    /// How many of older generations were deleted, once none is left.
    pub(super) fn take_rolled_out(&mut self) -> Option<u32> {
        let is_left = || self.deletions().iter().any(|it| it.is_rollout);
        let is_over = self.rolled_out > 0 && !is_left();
        is_over.then(|| std::mem::take(&mut self.rolled_out))
    }

    /// Jobs that are to go and that nobody is deleting: of older generations, and of the finished
    /// ones those that finished first, beyond what is kept. Only those that are the ScaledJob's
    /// own.
    fn deletions(&self) -> Vec<Deletion> {
        let Some(object) = &self.object else {
            return Vec::new();
        };
        let is_own = |job: &Job| job.owner.as_deref() == Some(&*object.uid) && !job.is_deleting;
        let is_older = |job: &Job| job.generation.is_some_and(|it| it < object.generation);
        let is_rolled_out = |job: &Job| object.is_rolled_out_at_once && is_older(job);
        let own = || self.jobs.iter().filter(|(_, job)| is_own(job));
        let mut going: Vec<_> = own()
            .filter(|(_, job)| is_rolled_out(job))
            .map(|it| (it, true))
            .collect();
        for (is_success, kept) in [(true, object.kept_succeeded), (false, object.kept_failed)] {
            let mut finished: Vec<_> = own()
                .filter(|(_, job)| !is_rolled_out(job))
                .filter_map(|(uid, job)| Some((finished_at(job, is_success)?, (uid, job))))
                .collect();
            finished.sort_by_key(|(at, (uid, _))| (*at, Arc::clone(uid)));
            let kept = usize::try_from(kept).unwrap_or(usize::MAX);
            let surplus = finished.len().saturating_sub(kept);
            going.extend(
                finished
                    .into_iter()
                    .take(surplus)
                    .map(|(_, it)| (it, false)),
            );
        }
        let deletion = |((uid, job), is_rollout): ((&Arc<str>, &Job), bool)| Deletion {
            uid: Arc::clone(uid),
            name: Arc::clone(&job.name),
            is_rollout,
        };
        let is_new = |it: &Deletion| !self.deleting.contains(&it.uid);
        going.into_iter().map(deletion).filter(is_new).collect()
    }

    /// When something is to be done; `None`: nothing, as far as is known.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.object.as_ref()?;
        if !self.is_listed {
            let due = self.retry_at.unwrap_or(now);
            return (!self.is_listing).then_some(due);
        }
        let is_full =
            self.in_flight >= IN_FLIGHT || self.back_off.failures() > 0 && self.in_flight > 0;
        let create = (self.wanted() > 0 && !is_full).then(|| self.retry_at.unwrap_or(now));
        let delete = (!self.deletions().is_empty()).then(|| self.delete_at.unwrap_or(now));
        create.into_iter().chain(delete).min()
    }
}

fn finished_at(job: &Job, is_success: bool) -> Option<zeron_core::Timestamp> {
    match (job.progress, is_success) {
        (Progress::Succeeded(at), true) | (Progress::Failed(at), false) => Some(at),
        (Progress::Unfinished | Progress::Succeeded(_) | Progress::Failed(_), _) => None,
    }
}

/// All ScaledJobs of a cluster with Jobs, and those that are ours.
pub(super) type JobSets = HashMap<FunctionId, JobSet>;
