"""Fisher information and penalty against closed forms and algebra."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from episome import ewc, sensitivity
from episome.lora import Adapted
from episome.types import EpisomeError

IN, OUT, RANK = 5, 4, 2


class AdaptedLinear(nn.Module):
    """y = x (W + s B A)ᵀ, the smallest adapted layer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.w = torch.randn(OUT, IN, generator=generator)
        self.a = nn.Parameter(torch.randn(RANK, IN, generator=generator))
        self.b = nn.Parameter(torch.randn(OUT, RANK, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.w + 2.0 * self.b @ self.a).T

    def adapted(self) -> Adapted:
        """The layer as `ewc` sees it."""
        return Adapted(name="layer", module=self, a=self.a, b=self.b, scale=2.0)


def scored(layer: AdaptedLinear, x: Tensor, mask: Tensor, read: Tensor, batch: int) -> Iterator[sensitivity.Scored]:
    """Two tasks read off the masked mean of the layer's output; x is [n, S, in]."""
    for start in range(0, len(x), batch):
        rows = slice(start, start + batch)
        weights = mask[rows][..., None]
        features = (layer(x[rows]) * weights).sum(1) / weights.sum(1)
        labelled = torch.ones(len(features), len(read), dtype=torch.bool)
        yield sensitivity.Scored(logits=features @ read.T, features=features, labelled=labelled)


def example(seed: int = 0, n: int = 6, tokens: int = 3) -> tuple[AdaptedLinear, Tensor, Tensor, Tensor]:
    """A layer, inputs, a full mask and read-out weights."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, tokens, IN, generator=generator)
    return AdaptedLinear(seed), x, torch.ones(n, tokens), 0.5 * torch.randn(2, OUT, generator=generator)


def brute_force(layer: AdaptedLinear, x: Tensor, mask: Tensor, read: Tensor) -> Tensor:
    """E over examples and both labels of each task of the squared gradient with respect to ΔW, one at a time."""
    total = torch.zeros(OUT, IN, dtype=torch.float64)
    for row, keep in zip(x.double(), mask.double(), strict=True):
        delta = (2.0 * layer.b @ layer.a).detach().double().requires_grad_(True)
        states = row @ (layer.w.double() + delta).T
        logits = ((states * keep[:, None]).sum(0) / keep.sum()) @ read.double().T
        for logit in logits:
            p = logit.detach().sigmoid()
            for label, weight in ((1.0, p), (0.0, 1 - p)):
                loss = nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor(label).double())
                (grad,) = torch.autograd.grad(loss, delta, retain_graph=True)
                total += weight * grad**2
    return total / len(x)


def test_row_and_column_sums_are_those_of_the_exact_fisher() -> None:
    layer, x, mask, read = example()
    got = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, batch=4))
    exact = brute_force(layer, x, mask, read)
    torch.testing.assert_close(got.rows["layer"].double(), exact.sum(1), rtol=1e-5, atol=0)
    torch.testing.assert_close(got.columns["layer"].double(), exact.sum(0), rtol=1e-5, atol=0)


def test_the_heads_fisher_is_logistic_regressions_closed_form() -> None:
    layer, x, mask, read = example(1)
    got = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, batch=2))
    features = layer(x).mean(1).detach()
    p = (features @ read.T).sigmoid()
    closed = ((p * (1 - p))[:, :, None] * features[:, None, :] ** 2).mean(0)
    torch.testing.assert_close(got.head_weight, closed, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(got.head_bias, (p * (1 - p)).mean(0), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("batch", [1, 2, 37])
def test_batch_size_has_no_influence(batch: int) -> None:
    layer, x, mask, read = example(2)
    one = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, batch=6))
    other = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, batch=batch))
    torch.testing.assert_close(one.rows["layer"], other.rows["layer"], rtol=1e-6, atol=1e-9)


def test_duplicated_data_and_padding_have_no_influence() -> None:
    layer, x, mask, read = example(3)
    one = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, batch=6))
    twice = sensitivity.fisher([layer.adapted()], scored(layer, x.repeat(2, 1, 1), mask.repeat(2, 1), read, batch=5))
    padded = torch.cat([x, 9 * torch.ones(len(x), 2, IN)], dim=1)
    wide = torch.cat([mask, torch.zeros(len(x), 2)], dim=1)
    with_padding = sensitivity.fisher([layer.adapted()], scored(layer, padded, wide, read, batch=6))
    for other in (twice, with_padding):
        torch.testing.assert_close(one.rows["layer"], other.rows["layer"], rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(one.columns["layer"], other.columns["layer"], rtol=1e-6, atol=1e-9)


def test_an_unlabelled_task_adds_nothing() -> None:
    layer, x, mask, read = example(4)
    masked = (s._replace(labelled=s.labelled & torch.tensor([True, False])) for s in scored(layer, x, mask, read, 6))
    got = sensitivity.fisher([layer.adapted()], masked)
    torch.testing.assert_close(
        got.rows["layer"].double(), brute_force(layer, x, mask, read[:1]).sum(1), rtol=1e-5, atol=0
    )
    assert float(got.head_bias[1]) == 0.0


def test_no_example_is_an_error() -> None:
    layer = AdaptedLinear(0)
    with pytest.raises(EpisomeError, match="at least one example"):
        sensitivity.fisher([layer.adapted()], iter(()))


def anchored(layer: AdaptedLinear) -> tuple[ewc.Anchor, Tensor, Tensor]:
    """An anchor at the layer as it is, and a head."""
    generator = torch.Generator().manual_seed(9)
    fisher = ewc.Fisher(
        rows={"layer": torch.rand(OUT, generator=generator)},
        columns={"layer": torch.rand(IN, generator=generator)},
        head_weight=torch.rand(1, 3, generator=generator),
        head_bias=torch.rand(1, generator=generator),
    )
    # Row and column sums of one matrix have the same total.
    fisher.columns["layer"] *= fisher.rows["layer"].sum() / fisher.columns["layer"].sum()
    weight, bias = torch.randn(1, 3, generator=generator), torch.randn(1, generator=generator)
    held = ewc.Anchor(
        fisher=fisher,
        a={"layer": layer.a.detach().clone()},
        b={"layer": 2.0 * layer.b.detach().clone()},
        head_weight=weight,
        head_bias=bias,
    )
    return held, weight, bias


def test_the_penalty_in_rank_space_is_the_sum_over_the_whole_matrix() -> None:
    layer = AdaptedLinear(5)
    held, weight, bias = anchored(layer)
    moved = AdaptedLinear(6)
    row, column = held.fisher.rows["layer"], held.fisher.columns["layer"]
    delta = 2.0 * moved.b @ moved.a - 2.0 * layer.b @ layer.a
    whole = (row[:, None] * column[None, :] / row.sum() * delta**2).sum()
    whole = whole + (held.fisher.head_weight * 0.3**2).sum() + (held.fisher.head_bias * 0.2**2).sum()
    got = ewc.penalty([moved.adapted()], weight + 0.3, bias - 0.2, held)
    torch.testing.assert_close(got, 0.5 * whole, rtol=1e-5, atol=0)


def test_the_penalty_is_zero_at_the_anchor_and_blind_to_the_gauge() -> None:
    layer = AdaptedLinear(7)
    held, weight, bias = anchored(layer)
    assert float(ewc.penalty([layer.adapted()], weight, bias, held).detach()) == pytest.approx(0.0, abs=1e-5)
    k = torch.tensor([[2.0, 1.0], [0.0, -0.5]])
    with torch.no_grad():
        layer.a.copy_(torch.linalg.inv(k) @ layer.a)
        layer.b.copy_(layer.b @ k)
    assert float(ewc.penalty([layer.adapted()], weight, bias, held).detach()) == pytest.approx(0.0, abs=1e-4)


def test_the_penaltys_gradient_equals_finite_differences() -> None:
    layer = AdaptedLinear(8).double()
    layer.w = layer.w.double()
    held, weight, bias = anchored(AdaptedLinear(10))
    layers = [layer.adapted()]
    value = ewc.penalty(layers, weight, bias, held)
    (grad,) = torch.autograd.grad(value, layer.a)
    step = 1e-6
    with torch.no_grad():
        layer.a[1, 2] += step
        up = ewc.penalty(layers, weight, bias, held)
        layer.a[1, 2] -= 2 * step
        down = ewc.penalty(layers, weight, bias, held)
    assert float((up - down) / (2 * step)) == pytest.approx(float(grad[1, 2]), rel=1e-5)


def test_a_task_the_anchor_does_not_know_is_free() -> None:
    layer = AdaptedLinear(11)
    held, weight, bias = anchored(layer)
    grown_weight, grown_bias = torch.cat([weight, torch.ones(1, 3)]), torch.cat([bias, torch.ones(1)])
    assert float(ewc.penalty([layer.adapted()], grown_weight, grown_bias, held).detach()) == pytest.approx(0, abs=1e-5)


def test_fishers_add_up_and_survive_the_disk(tmp_path: Path) -> None:
    layer, x, mask, read = example(12)
    one = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, batch=6))
    ewc.save(one, tmp_path / "fisher.safetensors")
    back = ewc.load(tmp_path / "fisher.safetensors")
    twice = ewc.accumulate(back, one)
    torch.testing.assert_close(twice.rows["layer"], 2 * one.rows["layer"])
    torch.testing.assert_close(twice.columns["layer"], 2 * one.columns["layer"])
    torch.testing.assert_close(twice.head_weight, 2 * one.head_weight)
    with pytest.raises(EpisomeError, match="no such file"):
        ewc.load(tmp_path / "absent.safetensors")


def dense(state: ewc.Fisher, name: str) -> Tensor:
    """The weights that `penalty` gives each entry of ΔW."""
    row = state.rows[name]
    return torch.outer(row, state.columns[name]) / row.sum()


def a_fisher(scale: float = 1.0) -> ewc.Fisher:
    """Two layers, the second ten times as important, one row of it far above the others."""
    generator = torch.Generator().manual_seed(4)
    one, two = torch.rand(OUT, IN, generator=generator), 10 * torch.rand(3, 6, generator=generator)
    two[0] *= 30
    rows = {"one": one.sum(1) * scale, "two": two.sum(1) * scale}
    columns = {"one": one.sum(0) * scale, "two": two.sum(0) * scale}
    return ewc.Fisher(rows=rows, columns=columns, head_weight=torch.ones(2, 3), head_bias=torch.ones(2))


def test_importance_has_mean_one_before_the_cap_and_none_above_it() -> None:
    free = ewc.importance(a_fisher(), most=1e9)
    whole = torch.cat([dense(free, name).flatten() for name in ("one", "two")])
    assert float(whole.mean()) == pytest.approx(1.0, rel=1e-5)
    ratio = dense(free, "one") / dense(a_fisher(), "one")
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))  # the same but for its unit
    capped = ewc.importance(a_fisher(), most=4.0)
    parts = [dense(capped, name) for name in ("one", "two")]
    assert max(float(part.max()) for part in parts) == pytest.approx(4.0, rel=1e-4)
    torch.testing.assert_close(parts[0], dense(free, "one"))  # nothing to cut there
    assert torch.equal(dense(ewc.importance(a_fisher(8.0)), "one"), dense(ewc.importance(a_fisher()), "one"))


def test_a_donors_head_holds_nothing_and_no_information_is_no_weight() -> None:
    layer, x, mask, read = example()
    state = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, 3))
    weighed = ewc.importance(state)
    anchor = ewc.Anchor(
        fisher=weighed, a={"layer": layer.a.detach() * 0}, b={"layer": layer.b.detach()},
        head_weight=torch.zeros(0, OUT), head_bias=torch.zeros(0),
    )  # fmt: skip
    got = ewc.penalty([layer.adapted()], torch.randn(2, OUT), torch.randn(2), anchor)
    delta = 2.0 * layer.b @ layer.a
    torch.testing.assert_close(got, 0.5 * (dense(weighed, "layer") * delta**2).sum())
    silent = ewc.Fisher(
        rows={"layer": torch.zeros(OUT)}, columns={"layer": torch.zeros(IN)},
        head_weight=torch.zeros(1, 1), head_bias=torch.zeros(1),
    )  # fmt: skip
    assert float(ewc.importance(silent).columns["layer"].abs().sum()) == 0.0


def test_a_layer_without_information_adds_nothing_and_leaves_every_gradient_finite() -> None:
    layer, x, mask, read = example()
    state = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, 3))
    silent = ewc.Fisher(
        rows={"layer": torch.full((OUT,), 1e-40)}, columns={"layer": torch.full((IN,), 1e-40)},
        head_weight=state.head_weight, head_bias=state.head_bias,
    )  # fmt: skip
    anchor = ewc.Anchor(
        fisher=silent, a={"layer": layer.a.detach() * 0}, b={"layer": layer.b.detach()},
        head_weight=torch.zeros(2, OUT), head_bias=torch.zeros(2),
    )  # fmt: skip
    weight = torch.ones(2, OUT, requires_grad=True)
    (1e6 * ewc.penalty([layer.adapted()], weight, torch.zeros(2), anchor)).backward()
    assert weight.grad is not None
    assert bool(weight.grad.isfinite().all())
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in (layer.a, layer.b))


def relative(got: Tensor, wanted: Tensor) -> float:
    """Error over the whole tensor, relative to what was wanted."""
    return float((got.double() - wanted.double()).norm() / wanted.double().norm())


def test_of_a_logistic_regression_it_is_the_closed_form() -> None:
    layer, x, mask, _ = example(13, n=40, tokens=1)
    got = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, torch.eye(OUT), batch=7), full=True)
    p = (x[:, 0].double() @ (layer.w + 2.0 * layer.b @ layer.a).detach().double().T).sigmoid()
    closed = torch.einsum("no,ni->oi", p * (1 - p), x[:, 0].double() ** 2) / len(x)
    assert relative(got.full["layer"], closed) < 1e-5
    assert relative(got.rows["layer"], closed.sum(1)) < 1e-5
    assert relative(got.columns["layer"], closed.sum(0)) < 1e-5
    assert relative(ewc.whole(replace(got, full={}), "layer"), closed) > 1e-3  # its sums are not all of it


def test_kept_whole_it_is_that_of_every_example_by_itself() -> None:
    layer, x, mask, read = example(14)
    got = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, batch=4), full=True)
    assert relative(got.full["layer"], brute_force(layer, x, mask, read)) < 1e-5
    plain = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, batch=4))
    assert not plain.full
    assert not plain.apart
    assert torch.equal(got.rows["layer"], plain.rows["layer"])
    assert torch.equal(ewc.whole(got, "layer"), got.full["layer"])
    a_row = ewc.whole(plain, "layer")
    torch.testing.assert_close(a_row.sum(1), plain.rows["layer"])
    torch.testing.assert_close(a_row.sum(0), plain.columns["layer"])


def test_of_the_factors_it_is_that_of_every_example_by_itself() -> None:
    layer, x, mask, read = example(15)
    got = sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, batch=4), apart=True)
    wanted_a, wanted_b = torch.zeros(RANK, IN), torch.zeros(OUT, RANK)
    for k in range(len(x)):
        (one,) = scored(layer, x[k : k + 1], mask[k : k + 1], read, batch=1)
        for logit in one.logits[0]:
            p = logit.detach().sigmoid()
            of_a, of_b = torch.autograd.grad(logit, [layer.a, layer.b], retain_graph=True)
            wanted_a += p * (1 - p) * of_a**2 / len(x)
            wanted_b += p * (1 - p) * (of_b / 2.0) ** 2 / len(x)  # of scale · B
    assert relative(got.apart["layer"][0], wanted_a) < 1e-5
    assert relative(got.apart["layer"][1], wanted_b) < 1e-5


def held(layer: AdaptedLinear, state: ewc.Fisher) -> ewc.Anchor:
    """An anchor at the layer as it is, without a head."""
    bare = replace(state, head_weight=torch.zeros(0, OUT), head_bias=torch.zeros(0))
    a, b = {"layer": layer.a.detach().clone()}, {"layer": 2.0 * layer.b.detach().clone()}
    return ewc.Anchor(fisher=bare, a=a, b=b, head_weight=bare.head_weight, head_bias=bare.head_bias)


def kept(seed: int) -> tuple[AdaptedLinear, ewc.Fisher]:
    layer, x, mask, read = example(seed)
    return layer, sensitivity.fisher([layer.adapted()], scored(layer, x, mask, read, 6), full=True, apart=True)


NO_HEAD = (torch.zeros(0, OUT), torch.zeros(0))


@pytest.mark.parametrize("full", [False, True])
def test_moved_weights_cost_the_same_in_every_gauge_and_nothing_at_the_anchor(full: bool) -> None:
    layer, state = kept(16)
    state = state if full else replace(state, full={})
    anchor, moved = held(layer, state), AdaptedLinear(17)
    delta = (2.0 * moved.b @ moved.a - 2.0 * layer.b @ layer.a).detach()
    cost = ewc.penalty([moved.adapted()], *NO_HEAD, anchor)
    torch.testing.assert_close(cost, 0.5 * (ewc.whole(state, "layer") * delta**2).sum())
    apart = ewc.penalty_apart([moved.adapted()], *NO_HEAD, anchor)
    k = torch.tensor([[2.0, 1.0], [0.0, -0.5]])
    with torch.no_grad():
        moved.a.copy_(torch.linalg.inv(k) @ moved.a)
        moved.b.copy_(moved.b @ k)
    assert float(cost.detach()) > 0.01
    torch.testing.assert_close(ewc.penalty([moved.adapted()], *NO_HEAD, anchor), cost, rtol=1e-4, atol=0)
    other = float(ewc.penalty_apart([moved.adapted()], *NO_HEAD, anchor).detach())
    assert abs(other / float(apart.detach()) - 1) > 0.1  # which is why the factors are not held by themselves
    assert float(ewc.penalty([layer.adapted()], *NO_HEAD, anchor).detach()) == pytest.approx(0, abs=1e-6)
    assert float(ewc.penalty_apart([layer.adapted()], *NO_HEAD, anchor).detach()) == 0.0


@pytest.mark.parametrize("penalty", [ewc.penalty, ewc.penalty_apart])
def test_every_penaltys_gradient_equals_finite_differences(penalty: Callable[..., Tensor]) -> None:
    layer, state = kept(18)
    anchor, moved = held(layer, state), AdaptedLinear(19).double()
    grads = torch.autograd.grad(penalty([moved.adapted()], *NO_HEAD, anchor), [moved.a, moved.b])
    for parameter, grad in zip((moved.a, moved.b), grads, strict=True):
        for at in ((0, 0), (1, 1)):
            sides = []
            for step in (1e-5, -2e-5):
                with torch.no_grad():
                    parameter[at] += step
                    sides.append(float(penalty([moved.adapted()], *NO_HEAD, anchor)))
            with torch.no_grad():
                parameter[at] += 1e-5
            assert (sides[0] - sides[1]) / 2e-5 == pytest.approx(float(grad[at]), rel=1e-5)


def test_weights_all_alike_are_the_plain_distance() -> None:
    layer, state = kept(20)
    moved = AdaptedLinear(21)
    delta = (2.0 * moved.b @ moved.a - 2.0 * layer.b @ layer.a).detach()
    got = ewc.penalty([moved.adapted()], *NO_HEAD, held(layer, ewc.flat(state)))
    torch.testing.assert_close(got, 0.5 * (delta**2).sum())
    assert ewc.steepest(ewc.flat(state)) == pytest.approx((1.0, 1.0))


def test_the_steepest_weight_is_the_largest_of_whatever_was_kept() -> None:
    _, state = kept(22)
    sums = replace(state, full={})
    head = max(float(state.head_weight.max()), float(state.head_bias.max()))
    assert ewc.steepest(state) == pytest.approx((float(state.full["layer"].max()), head))
    assert ewc.steepest(sums) == pytest.approx((float(ewc.whole(sums, "layer").max()), head))
    assert ewc.steepest(state, apart=True)[0] == max(float(of.max()) for of in state.apart["layer"])
    assert ewc.steepest(replace(sums, head_weight=torch.zeros(0, 1), head_bias=torch.zeros(0)))[1] == 0.0


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_what_was_gathered_fades_by_the_decay(decay: float) -> None:
    (_, old), (_, new) = kept(23), kept(24)
    got = ewc.accumulate(old, new, decay)
    for part in ("rows", "columns", "full"):
        wanted = getattr(new, part)["layer"] + decay * getattr(old, part)["layer"]
        torch.testing.assert_close(getattr(got, part)["layer"], wanted)
    torch.testing.assert_close(got.head_weight, new.head_weight + decay * old.head_weight)
    torch.testing.assert_close(got.head_bias, new.head_bias + decay * old.head_bias)
    for k in (0, 1):
        torch.testing.assert_close(got.apart["layer"][k], new.apart["layer"][k] + decay * old.apart["layer"][k])


def test_what_one_version_did_not_keep_is_made_up_for_or_dropped() -> None:
    (_, old), (_, new) = kept(25), kept(26)
    sums = replace(old, full={}, apart={})
    got = ewc.accumulate(sums, new)
    torch.testing.assert_close(got.full["layer"], new.full["layer"] + ewc.whole(sums, "layer"))
    torch.testing.assert_close(got.full["layer"].sum(1), got.rows["layer"])
    assert torch.equal(got.apart["layer"][0], new.apart["layer"][0])
    assert not ewc.accumulate(old, replace(new, full={}, apart={})).full
    of_a, of_b = old.apart["layer"]
    narrow = replace(old, apart={"layer": (of_a[:1], of_b[:, :1])})  # of an adapter of a lower rank
    grown = ewc.accumulate(narrow, new).apart["layer"]
    torch.testing.assert_close(grown[0][0], new.apart["layer"][0][0] + of_a[0])
    assert torch.equal(grown[0][1], new.apart["layer"][0][1])
    torch.testing.assert_close(grown[1][:, 0], new.apart["layer"][1][:, 0] + of_b[:, 0])


def test_all_that_is_kept_survives_the_disk_and_what_was_not_kept_is_an_error(tmp_path: Path) -> None:
    layer, state = kept(27)
    ewc.save(state, tmp_path / ewc.FILE)
    back = ewc.load(tmp_path / ewc.FILE)
    assert torch.equal(back.full["layer"], state.full["layer"])
    assert all(torch.equal(a, b) for a, b in zip(back.apart["layer"], state.apart["layer"], strict=True))
    assert back.rows.keys() == back.columns.keys() == {"layer"}
    without = held(layer, replace(state, apart={}))
    with pytest.raises(EpisomeError, match=r"no layer by factors; train it with train\.guard: ewc_factors too"):
        ewc.penalty_apart([layer.adapted()], *NO_HEAD, without)
