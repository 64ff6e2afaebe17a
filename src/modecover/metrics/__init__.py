"""Array in, small frozen dataclass of numbers out. A metric knows no method and no trainer."""

from modecover.metrics.modes import MixtureModes, draw_mixture, ideal_sampler_row, mixture_modes
from modecover.metrics.transport import wasserstein

__all__ = ["MixtureModes", "draw_mixture", "ideal_sampler_row", "mixture_modes", "wasserstein"]
