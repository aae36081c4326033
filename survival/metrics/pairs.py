"""Counting concordant pairs, the arithmetic under Harrell's and Uno's C.

A pair (i, j) is comparable when i had an event and t_i < t_j, or t_i = t_j and j was censored. It is concordant when
risk_i > risk_j; equal risks count one half. Two events at the same time are not comparable. (Harrell et al. 1996; the
same convention as R's survival::concordance and scikit-survival.)

Two shapes of the same count: many risks with one weighting (a penalty path), many weightings with one risk (a
bootstrap: a resampled patient is a patient with a weight).
"""

from __future__ import annotations

import numpy as np

from survival.cox_regression.risk_sets import ALL_AT_RISK, AtRisk

BLOCK = 4_000_000  # comparisons held at a time
COLUMNS = 256  # bootstrap samples counted at a time


def harrell_columns(time: np.ndarray, event: np.ndarray, risk: np.ndarray, at_risk: AtRisk = ALL_AT_RISK) -> np.ndarray:
    """Harrell's C of each column of risk. time, event: (n,); risk: (n, a) -> (a,), nan without a comparable pair.

    Pairs are of one stratum, and of patients under observation together.
    """
    concordant, comparable = np.zeros(risk.shape[1]), 0
    rows = np.flatnonzero(event)
    step = max(1, BLOCK // (len(time) * risk.shape[1]))
    for start in range(0, len(rows), step):
        i = rows[start : start + step]
        later = (time[None, :] > time[i, None]) | ((time[None, :] == time[i, None]) & ~event[None, :])
        if at_risk.entry is not None:
            later &= at_risk.entry[None, :] < time[i, None]
        if at_risk.stratum is not None:
            later &= at_risk.stratum[None, :] == at_risk.stratum[i, None]
        first, second = np.nonzero(later)
        high, low = risk[i[first]], risk[second]
        concordant += (high > low).sum(axis=0) + 0.5 * (high == low).sum(axis=0)
        comparable += len(first)
    return concordant / comparable if comparable else np.full(risk.shape[1], np.nan)


def weighted_pairs(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, weight: np.ndarray, event_weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Concordant and comparable weight, (b,) each, under each column of weights.

    A pair (i, j) weighs weight_i event_weight_i weight_j. time, event, risk: (n,); weight, event_weight: (n, b).
    Rows enter a Fenwick tree over risk ranks from the latest time backwards, each node holding a whole row of
    weights: O(n log n) steps on vectors of length b.
    """
    concordant, comparable = np.zeros(weight.shape[1]), np.zeros(weight.shape[1])
    _, rank = np.unique(risk, return_inverse=True)
    order = np.argsort(-time, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(time[order])) + 1)
    steps = [(group[event[group]], group[~event[group]]) for group in groups]  # latest time first: events, censored
    size = int(rank.max()) + 1
    for start in range(0, weight.shape[1], COLUMNS):
        part = slice(start, start + COLUMNS)
        w = np.ascontiguousarray(weight[:, part], dtype=np.float64)
        lead = w if event_weight is None else w * event_weight[:, part]
        concordant[part], comparable[part] = _count(steps, rank, size, w, lead)
    return concordant, comparable


def harrell_pairs(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, weight: np.ndarray, entry: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Concordant and comparable weight, (b,) each, as `weighted_pairs`, of patients under observation together.

    entry: (n,) when each came; pairs of an event i and a patient j who came only then or later are taken off.
    """
    concordant, comparable = weighted_pairs(time, event, risk, weight)
    if entry is None:
        return concordant, comparable
    rows = np.flatnonzero(event)
    step = max(1, BLOCK // len(time))
    for start in range(0, len(rows), step):
        i = rows[start : start + step]
        absent = entry[None, :] >= time[i, None]
        who = np.flatnonzero(absent.any(axis=0))
        absent, later = absent[:, who], weight[who]
        order = np.where(risk[i, None] > risk[None, who], 1.0, np.where(risk[i, None] == risk[None, who], 0.5, 0.0))
        concordant = concordant - (weight[i] * ((absent * order) @ later)).sum(axis=0)
        comparable = comparable - (weight[i] * (absent.astype(np.float64) @ later)).sum(axis=0)
    return concordant, comparable


def _count(
    steps: list[tuple[np.ndarray, np.ndarray]], rank: np.ndarray, size: int, w: np.ndarray, lead: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    up, down = _fenwick_indices(size)
    tree = np.zeros((size + 1, w.shape[1]))
    exact = np.zeros((size, w.shape[1]))  # weight at exactly this rank, for ties in risk
    total = np.zeros(w.shape[1])
    concordant, comparable = np.zeros(w.shape[1]), np.zeros(w.shape[1])
    for events, censored in steps:
        for added, counted in ((censored, events), (events, ())):
            for j in added:
                tree[up[rank[j]]] += w[j]
                exact[rank[j]] += w[j]
                total += w[j]
            for i in counted:
                below = tree[down[rank[i]]].sum(axis=0)
                concordant += lead[i] * (below + 0.5 * exact[rank[i]])
                comparable += lead[i] * total
    return concordant, comparable


def _fenwick_indices(size: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each rank r: the nodes that an entry at r adds to, and the nodes that sum over the ranks below r."""
    up, down = [], []
    for rank in range(size):
        node, nodes = rank + 1, []
        while node <= size:
            nodes.append(node)
            node += node & -node
        up.append(np.array(nodes))
        node, nodes = rank, []
        while node > 0:
            nodes.append(node)
            node -= node & -node
        down.append(np.array(nodes, dtype=np.int64))
    return up, down
