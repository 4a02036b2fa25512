"""What a difference between scores is worth. P-values are two-sided if nothing else is said; nan: cannot be said."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adkit.stats.calibration import CERTAINTY

# scipy.stats takes half a second to import: every function imports it for itself.

# False warnings of looks_mixed at this value, in % of 1,500 to 20,000 sets of n = 10, 20, 40, 100, 300 random scores:
#   normal 0.2, 0.1, 0, 0, 0; lognormal(0.3) 1.3, 1.2, 0.2, 0, 0; gamma(3) 2.0, 2.2, 0.7, 0.2, 0;
#   exponential 9, 15, 10, 4, 1: so long a tail now and then has a score far out.
# Groups found among standard normal scores, in % of 400 sets each, when the group's own standard deviation is 3:
#   6 higher: 32, 24, 28, 40, 47 (a group of 5 %); 43, 44, 45, 55, 48 (20 %); 3, 44, 45, 39, 22 (40 %);
#   8 higher: 53, 48, 60, 79, 89 (5 %); 68, 75, 82, 92, 94 (20 %); 1, 74, 79, 90, 92 (40 %).
# Those named are of the group (99 % and more), and from the second n on they are 76 to 100 % of it.
_APART = 6.0
_LEAST_BELOW = 8  # fewer scores do not tell how far scores scatter: so the 1 % above, at 4 of 10
EQUAL_DIGITS = 12  # means over seeds that are equal may differ in the sixteenth digit, in every resample alike


@dataclass(frozen=True, slots=True)
class Interval:
    """Two limits, both included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How far two groups of scores differ."""

    statistic: float  # the widest distance between the two distribution functions, 0..1
    p_value: float
    shift: float  # P(fresh > reference) + P(fresh = reference) / 2: above 0.5 means that fresh scores are higher


@dataclass(frozen=True, slots=True)
class Delong:
    """The AUROCs of K candidates on the same samples, and how they vary together over draws of the samples."""

    aurocs: NDArray[np.float64]  # (K,)
    covariance: NDArray[np.float64]  # (K, K)


@dataclass(frozen=True, slots=True)
class Friedman:
    """K candidates ranked within categories; rank 1 is the best."""

    p_value: float  # of "all candidates rank alike"
    mean_ranks: NDArray[np.float64]  # (K,)
    critical_difference: float  # of two mean ranks, at 5 %
    pairwise: NDArray[np.float64]  # (K, K) Nemenyi p-values, already corrected for the number of pairs; 1 with itself


@dataclass(frozen=True, slots=True)
class Apart:
    """A group of scores above a gap."""

    gap_from: float  # the highest score below the gap
    gap_to: float  # the lowest score above it
    positions: tuple[int, ...]  # where the group's scores stand among those given, highest score first
    spreads: float  # how wide the gap is, by the measure of looks_mixed


def proportion_interval(count: float, total: float, certainty: float = CERTAINTY) -> Interval:
    """Return the proportions that `count` (or a mean) of `total` leave possible: Clopper & Pearson 1934, exact."""
    from scipy.special import betaincinv

    outside = (1 - certainty) / 2
    low = betaincinv(count, total - count + 1, outside) if count > 0 else 0
    high = betaincinv(count + 1, total - count, 1 - outside) if count < total else 1
    return Interval(float(low), float(high))


def drift_test(reference: ArrayLike, fresh: ArrayLike, *, upwards_only: bool = False) -> Drift:
    """Test whether `fresh` (M,) scores come from the distribution of `reference` (N,), and which way they moved.

    With `upwards_only`, the p-value is of the fresh scores being no higher: for references that err on the high side.

    The two-sample Kolmogorov-Smirnov test, exact up to 10,000 scores a side and conservative with ties. The Cramér-von
    Mises test finds a shift somewhat more often, but scipy's is wrong with ties between groups of unequal size: for
    fifty ones against thirty ones its p-value is 4e-5 (scipy 1.17). Without scores on one side the p-value is 1.
    """
    from scipy.stats import ks_2samp

    first = np.sort(np.asarray(reference, dtype=np.float64))
    second = np.asarray(fresh, dtype=np.float64)
    if len(first) == 0 or len(second) == 0:
        return Drift(0.0, 1.0, 0.5)
    with warnings.catch_warnings():
        # It says so when the exact sum fails, as it may for heavy ties, and takes the asymptotic p-value.
        warnings.simplefilter("ignore", RuntimeWarning)
        # "greater": the references' distribution function lies above, which means that fresh scores are higher.
        found = ks_2samp(first, second, alternative="greater" if upwards_only else "two-sided")
    below = np.searchsorted(first, second, side="left") + np.searchsorted(first, second, side="right")
    return Drift(float(found.statistic), float(found.pvalue), float(below.mean()) / (2 * len(first)))


def bootstrap_weights(anomalous: ArrayLike, resamples: int = 2000, seed: int = 0) -> NDArray[np.int64]:
    """Return (R, N): how often each of N samples is drawn in each of R resamples; the same for the same seed.

    Normal samples are drawn among the normal and anomalous (N,) bool among the anomalous, so that no resample lacks
    either (Efron & Tibshirani 1993, section 8.3). Weights that all candidates share make their differences paired.
    """
    truth = np.asarray(anomalous, dtype=bool)
    random = np.random.default_rng(seed)
    weights = np.zeros((resamples, len(truth)), dtype=np.int64)
    for stratum in (~truth, truth):
        size = int(stratum.sum())
        if size:
            weights[:, stratum] = random.multinomial(size, np.full(size, 1 / size), size=resamples)
    return weights


def percentile_interval(replicates: ArrayLike, certainty: float = CERTAINTY) -> Interval:
    """Return the middle `certainty` of bootstrap replicates (R,) (Efron & Tibshirani 1993, chapter 13)."""
    values = np.asarray(replicates, dtype=np.float64)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return Interval(math.nan, math.nan)
    low, high = np.quantile(values, [(1 - certainty) / 2, (1 + certainty) / 2])
    return Interval(float(low), float(high))


def difference_p_value(differences: ArrayLike) -> float:
    """Return the bootstrap p-value of "no difference" from replicates (R,) of a difference; nan without any but nan.

    Twice the smaller share of replicates on either side of zero, zero itself on both. One is added to each number, so
    that R resamples never claim less than 2 / (R + 1) (Davison & Hinkley 1997, section 4.2).
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return math.nan
    rarer = min(int((values <= 0).sum()), int((values >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(values) + 1))


def delong(scores: ArrayLike, anomalous: ArrayLike) -> Delong:
    """Return the AUROCs of K candidates and their covariance, from scores (K, S, N) of S seeds and the truth (N,) bool.

    A candidate's AUROC is the mean over its seeds; ties count half. That mean is itself a two-sample U-statistic, whose
    kernel is the mean of the seeds' kernels. So placements (for an anomalous sample the share of normal ones below it,
    for a normal one the share of anomalous ones above) are averaged over seeds before their covariance is taken
    (DeLong, DeLong & Clarke-Pearson 1988); midranks give them without comparing all pairs (Sun & Xu 2014).
    The covariance speaks of other samples, not of other seeds. It is nan with a single normal or anomalous sample,
    whose spread nobody knows; without any, the AUROCs are nan as well.
    """
    from scipy.stats import rankdata

    values = np.asarray(scores, dtype=np.float64)
    truth = np.asarray(anomalous, dtype=bool)
    count = len(values)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return Delong(np.full(count, np.nan), np.full((count, count), np.nan))
    ranks = rankdata(values, axis=-1)
    # A sample's rank among all, less its rank among its own kind, counts those of the other kind below it.
    normal_below = ranks[..., truth] - rankdata(values[..., truth], axis=-1)
    anomalous_below = ranks[..., ~truth] - rankdata(values[..., ~truth], axis=-1)
    of_anomalous = (normal_below / negatives).mean(axis=1)
    of_normal = (1 - anomalous_below / positives).mean(axis=1)
    return Delong(of_anomalous.mean(axis=1), _covariance_of_means(of_anomalous) + _covariance_of_means(of_normal))


def delong_p_value(result: Delong, first: int, second: int) -> float:
    """Return the p-value of "candidates `first` and `second` have the same AUROC", from the normal approximation.

    nan where the covariance is undefined. The variance of the difference is 0 when every sample's placements differ
    by the same amount. If that is nothing, the candidates rank all samples alike, as two perfect ones do, and the
    p-value is 1. If not, it is 0: the test's limit, no certainty (a perfect candidate beside one whose scores are all
    the same gets it on four samples); the bootstrap is then the better guide.
    """
    difference = abs(float(result.aurocs[first] - result.aurocs[second]))
    own = float(result.covariance[first, first] + result.covariance[second, second])
    variance = own - 2 * float(result.covariance[first, second])
    if math.isnan(variance):
        return math.nan
    # Rounding leaves a trace of a variance that is 0: relative where the terms cancel, absolute where they are none.
    if variance <= 1e-14 * own + 1e-24:
        return 1.0 if difference < 10.0**-EQUAL_DIGITS else 0.0
    return math.erfc(difference / math.sqrt(2 * variance))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values (P,) adjusted for their number, in the order given; nan stays nan and is not counted.

    Rejecting those of at most 5 % makes any false rejection at most 5 % likely, whatever their dependence (Holm 1979).
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    stepped = given[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def auroc_interval(auroc: float, variance: float, normal: int, anomalous: int) -> Interval | None:
    """Return the 95 % interval of an AUROC from DeLong's variance, on the logit, which makes it less lopsided.

    Resampling gives far too narrow an interval near 1, and none at 1. Where the samples are separated perfectly, the
    interval is exact and one-sided at heart: of m = min(normal, anomalous) disjoint pairs all are in order with
    probability AUROC^m, so that an AUROC below 0.025^(1/m) would hardly ever look like this. None without a variance.
    """
    from scipy.special import expit, logit
    from scipy.stats import norm

    if auroc >= 1 or auroc <= 0:
        edge = float(((1 - CERTAINTY) / 2) ** (1 / max(1, min(normal, anomalous))))
        return Interval(edge, 1.0) if auroc >= 1 else Interval(0.0, 1 - edge)
    if not variance > 0:
        return None
    reach = norm.ppf((1 + CERTAINTY) / 2) * math.sqrt(variance) / (auroc * (1 - auroc))
    middle = logit(auroc)
    return Interval(float(expit(middle - reach)), float(expit(middle + reach)))


def least_categories(candidates: int, tests: int = 1) -> int:
    """Return with how few categories, all ranking alike, a p-value times `tests` can be significant at 5 %."""
    categories = 1
    while True:
        unanimous = np.tile(np.arange(candidates, dtype=np.float64), (categories, 1))
        p_value = wilcoxon(unanimous[:, 0], unanimous[:, 1]) if candidates == 2 else friedman(unanimous).p_value
        if p_value * tests < 1 - CERTAINTY:
            return categories
        categories += 1


def wilcoxon(first: ArrayLike, second: ArrayLike) -> float:
    """Return the signed-rank p-value of "no difference" between two candidates' values (C,) in the same categories.

    Exact also with ties, unlike scipy's. Zeros are left out (Wilcoxon 1945); if all are zero, it is 1. nan gives nan.
    """
    from scipy.stats import rankdata

    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if np.isnan(differences).any():
        return math.nan
    differences = np.round(differences, EQUAL_DIGITS)
    differences = differences[differences != 0]
    # Doubled, because midranks end in a half.
    return _sign_p_value(np.rint(2 * rankdata(np.abs(differences))).astype(np.int64) * np.sign(differences))


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """Return the p-value of "both catch alike", from which of N samples two candidates catch: (S, N) bool of S seeds.

    Exact: were they alike, a sample that more seeds of one catch would as soon have been caught by more of the other.
    Of one seed that is McNemar's test (1947). It speaks of other samples, not of other seeds.
    """
    by_first, by_second = (np.asarray(caught, np.int64).sum(axis=0) for caught in (first, second))
    return _sign_p_value(by_first - by_second)


def _sign_p_value(differences: NDArray[Any]) -> float:
    """Return how likely a sum of the positive ones as far out would be if each whole number had either sign alike."""
    chances = np.ones(1)  # chances[w]: that the positive ones so far add up to w
    for size in np.abs(differences).astype(np.int64):
        chances = (np.pad(chances, (0, size)) + np.pad(chances, (size, 0))) / 2
    observed = int(differences[differences > 0].sum())
    return min(1.0, 2 * float(min(chances[: observed + 1].sum(), chances[observed:].sum())))


def friedman(values: ArrayLike) -> Friedman:
    """Test whether K candidates differ over C categories, from values (C, K), higher being better, and which do.

    Friedman's test by its chi-squared approximation, corrected for ties; then Nemenyi's comparison of all pairs and the
    critical difference (Demšar 2006, JMLR 7). Candidates that tie everywhere have a p-value of 1, and a nan gives nan.
    Raises ValueError for less than two candidates or no category.
    """
    from scipy.stats import chi2, rankdata, studentized_range

    table = np.round(np.asarray(values, dtype=np.float64), EQUAL_DIGITS)
    categories, candidates = table.shape
    if candidates < 2 or categories < 1:
        raise ValueError("Friedman's test needs at least two candidates and one category")
    ranks = rankdata(-table, axis=1)
    mean_ranks = ranks.mean(axis=0)
    middle = (candidates + 1) / 2
    spread = float(((ranks - middle) ** 2).sum())
    # Not scipy's friedmanchisquare: it refuses two candidates and divides by zero when all tie.
    between = float(((categories * (mean_ranks - middle)) ** 2).sum())
    p_value = 1.0 if spread == 0 else float(chi2.sf((candidates - 1) * between / spread, candidates - 1))
    # Nemenyi's statistic has the studentized range's distribution but for the root of two.
    unit = math.sqrt(candidates * (candidates + 1) / (6 * categories)) / math.sqrt(2)
    critical = float(studentized_range.ppf(CERTAINTY, candidates, np.inf)) * unit
    one, other = np.triu_indices(candidates, 1)
    chances = studentized_range.sf(np.abs(mean_ranks[one] - mean_ranks[other]) / unit, candidates, np.inf)
    pairwise = np.eye(candidates)
    pairwise[one, other] = pairwise[other, one] = np.clip(chances, 0, 1)
    return Friedman(p_value, mean_ranks, critical, pairwise)


def looks_mixed(scores: ArrayLike) -> Apart | None:
    """Return the scores that lie apart from the rest, above a wide gap, as anomalous images given as normal would.

    Of `scores` (N,), finite, copies count once. A gap starts at or above their median, with eight or more below it. The
    k scores above it lie apart when the gap, times k to the power of 2/3, is wider than 6 spreads of the scores below:
    a gap that many scores have crossed is told from chance sooner than the one before a single far score. The
    spread is the standard deviation, at least as large as that of the lower half around the median, since a
    gap amid one group would otherwise be held against half of it. Among several such gaps the widest by this
    measure is taken. Moving or scaling the scores changes nothing.
    """
    given = np.asarray(scores, dtype=np.float64)
    distinct = np.unique(given)
    if len(distinct) <= _LEAST_BELOW:
        return None
    levels = (distinct - distinct[0]) / (distinct[-1] - distinct[0])
    median = float(np.median(levels))
    lower_spread = float(np.sqrt(np.mean((levels[levels <= median] - median) ** 2)))
    widest, start = _APART, -1
    for last in range(max(_LEAST_BELOW, (len(levels) + 1) // 2) - 1, len(levels) - 1):
        # Not zero, although the squares of tiny numbers are.
        spread = max(lower_spread, float(levels[: last + 1].std(ddof=1)), 1e-150)
        gap = float(levels[last + 1] - levels[last]) * (len(levels) - 1 - last) ** (2 / 3)
        if gap > widest * spread:
            widest, start = gap / spread, last
    if start < 0:
        return None
    gap_from, gap_to = distinct[start : start + 2]
    highest_first = np.argsort(-given, kind="stable")[: int((given >= gap_to).sum())]
    return Apart(float(gap_from), float(gap_to), tuple(highest_first.tolist()), widest)


def _covariance_of_means(placements: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (K, K) covariance of the means over samples of placements (K, M)."""
    candidates, count = placements.shape
    if count < 2:
        return np.full((candidates, candidates), np.nan)
    centred = placements - placements.mean(axis=1, keepdims=True)
    return np.asarray(centred @ centred.T / (count * (count - 1)), dtype=np.float64)
