"""What params.yaml says of the service: its limits, the labels it takes, and when its traffic counts as drifted."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from episome.sources import Count, Frozen, Positive, Share

NotNegative = Annotated[float, Field(ge=0)]


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


class Rate(Frozen):
    """How much each key, or each address where there are no keys, may ask: a token bucket.

    Attributes:
        unit: what is counted. ``bases`` must be known before a body is read, so every byte that it announces counts as
            one, and a body of unknown size as the largest there may be.
        per_second: that come back into the bucket.
        burst: that it holds. A single call that is larger is let in when the bucket is full.
    """

    unit: Literal["requests", "bases"]
    per_second: Positive
    burst: Annotated[float, Field(ge=1)]


class Serve(Frozen):
    """Limits of the HTTP service.

    Attributes:
        max_records: in a call.
        max_record_bases: of one record.
        max_body_bytes: of a call.
        queue_tokens: that may wait before new calls are refused.
        tokens_per_run: of one run of the model.
        threads: runs at the same time.
        timeout_seconds: deadline of a call, its body's arrival included.
        mismatch_nats: margin from which on a record looks like another species.
        allow_simulated: whether adapters of simulated species answer.
        feedback: where curated labels go; None: they are refused, and no sequence is ever stored.
        keys: file that lists the hashes of API keys; None: no key is asked for, and only this machine may ask.
        rate: None: no limit.
        slow_seconds: a caller who takes longer than this for the head of a request, or for so long sends nothing of a
            body or reads nothing of an answer, is cut off.
        drain_seconds: after SIGTERM new calls are refused for at least so long, until balancers have seen it.
    """

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
    keys: Path | None = None
    rate: Rate | None = None
    slow_seconds: Positive = 10
    drain_seconds: NotNegative = 2


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
