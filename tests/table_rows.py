"""Rows of one task for tests, with what a test does not care about filled in."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from episome import dataset
from episome.sources import Negatives, SplitShares, Tiles, Windows


def build(columns: Mapping[str, Any], task: str, names: Sequence[str]) -> pd.DataFrame:
    """Rows whose column ``label`` is that of `task`."""
    return dataset.build({"gene": "", "lower_case": 0.0, **columns}, {task: columns["label"]}, names)


def windows(**values: Any) -> Windows:
    """Numbers for small genomes and sets, with some of them changed."""
    kinds = {
        "promoter": ("gene_body", "shifted", "intergenic", "opposite_strand"),
        "donor": ("intron", "exon", "intergenic"),
        "acceptor": ("intron", "exon", "intergenic"),
        "tis": ("utr", "cds_in_frame", "cds_out_of_frame", "intron", "intergenic"),
    }
    given: dict[str, Any] = {
        "ambiguous": "n",
        "max_n_share": 0.05,
        "exclusion": 10,
        "min_motif_share": 0.8,
        "min_annotated": 0.95,
        "candidates": 20,
        "negatives": {
            task: Negatives(per_positive=1.0, kinds=dict.fromkeys(names, 1.0)) for task, names in kinds.items()
        },
        "tiles": Tiles(most=200, genic_share=0.5),
        "split": SplitShares(train=0.6, val=0.2, test=0.2),
        "split_by": "auto",
        "corpus_window": 100,
        "corpus_share": 1.0,
    }
    return Windows(**{**given, **values})
