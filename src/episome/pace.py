"""How fast each layer learns, and which do not learn yet: rates by depth, frozen layers that thaw, a rate that adapts.

The base is frozen in any case; what is frozen here are adapters. Gradients stop at the lowest adapter that learns, so
freezing saves the backward pass below it, and only there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from episome.lora import Adapted

_THIRDS = 3
_FASTER, _SLOWER = 1.1, 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the transfer policy asks of the optimiser.

    Attributes:
        group_rates: learning rate of the shallow, middle and deep third of the layers, relative.
        frozen_share: share of the adapted layers, from the lowest, that starts frozen; after each epoch without a
            better validation score the highest frozen one thaws, and none freezes again.
        swing: the rate grows by a tenth after a better epoch and shrinks by three tenths after another, within
            this share of what the schedule says.
        top_first: for the first epoch only head and top third of the layers learn.
    """

    group_rates: tuple[float, float, float] = (1.0, 1.0, 1.0)
    frozen_share: float = 0.0
    swing: float = 0.0
    top_first: bool = False

    def frozen(self, epoch: int, layers: int) -> int:
        """How many of the layers, from the lowest, the plan freezes in an epoch before any has thawed."""
        planned = round(self.frozen_share * layers)
        return max(planned, layers - -(-layers // _THIRDS)) if self.top_first and epoch == 0 else planned


STEADY = Pace()


def by_depth(layers: Sequence[Adapted]) -> list[list[nn.Parameter]]:
    """The factors of each encoder layer, the lowest first."""
    depths: dict[int, list[nn.Parameter]] = {}
    for layer in layers:
        depth = next(int(part) for part in layer.name.split(".") if part.isdecimal())
        depths.setdefault(depth, []).extend(_factors(layer))
    return [depths[depth] for depth in sorted(depths)]


def thirds(depths: Sequence[Sequence[nn.Parameter]]) -> list[list[nn.Parameter]]:
    """Layers gathered into shallow, middle and deep; with fewer than three layers some are empty."""
    groups: list[list[nn.Parameter]] = [[] for _ in range(_THIRDS)]
    for k, parameters in enumerate(depths):
        groups[k * _THIRDS // len(depths)].extend(parameters)
    return groups


def freeze(depths: Sequence[Sequence[nn.Parameter]], count: int) -> None:
    """Let the lowest `count` layers have no gradient, and all others have one."""
    for k, parameters in enumerate(depths):
        for parameter in parameters:
            parameter.requires_grad_(k >= count)
            if k < count:
                parameter.grad = None


def thaw(depths: Sequence[Sequence[nn.Parameter]]) -> None:
    """Let every layer have a gradient."""
    freeze(depths, 0)


def adapted_rate(factor: float, swing: float, *, better: bool) -> float:
    """The factor on the learning rate after an epoch, within ``1 ± swing``."""
    return min(max(factor * (_FASTER if better else _SLOWER), 1 - swing), 1 + swing)


def _factors(layer: Adapted) -> list[nn.Parameter]:
    return [factor for factor in (layer.a, layer.b) if isinstance(factor, nn.Parameter)]
