"""Numbers of an audit as people read them, on the page and on the terminal alike."""

from __future__ import annotations

import math

from modecover.auditing.results import Estimate


def number(value: float) -> str:
    """Four digits that count; whole thousands where there are more."""
    if not math.isfinite(value):
        return "not measured" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    digits = 3 - math.floor(math.log10(abs(value)))
    if digits <= 0 and abs(value) < 1e10:
        rounded = value if value == int(value) and abs(value) < 1e6 else round(value, digits)
        return f"{int(rounded):,}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def quantity(value: float, unit: str) -> str:
    """A verdict's number: shares as percentages, and of ratios two decimals."""
    if not math.isfinite(value):
        return number(value)
    if unit.startswith("share"):
        return f"{100 * value:.1f}%"
    return f"{value:.2f}".replace("-", "−") if 0.1 <= abs(value) < 100 else number(float(f"{value:.3g}"))


def interval(estimate: Estimate, unit: str) -> str:
    """Both ends of an interval; the number alone where they agree."""
    low, high = quantity(estimate.low, unit), quantity(estimate.high, unit)
    return high if low == high else f"{low.removesuffix('%') if high.endswith('%') else low} to {high}"
