"""Heads that are solved: against their formulas in float64 NumPy."""

import numpy as np
import pytest
import torch

import zoo
from zoo.heads.kernel import KernelHead
from zoo.heads.two_way_kernel import TwoWayKernelHead
from zoo.heads.whiten import WhitenHead


@pytest.fixture
def data():
    """Features that are not negative, targets of unit length, and features that were not shown."""
    chance = np.random.default_rng(0)
    features = chance.gamma(1.0, size=(40, 12))
    targets = chance.normal(size=(40, 5))
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    return features, targets, chance.gamma(1.0, size=(7, 12))


def tensor(array):
    return torch.from_numpy(array).float()


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def points_of(shown, features, power, rank, whitening=0.0):
    """Evened, centred by what was shown, on its main axes, whitened, of unit length."""
    evened = [
        unit(np.sign(each) * (np.abs(each) + 1e-6) ** power) * each.shape[1] ** 0.5
        for each in (shown, features)
    ]
    centred = unit(evened[0] - evened[0].mean(0))
    spreads, axes = np.linalg.svd(centred, full_matrices=False)[1:]
    axes = axes[:rank].T * np.maximum(spreads[:rank] / spreads[0], 0.02) ** -whitening
    # Positive main entries, as signs are anyone's to choose.
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return unit(centred @ axes), unit((evened[1] - evened[0].mean(0)) @ axes)


def kernel(one, other, gamma):
    return np.exp(-gamma * ((one[:, None] - other[None]) ** 2).sum(-1))


@pytest.mark.parametrize("power", [0.5, 1.0])
@pytest.mark.parametrize("rank", [6, 12, 99])
@pytest.mark.parametrize("landmarks", [40, 64])
def test_kernel_ridge_regression(data, power, rank, landmarks):
    shown, targets, features = data
    head = KernelHead(
        in_dim=12, out_dim=5, landmarks=landmarks, rank=rank, gamma=0.7, ridge=0.1, power=power
    )
    head.fit(tensor(shown), tensor(targets))
    points, asked = points_of(shown, features, power, rank)
    solved = np.linalg.solve(kernel(points, points, 0.7) + 0.1 * np.eye(40), targets)
    expected = kernel(asked, points, 0.7) @ solved
    torch.testing.assert_close(head(tensor(features)), tensor(expected), atol=2e-4, rtol=2e-4)
    assert head.fitted


@pytest.mark.parametrize("which", ["spaced", "first"])
def test_fewer_landmarks_than_pictures(data, which):
    shown, targets, features = data
    head = KernelHead(
        in_dim=12, out_dim=5, landmarks=14, which=which, rank=12, gamma=0.7, ridge=0.1
    )
    head.fit(tensor(shown), tensor(targets))
    points, asked = points_of(shown, features, 0.5, 12)
    chosen = {"spaced": np.round(np.linspace(0, 39, 14)).astype(int), "first": np.arange(14)}
    some = points[chosen[which]]
    across, among = kernel(points, some, 0.7), kernel(some, some, 0.7)
    system = across.T @ across + 0.1 * (among + 1e-4 * np.eye(14))
    expected = kernel(asked, some, 0.7) @ np.linalg.solve(system, across.T @ targets)
    torch.testing.assert_close(head(tensor(features)), tensor(expected), atol=2e-4, rtol=2e-4)


def test_a_device_without_double_precision(data, monkeypatch):
    """What is solved there is solved on the CPU."""
    shown, targets, _ = data
    torch.manual_seed(0)
    heads = {
        "whiten": (WhitenHead(in_dim=12, out_dim=12), ()),
        "kernel": (KernelHead(in_dim=12, out_dim=5, landmarks=40), (tensor(targets),)),
        "few": (KernelHead(in_dim=12, out_dim=5, landmarks=14), (tensor(targets),)),
    }
    expected = {}
    for name, (head, given) in heads.items():
        head.fit(tensor(shown), *given)
        expected[name] = {key: each.clone() for key, each in head.named_buffers()}

    def refused(tensor):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    monkeypatch.setattr(torch.Tensor, "double", refused)
    for name, (head, given) in heads.items():
        head.fit(tensor(shown), *given)
        for key, buffer in head.named_buffers():
            torch.testing.assert_close(buffer, expected[name][key], atol=0, rtol=0)


def test_what_was_shown_is_found_again(data):
    shown, targets, _ = data
    head = KernelHead(in_dim=12, out_dim=5, landmarks=40, ridge=1e-3)
    before = head(tensor(shown))
    head.fit(tensor(shown), tensor(targets))
    assert (head(tensor(shown)) - tensor(targets)).abs().max() < 0.05
    assert (before - tensor(targets)).abs().max() > 0.5


def test_a_feature_of_nothing_has_a_gradient():
    head = KernelHead(in_dim=12, out_dim=5, landmarks=8)
    features = torch.tensor([[0.0, 1.0] * 6], requires_grad=True)
    head(features).sum().backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("landmarks", [25, 64])
def test_each_side_predicts_the_other(data, landmarks):
    pictures, captions, asked = data
    heads, places = {}, {}
    for side, shown, rank, power, whitening in (
        ("image", pictures, 7, 0.5, 0.8),
        ("text", captions, 4, 1.0, 0.3),
    ):
        heads[side] = TwoWayKernelHead(
            in_dim=shown.shape[1],
            out_dim=11,
            rank=rank,
            landmarks=landmarks,
            which="first",
            whitening=whitening,
            gamma=0.7,
            ridge=0.1,
            power=power,
        )
        heads[side].settle(tensor(shown))
        places[side] = points_of(shown, shown, power, rank, whitening)[0]
    heads["image"].fit(tensor(pictures), heads["text"].place(tensor(captions)), "image")
    heads["text"].fit(tensor(captions), heads["image"].place(tensor(pictures)), "text")

    def predicted(side, other, points):
        own, count = places[side], min(landmarks, 40)
        kept = unit(np.round(own[:count] / np.abs(own[:count]).max(1, keepdims=True) * 127))
        across, among = kernel(own, kept, 0.7), kernel(kept, kept, 0.7)
        system = among + 0.1 * np.eye(count)
        wanted = places[other]
        if count < 40:
            system = across.T @ across + 0.1 * (among + 1e-4 * np.eye(count))
            wanted = across.T @ wanted
        return unit(kernel(points, kept, 0.7) @ np.linalg.solve(system, wanted))

    own = points_of(pictures, asked, 0.5, 7, 0.8)[1]
    expected = np.hstack([own, predicted("image", "text", own)])
    found = heads["image"](tensor(asked))
    torch.testing.assert_close(found, tensor(expected), atol=1e-3, rtol=1e-3)
    expected = np.hstack([predicted("text", "image", places["text"]), places["text"]])
    said = heads["text"](tensor(captions))
    torch.testing.assert_close(said, tensor(expected), atol=1e-3, rtol=1e-3)


def test_axes_of_the_first_rows(data):
    shown, _, asked = data
    head = TwoWayKernelHead(in_dim=12, out_dim=11, rank=5, axes_of=20, power=0.5, whitening=0.4)
    head.settle(tensor(shown))
    expected = points_of(shown[:20], asked, 0.5, 5, 0.4)[1]
    torch.testing.assert_close(head.place(tensor(asked)), tensor(expected), atol=1e-4, rtol=1e-3)


def test_axes_without_spread_are_none(data):
    shown, _, asked = data
    head = TwoWayKernelHead(in_dim=12, out_dim=20, rank=10, axes_of=4, whitening=1.0)
    head.settle(tensor(shown))
    assert (head.axes.norm(dim=0) > 0).tolist() == [True] * 3 + [False] * 7
    assert head.place(tensor(asked)).isfinite().all()


def test_a_ridge_that_is_too_small():
    head = KernelHead(in_dim=6, out_dim=2, landmarks=200, rank=6, gamma=1e-4, ridge=1e-18)
    features = torch.rand(200, 6, generator=torch.Generator().manual_seed(0))
    with pytest.raises(zoo.ZooError, match=r"ridge=1e-18 and gamma=0.0001 the kernel of 200 rows"):
        head.fit(features, features[:, :2])


def test_ranks_that_cannot_be():
    with pytest.raises(zoo.ZooError, match=r"a rank of 9, of an embedding of 12; it is 1 to 6"):
        TwoWayKernelHead(in_dim=6, out_dim=12, rank=9)
    with pytest.raises(zoo.ZooError, match=r"rank=4 leaves nothing of the embedding's 4"):
        TwoWayKernelHead(in_dim=6, out_dim=4, rank=4)
    with pytest.raises(zoo.ZooError, match=r"a rank of 0, of an embedding of 1"):
        TwoWayKernelHead(in_dim=6, out_dim=1)


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_whitening(data, strength):
    shown, _, features = data
    head = WhitenHead(in_dim=12, out_dim=12, strength=strength)
    head.fit(tensor(shown))
    points = unit(shown)
    spreads, axes = np.linalg.svd(points - points.mean(0), full_matrices=False)[1:]
    scale = np.maximum(spreads / spreads[0], 0.02) ** -strength
    expected = (unit(features) - points.mean(0)) @ (axes.T * scale) @ axes
    torch.testing.assert_close(head(tensor(features)), tensor(expected), atol=1e-5, rtol=1e-4)
    if strength == 1:
        values = np.linalg.eigvalsh(np.cov(head(tensor(shown)).numpy().T))[1:]
        assert values.max() / values.min() < 1.01


def test_whitening_keeps_the_size():
    with pytest.raises(
        zoo.ZooError, match=r"'whiten' keeps the encoder's 6 features, and .* has 4"
    ):
        WhitenHead(in_dim=6, out_dim=4)
