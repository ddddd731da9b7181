"""Gradients of every loss: against finite differences, in low precision, scaled, and refused twice."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from zoo.errors import LossError
from zoo.losses import tiles
from zoo.losses.decoupled import DecoupledLoss
from zoo.losses.distillation import DistillationLoss
from zoo.losses.hard_negative import HardNegativeLoss
from zoo.losses.info_nce import InfoNCELoss
from zoo.losses.siglip import SigLIPLoss

LOSSES = {
    "info-nce": lambda: InfoNCELoss(temperature=0.3),
    "info-nce, smoothed": lambda: InfoNCELoss(temperature=0.3, label_smoothing=0.2),
    "info-nce, image to text": lambda: InfoNCELoss(temperature=0.3, only_image_to_text=True),
    "siglip": lambda: SigLIPLoss(bias=-3.0),
    "decoupled": lambda: DecoupledLoss(temperature=0.3),
    "hard-negative": lambda: HardNegativeLoss(temperature=0.3, beta=0.5, tau_plus=0.05),
    "distillation": lambda: DistillationLoss(temperature=0.3, teacher_temperature=0.1),
}
COUNT, DIM = 9, 4


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]()


@pytest.fixture(params=[(1024, 2048), (4, 5)], ids=["one tile", "4 x 5"])
def tile(request, monkeypatch):
    monkeypatch.setattr(tiles, "TILE", request.param)


def unit(seed, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(COUNT, DIM, dtype=torch.float64, generator=random)).to(dtype)


def more(loss, dtype=torch.float32):
    """A teacher, where the loss takes one."""
    if not isinstance(loss, DistillationLoss):
        return {}
    return {"teacher_image_embeds": unit(5, dtype), "teacher_text_embeds": unit(6, dtype)}


def batch(dtype=torch.float32):
    return [unit(seed, dtype).requires_grad_() for seed in (0, 1)]


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("with_ids", [False, True])
def test_against_finite_differences(loss, with_ids):
    ids = {}
    if with_ids:
        ids["image_ids"] = torch.tensor([0, 1, 2, 0, 3, 4, 4, 5, 0])
        ids["text_ids"] = torch.tensor([7, 1, 1, 2, 3, 7, 4, 5, 6])
    loss.double()
    names = [name for name, _ in loss.named_parameters()]

    def value(images, texts, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(
            loss, given, (images, texts), {**ids, **more(loss, torch.float64)}
        )

    assert torch.autograd.gradcheck(value, (*batch(torch.float64), *loss.parameters()))


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1)])
def test_only_the_gradients_that_are_wanted(loss, wanted):
    """The same numbers whatever else trains."""
    images, texts = batch()
    leaves = [images, texts, *loss.parameters()]
    expected = torch.autograd.grad(loss(images, texts, **more(loss)), leaves)
    for number, leaf in enumerate(leaves):
        leaf.requires_grad_(number in wanted)
    loss(images, texts, **more(loss)).backward()
    for number, (leaf, gradient) in enumerate(zip(leaves, expected, strict=True)):
        if number in wanted:
            torch.testing.assert_close(leaf.grad, gradient)
        else:
            assert leaf.grad is None


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("factor", [1.0, 1024.0])
def test_low_precision_and_a_scaled_loss(loss, dtype, factor):
    """Sums are in float32 and a gradient is rounded once, after the scaling."""
    images, texts = batch(dtype)
    exact = [each.detach().float().requires_grad_() for each in (images, texts)]
    expected = loss(*exact, **more(loss))
    wanted = torch.autograd.grad(factor * expected, exact)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(images, texts, **more(loss))
        (factor * value).backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    for each, gradient in zip((images, texts), wanted, strict=True):
        assert each.grad.dtype == dtype
        assert each.grad.isfinite().all()
        step = torch.finfo(dtype).eps
        torch.testing.assert_close(each.grad.float(), gradient, rtol=step, atol=1e-6 * factor)


@pytest.mark.usefixtures("tile")
def test_a_second_derivative_is_refused(loss):
    images, texts = batch()
    value = loss(images, texts, **more(loss))
    said = (
        r"cannot be differentiated again; call backward\(\) or torch.autograd.grad\(\) without "
        r"create_graph=True"
    )
    with pytest.raises(LossError, match=said):
        torch.autograd.grad(value, images, create_graph=True)
    with pytest.raises(LossError, match=said):
        loss(images, texts, **more(loss)).backward(create_graph=True)
    with pytest.raises(LossError, match=said):
        torch.autograd.functional.hessian(lambda rows: loss(rows, texts, **more(loss)), images)


@pytest.mark.usefixtures("tile")
def test_a_graph_that_is_kept_gives_the_same_again(loss):
    images, texts = batch()
    value = loss(images, texts, **more(loss))
    first = torch.autograd.grad(value, (images, texts), retain_graph=True)
    again = torch.autograd.grad(value, (images, texts))
    assert all(map(torch.equal, first, again))


@pytest.mark.parametrize(
    "kind", [InfoNCELoss, DecoupledLoss, HardNegativeLoss, partial(DistillationLoss, weight=0.1)]
)
def test_beyond_its_bound_the_temperature_can_only_go_back(kind):
    """It has the gradient that it has at the bound, if a step along that is back."""
    loss = kind(temperature=0.25, max_scale=5.0)
    images = unit(0)
    signs = set()
    for texts in (images, -images):  # which ask for a larger scale, and for a smaller one
        gradients = []
        for scale in (5.0 - 1e-5, 7.4):
            loss.logit_scale.grad = None
            loss.logit_scale.data.fill_(math.log(scale))
            loss(images, texts, **more(loss)).backward()
            gradients.append(loss.logit_scale.grad.item())
        within, beyond = gradients
        signs.add(within > 0)
        assert beyond == pytest.approx(max(within, 0), rel=1e-4)
        assert loss.temperature == pytest.approx(0.2)
    assert signs == {True, False}


def test_a_temperature_that_went_too_far_comes_back():
    loss = InfoNCELoss(max_scale=5.0, temperature=0.25)
    loss.logit_scale.data.fill_(math.log(5.5))
    images, optimizer = unit(0), torch.optim.SGD(loss.parameters(), lr=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        loss(images, -images).backward()
        optimizer.step()
    assert loss.temperature > 0.2


def test_nothing_is_differentiated_where_no_gradient_can_be_asked_for(monkeypatch):
    calls = []
    monkeypatch.setattr(tiles._Gradients, "add", lambda *args: calls.append(args))
    with torch.no_grad():
        SigLIPLoss()(*batch())
    assert not calls
