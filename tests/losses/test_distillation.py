"""Distillation against a peer."""

import torch
import torch.nn.functional as F

from zoo.losses.distillation import DistillationLoss


def test_against_open_clip():
    """Their term is the cross-entropy: the divergence and the teacher's entropy, which is constant."""
    from open_clip.loss import DistillClipLoss

    random = torch.Generator().manual_seed(0)

    def unit(dim):
        return F.normalize(torch.randn(17, dim, generator=random), dim=-1)

    images, texts = unit(8).requires_grad_(), unit(8).requires_grad_()
    teacher = unit(12), unit(12)
    loss = DistillationLoss(weight=0.3, teacher_temperature=0.1)
    ours = loss(images, texts, teacher_image_embeds=teacher[0], teacher_text_embeds=teacher[1])
    contrast, distance = DistillClipLoss()(
        images, texts, loss.logit_scale.exp(), *teacher, torch.tensor(10.0)
    )
    leaves = (images, texts, loss.logit_scale)
    theirs = torch.autograd.grad(0.7 * contrast + 0.3 * distance, leaves)
    for mine, other in zip(torch.autograd.grad(ours, leaves), theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_a_student_like_its_teacher_has_no_divergence():
    rows = F.normalize(torch.randn(9, 6, dtype=torch.float64), dim=-1)
    loss = DistillationLoss(weight=1.0, temperature=0.1, teacher_temperature=0.1).double()
    value = loss(rows, rows.flip(0), teacher_image_embeds=rows, teacher_text_embeds=rows.flip(0))
    assert abs(value.item()) < 1e-6
