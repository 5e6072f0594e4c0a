# SPDX-License-Identifier: Apache-2.0
"""Runs one neural network in several places.

    import splitnet

    part = splitnet.Partitioner("classifier.pt", example_inputs=[x])
    plan = splitnet.plan(part, worker="tcp://127.0.0.1:7070")
    print(plan.explain())
    with splitnet.Session(part, plan) as session:
        y = session(x)

Attributes of options and results are read-only, and their lists are copies: ``options.replace(threads=2)`` makes a
changed value. Times are seconds, sizes bytes, rates bytes per second; names end in the unit.
"""

from splitnet import _torch_version

_torch_version.check()

from splitnet import _build_info  # noqa: E402
from splitnet._core import (  # noqa: E402
    AccuracyEffect as AccuracyEffect,
    AdaptiveOptions as AdaptiveOptions,
    AdaptivePolicy as AdaptivePolicy,
    Answer as Answer,
    Assignment as Assignment,
    AttackSettings as AttackSettings,
    BatchingOptions as BatchingOptions,
    CalibratedCodec as CalibratedCodec,
    Calibration as Calibration,
    CalibrationOptions as CalibrationOptions,
    Candidate as Candidate,
    Choice as Choice,
    Codec as Codec,
    CodecEffect as CodecEffect,
    CodecProfile as CodecProfile,
    CodecRegistry as CodecRegistry,
    CodecSpeed as CodecSpeed,
    Coefficients as Coefficients,
    Computing as Computing,
    Conditions as Conditions,
    Connection as Connection,
    ConnectOptions as ConnectOptions,
    Constraints as Constraints,
    Cost as Cost,
    Cut as Cut,
    DagOptions as DagOptions,
    Decision as Decision,
    DecisionRecord as DecisionRecord,
    DevicePower as DevicePower,
    DeviceProfile as DeviceProfile,
    Doubt as Doubt,
    EncodedPicture as EncodedPicture,
    EncodedValues as EncodedValues,
    ErrorCode as ErrorCode,
    GraphValue as GraphValue,
    Histogram as Histogram,
    HopCost as HopCost,
    HopTimes as HopTimes,
    Layer as Layer,
    LayerGraph as LayerGraph,
    LayerTime as LayerTime,
    LayerTimePredictor as LayerTimePredictor,
    LayerTimings as LayerTimings,
    Leakage as Leakage,
    LeakageOptions as LeakageOptions,
    LeakageProfile as LeakageProfile,
    LinkDynamics as LinkDynamics,
    LinkEstimator as LinkEstimator,
    LinkProbeOptions as LinkProbeOptions,
    LinkProfile as LinkProfile,
    LinkSweep as LinkSweep,
    LinkTrace as LinkTrace,
    ListenOptions as ListenOptions,
    LogLevel as LogLevel,
    LogRecord as LogRecord,
    MessageLimits as MessageLimits,
    Model as Model,
    ModelStats as ModelStats,
    Objective as Objective,
    OrderEdge as OrderEdge,
    Outcome as Outcome,
    OutputKind as OutputKind,
    Plan as Plan,
    PlanningProblem as PlanningProblem,
    Price as Price,
    ProfileOptions as ProfileOptions,
    Reason as Reason,
    Reconnect as Reconnect,
    Refinement as Refinement,
    Refusal as Refusal,
    RefusalReason as RefusalReason,
    SequentialPlanner as SequentialPlanner,
    SessionOptions as SessionOptions,
    SessionStats as SessionStats,
    ShapedOptions as ShapedOptions,
    Similarity as Similarity,
    Situation as Situation,
    Stage as Stage,
    StageCacheLimits as StageCacheLimits,
    StageCacheStats as StageCacheStats,
    StageCost as StageCost,
    StageInfo as StageInfo,
    StageKey as StageKey,
    StageOptions as StageOptions,
    StageValue as StageValue,
    StatusServer as StatusServer,
    StepTimes as StepTimes,
    Sweep as Sweep,
    SweepOptions as SweepOptions,
    SweepRow as SweepRow,
    SweepTimes as SweepTimes,
    Tier as Tier,
    TlsOptions as TlsOptions,
    TraceContext as TraceContext,
    TraceRecorder as TraceRecorder,
    TraceSpan as TraceSpan,
    Transfer as Transfer,
    TransportRegistry as TransportRegistry,
    TwoTierOptions as TwoTierOptions,
    WorkerOptions as WorkerOptions,
    WorkerProfile as WorkerProfile,
    WorkerProfileRequest as WorkerProfileRequest,
    WorkerStats as WorkerStats,
    calibrate as calibrate,
    child_of as child_of,
    cost_of as cost_of,
    decode_values as decode_values,
    encode_values as encode_values,
    inputs_of as inputs_of,
    lambda_time_factor as lambda_time_factor,
    leakage_profiles as leakage_profiles,
    load_stage as load_stage,
    load_token as load_token,
    margin_nat as margin_nat,
    measure_codec_speed as measure_codec_speed,
    measure_leakage as measure_leakage,
    measure_load_factor as measure_load_factor,
    new_trace as new_trace,
    pareto_front as pareto_front,
    plan_dag as plan_dag,
    plan_tiers as plan_tiers,
    probe_link as probe_link,
    profile_device as profile_device,
    profile_of_files as profile_of_files,
    profile_two_tiers as profile_two_tiers,
    request_worker_profile as request_worker_profile,
    smallest_picture as smallest_picture,
    stage_memory_bytes as stage_memory_bytes,
    token_from_environment as token_from_environment,
    value_of as value_of,
)
from splitnet.errors import (  # noqa: E402
    Cancelled as Cancelled,
    Corrupt as Corrupt,
    DeadlineExceeded as DeadlineExceeded,
    Error as Error,
    Incompatible as Incompatible,
    Internal as Internal,
    InvalidArgument as InvalidArgument,
    Overloaded as Overloaded,
    TooLarge as TooLarge,
    Unauthenticated as Unauthenticated,
    Unavailable as Unavailable,
    UnsupportedModel as UnsupportedModel,
)
from splitnet.layer_table import html_of_graph as _html_of_graph  # noqa: E402
from splitnet.logs import log_to as log_to  # noqa: E402
from splitnet.module_source import Notice as Notice  # noqa: E402
from splitnet.partitioner import (  # noqa: E402
    CutLike as CutLike,
    Partitioner as Partitioner,
    SequentialCut as SequentialCut,
)
from splitnet.planning import TwoTierPlan as TwoTierPlan, plan as plan  # noqa: E402
from splitnet.registry import default_registry as default_registry  # noqa: E402
from splitnet.session import (  # noqa: E402
    Future as Future,
    Policy as Policy,
    PolicyFactory as PolicyFactory,
    Session as Session,
)
from splitnet.sweep_table import html_of_profile as _html_of_profile, html_of_sweep as _html_of_sweep  # noqa: E402
from splitnet.sweeping import SweepInterrupted as SweepInterrupted, sweep as sweep  # noqa: E402
from splitnet.worker import Worker as Worker  # noqa: E402

__version__ = _build_info.VERSION

# Values of the library, shown as tables in notebooks.
Sweep._repr_html_ = _html_of_sweep  # type: ignore[attr-defined]
DeviceProfile._repr_html_ = _html_of_profile  # type: ignore[attr-defined]
LayerGraph._repr_html_ = _html_of_graph  # type: ignore[attr-defined]
