"""Which row goes to which worker at which step.

The order of an epoch is a permutation of all rows, drawn from (seed, epoch): the same for any number of
workers. A global batch is cut into equal shares, one per worker. What is missing at a batch's or a
share's end is padded with rows of weight 0, so that shapes are static and no row is left out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int32]
Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Batches:
    """One worker's view of the batches of a training."""

    rows: int
    """Rows of the training split."""
    batch_size: int
    """Rows of a global batch, as the pipeline file says."""
    workers: int
    worker: int
    seed: int

    @property
    def batch(self) -> int:
        """Rows of a global batch; never more than there are rows."""
        return min(self.batch_size, self.rows)

    @property
    def share(self) -> int:
        """Rows of a global batch that one worker takes, padding included."""
        return -(-self.batch // self.workers)

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return -(-self.rows // self.batch)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the order of all rows in an epoch, counted from 0."""
        source = np.random.SeedSequence([self.seed, epoch])
        return np.random.Generator(np.random.PCG64(source)).permutation(self.rows)

    def epoch(self, epoch: int, row_weights: Weights) -> tuple[Indices, Weights]:
        """Return which rows this worker takes, step by step, and what each counts.

        Args:
            epoch: Counted from 0.
            row_weights: What each row of the split counts, (rows,).

        Returns:
            Indices and weights, (steps, share) each. The weights are divided by the number of rows in
            the global batch, so that the sum over all workers of loss times weight is the batch's mean.
        """
        indices, is_real = self._lay_out(self.order(epoch))
        sizes = np.full((self.steps, 1), self.batch, dtype=np.float32)
        sizes[-1] = self.rows - (self.steps - 1) * self.batch
        weights = np.where(is_real, row_weights[indices] / sizes, np.float32(0))
        return indices, weights.astype(np.float32)

    def in_order(self) -> tuple[Indices, Weights]:
        """Return the rows as they stand, for validation; a real row counts 1, (steps, share) each."""
        indices, is_real = self._lay_out(np.arange(self.rows))
        return indices, is_real.astype(np.float32)

    def _lay_out(self, order: npt.NDArray[np.int64]) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """Cut an order into batches and take this worker's share; padding points at row 0."""
        grid = np.full((self.steps, self.share * self.workers), -1, dtype=np.int32)
        padded = np.full(self.steps * self.batch, -1, dtype=np.int32)
        padded[: self.rows] = order
        grid[:, : self.batch] = padded.reshape(self.steps, self.batch)
        mine = grid[:, self.worker * self.share : (self.worker + 1) * self.share]
        return np.maximum(mine, 0), mine >= 0
