//! KEDA's words for what happens to its objects.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The triggers are asked from now on.
    KedaScalersStarted,
    /// The triggers are not asked any more.
    KedaScalersStopped,
    /// A trigger cannot be asked.
    KedaScalerFailed,
    /// From zero up.
    KedaScaleTargetActivated,
    /// Down to zero.
    KedaScaleTargetDeactivated,
    /// From zero up, and it did not work.
    KedaScaleTargetActivationFailed,
    /// Down to zero, and it did not work.
    KedaScaleTargetDeactivationFailed,
    /// The count changed, above zero.
    ScaleTargetScaled,
    /// It is in force.
    ScaledObjectReady,
    /// It is not in force.
    ScaledObjectCheckFailed,
    /// Scaling is paused.
    ScaledObjectPaused,
    /// Scaling goes on.
    ScaledObjectUnpaused,
    /// The fallback holds.
    ScaledObjectFallbackActivated,
    /// The fallback does not hold any more.
    ScaledObjectFallbackDeactivated,
    /// It was deleted.
    ScaledObjectDeleted,
    /// The replicas of before could not be restored.
    RestoreFailed,
    /// It is in force.
    ScaledJobReady,
    /// It is not in force.
    ScaledJobCheckFailed,
    /// No Jobs are created.
    ScaledJobPaused,
    /// Jobs are created again.
    ScaledJobUnpaused,
    /// Jobs were created.
    KedaJobsCreated,
    /// A Job could not be created.
    KedaJobCreateFailed,
    /// Jobs of older generations were deleted.
    ScaledJobRolloutCleanupCompleted,
    /// A Job of an older generation could not be deleted.
    ScaledJobRolloutCleanupFailed,
    /// The child ScaledObject cannot be made.
    ChildRefused,
}

impl Reason {
    /// As an event has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KedaScalersStarted => "KEDAScalersStarted",
            Self::KedaScalersStopped => "KEDAScalersStopped",
            Self::KedaScalerFailed => "KEDAScalerFailed",
            Self::KedaScaleTargetActivated => "KEDAScaleTargetActivated",
            Self::KedaScaleTargetDeactivated => "KEDAScaleTargetDeactivated",
            Self::KedaScaleTargetActivationFailed => "KEDAScaleTargetActivationFailed",
            Self::KedaScaleTargetDeactivationFailed => "KEDAScaleTargetDeactivationFailed",
            Self::ScaleTargetScaled => "ScaleTargetScaled",
            Self::ScaledObjectReady => "ScaledObjectReady",
            Self::ScaledObjectCheckFailed => "ScaledObjectCheckFailed",
            Self::ScaledObjectPaused => "ScaledObjectPaused",
            Self::ScaledObjectUnpaused => "ScaledObjectUnpaused",
            Self::ScaledObjectFallbackActivated => "ScaledObjectFallbackActivated",
            Self::ScaledObjectFallbackDeactivated => "ScaledObjectFallbackDeactivated",
            Self::ScaledObjectDeleted => "ScaledObjectDeleted",
            Self::RestoreFailed => "RestoreFailed",
            Self::ScaledJobReady => "ScaledJobReady",
            Self::ScaledJobCheckFailed => "ScaledJobCheckFailed",
            Self::ScaledJobPaused => "ScaledJobPaused",
            Self::ScaledJobUnpaused => "ScaledJobUnpaused",
            Self::KedaJobsCreated => "KEDAJobsCreated",
            Self::KedaJobCreateFailed => "KEDAJobCreateFailed",
            Self::ScaledJobRolloutCleanupCompleted => "ScaledJobRolloutCleanupCompleted",
            Self::ScaledJobRolloutCleanupFailed => "ScaledJobRolloutCleanupFailed",
            Self::ChildRefused => "ChildRefused",
        }
    }

    /// Whether it is a Warning. A deletion is one, as in the original.
    pub fn is_warning(self) -> bool {
        matches!(
            self,
            Self::KedaScalerFailed
                | Self::KedaScaleTargetActivationFailed
                | Self::KedaScaleTargetDeactivationFailed
                | Self::ScaledObjectCheckFailed
                | Self::ScaledObjectDeleted
                | Self::RestoreFailed
                | Self::ScaledJobCheckFailed
                | Self::KedaJobCreateFailed
                | Self::ScaledJobRolloutCleanupFailed
                | Self::ChildRefused
        )
    }
}
