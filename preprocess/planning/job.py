"""From settings to everything that a run or a forecast needs: source, model facts, plans, store record."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from preprocess.alignment.cut_plan import CutPlan, read_cut_plan
from preprocess.audio.decode import DecodeLimits
from preprocess.demo.build import build_demo
from preprocess.features.mel import mel_filters
from preprocess.features.pieces import CutsOf
from preprocess.features.pipeline import PipelineSettings
from preprocess.phases import Phase, TellPhase, tell_nobody
from preprocess.piece_ranges import PieceCounts
from preprocess.planning.forecast import Enough, SplitForecast, forecast_split
from preprocess.planning.long_audio import longest_seconds, no_cut_plan
from preprocess.planning.planned_job import PlannedJob
from preprocess.planning.sample import SampleTask, sample_apart, sample_task
from preprocess.settings import FOR_CUTS, SourceSettings, options_of, store_path
from preprocess.sources.base import Columns, Source, SplitLayout
from preprocess.sources.open import access_of, open_source
from preprocess.units import FeatureSettings, SplitPlan, plan_split, rows_per_unit
from shared.errors import SourceError, StoreMismatchError, UsageError
from shared.layout import SPLIT_NAME, SplitRecord, StoreLayout, StoreRecord, read_record
from shared.models.limits import ModelLimits
from shared.models.model_files import ModelFacts, model_facts
from shared.reading.duplicates import is_held_out
from shared.schema import FeatureSpec
from shared.selection import Selection
from shared.text import tokenizer_fingerprint
from shared.units import format_counted

MAX_SPLIT_BYTES = 100
"""Of a split's name: a file system takes 255, and an unfinished file is also named after shard, host and process."""
MIN_UNITS = 20
"""A small split is cut into so many shards, so that every actor has work until the end; but for `LEAST_SHARD_BYTES`."""
LEAST_SHARD_BYTES = 8_000_000
"""What a shard holds at least before there are more of one split: a commit costs 50 ms, as much as twenty short clips,
and an actor that starts for it 1.5 s. In bytes, since work is in proportion to audio: 50 hours are 50 rows, too."""


def plan_job(settings: SourceSettings, tell: TellPhase = tell_nobody) -> PlannedJob:
    """Opens the source, reads the model's facts and plans every split; nothing is written, but the demo is built.

    Splits that the store already knows keep their plan and are not sampled again; *tell* hears of a sample. Raises
    SourceError, UsageError or StoreMismatchError.
    """
    if settings.long_audio == "split" and not any(StoreLayout(store_path(settings)).cuts.glob("*.parquet")):
        # A Hub's data set can take minutes to open.
        raise _no_cuts(settings)
    source, settings = _open_settings_source(settings)
    facts = model_facts(settings.model, settings.num_mel_bins, settings.tokenizer)
    pipeline = _pipeline(settings, facts)
    layout = StoreLayout(store_path(settings))
    record = _record(layout, source, pipeline, facts)
    # What decides the bytes of a row, as the plan's digest takes it in.
    columns = _named_columns(settings)
    features = FeatureSettings(
        pipeline.spec,
        record.tokenizer,
        pipeline.language,
        pipeline.limits.max_seconds,
        columns,
        record.format_version,
        settings.strip_timestamps,
        pipeline.model_limits,
    )
    plans, forecasts = [], {}
    for name, chosen in _in_order(_chosen_splits(source, settings), settings).items():
        known = record.splits.get(name)
        plan, forecasts[name] = _plan(
            name,
            source,
            chosen,
            known,
            settings=settings,
            pipeline=pipeline,
            features=features,
            held_out=_held_out(name, record, settings),
            tell=tell,
            cuts=_cuts(settings, layout, source.splits[chosen[0]], features.max_duration),
        )
        record = record.admitting(name, plan.record)
        plans.append(plan)
    job = PlannedJob(source, pipeline, tuple(plans), forecasts, record, layout)
    _require_held_out(job)
    return job


def _cuts(settings: SourceSettings, layout: StoreLayout, split: SplitLayout, longest: float) -> CutPlan | None:
    """The one committed plan of cuts of the source's *split*, where recordings are to be split.

    Raises UsageError where there is none, and StoreMismatchError for one that was made for other rows or texts.
    """
    if settings.long_audio != "split":
        return None
    path = layout.cuts_of(split.name)
    plan = read_cut_plan(path)
    if plan is None:
        raise _no_cuts(settings)
    rows = min(settings.limit or split.num_rows, split.num_rows)
    wanted = {"fingerprint": split.fingerprint, "max_duration": longest, "strip_timestamps": settings.strip_timestamps}
    wanted |= _named_columns(settings).settings()
    made_for = plan.made_for
    changed = [
        f"{name} was {made_for.get(name)}, now {value}" for name, value in wanted.items() if made_for.get(name) != value
    ]
    if made_for["rows"] < rows:
        changed.append(f"it has the first {format_counted(made_for['rows'], 'row')}, wanted are {rows}")
    if changed:
        message = f"{path} was made for something else: {'; '.join(changed)}"
        raise StoreMismatchError(message, "use source and settings of preprocess.align, or make cuts in a new --store")
    return plan


def _no_cuts(settings: SourceSettings) -> UsageError:
    return no_cut_plan(settings.source or "CORPUS", str(store_path(settings)), options_of(settings, FOR_CUTS))


def _in_order(chosen: dict[str, tuple[str, Selection]], settings: SourceSettings) -> dict[str, tuple[str, Selection]]:
    """*chosen* in the order in which they are made: where leaks are dropped, what they leak from comes first."""
    return dict(sorted(chosen.items(), key=lambda split: settings.drop_test_leaks and not is_held_out(split[0])))


def _held_out(name: str, record: StoreRecord, settings: SourceSettings) -> dict[str, str]:
    """The splits whose rows *name* may not have, with their plans' digests. Raises UsageError where there is none."""
    if not settings.drop_test_leaks or is_held_out(name):
        return {}
    found = {other: split.digest for other, split in record.splits.items() if is_held_out(other)}
    if not found:
        message = f"--drop-test-leaks compares {name!r} with a test or validation split, and there is none"
        raise UsageError(message, "name it with --split, give --test-fraction, or leave --drop-test-leaks out")
    return found


def _require_held_out(job: PlannedJob) -> None:
    """Raises UsageError where a split would wait for one that is neither finished nor made in this run."""
    made = {plan.name for plan in job.plans}
    for plan in job.plans:
        for name in job.held_out(plan):
            if name not in made and job.misses_shards(name):
                message = f"--drop-test-leaks leaves out of {plan.name!r} what {name!r} has, which is not finished"
                raise UsageError(message, f"make both, with --split {name} --split {plan.name}")


def unit_rows(num_rows: int, row_bytes: float, shard_bytes: int) -> int:
    """Rows a shard, of a split of *num_rows* that take *row_bytes* each: *shard_bytes*, or less in a small split."""
    least = max(-(-num_rows // MIN_UNITS), rows_per_unit(LEAST_SHARD_BYTES, row_bytes))
    return min(rows_per_unit(shard_bytes, row_bytes), least)


def resample(job: PlannedJob, settings: SourceSettings) -> PlannedJob:
    """*job* with a forecast for every split that is not wholly committed; its plans and record stay as they are."""
    forecasts = dict(job.forecasts)
    for plan in job.plans:
        if forecasts[plan.name] is None and job.open_in(plan):
            layout = job.source.splits[plan.source_split]
            cuts = job.cuts_of(plan)
            sample = sample_apart(_sampling(job.source, plan.source_split, job.pipeline, settings.limit, cuts))
            forecasts[plan.name] = forecast_split(
                layout, sample, plan.num_rows, settings.limit, num_units=len(plan.units)
            )
    return replace(job, forecasts=forecasts)


def _sampling(
    source: Source, split: str, pipeline: PipelineSettings, limit: int | None, cuts: CutsOf | None
) -> SampleTask:
    """No more rows than the forecast needs."""
    enough = Enough.of(source.splits[split], limit)
    return sample_task(source, split, pipeline, limit, enough=enough, cuts=cuts)


def _open_settings_source(settings: SourceSettings) -> tuple[Source, SourceSettings]:
    """The source that *settings* name; for the demo, corpus and model are built first and named in the settings."""
    columns = _named_columns(settings)
    if not settings.demo:
        access = access_of(settings.config_name, settings.audio_root, follow_links=settings.follow_links)
        return open_source(str(settings.source), columns, access), settings
    corpus, model = build_demo(settings.cache / "datasets" / "demo", settings.num_mel_bins)
    if settings.model is None and settings.tokenizer is None:
        settings = settings.model_copy(update={"model": str(model)})
    return open_source(str(corpus), columns), settings


def _named_columns(settings: SourceSettings) -> Columns:
    """The columns that *settings* name."""
    return Columns.of(settings.model_dump())


def _chosen_splits(source: Source, settings: SourceSettings) -> dict[str, tuple[str, Selection]]:
    """Store split -> (source split, selection): what `--split` names, or the source's usual ones, or parts of `train`.

    Raises SourceError for a split that the source does not have, or that cannot be used.
    """
    available: dict[str, tuple[str, Selection]] = {name: (name, Selection()) for name in source.splits}
    if settings.test_fraction and "test" not in available and "train" in available:
        for part in ("train", "test"):
            available[part] = ("train", Selection(part, settings.test_fraction))
    usual = [name for name in available if name in source.default_splits or name not in source.splits]
    # Common Voice's own name, and many others'.
    other = {"dev": "validation"} if "dev" not in available and "validation" in available else {}
    names = [other.get(name, name) for name in settings.split or usual]
    for name in names:
        if name not in available:
            remedy = "name one of them with --split"
            if name == "test" and "train" in available:
                remedy += ", or give --test-fraction to set rows of train aside"
            raise SourceError(f"{source.uri} has no split {name!r}; it has: {', '.join(available)}", remedy)
        if not SPLIT_NAME.fullmatch(name) or len(name.encode()) > MAX_SPLIT_BYTES:
            raise SourceError(
                f"split name {name!r} cannot be used in file names",
                f"rename it in the source: letters, digits, _ and single dots, at most {MAX_SPLIT_BYTES} bytes",
            )
        # Before another split is sampled: a split that cannot be used says so here.
        _ = source.splits[available[name][0]]
    return {name: available[name] for name in names}


def _longest(settings: SourceSettings, limits: ModelLimits) -> float:
    """Seconds of the longest clip that is taken: see `longest_seconds`."""
    named = settings.model_fields_set
    given = settings.max_duration if "max_duration" in named else None
    return longest_seconds(settings.long_audio, limits, given, chosen="long_audio" in named)


def _pipeline(settings: SourceSettings, facts: ModelFacts) -> PipelineSettings:
    return PipelineSettings(
        spec=FeatureSpec(facts.num_mel_bins, settings.feature_dtype),
        tokenizer_json=facts.tokenizer_json,
        language=settings.language,
        filters=mel_filters(facts.num_mel_bins),
        limits=DecodeLimits(max_seconds=_longest(settings, facts.limits)),
        strip_timestamps=settings.strip_timestamps,
        model_limits=facts.limits,
    )


def _record(layout: StoreLayout, source: Source, pipeline: PipelineSettings, facts: ModelFacts) -> StoreRecord:
    tokenizer = tokenizer_fingerprint(facts.tokenizer_json)
    if layout.record.exists():
        record = read_record(layout)
        wanted = {"features": pipeline.spec, "tokenizer": tokenizer, "language": pipeline.language}
        changed = [f"{name} was {getattr(record, name)}, now {value}" for name, value in wanted.items()
                   if getattr(record, name) != value]  # fmt: skip
        if changed:
            message = f"the store {layout.root} was made otherwise: {'; '.join(changed)}"
            raise StoreMismatchError(message, "use the settings of the first run, or another --store")
        return record
    return StoreRecord(uuid4().hex, pipeline.spec, tokenizer, pipeline.language, source.uri)


def _plan(
    name: str,
    source: Source,
    chosen: tuple[str, Selection],
    known: SplitRecord | None,
    *,
    settings: SourceSettings,
    pipeline: PipelineSettings,
    features: FeatureSettings,
    held_out: Mapping[str, str],
    tell: TellPhase,
    cuts: CutPlan | None,
) -> tuple[SplitPlan, SplitForecast | None]:
    """The plan of one split; a forecast comes with it unless the store knows the split already."""
    source_split, selection = chosen
    layout = source.splits[source_split]

    def planned(rows: int, forecast_bytes: int) -> SplitPlan:
        """The plan with about *rows* rows a shard."""
        return plan_split(
            name,
            layout,
            features,
            rows,
            selection=selection,
            limit=settings.limit,
            shard_bytes=settings.shard_size,
            forecast_bytes=forecast_bytes,
            held_out=held_out,
            cuts=cuts,
        )

    if known is not None:
        return planned(known.rows_per_unit, known.forecast_bytes), None
    tell(Phase.SAMPLING)
    total = min(settings.limit or layout.num_rows, layout.num_rows)
    named = None if cuts is None else CutsOf(StoreLayout(store_path(settings)).cuts_of(source_split), cuts.digest)
    sample = sample_apart(_sampling(source, source_split, pipeline, settings.limit, named))
    row_bytes = forecast_split(layout, sample, total, settings.limit).row_bytes
    # A shard's size is planned in pieces, of which a row that is not split is one.
    pieces = total if cuts is None else PieceCounts.of(cuts.num_pieces).before(total)
    plan = planned(unit_rows(pieces, row_bytes * total / max(1, pieces), settings.shard_size), 0)
    forecast = forecast_split(layout, sample, plan.num_rows, settings.limit, num_units=len(plan.units))
    return replace(plan, record=replace(plan.record, forecast_bytes=forecast.store_bytes)), forecast
