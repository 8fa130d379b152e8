"""Follow the arrival rate of one pool: where it is, where it goes, and how sure that is.

A bank of four Kalman filters of a local linear trend runs side by side, from "quiet" (a daily curve) to "jumpy" (a
step); each explains the counts more or less well, and they are mixed by how well they do (the interacting multiple
model estimator). When traffic is calm the quiet filter averages over minutes and its forecast is sharp; when a ramp
begins, the weight moves to the quick ones within a few bins and the forecast becomes steep and unsure by itself. Counts
are taken as Poisson: 15 requests/s seen for 10 s are known to 1.2 requests/s. How well a filter explains a count is
told by the Poisson distribution about a rate that is itself unsure (gamma), for a normal one calls a chance cluster of
a small service a jump: nine requests or more where three are usual come once in 263 bins, by a normal law once in 3700.

Sources: Blom and Bar-Shalom, The interacting multiple model algorithm for systems with Markovian switching
coefficients, IEEE Trans. Automatic Control 33 (1988); Gardner and McKenzie, Forecasting trends in time series,
Management Science 31 (1985), for the damped trend; West, Harrison and Migon, Dynamic generalized linear models and
Bayesian forecasting, J. American Statistical Association 80 (1985), for counts.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from tidegate.model.scaling import Beliefs

# Noise of the slope and of the level of each filter, as shares of the level: per s and root s, and per root s. The
# quiet filter follows a daily curve, the middle one the ten-minute changes of an inference API, the third one ramps
# within a minute; the last one takes what it sees for a step.
SLOPE_NOISE = (1e-6, 2e-5, 3e-4, 0.0)
LEVEL_NOISE = (1e-5, 1e-4, 1e-3, 0.5)
EXPECTED_NOISE = (1e-5, 1e-4, 1e-3, 0.0)  # of the level, when looking ahead: a step that was seen is over
USUAL = (0.6, 0.3, 0.09, 0.01)  # share of time each filter is the right one
STAY_S = 330.0  # how long traffic keeps its kind, mean
DAMPING_S = 300.0  # a slope is believed to last this long, mean
# The spread is that of a forecast this far ahead at most. Slopes as free as the quick filters' would stray without end;
# traffic does not. What longer start-ups need on top, the measured margin adds (300 s: cost 4% less).
SPREAD_S_MAX = 75.0
LEAST_LEVEL = 0.8  # of the rate that keeps one slot busy: a level below it is as noisy as at it
SURE = 1e6  # a rate known to a thousandth is taken as known


class Outlook(NamedTuple):
    """Requests/s now and at a horizon (both means), and the standard deviation of the latter."""

    now: float
    then: float
    spread: float


def first_beliefs(rate: float) -> tuple[Beliefs, ...]:
    """Begin at a first measured rate (requests/s), unsure by a fifth of it."""
    spread = max(0.05, 0.2 * rate) ** 2
    return tuple(Beliefs(w, rate, 0.0, spread, 0.0, (1e-3 * rate) ** 2) for w in USUAL)


@lru_cache(maxsize=256)
def _constants(dt: float) -> tuple[float, float]:
    return math.exp(-dt / STAY_S), math.exp(-dt / DAMPING_S)


def advance(bank: tuple[Beliefs, ...], rate: float | None, dt: float, unit: float) -> tuple[Beliefs, ...]:
    """Let `dt` seconds pass in which `rate` (requests/s) was measured, or nothing (None).

    `unit` is the rate that keeps one slot busy, 1 / mean service time: below it the noise is no longer a share of the
    level, or an idle service would be believed to stay idle for sure.
    """
    stay, damp = _constants(dt)
    move = 1.0 - stay
    stepped = []
    best = -math.inf
    all_level, all_slope, all0, all1, all2 = _middle(bank)
    for own, usual, slope_noise, level_noise in zip(bank, USUAL, SLOPE_NOISE, LEVEL_NOISE, strict=True):
        # A filter starts from its own belief, mixed with what all hold together at the rate at which traffic changes.
        prior = stay * own.weight + move * usual
        share = move * usual / prior
        dl, ds = own.level - all_level, own.slope - all_slope
        level, slope = own.level - share * dl, own.slope - share * ds
        apart = share * (1.0 - share)
        p0 = own.p_level + share * (all0 - own.p_level) + apart * dl * dl
        p1 = own.p_both + share * (all1 - own.p_both) + apart * dl * ds
        p2 = own.p_slope + share * (all2 - own.p_slope) + apart * ds * ds
        ref = max(level, unit)
        q_slope = (slope_noise * ref) ** 2 * dt
        a0 = p0 + dt * (2.0 * p1 + dt * p2) + (level_noise * ref) ** 2 * dt + q_slope * dt * dt / 3.0
        a1 = (p1 + dt * p2) * damp + q_slope * dt / 2.0
        a2 = p2 * damp * damp + q_slope
        level, slope = level + slope * dt, slope * damp
        if rate is None:
            stepped.append((prior, 0.0, max(level, 0.0), slope, a0, a1, a2))
            best = 0.0
            continue
        mean = max(level, LEAST_LEVEL * unit)
        s = a0 + mean / dt
        gap = rate - level
        k0, k1 = a0 / s, a1 / s
        fit = _fit(rate * dt, mean * dt, a0 * dt * dt)
        best = max(best, fit)
        stepped.append((prior, fit, level + k0 * gap, slope + k1 * gap, a0 - k0 * a0, a1 - k0 * a1, a2 - k1 * a1))
    weights = [max(prior * math.exp(fit - best), 1e-9) for prior, fit, *_ in stepped]
    total = sum(weights)
    return tuple(Beliefs(max(w / total, 1e-6), *row[2:]) for w, row in zip(weights, stepped, strict=True))


def _fit(count: float, mean: float, variance: float) -> float:
    """Log likelihood, less what all filters share, of a Poisson count about a gamma rate (the negative binomial)."""
    shape = mean * mean / max(variance, 1e-9)
    if shape > SURE:
        return count * math.log(mean) - mean
    lgamma, log, both = math.lgamma, math.log, shape + mean
    return lgamma(count + shape) - lgamma(shape) + shape * log(shape / both) + count * log(mean / both)


def _middle(bank: tuple[Beliefs, ...]) -> tuple[float, float, float, float, float]:
    """What the filters hold together (their weights sum to one): level, slope, and the covariance about them."""
    level = slope = 0.0
    for b in bank:
        level += b.weight * b.level
        slope += b.weight * b.slope
    p0 = p1 = p2 = 0.0
    for b in bank:
        dl, ds = b.level - level, b.slope - slope
        p0 += b.weight * (b.p_level + dl * dl)
        p1 += b.weight * (b.p_both + dl * ds)
        p2 += b.weight * (b.p_slope + ds * ds)
    return level, slope, p0, p1, p2


def rate_now(bank: tuple[Beliefs, ...]) -> float:
    """The rate that is believed to be asked now, requests/s: the `now` of every outlook."""
    now = total = 0.0
    for b in bank:
        now += b.weight * b.level
        total += b.weight
    return max(0.0, now / total)


def outlook(bank: tuple[Beliefs, ...], horizon_s: float, unit: float) -> Outlook:
    """What to expect `horizon_s` from now: the rate now, the rate then, and its standard deviation, requests/s."""
    reach = DAMPING_S * (1.0 - math.exp(-horizon_s / DAMPING_S))
    near_s = min(horizon_s, SPREAD_S_MAX)
    near = DAMPING_S * (1.0 - math.exp(-near_s / DAMPING_S))
    now = then = soon = total = 0.0
    for b in bank:
        weight, level, slope = b.weight, b.level, b.slope
        now += weight * level
        then += weight * (level + slope * reach)
        soon += weight * (level + slope * near)
        total += weight
    now, then, middle, variance = now / total, then / total, soon / total, 0.0
    for b, slope_noise, level_noise in zip(bank, SLOPE_NOISE, EXPECTED_NOISE, strict=True):
        level = b.level
        ref = level if level > unit else unit
        own = b.p_level + near * (2.0 * b.p_both + near * b.p_slope)
        own += (level_noise * ref) ** 2 * near_s + (slope_noise * ref) ** 2 * near_s**3 / 3.0
        off = level + b.slope * near - middle
        variance += b.weight / total * (own + off * off)
    return Outlook(max(0.0, now), max(0.0, then), math.sqrt(max(0.0, variance)))
