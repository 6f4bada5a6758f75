"""What params.yaml says of the service: its limits, the labels it takes, and when its traffic counts as drifted."""

from pathlib import Path

from episome.sources import Count, Frozen, Positive, Share


class Feedback(Frozen):
    """Where ``POST /v1/feedback`` keeps curated labels, and how many.

    Attributes:
        file: a sqlite file, made with its folder where missing; on a local disk, for sqlite's WAL needs one.
        max_rows: labels in a call.
        max_store_bytes: size from which on the file takes no more.
    """

    file: Path
    max_rows: Count
    max_store_bytes: Count


class Serve(Frozen):
    """Limits of the HTTP service; `feedback` None: curated labels are refused, and no sequence is ever stored."""

    max_records: Count
    max_record_bases: Count
    max_body_bytes: Count
    queue_tokens: Count
    tokens_per_run: Count
    threads: Count
    timeout_seconds: Positive
    mismatch_nats: Positive
    allow_simulated: bool
    feedback: Feedback | None = None


class Monitor(Frozen):
    """When recent traffic counts as drifted; `monitoring.traffic` says where the numbers come from.

    Attributes:
        window: number of records looked back on.
        needed: fewer records than this give no verdict.
        mismatch_share: alarm above this share of mismatches in the window.
        early_window: the early alarm looks at this many newest records, from the first ones on.
        early_mismatches: early alarm at this many mismatches among them.
        gc_zscore: alarm when the window's mean GC is further than this many standard deviations (between single
            training sequences) from theirs. Neighbouring windows of a genome share their GC, so a test that took
            them as independent would alarm on harmless traffic; this one asks for a large effect instead.
    """

    window: Count
    needed: Count
    mismatch_share: Share
    early_window: Count
    early_mismatches: Count
    gc_zscore: Positive
