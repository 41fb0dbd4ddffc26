"""Cleaning step `outliers`."""

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from lastmile.errors import PipelineFileError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lastmile.prepare.rows import Rows, StepReport


class Outliers(Strict):
    """Deal with numbers far from the others, by bounds fitted on the training split."""

    columns: tuple[str, ...]
    """Which numeric columns."""
    rule: Literal["iqr", "zscore"] = "iqr"
    """iqr: beyond `factor` interquartile ranges from the quartiles (Tukey). zscore: beyond `factor`
    standard deviations from the mean."""
    factor: float | None = Field(default=None, gt=0)
    """Not given: 1.5 for iqr, 3 for zscore."""
    action: Literal["drop", "clip", "flag"] = "clip"
    """drop: the row goes, in the training split; elsewhere the value is clipped. clip: to the bound.
    flag: the value stays and the model is told."""

    needs_split: ClassVar[bool] = True

    def apply(self, rows: "Rows", report: "StepReport") -> None:
        """Fit all columns' bounds on the training split, then treat what lies outside.

        Raises:
            DataError: Nothing in the training split to fit on.
            PipelineFileError: A column holds no numbers.
        """
        columns = rows.present(self.columns)
        report.about = f"{self.rule}, {self.action}: {', '.join(columns)}"
        bounds = {}
        for name in columns:
            self._check_numeric(rows, name)
            low, high = self.bounds(rows.training_values(name).to_numpy(dtype="float64"))
            if rows.rules[name].type == "integer":  # clipped, it must still be one
                low, high = float(math.ceil(low)), float(math.floor(high))
            if low < high:
                bounds[name] = (low, high)
                report.fitted[name] = [low, high]
            else:  # bounds without width would make the column constant
                report.notes.append(f"{name}: most values are equal; {self.rule} says nothing")
        if self.action == "drop":
            self._drop(rows, bounds, report)
        self._treat(rows, bounds, report)

    def bounds(self, values: "npt.NDArray[np.float64]") -> tuple[float, float]:
        """Return the least and the greatest value that is no outlier.

        iqr: Tukey's fences (Exploratory Data Analysis, 1977), quartiles by linear interpolation.
        zscore: the population's standard deviation.
        """
        if self.rule == "iqr":
            import numpy as np  # not at the top: every parse of a DAG reads this file

            first, third = np.quantile(values, [0.25, 0.75])
            reach = (self.factor or 1.5) * (third - first)
            return float(first - reach), float(third + reach)
        mean, reach = values.mean(), (self.factor or 3.0) * values.std()
        return float(mean - reach), float(mean + reach)

    def _drop(
        self, rows: "Rows", bounds: dict[str, tuple[float, float]], report: "StepReport"
    ) -> None:
        import numpy as np

        outside = np.zeros(len(rows), dtype=bool)
        for name, (low, high) in bounds.items():
            values = rows.value(name).to_numpy()
            outside |= (values < low) | (values > high)
        outside &= rows.is_train
        report.dropped = int(outside.sum())
        rows.keep(~outside)

    def _treat(
        self, rows: "Rows", bounds: dict[str, tuple[float, float]], report: "StepReport"
    ) -> None:
        from lastmile.features.steps import BoundsStep

        action: Literal["clip", "flag"] = "flag" if self.action == "flag" else "clip"
        counts = report.flagged if action == "flag" else report.clipped
        for name, (low, high) in bounds.items():
            values = rows.value(name)
            counts[name] = int(((values < low) | (values > high)).sum())
            if action == "clip":
                rows.set_cleaned(name, values.clip(low, high))
        if read := {name: pair for name, pair in bounds.items() if name in rows.schema.names}:
            rows.steps.append(BoundsStep(bounds=read, action=action))

    def _check_numeric(self, rows: "Rows", name: str) -> None:
        kind = rows.rules[name].type if name in rows.rules else "text"
        if kind not in ("integer", "number"):
            raise PipelineFileError(
                f"Step `outliers`: column {name!r} is of type {kind}, not integer or number.",
                "Leave it out.",
            )
