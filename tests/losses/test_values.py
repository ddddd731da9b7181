"""Values of every loss against float64 NumPy, in one tile and in many, with and without ids."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import losses_by_hand as by_hand
from zoo.losses import tiles
from zoo.losses.decoupled import DecoupledLoss
from zoo.losses.distillation import DistillationLoss
from zoo.losses.hard_negative import HardNegativeLoss
from zoo.losses.info_nce import InfoNCELoss
from zoo.losses.siglip import SigLIPLoss

COUNT = 23
IDS = {
    "each pair alone": (False, False),
    "same pictures": (True, False),
    "same captions": (False, True),
    "both": (True, True),
}


@pytest.fixture(params=[(1024, 2048), (7, 5), (64, 4)], ids=["one tile", "7 x 5", "64 x 4"])
def tile(request, monkeypatch):
    monkeypatch.setattr(tiles, "TILE", request.param)


@pytest.fixture(params=IDS)
def ids(request):
    """Ids of pictures and of captions; some occur twice or thrice, and not in the same pairs."""
    random = np.random.default_rng(3)
    drawn = random.integers(0, 9, COUNT), random.integers(5, 15, COUNT)
    return [
        each if wanted else None for each, wanted in zip(drawn, IDS[request.param], strict=True)
    ]


def unit(seed, dim=6):
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(COUNT, dim, dtype=torch.float64, generator=random), dim=-1)


IMAGES, TEXTS = unit(0), unit(1)


def check(loss, expected, ids, **more):
    """Ours in float64 and in float32 against the definition."""
    given = [each if each is None else torch.from_numpy(each) for each in ids]
    assert loss.double()(IMAGES, TEXTS, *given, **more).item() == pytest.approx(expected, rel=1e-9)
    more = {name: each.float() for name, each in more.items()}
    single = loss.float()(IMAGES.float(), TEXTS.float(), *given, **more)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected, rel=2e-5, abs=1e-5)


def together(ids):
    return by_hand.positives(COUNT, *ids)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("only_image_to_text", [False, True])
@pytest.mark.parametrize(("temperature", "smoothing"), [(0.07, 0.0), (0.01, 0.1), (1.0, 0.3)])
def test_info_nce(ids, temperature, smoothing, only_image_to_text):
    loss = InfoNCELoss(
        temperature=temperature,
        label_smoothing=smoothing,
        only_image_to_text=only_image_to_text,
    ).double()
    expected = by_hand.info_nce(
        IMAGES.numpy(),
        TEXTS.numpy(),
        temperature=loss.temperature,
        smoothing=smoothing,
        together=together(ids),
        only_image_to_text=only_image_to_text,
    )
    check(loss, expected, ids)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize(("temperature", "bias"), [(0.1, -10.0), (0.02, 3.0)])
def test_siglip(ids, temperature, bias):
    loss = SigLIPLoss(temperature=temperature, bias=bias).double()
    expected = by_hand.siglip(
        IMAGES.numpy(),
        TEXTS.numpy(),
        temperature=loss.temperature,
        bias=bias,
        together=together(ids),
    )
    check(loss, expected, ids)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("temperature", [0.01, 0.3])
def test_decoupled(ids, temperature):
    loss = DecoupledLoss(temperature=temperature).double()
    expected = by_hand.decoupled(
        IMAGES.numpy(), TEXTS.numpy(), temperature=loss.temperature, together=together(ids)
    )
    check(loss, expected, ids)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize(
    ("temperature", "beta", "tau_plus"),
    [(0.07, 0.25, 0.0), (0.5, 1.0, 0.1), (1.0, 0.0, 0.05), (0.07, 2.0, 0.9)],
)
def test_hard_negative(ids, temperature, beta, tau_plus):
    loss = HardNegativeLoss(temperature=temperature, beta=beta, tau_plus=tau_plus).double()
    expected = by_hand.hard_negative(
        IMAGES.numpy(),
        TEXTS.numpy(),
        temperature=loss.temperature,
        beta=beta,
        tau_plus=tau_plus,
        together=together(ids),
    )
    check(loss, expected, ids)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize("weight", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("teacher_temperature", [0.01, 0.2])
def test_distillation(ids, weight, teacher_temperature):
    teacher = unit(2, dim=9), unit(3, dim=9)
    options = {"teacher_temperature": teacher_temperature, "weight": weight}
    loss = DistillationLoss(temperature=0.05, **options).double()
    expected = by_hand.distillation(
        IMAGES.numpy(),
        TEXTS.numpy(),
        [each.numpy() for each in teacher],
        temperature=loss.temperature,
        together=together(ids),
        **options,
    )
    check(loss, expected, ids, teacher_image_embeds=teacher[0], teacher_text_embeds=teacher[1])


def test_hard_negatives_where_the_bound_holds():
    """With most negatives taken off, every row is at the least that negatives can be."""
    loss = HardNegativeLoss(temperature=0.5, beta=0.0, tau_plus=0.9).double()
    expected = np.log1p((COUNT - 1) * np.exp(-2 / loss.temperature))
    assert loss(IMAGES, IMAGES).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("reduced", [{"beta": 0.0}, {"beta": 1e-9}])
def test_without_preference_hard_negative_is_info_nce(reduced):
    ours = HardNegativeLoss(**reduced).double()(IMAGES, TEXTS)
    torch.testing.assert_close(ours, InfoNCELoss().double()(IMAGES, TEXTS))


@pytest.mark.parametrize(
    "loss", [InfoNCELoss(only_image_to_text=True, label_smoothing=0.1), SigLIPLoss()]
)
def test_a_batch_in_parts(loss, ids, monkeypatch):
    """Micro-batches add up to the whole, in value and in every gradient."""
    monkeypatch.setattr(tiles, "TILE", (3, 8))
    given = [each if each is None else torch.from_numpy(each) for each in ids]
    inputs = [IMAGES.clone().requires_grad_(), TEXTS.clone().requires_grad_()]
    wanted = [*inputs, *loss.double().parameters()]
    whole = loss(*inputs, *given)
    expected = torch.autograd.grad(whole, wanted)
    total, sums = 0.0, [torch.zeros_like(each) for each in wanted]
    for first, last in ((0, 9), (9, 10), (10, COUNT)):
        part = loss.over_images(inputs[0][first:last], inputs[1], first, *given)
        total += part.item()
        for each, gradient in zip(sums, torch.autograd.grad(part, wanted), strict=True):
            each += gradient
    assert total == pytest.approx(whole.item(), rel=1e-12)
    for mine, other in zip(sums, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)
