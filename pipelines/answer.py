"""What `mlflow.pyfunc.load_model` runs for a registered version: MLflow stores this file as text, nothing is pickled.

One row in, one row out: column ``sequence`` in; one calibrated probability per task out, in the order of the head.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from episome.runtime import Engine


class Answer(PythonModel):
    """One species' adapter on its base, in ONNX Runtime."""

    def load_context(self, context: Any) -> None:
        """Open the base and add the adapter, which must give its golden answers, or this raises BundleError."""
        self.engine = Engine(Path(context.artifacts["base"]), threads=1)
        self.adapter = self.engine.add(Path(context.artifacts["bundle"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002 - MLflow's signature
        """Probabilities of the rows; a site task scores the site that begins in the middle of the sequence.

        Raises:
            EpisomeError: a sequence is empty, too long or not a nucleotide sequence.
        """
        whole = self._probabilities([(sequence, None) for sequence in model_input["sequence"]])
        centred = self._probabilities([(sequence, len(sequence) // 2) for sequence in model_input["sequence"]])
        tasks = self.adapter.card.tasks
        columns = {
            task.name: (centred if task.scope == "site" else whole)[:, column] for column, task in enumerate(tasks)
        }
        return pd.DataFrame(columns, index=model_input.index)

    def _probabilities(self, rows: list[tuple[str, int | None]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        prepared = [(self.engine.prepare(sequence, centre), self.adapter.slot) for sequence, centre in rows]
        logits, _ = self.engine.logits(prepared)
        return self.adapter.probabilities(logits).astype(np.float64)


set_model(Answer())
