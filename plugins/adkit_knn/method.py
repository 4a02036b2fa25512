"""Distance of a whole image to the nearest normal ones, in features of a frozen network.

Nearest neighbours of pooled features are the oldest strong baseline (Bergman, Cohen and Hoshen, arXiv 2002.10445).
Where this differs: the highest value of each feature is used beside its mean, several levels instead of the last one,
and distances are Mahalanobis distances by the covariance of the normal images.
"""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field
from torch import Tensor, nn

from adkit import Batch, Batches, Prediction, Progress
from adkit.nn.features.index import Index, IndexKind, doubts, kind_of, require_exact
from adkit.nn.features.patches import PatchFeatures
from adkit.nn.methods import FrameGraph, LearnedMethod
from adkit.nn.normal_space import NormalSpace, left_out_scores, pooled
from adkit.nn.options import FeatureOptions, Strides
from adkit.nn.samples import gather

MOST_EXACT = 50_000  # images that are searched by one product where nothing else is asked for


class KnnOptions(FeatureOptions):
    """Options of `knn`."""

    levels: Strides = Field(default=(8, 16, 32), description="strides in px of the feature levels, finest first")
    neighbours: int = Field(
        default=3, ge=1, le=1000, description="the score is the mean distance to this many nearest normal images"
    )
    index: IndexKind = Field(
        default="auto",
        description="how images are searched: exact, ivf or hnsw (faiss); auto: exact up to 50,000, then ivf",
    )


class Knn(LearnedMethod[KnnOptions]):
    """Mean distance to the nearest normal images: one score for an image, no map."""

    Options = KnnOptions
    steps = (("features", 9), ("leave one out", 1))
    least_samples = 3  # of two, leaving one out leaves no spread to measure by

    _features: PatchFeatures
    _space: NormalSpace

    def __init__(self, options: KnnOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        # No margin: a mean over the image hides no border, and the zeros there tell where things lie.
        self._features = PatchFeatures.from_options(options, device, margin=False)

    def learn(self, batches: Batches, progress: Progress) -> None:
        """Learn in one pass; every training image is then scored as if its clip had not been seen."""
        parts = ((batch.clips, pooled(self._features(batch.frames[:, -1])).cpu()) for batch in batches)
        vectors, clips = gather(parts, len(batches), progress, "features", Tensor.new_empty)
        groups = self._features.lengths * 2
        self._space = NormalSpace.learn(vectors, groups)
        self._facts |= {"images": len(vectors), "features": vectors.shape[1]}
        kind = kind_of(self.options.index, len(vectors), MOST_EXACT)
        if kind != "exact":
            index, recall = Index.built(self._space.bank, kind)
            self._space = replace(self._space, index=index)
            self._facts |= {"index": kind, "index_recall": round(recall, 4)}
            self._notes += doubts(recall)
        if clips.any():
            with progress.task("leave one out", 1) as advance:
                self._calibration = left_out_scores(vectors, clips, groups, self.options.neighbours)
                advance(1)

    def predict(self, batch: Batch) -> Prediction:
        """Return scores only."""
        vectors = pooled(self._features(batch.frames[:, -1]))
        return Prediction(scores=self._space.scores(vectors, self.options.neighbours))

    def graph(self) -> nn.Module:
        """Return `predict` as a module."""
        require_exact(self._space.index)
        network = self._features.network(self.frame_size)

        def of_frames(frames: Tensor) -> Tensor:
            return self._space.scores(pooled(network(frames)), self.options.neighbours)

        return FrameGraph(of_frames, network)

    def calibration(self) -> Prediction | None:
        """Leave-one-image-out scores (for frames of a video: leave-one-clip-out); None with one clip only."""
        return None if self._calibration is None else Prediction(scores=self._calibration)

    def learned(self) -> dict[str, Tensor]:
        """Return the normal images as vectors, and how a new one becomes such a vector."""
        space = self._space
        learned = {"mean": space.mean, "factor": space.factor, "bank": space.bank}
        return learned | (space.index.state() if space.index else {})

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        self._space = NormalSpace(state["mean"], state["factor"], state["bank"], Index.from_state(state))
