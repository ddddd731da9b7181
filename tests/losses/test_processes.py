"""Every loss in two and in three processes, with unequal shares, against one with the whole batch."""

import pickle

import pytest
import torch
import torch.nn.functional as F

from zoo.losses.decoupled import DecoupledLoss
from zoo.losses.distillation import DistillationLoss
from zoo.losses.hard_negative import HardNegativeLoss
from zoo.losses.info_nce import InfoNCELoss
from zoo.losses.siglip import SigLIPLoss
from zoo.testing import elsewhere

LOSSES = {
    "info-nce": InfoNCELoss(label_smoothing=0.1),
    "info-nce, image to text": InfoNCELoss(only_image_to_text=True),
    "siglip": SigLIPLoss(bias=-4.0),
    "decoupled": DecoupledLoss(),
    "hard-negative": HardNegativeLoss(beta=0.5, tau_plus=0.01),
    "distillation": DistillationLoss(teacher_temperature=0.1),
}
COUNT = 11


def unit(seed, dim=5):
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(COUNT, dim, dtype=torch.float64, generator=random), dim=-1)


MIXED = {  # equal ones in one process and across processes
    "image_ids": torch.tensor([0, 1, 2, 3, 0, 4, 5, 6, 7, 7, 0]),
    "text_ids": torch.tensor([0, 1, 1, 3, 4, 5, 6, 1, 8, 9, 0]),
}
ALIKE = {"text_ids": torch.tensor([0, 0, 0, 1, 2, 3, 4, 5, 5, 5, 5])}
"""The first and the last of three processes have one caption, and so no negative of their own."""


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("processes", "ids"),
    [(2, MIXED), (3, {}), (3, MIXED), (3, ALIKE)],
    ids=["2, ids", "3", "3, ids", "3, one caption a share"],
)
def test_as_one_process(name, processes, ids):
    loss = LOSSES[name].double()
    more = dict(ids)
    if isinstance(loss, DistillationLoss):
        more |= {"teacher_image_embeds": unit(3, 7), "teacher_text_embeds": unit(4, 7)}
    inputs = [unit(seed).requires_grad_() for seed in (1, 2)]
    value = loss(*inputs, **more)
    expected = torch.autograd.grad(value, [*inputs, *loss.parameters()])
    parts = elsewhere.call_together(
        elsewhere.shares,
        pickle.dumps(loss),
        tuple(each.detach() for each in inputs),
        more,
        processes=processes,
    )

    def close(parts, whole):
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)

    close(torch.stack([part["value"] for part in parts]).mean(), value.detach())
    for number in range(2):
        close(torch.cat([part["inputs"][number] for part in parts]) / processes, expected[number])
    for number, (name, _) in enumerate(loss.named_parameters()):
        averaged = torch.stack([part["parameters"][name] for part in parts]).mean(0)
        close(averaged, expected[2 + number])


@pytest.mark.parametrize("aligned", [3, 6, 11])
def test_beyond_its_bound_the_temperature_follows_all_processes(aligned):
    """Pairs that are aligned ask for more, the others for less; processes have more of one or the other."""
    loss = InfoNCELoss(temperature=0.25, max_scale=5.0).double()
    loss.logit_scale.data.fill_(2.0)
    texts = unit(2)
    images = torch.cat([texts[:aligned], -texts[aligned:]])
    (expected,) = torch.autograd.grad(loss(images, texts), loss.logit_scale)
    parts = elsewhere.call_together(
        elsewhere.shares, pickle.dumps(loss), (images, texts), {}, processes=3
    )
    found = torch.stack([part["parameters"]["logit_scale"] for part in parts]).mean(0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert (expected == 0) == (aligned == COUNT)
