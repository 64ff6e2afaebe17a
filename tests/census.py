"""A table of people, made up, whose columns depend on each other, and generators of tables as others make them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm


def people(count: int, random: np.random.Generator, *, widowed: float = 0.1) -> pd.DataFrame:
    """The young, those who work, the retired and the widowed, of whom the last have this share; an income is missing
    for one in twenty."""
    group = random.choice(4, size=count, p=np.append(np.array([3, 4, 2]) / 9 * (1 - widowed), widowed))
    young, working = group == 0, group == 1
    married = np.where(working & (random.random(count) < 0.25), "divorced", "married")
    status = np.select([young, group == 3], ["single", "widowed"], married)
    of_young = random.choice(["student", "clerk", "nurse"], count, p=[0.5, 0.3, 0.2])
    of_working = random.choice(["clerk", "nurse", "engineer"], count, p=[0.4, 0.3, 0.3])
    job = np.select([young, working], [of_young, of_working], "none")
    age = np.select([young, working], [random.normal(24, 3, count), random.normal(42, 7, count)])
    hours = np.select([job == "none", job == "student"], [np.zeros(count), random.normal(8, 2, count)])
    worth = np.select([job == "none", job == "student", job == "engineer"], [9.6, 8.6, 11.2], 10.3)
    table = {
        "age": np.where(group >= 2, random.normal(72, 5, count), age).round(1),
        "status": status,
        "job": job,
        "hours": np.where(np.isin(job, ["none", "student"]), hours, random.normal(39, 4, count)).clip(0).round(),
        "income": np.where(random.random(count) < 0.05, np.nan, np.exp(random.normal(worth, 0.2)).round()),
        "owns": random.random(count) < np.select([young, working], [0.05, 0.6], 0.8),
    }
    return pd.DataFrame(table)


def bootstrap(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Rows drawn from the table again."""
    return table.iloc[random.integers(len(table), size=len(table))].reset_index(drop=True)


def copula(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Rows of a Gaussian copula: every column has the table's own values, words in their alphabet's order and what is
    missing first; of how columns depend on each other the correlations of their normal scores are all that is kept."""
    count = len(table)
    ordered = {name: column.sort_values(na_position="first") for name, column in table.items()}
    scores = np.empty((count, len(ordered)))
    for place, name in enumerate(ordered):
        # Equal values stand in any order, so that their scores are spread over theirs.
        among = random.permutation(count)
        shuffled = table[name].iloc[among].sort_values(na_position="first", kind="stable")
        scores[shuffled.index, place] = norm.ppf((np.arange(count) + 0.5) / count)
    drawn = random.multivariate_normal(np.zeros(len(ordered)), np.corrcoef(scores.T), size=count)
    ranks = np.minimum((norm.cdf(drawn) * count).astype(int), count - 1)
    return pd.DataFrame({name: column.to_numpy()[ranks[:, n]] for n, (name, column) in enumerate(ordered.items())})


def independent(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Every column as it is, in an order of its own."""
    return pd.DataFrame({name: random.permutation(column.to_numpy()) for name, column in table.items()})


def impossible(table: pd.DataFrame) -> np.ndarray:
    """Which rows are of nobody whom `people` makes, as their words, ages and hours show; incomes left aside."""
    retired = table["status"].isin(["widowed"]) | (table["job"] == "none")
    student, single = table["job"] == "student", table["status"] == "single"
    idle = table["hours"] == 0
    wrong = (retired & ~idle) | (retired & (table["age"] < 47)) | (~retired & (table["age"] > 77))
    wrong |= (table["job"] == "none") & ~table["status"].isin(["married", "widowed"])
    wrong |= (table["status"] == "widowed") & (table["job"] != "none")
    wrong |= (student & ~single) | (student & (table["hours"] > 18)) | (single & (table["age"] > 39))
    wrong |= ~retired & ~student & (table["hours"] < 19)
    return np.asarray(wrong | (single & (table["job"] == "engineer")))
